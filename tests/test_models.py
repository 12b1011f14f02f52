import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from toymodels.errors import UserError
from toymodels.networks.approximations import tangent
from toymodels.networks.models import CNN, MLP, Convolution, functional
from toymodels.training.optimisers import parametrise

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


def convolutional(side=8, split=None, activation=jax.nn.relu):
    make = functional(
        lambda rngs: CNN(side, (2, 3), 5, 7, split=split, activation=activation, rngs=rngs)
    )
    return make, make.init(jax.random.key(0))


@pytest.mark.parametrize(("side", "maps"), [(8, 4), (28, 49), (5, 4)])
def test_a_cnn_has_the_layers_of_an_mlp_above_its_maps(side, maps):
    network, params = convolutional(side, split=4)
    shapes = {name: layer["kernel"].shape for name, layer in params.items()}
    assert shapes == {
        "hidden1": (3, 3, 1, 2),
        "hidden2": (3, 3, 2, 3),
        "hidden3": (maps * 3, 5),
        "class_head": (5, 4),
        "aux_head": (5, 3),
    }
    assert sum(leaf.size for leaf in jax.tree.leaves(params)) == (
        (9 * 2 + 2) + (18 * 3 + 3) + (maps * 3 * 5 + 5) + (5 * 7 + 7)
    )
    x = jnp.ones((2, 6, side * side))
    assert network.apply(params, x).shape == (2, 6, 7)
    assert network.latent(params, x).shape == (2, 6, 5)


def test_a_cnn_is_drawn_as_an_mlp():
    network = functional(lambda rngs: CNN(8, (64, 128), 100, 5, rngs=rngs))
    params = network.init(jax.random.key(0))
    assert sorted(params) == ["head", "hidden1", "hidden2", "hidden3"]
    for name, layer in params.items():
        kernel = np.asarray(layer["kernel"])
        fan_in = kernel.size // kernel.shape[-1]
        assert abs(kernel.var() * fan_in - 1) < 6 * np.sqrt(2 / kernel.size), name
        assert not np.any(layer["bias"])


def test_a_cnn_is_a_sum_over_wrapped_neighbours_then_its_latent_then_its_heads(x64):
    network, params = convolutional(split=4, activation=jnp.tanh)
    params = jax.tree.map(lambda a: np.asarray(a, np.float64), params)
    params["hidden1"]["bias"] += [0.1, -0.2]
    x = np.random.default_rng(0).normal(size=(3, 64))
    maps = x.reshape(3, 8, 8, 1)
    for name in ("hidden1", "hidden2"):
        total = params[name]["bias"]
        for i, j in np.ndindex(3, 3):
            moved = np.roll(maps, (1 - i, 1 - j), (1, 2))[:, ::2, ::2]
            total = total + moved @ params[name]["kernel"][i, j]
        maps = np.tanh(total)
    latent = np.tanh(maps.reshape(3, -1) @ params["hidden3"]["kernel"] + params["hidden3"]["bias"])
    np.testing.assert_allclose(network.latent(params, x), latent, rtol=1e-12)
    heads = [latent @ params[name]["kernel"] for name in ("class_head", "aux_head")]
    np.testing.assert_allclose(network.apply(params, x), np.hstack(heads), rtol=1e-11)


@pytest.mark.parametrize("side", [(8, 8), (5, 4), (1, 2)])
def test_a_convolution_is_flaxs_own(side, x64):
    layer = Convolution(2, 3, rngs=nnx.Rngs(0))
    layer.bias[...] += 0.1
    x = jax.random.normal(jax.random.key(1), (2, 4, *side, 2), jnp.float64)
    np.testing.assert_allclose(layer(x), nnx.Conv.__call__(layer, x), rtol=1e-5, atol=1e-6)


def test_shifted_images_have_shifted_maps():
    """By the product of the strides, four pixels, round the torus: one place of the maps."""
    network = CNN(8, (2, 3), 5, 7, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(1), (4, 8, 8))
    shifted = jnp.roll(x, (4, -4), (1, 2))
    maps, moved = (network.maps(images.reshape(4, 64)) for images in (x, shifted))
    assert jnp.ptp(maps) > 0.1
    np.testing.assert_allclose(moved, jnp.roll(maps, (1, -1), (1, 2)), atol=1e-6)


class Averaged(nnx.Module):
    def __init__(self, layer, *, rngs):
        self.inner = Layered(layer, rngs)
        self.head = nnx.Linear(4, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(x)


class Layered(nnx.Module):
    def __init__(self, layer, rngs):
        self.layer = layer(rngs)


@pytest.mark.parametrize(
    ("layer", "named"),
    [
        (
            lambda rngs: nnx.BatchNorm(4, rngs=rngs),
            r"inner.layer.mean \(BatchStat\), inner.layer.var",
        ),
        (lambda rngs: nnx.Dropout(0.5, rngs=rngs), r"inner.layer.rngs.count \(RngCount\)"),
        (lambda rngs: nnx.Variable(jnp.ones(4)), r"inner.layer \(Variable\)"),
        (lambda rngs: jnp.ones(4), r"inner.layer \(an array\)"),
    ],
)
def test_what_is_no_parameter_is_refused_by_its_name(layer, named):
    with pytest.raises(UserError, match=f"^a network must hold parameters .*got {named}.* in Aver"):
        functional(lambda rngs: Averaged(layer, rngs=rngs))


def test_a_module_may_do_without_latent_and_has_its_name_and_size():
    plain = functional(lambda rngs: nnx.Linear(4, 3, rngs=rngs))
    assert not plain.has_latent
    assert plain.name == "Linear of 15 parameters"
    assert plain.apply(plain.init(jax.random.key(0)), jnp.ones((2, 4))).shape == (2, 3)
    with pytest.raises(UserError, match="latent must be a method of the network"):
        plain.latent(plain.init(jax.random.key(0)), jnp.ones((2, 4)))
    line = tangent(plain, plain.init(jax.random.key(0)))
    assert not line.has_latent
    assert line.name == "Linear of 15 parameters, linearised"
    assert not parametrise(plain, "ntk", 4).network.has_latent


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda rngs: MLP((4, 8, 5), rngs=rngs), "MLP 4-8-5"),
        (lambda rngs: MLP((4, 5), activation=jnp.tanh, rngs=rngs), "MLP 4-5, tanh"),
        (lambda rngs: CNN(8, (2, 3), 6, 5, rngs=rngs), "CNN 8x8-2-3-6-5"),
    ],
)
def test_networks_are_called_by_their_sizes(make, name):
    assert functional(make).name == name
