import jax
import jax.numpy as jnp
import numpy as np

from toymodels.models import MLP, functional

SIZES = (784, 256, 128, 13)


def test_init_is_normal_with_variance_one_over_fan_in_and_zero_biases():
    params = functional(lambda rngs: MLP(SIZES, rngs=rngs)).init(jax.random.key(0))
    assert sorted(params) == ["head", "hidden1", "hidden2"]
    for name, fan_in, fan_out in zip(
        ("hidden1", "hidden2", "head"), SIZES[:-1], SIZES[1:], strict=True
    ):
        kernel = np.asarray(params[name]["kernel"])
        assert kernel.shape == (fan_in, fan_out)
        # 6 standard errors of a variance estimated from so many entries.
        assert abs(kernel.var() * fan_in - 1) < 6 * np.sqrt(2 / kernel.size)
        # A truncated normal would have no entry beyond two of its deviations.
        assert np.abs(kernel).max() * np.sqrt(fan_in) > 2.5
        assert not np.any(params[name]["bias"])


def test_apply_is_the_textbook_formula(x64):
    network = functional(lambda rngs: MLP((5, 7, 6, 3), rngs=rngs))
    params = jax.tree.map(lambda a: a.astype(jnp.float64), network.init(jax.random.key(1)))
    params["hidden1"]["bias"] = jnp.arange(7) * 0.1
    x = np.random.default_rng(0).normal(size=(11, 5))
    h = x
    for name in ("hidden1", "hidden2"):
        h = np.maximum(h @ np.asarray(params[name]["kernel"]) + np.asarray(params[name]["bias"]), 0)
    expected = h @ np.asarray(params["head"]["kernel"]) + np.asarray(params["head"]["bias"])
    np.testing.assert_allclose(network.apply(params, jnp.asarray(x)), expected, rtol=1e-13)


def test_init_depends_on_the_key_alone():
    network = functional(lambda rngs: MLP((4, 3), rngs=rngs))
    one, again, other = (network.init(jax.random.key(k)) for k in (1, 1, 2))
    assert jax.tree.all(jax.tree.map(jnp.array_equal, one, again))
    assert not jnp.array_equal(one["head"]["kernel"], other["head"]["kernel"])


def test_no_hidden_layer_is_a_linear_network():
    network = functional(lambda rngs: MLP((4, 3), rngs=rngs))
    params = network.init(jax.random.key(0))
    x = jnp.ones((2, 4))
    np.testing.assert_allclose(network.apply(params, x), x @ params["head"]["kernel"], rtol=1e-6)
