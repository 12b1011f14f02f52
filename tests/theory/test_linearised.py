"""The linearised student against the same student trained, and every route against the others."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from scipy.integrate import solve_ivp

from toymodels.networks.approximations import tangent
from toymodels.networks.models import CNN, MLP, Network, functional
from toymodels.networks.transformer import decoder
from toymodels.theory.kernels import Side, function, kernel
from toymodels.theory.linearised import (
    decompose,
    descent,
    flow,
    hessian_modes,
    integrate,
    lanczos,
    predict,
    student,
)
from toymodels.training import losses
from toymodels.training.distillation import answer_inputs, distil
from toymodels.trees import flatten

pytestmark = pytest.mark.usefixtures("x64")
CLASSES, M, N = 2, 2, 5
AUX = slice(CLASSES, CLASSES + M)
SUBSET = jnp.arange(CLASSES + M) >= CLASSES


def transformer():
    """A decoder's logits of what follows three tokens: of the first three numbers, in four bins."""
    model = decoder(vocabulary=CLASSES + M, width=4, depth=1, heads=2, positions=3).network

    def tokens(x):
        return jnp.digitize(x[:, :3], jnp.array([-0.7, 0.0, 0.7]))

    return model._replace(
        apply=lambda params, x: model.apply(params, tokens(x))[:, -1],
        latent=lambda params, x: model.latent(params, tokens(x))[:, -1],
    )


NETWORKS = {
    "mlp": functional(lambda rngs: MLP((9, 7, 6, CLASSES + M), rngs=rngs)),
    "cnn": functional(lambda rngs: CNN(3, (2,), 6, CLASSES + M, rngs=rngs)),
    "transformer": transformer(),
}


def sample(network, seed):
    """Parameters in float64, biases too."""
    draw = np.random.default_rng(seed)
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    return jax.tree.map(lambda a: jnp.asarray(draw.normal(0, 0.5, a.shape)), shapes)


def inputs(n, seed):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, 9)))


def train_student(network, start, teacher, x, rate, steps):
    """A student by the one training loop: full batches, squared error, the auxiliary outputs."""
    source, key = answer_inputs(network, teacher, x, len(x)), jax.random.key(0)
    return distil(
        network,
        start,
        source,
        losses.mse(),
        SUBSET,
        optax.sgd(rate),
        epochs=steps,
        observe=lambda _: (),
        key=key,
    )[0]


def test_a_linear_model_trained_is_the_linearised_student():
    linear = Network(lambda key: {}, lambda p, x: x @ p["w"] + p["b"], lambda p, x: x)
    draw = np.random.default_rng(0)
    start, teacher = (
        {k: jnp.asarray(draw.normal(size=s)) for k, s in (("w", (9, 4)), ("b", (4,)))}
        for _ in range(2)
    )
    x, side = inputs(N, 1), Side(start, inputs(N, 1), AUX)
    expected = train_student(linear, start, teacher, x, 0.05, 40)
    modes = hessian_modes(linear, side, linear.apply(teacher, x)[:, AUX])
    got = student(linear, side, modes, descent(0.05, 40))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), got, expected
    )
    # and the class outputs have learnt exactly nothing
    np.testing.assert_array_equal(got["w"][:, :CLASSES], start["w"][:, :CLASSES])


@pytest.mark.parametrize("name", NETWORKS)
def test_every_architecture_and_either_init_through_one_function(name):
    """Trained as a linear network, dense and matrix-free: the same outputs on unseen inputs."""
    network = NETWORKS[name]
    # jax.nn.dot_product_attention takes its softmax in float32, whatever it is given.
    exact = 1e-6 if name == "transformer" else 1e-10
    reference, other, teacher = (sample(network, seed) for seed in range(3))
    x, unseen = inputs(N, 3), inputs(4, 4)

    @jax.jit
    def everything(start):
        side, line = Side(start, x, AUX), tangent(network, start)
        both = [
            hessian_modes(network, side, network.apply(teacher, x)[:, AUX], krylov)
            for krylov in (None, N * M)
        ]
        # What the tangent imitates is the network's teacher, not its own.
        by_training = distil(
            line,
            start,
            answer_inputs(network, teacher, x, N),
            losses.mse(),
            SUBSET,
            optax.sgd(0.01),
            epochs=30,
            observe=lambda _: (),
            key=jax.random.key(0),
        )[0]
        ends = [by_training, *(student(network, side, m, descent(0.01, 30)) for m in both)]
        rows = jax.tree.leaves(jax.jacobian(function(network, side))(start))
        jacobian = jnp.concatenate([a.reshape(N * M, -1) for a in rows], 1)
        stacked = jax.tree.map(lambda *each: jnp.stack(each), *ends)
        return jax.lax.map(lambda p: line.apply(p, unseen), stacked), jacobian, both[0]

    for start in (reference, other):
        (expected, *routes), jacobian, modes = everything(start)
        for got in routes:
            np.testing.assert_allclose(got, expected, rtol=exact, atol=exact)
        # The kernel that was decomposed is the product of explicit Jacobians, and so positive.
        vectors = modes.vectors.reshape(N * M, N * M)
        theta = N * M / 2 * vectors @ np.diag(modes.values) @ vectors.T
        size = abs(theta).max()
        np.testing.assert_allclose(theta, jacobian @ jacobian.T, rtol=exact, atol=exact * size)
        assert modes.values.min() >= 0
    assert abs(expected - network.apply(other, unseen)).max() > 0.01


def test_at_the_same_init_the_student_moves_by_a_share_of_its_teacher():
    """theta(t) - theta_0 = (1 - exp(-c t J^T J)) (theta_T - theta_0), so its product is >= 0."""
    network, t = NETWORKS["mlp"], 2.0
    reference, teacher = sample(network, 0), sample(network, 1)
    x = inputs(N, 2)

    @jax.jit
    def everything():
        side, line = Side(reference, x, AUX), tangent(network, reference)
        modes = hessian_modes(network, side, line.apply(teacher, x)[:, AUX])
        tree = jax.jacobian(function(network, side))(reference)
        rows = [a.reshape(N * M, -1) for a in jax.tree.leaves(tree)]
        after = student(network, side, modes, flow(t))
        return flatten(after) - flatten(reference), jnp.concatenate(rows, 1)

    moved, jacobian = map(np.asarray, everything())
    values, vectors = np.linalg.eigh(2 / (N * M) * jacobian.T @ jacobian)
    share = vectors @ np.diag(1 - np.exp(-t * values)) @ vectors.T
    gone = np.asarray(flatten(teacher) - flatten(reference))
    np.testing.assert_allclose(moved, share @ gone, rtol=1e-8, atol=1e-10)
    assert moved @ gone > 0


def test_integration_is_the_closed_form_for_squared_error_and_an_ode_solvers_for_kl():
    network = NETWORKS["mlp"]
    start, teacher = sample(network, 0), sample(network, 1)
    x = inputs(N, 2)
    side, line = Side(start, x, AUX), tangent(network, start)

    @jax.jit
    def everything():
        answers = network.apply(teacher, x)[:, AUX]
        ends = [
            line.apply(integrate(network, side, answers, loss, 2.0, 400), x)[:, AUX]
            for loss in (losses.mse(), losses.kl())
        ]
        modes = hessian_modes(network, side, answers)
        exact = line.apply(student(network, side, modes, flow(2.0)), x)[:, AUX]
        at = jnp.array([0.0, 2.0])
        free = predict(network, side, answers, x, at, krylov=N * M)[..., AUX]
        first, theta = function(network, side)(start), kernel(network, side, side)
        return (*ends, exact, free, first, theta, jax.nn.softmax(answers))

    by_mse, by_kl, exact, free, first, theta, p = map(np.asarray, everything())
    np.testing.assert_allclose(by_mse, exact, rtol=1e-7)
    np.testing.assert_allclose(free, [first, exact], rtol=1e-8, atol=1e-8)
    theta = theta.reshape(N * M, N * M)

    def slope(_, f):
        q = np.exp(f.reshape(N, M))
        return -theta @ ((q / q.sum(1, keepdims=True) - p) / N).ravel()

    solved = solve_ivp(slope, (0, 2.0), first.ravel(), rtol=1e-10, atol=1e-12).y[:, -1]
    np.testing.assert_allclose(by_kl.ravel(), solved, rtol=1e-7, atol=1e-8)
    assert abs(solved - first.ravel()).max() > 0.1


def test_lanczos_stops_where_there_is_nothing_new():
    """A kernel of rank 2 is exhausted; a vector of zeros stays zero."""
    draw = np.random.default_rng(0)
    low = draw.normal(size=(12, 2))
    theta, v = low @ low.T, draw.normal(size=(6, 2))

    @jax.jit
    def apply(v):
        both = (
            decompose(theta.reshape(6, 2, 6, 2), v),
            lanczos(lambda u: (theta @ u.ravel()).reshape(6, 2), v, 9),
        )
        return [[modes.apply(flow(t)) for t in (0.3, jnp.inf)] for modes in both]

    exact, got = apply(v)
    np.testing.assert_allclose(got, exact, atol=1e-10)
    inverse = (np.linalg.pinv(theta, rtol=1e-10) @ v.ravel()).reshape(6, 2)
    np.testing.assert_allclose(got[1], inverse, atol=1e-10)
    assert (np.array(apply(0 * v)) == 0).all()


@pytest.mark.parametrize("scale", [1e-9, 1e9])
def test_what_is_nothing_new_does_not_depend_on_scales(scale):
    draw = np.random.default_rng(0)
    low = draw.normal(size=(12, 2))
    theta, v = low @ low.T, draw.normal(size=(12, 1))
    one, scaled = (
        jax.jit(lambda v, s=s: lanczos(lambda u: s * (theta @ u), v, 9).apply(flow(0.3 / s)))(v)
        for s in (1.0, scale)
    )
    np.testing.assert_allclose(scaled * scale, one, atol=1e-10)
    small = jax.jit(lambda v: lanczos(lambda u: theta @ u, v, 9).apply(flow(0.3)))(v / scale)
    np.testing.assert_allclose(small * scale, one, atol=1e-10)


def test_error_of_few_lanczos_steps_falls_fast():
    draw = np.random.default_rng(0)
    wide = draw.normal(size=(60, 60)) * np.linspace(0, 1, 60) ** 2
    theta, v = wide @ wide.T, draw.normal(size=(60, 1))

    @jax.jit
    def apply(theta, v):
        routes = [decompose(theta.reshape(60, 1, 60, 1), v)]
        routes += [lanczos(lambda u: theta @ u, v, k) for k in (5, 15, 30)]
        return [modes.apply(flow(1.0)) for modes in routes]

    exact, *few = map(np.asarray, apply(theta, v))
    errors = [np.linalg.norm(one - exact) / np.linalg.norm(exact) for one in few]
    assert errors[0] > 10 * errors[1] > 100 * errors[2]
    assert errors[2] < 1e-5


def test_long_descent_at_a_small_rate_is_the_flow():
    z = jnp.array([0.0, 0.1, 1.0, 3.0])
    np.testing.assert_allclose(descent(1e-6, 2_000_000)(z), flow(2.0)(z), rtol=1e-5)
