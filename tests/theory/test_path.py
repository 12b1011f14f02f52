"""The Gauss-Newton path against closed forms, an integrator, and what it conserves, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

from toymodels.networks.models import MLP, Network, functional
from toymodels.theory.lazy_students import lazy_student
from toymodels.theory.path import displace_least, follow_path
from toymodels.trees import flatten

pytestmark = pytest.mark.usefixtures("x64")
SUBSET = jnp.arange(5) >= 2
follow = jax.jit(follow_path, static_argnames=("network", "centred"))


def make_case(activation=jnp.tanh, n=6):
    """A network of 2 class and 3 auxiliary logits, its start, inputs and answers."""
    network = functional(lambda rngs: MLP((4, 9, 8, 5), activation=activation, rngs=rngs))
    start, other = (network.init(jax.random.key(i)) for i in range(2))
    start, other = (jax.tree.map(lambda a: a.astype(float), p) for p in (start, other))
    x = jax.random.normal(jax.random.key(2), (n, 4), float)
    return network, start, x, 0.7 * network.apply(start, x) + 0.3 * network.apply(other, x)


def linear(sizes=(7, 5)):
    return Network(lambda key: {}, lambda p, x: x @ p["w"], lambda p, x: x)


@pytest.mark.parametrize("pieces", [1, 3, 8])
def test_of_a_linear_model_every_number_of_pieces_is_the_least_solution(pieces):
    """Whatever the number of pieces: NumPy's pseudo-inverse, on what is imitated."""
    keys = jax.random.split(jax.random.key(0), 3)
    start = {"w": jax.random.normal(keys[0], (7, 5), float)}
    x, answers = (
        jax.random.normal(key, (4, d), float) for key, d in zip(keys[1:], (7, 5), strict=True)
    )
    params, remaining = follow(linear(), start, x, answers, SUBSET, pieces, 30)
    least = np.linalg.pinv(x) @ np.where(SUBSET, answers - x @ start["w"], 0)
    np.testing.assert_allclose(params["w"] - start["w"], least, atol=1e-12)
    assert remaining < 1e-24


def test_one_piece_is_the_lazy_student():
    network, start, x, answers = make_case()
    params, _ = follow(network, start, x, answers, SUBSET, 1, 40)
    lazy, _ = lazy_student(network, start, x, answers, SUBSET, 40)
    np.testing.assert_allclose(flatten(params), flatten(lazy), atol=1e-12)


@pytest.mark.parametrize("centred", [False, True])
def test_pieces_converge_to_the_flow(centred):
    """An integrator's solution with NumPy's pseudo-inverse; twice the pieces, half the error."""
    network, start, x, answers = make_case()
    shapes, unflatten = jax.flatten_util.ravel_pytree(start)
    centre = np.eye(3) - centred / 3

    @jax.jit
    def outputs(theta):
        return (network.apply(unflatten(theta), x)[:, 2:] @ centre).ravel()

    jacobian = jax.jit(jax.jacrev(outputs))
    wanted = (answers[:, 2:] @ centre).ravel() - outputs(shapes)

    def slope(_, theta):
        return np.linalg.pinv(jacobian(theta), rcond=1e-9) @ wanted

    flow = solve_ivp(slope, (0, 1), shapes, rtol=1e-9, atol=1e-11).y[:, -1]
    errors = []
    for pieces in (16, 32):
        params, remaining = follow(network, start, x, answers, SUBSET, pieces, 200, centred=centred)
        errors.append(np.linalg.norm(flatten(params) - flow))
    assert errors[0] / errors[1] == pytest.approx(2, rel=0.05)
    assert errors[1] < 0.03 * np.linalg.norm(flow - shapes)
    assert remaining < 1e-8


def test_two_linear_layers_follow_a_hyperbola():
    """f = a b: the path moves along (b, a), so that a^2 - b^2 stays, until a b is the answer."""
    network = Network(lambda key: {}, lambda p, x: x * p["a"] * p["b"], lambda p, x: x)
    start, answer = {"a": jnp.array(1.2), "b": jnp.array(0.3)}, 2.0
    x = jnp.ones((1, 1))
    params, _ = follow(network, start, x, answer * x, jnp.array([True]), 4000, 2)
    # With a = r cosh t, b = r sinh t: a b = r^2 sinh(2 t) / 2 and a^2 - b^2 = r^2.
    r = np.sqrt(1.2**2 - 0.3**2)
    t = np.arcsinh(2 * answer / r**2) / 2
    np.testing.assert_allclose(
        [params["a"], params["b"]], [r * np.cosh(t), r * np.sinh(t)], rtol=2e-4
    )


def test_a_relu_network_conserves_the_balance_of_every_unit():
    """Squared weights into a unit less those out of it; a piece changes it to second order alone."""
    network, start, x, answers = make_case(jax.nn.relu)

    def balance(p):
        into = [
            jnp.square(p[n]["kernel"]).sum(0) + p[n]["bias"] ** 2 for n in ("hidden1", "hidden2")
        ]
        out = [jnp.square(p[n]["kernel"]).sum(1) for n in ("hidden2", "head")]
        return np.concatenate([a - b for a, b in zip(into, out, strict=True)])

    drifts = []
    for pieces in (16, 64):
        params, _ = follow(network, start, x, answers, SUBSET, pieces, 200)
        drifts.append(np.abs(balance(params) - balance(start)).max())
    assert drifts[0] / drifts[1] == pytest.approx(4, rel=0.4)
    assert drifts[1] < 0.1 * np.abs(balance(start)).max()


def test_a_softmax_does_not_ask_for_the_mean_of_its_logits():
    network, start, x, answers = make_case()
    shift = jnp.arange(len(x), dtype=float)[:, None]
    ends = [
        follow(network, start, x, given, SUBSET, 3, 60, centred=True)[0]
        for given in (answers, answers + shift)
    ]
    np.testing.assert_allclose(*map(flatten, ends), atol=1e-9)


def test_what_is_not_imitated_changes_nothing():
    network, start, x, answers = make_case()
    noise = jnp.where(SUBSET, answers, 100.0)
    ends = [follow(network, start, x, given, SUBSET, 3, 60)[0] for given in (answers, noise)]
    np.testing.assert_array_equal(*map(flatten, ends))


def test_early_stops_learn_the_large_eigenvalues_first():
    """Fewer steps of the solver displace less and leave more, as less training does."""
    network, start, x, answers = make_case()
    found = [
        displace_least(network, start, x, answers - network.apply(start, x), SUBSET, steps)
        for steps in (1, 3, 10)
    ]
    left = [float(piece.remaining) for piece in found]
    size = [float(np.linalg.norm(flatten(piece.displacement))) for piece in found]
    assert left == sorted(left, reverse=True)
    assert size == sorted(size)
