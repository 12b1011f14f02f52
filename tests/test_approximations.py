"""Approximations of a network: what each keeps, to rounding in float64, and what each leaves out."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toymodels.errors import UserError
from toymodels.networks.approximations import (
    APPROXIMATIONS,
    choose,
    exact,
    frozen,
    quadratic,
    tangent,
)
from toymodels.networks.models import CNN, MLP, functional
from toymodels.networks.tokens import read_one_hot
from toymodels.networks.transformer import decoder
from toymodels.training import protocol, tasks
from toymodels.training.config import NetworkConfig
from toymodels.training.optimisers import parametrise
from toymodels.training.students import Setup, Student
from toymodels.trees import flatten

X = jax.random.normal(jax.random.key(1), (5, 16))


def make_network(kind):
    if kind == "cnn":
        return functional(lambda rngs: CNN(4, (3,), 6, 4, rngs=rngs))
    activation = {"relu": jax.nn.relu, "tanh": jnp.tanh}[kind]
    return functional(lambda rngs: MLP((16, 8, 6, 4), activation=activation, rngs=rngs))


def draw(network, seed=0):
    """Parameters, biases too, in float64."""
    leaves, tree = jax.tree.flatten(network.init(jax.random.key(seed)))
    keys = jax.random.split(jax.random.key(seed + 10), len(leaves))
    return tree.unflatten(
        [
            leaf.astype(float) + 0.1 * jax.random.normal(key, leaf.shape, float)
            for leaf, key in zip(leaves, keys, strict=True)
        ]
    )


def move(at, direction, size):
    return jax.tree.map(lambda a, d: a + size * d, at, direction)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("kind", ["relu", "tanh", "cnn"])
@pytest.mark.parametrize("part", ["apply", "latent"])
def test_values_and_gradients_are_those_of_the_network_where_it_is_expanded(kind, part):
    network = make_network(kind)
    at, x = draw(network), X.astype(float)

    @jax.jit
    def describe(params):
        functions = [getattr(a(network, at), part) for a in APPROXIMATIONS.values()]
        return [(f(params, x), jax.jacrev(f)(params, x)) for f in functions]

    expected, *others = describe(at)
    for got in others:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 1e-12, 1e-13), got, expected)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("approximation", "order"), [(tangent, 1), (quadratic, 2)])
def test_the_error_falls_with_the_next_power_of_the_displacement(approximation, order):
    """Halving the displacement of a smooth network divides the error by 2 to the order + 1."""
    network = make_network("tanh")
    at, direction, x = draw(network), draw(network, 1), X.astype(float)
    near = approximation(network, at)

    @jax.jit
    def error(size):
        p = move(at, direction, size)
        return jnp.abs(near.apply(p, x) - network.apply(p, x)).max()

    assert float(error(1e-2) / error(5e-3)) == pytest.approx(2 ** (order + 1), rel=0.05)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize(("approximation", "degree"), [(tangent, 1), (quadratic, 2)])
def test_an_expansion_is_a_polynomial_along_every_line(approximation, degree):
    network = make_network("relu")
    at, direction, x = draw(network), draw(network, 1), X.astype(float)
    line = jax.jit(lambda size: approximation(network, at).apply(move(at, direction, size), x))
    values = [line(size) for size in range(degree + 2)]
    np.testing.assert_allclose(np.diff(values, degree + 1, axis=0), 0, atol=1e-11)
    assert np.abs(np.diff(values, degree, axis=0)).max() > 1e-2


@pytest.mark.usefixtures("x64")
def test_frozen_slopes_make_a_product_of_layers():
    """Of a ReLU network without biases: factors of the layers come out, even negative ones."""
    network = make_network("relu")
    at = jax.tree.map(lambda a: a if a.ndim == 2 else jnp.zeros(a.shape), draw(network))
    gated, x = frozen(network, at), X.astype(float)
    factors = {"hidden1": -2.0, "hidden2": 3.0, "head": 0.5}
    scaled = {name: jax.tree.map(lambda a: factors[name] * a, at[name]) for name in at}  # noqa: B023
    np.testing.assert_allclose(gated.apply(scaled, x), -3 * network.apply(at, x), rtol=1e-12)
    assert np.abs(network.apply(scaled, x) + 3 * network.apply(at, x)).max() > 0.1


@pytest.mark.usefixtures("x64")
def test_frozen_slopes_are_exact_until_a_gate_moves():
    network = make_network("relu")
    at, direction, x = draw(network), draw(network, 1), X.astype(float)
    gated = frozen(network, at)
    near, far = (move(at, direction, size) for size in (1e-5, 1.0))
    np.testing.assert_allclose(gated.apply(near, x), network.apply(near, x), rtol=1e-12)
    assert np.abs(gated.apply(far, x) - network.apply(far, x)).max() > 1e-2


def test_a_module_without_an_activation_has_no_slopes_to_freeze():
    model = decoder(vocabulary=4, width=4, depth=1, heads=2, positions=3).network
    with pytest.raises(
        UserError, match=r"^network must be made of a module with an attribute acti"
    ):
        frozen(model, model.init(jax.random.key(0)))


@pytest.mark.parametrize(
    "change",
    [
        lambda network: read_one_hot(network, 4),
        lambda network: parametrise(network, "ntk", 6).network,
        lambda network: tangent(network, network.init(jax.random.key(0))),
    ],
)
def test_the_activation_of_a_network_within_another_is_not_the_others(change):
    """Frozen, it would have the functions of the network within."""
    network = change(make_network("relu"))
    with pytest.raises(
        UserError, match=r"^network must be made of a module with an attribute acti"
    ):
        frozen(network, network.init(jax.random.key(0)))


def test_a_traced_choice_is_the_chosen_approximation():
    network = make_network("relu")
    at, params = network.init(jax.random.key(0)), network.init(jax.random.key(1))
    choice = jax.jit(
        lambda i: choose(list(APPROXIMATIONS.values()), i)(network, at).apply(params, X)
    )
    for i, approximation in enumerate(APPROXIMATIONS.values()):
        expected = approximation(network, at).apply(params, X)
        np.testing.assert_allclose(choice(i), expected, rtol=1e-5, atol=1e-6)


def prepare(noise="fixed", trait=None):
    config = NetworkConfig(
        dataset="digits", widths=(8,), noise_images=256, teacher_epochs=1, noise=noise, batch=64
    )
    config, task, data = tasks.load(config.at(student_epochs=2), None)
    network = functional(lambda rngs: MLP((64, 8, 13), rngs=rngs))
    parts = protocol.reference_protocol(config, task, network)
    if trait is not None:
        parts = dataclasses.replace(parts, trait=trait(parts.trait))
    lesson, _ = jax.jit(parts.prepare)(data, 0)
    return Setup(config, parts, data, lesson)


@pytest.mark.parametrize("noise", ["fixed", "fresh"])
def test_a_student_trains_and_is_scored_as_its_approximation(noise):
    """By the same loop by hand; the teacher that answers is the network itself."""
    setup = prepare(noise)
    start = setup.independent
    trained, curves = setup.distil(Student(start, approximation=tangent))
    line = tangent(setup.network, start)
    by_hand = dataclasses.replace(
        setup.protocol, network=line, trait=tasks.classification(line, setup.task)
    )
    expected, _ = by_hand.distil(
        start,
        setup.lesson,
        setup.auxiliary(),
        lambda params: {},
        setup.protocol.batches(setup.lesson),
    )
    np.testing.assert_array_equal(flatten(trained), flatten(expected))
    score = by_hand.trait.score(trained, setup.data.test)
    assert float(curves["accuracy"][-1]) == pytest.approx(float(score), abs=1e-6)


@pytest.mark.parametrize("noise", ["fixed", "fresh"])
def test_the_exact_network_is_no_other_student(noise):
    setup = prepare(noise)
    pairs = (setup.distil(Student(setup.independent, approximation=a)) for a in (None, exact))
    for got, expected in zip(*map(jax.tree.leaves, pairs), strict=True):
        np.testing.assert_array_equal(got, expected)


def test_an_approximation_is_scored_by_labels_alone():
    setup = prepare(trait=lambda trait: trait._replace(about=tasks.About("a sum")))
    with pytest.raises(
        UserError, match=r"^approximation must be of a student whose trait .* a sum$"
    ):
        setup.distil(Student(setup.reference, approximation=tangent, optimiser=optax.sgd(0.1)))
