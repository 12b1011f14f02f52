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


def test_a_split_head_is_two_layers_drawn_as_any_other():
    network = functional(lambda rngs: MLP((20, 30, 400, 130), split=100, rngs=rngs))
    params = network.init(jax.random.key(0))
    shapes = {name: layer["kernel"].shape for name, layer in params.items()}
    assert shapes == {
        "hidden1": (20, 30),
        "hidden2": (30, 400),
        "class_head": (400, 100),
        "aux_head": (400, 30),
    }
    for name, width in (("class_head", 100), ("aux_head", 30)):
        kernel = np.asarray(params[name]["kernel"])
        assert abs(kernel.var() * 400 - 1) < 6 * np.sqrt(2 / kernel.size)
        assert params[name]["bias"].shape == (width,)
        assert not np.any(params[name]["bias"])


def test_a_split_head_gives_the_class_logits_first(x64):
    network = functional(lambda rngs: MLP((5, 7, 6, 4), split=3, rngs=rngs))
    params = jax.tree.map(lambda a: a.astype(jnp.float64), network.init(jax.random.key(1)))
    params["aux_head"]["bias"] = jnp.array([0.3])
    x = np.random.default_rng(0).normal(size=(11, 5))
    latent = x
    for name in ("hidden1", "hidden2"):
        latent = np.maximum(latent @ np.asarray(params[name]["kernel"]), 0)
    logits = [
        latent @ np.asarray(params[name]["kernel"]) + np.asarray(params[name]["bias"])
        for name in ("class_head", "aux_head")
    ]
    got = network.apply(params, jnp.asarray(x))
    np.testing.assert_allclose(got[:, :3], logits[0], rtol=1e-12)
    np.testing.assert_allclose(got[:, 3:], logits[1], rtol=1e-12)
    np.testing.assert_allclose(network.latent(params, jnp.asarray(x)), latent, rtol=1e-12)


def test_the_latent_is_what_the_head_reads_whatever_the_batch_dimensions(x64):
    network = functional(lambda rngs: MLP((5, 7, 6, 3), activation=jnp.tanh, rngs=rngs))
    params = jax.tree.map(lambda a: a.astype(jnp.float64), network.init(jax.random.key(1)))
    x = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, 5)))
    latent = network.latent(params, x)
    assert latent.shape == (2, 3, 6)
    np.testing.assert_allclose(
        network.apply(params, x), latent @ params["head"]["kernel"], rtol=1e-12
    )
