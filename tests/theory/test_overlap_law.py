"""The law of a lazy student: identities, its limits, and its mean against its formula."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toymodels.networks.models import Network
from toymodels.theory import linear_network
from toymodels.theory.infinite_width import Init, cross_kernels
from toymodels.theory.lazy_students import lazy_student, leading_order
from toymodels.theory.overlap_law import (
    amount,
    hidden_overlap,
    logit_overlap,
    sample_class_logits,
)

pytestmark = pytest.mark.usefixtures("x64")
N, WIDTH, K, MOST = 12, 24, 3, 30
INIT = Init((5, 40, WIDTH))


@pytest.fixture
def setting(x64):
    """Test inputs; the teacher's change of the latent, class rows and initial logits; a root."""
    keys = jax.random.split(jax.random.key(0), 4)
    x = jax.random.normal(keys[0], (N, 5))
    kernel = cross_kernels(INIT, x, x).nngp
    root = jnp.linalg.cholesky(kernel + 1e-9 * jnp.eye(N))
    rows = jax.random.normal(keys[1], (WIDTH, K)) / np.sqrt(WIDTH)
    change = jax.random.normal(keys[2], (N, WIDTH))
    return x, change, rows, root @ jax.random.normal(keys[3], (N, K)), root


def mask(m):
    return jnp.arange(MOST) < m


def test_a_student_that_sees_all_is_its_teacher(setting):
    """m >= n and the same init: the teacher's initial logits and all of its change."""
    _, change, rows, logits, root = setting
    got, share = sample_class_logits(
        jax.random.key(1), change, rows, logits, root, mask(MOST), 1.0, 1.0, 1.0
    )
    size = jnp.sqrt(jnp.square(rows).sum(0))
    np.testing.assert_allclose(got, size * logits + change @ rows, atol=1e-10)
    assert float(share) == pytest.approx(1, abs=1e-12)


def test_a_student_that_is_told_nothing_keeps_its_own_logits(setting):
    _, change, rows, logits, root = setting
    got, share = sample_class_logits(
        jax.random.key(1), change, rows, logits, root, mask(0), 1.0, 1.0, 1.0
    )
    np.testing.assert_allclose(got, jnp.sqrt(jnp.square(rows).sum(0)) * logits, atol=1e-12)
    assert share == 0


@pytest.mark.parametrize(
    ("m", "rho_class", "rho_answers"), [(6, 1.0, 1.0), (6, 0.8, 0.5), (12, 0.9, 0.9), (6, 1.0, 0.0)]
)
def test_the_mean_share_is_the_formula_and_signal_over_noise_goes_by_m(
    setting, m, rho_class, rho_answers
):
    _, change, rows, logits, root = setting
    args = change, rows, logits, root, mask(m), rho_class, rho_answers, 1.0
    keys = jax.random.split(jax.random.key(2), 2000)
    shares = jax.jit(jax.vmap(lambda key: sample_class_logits(key, *args)[1]))(keys)
    expected = amount(m, WIDTH, rho_class, rho_answers)
    error = float(shares.std()) / np.sqrt(len(keys))
    assert float(shares.mean()) == pytest.approx(expected, abs=4 * error)
    assert error < 0.02
    if rho_class == rho_answers == 1:  # a known case: the energy of two layers with shared heads
        assert expected == linear_network.energy(m, WIDTH)


def test_of_a_class_row_that_is_no_ones_a_projection_arrives_as_noise(setting):
    """Rows drawn for themselves show m of n directions: m k / n^2 of the change, squared."""
    _, change, rows, logits, root = setting
    args = change, rows, 0 * logits, root, mask(6), 0.0, 1.0, 1.0
    keys = jax.random.split(jax.random.key(3), 2000)
    noise = jax.jit(jax.vmap(lambda key: jnp.square(sample_class_logits(key, *args)[0]).sum()))(
        keys
    )
    expected = 6 * K / WIDTH**2 * float(jnp.square(change).sum())
    assert float(noise.mean()) == pytest.approx(expected, abs=4 * float(noise.std()) / 2000**0.5)
    assert float(noise.std()) / 2000**0.5 < 0.05 * expected


def test_beyond_as_many_rows_as_units_nothing_more_arrives():
    assert amount(2 * WIDTH, WIDTH, 0.8, 0.5, 0.25) == pytest.approx(0.1)
    assert amount(WIDTH // 2, WIDTH, 0.8, 0.5, 0.25) == pytest.approx(0.05)


def affine(params, x):
    return x @ params["w"] + params["b"]


def affine_student(seed, n, d):
    """An affine network, where its student starts, its inputs (n, d) and what it is told (n, 3)."""
    draw = np.random.default_rng(seed)
    shapes = (d, 3), (3,), (n, d), (n, 3)
    w, b, x, answers = (jnp.asarray(draw.normal(size=shape)) for shape in shapes)
    start = {"w": w, "b": b}
    return Network(lambda key: start, affine, affine), start, x, answers


@pytest.mark.parametrize("subset", [[True, False, True], [True, True, True]])
def test_a_lazy_student_moves_least_of_all_that_answer_as_they_are_told(subset):
    """Beside numpy's minimum-norm solution; outputs that are not imitated do not move."""
    network, start, x, answers = affine_student(0, n=4, d=6)
    got, left = lazy_student(network, start, x, answers, jnp.array(subset), steps=20)
    jacobian = np.hstack([x, np.ones((4, 1))])
    move = np.linalg.lstsq(jacobian, answers - affine(start, x), rcond=None)[0] * subset
    np.testing.assert_allclose(got["w"] - start["w"], move[:-1], atol=1e-9)
    np.testing.assert_allclose(got["b"] - start["b"], move[-1], atol=1e-9)
    assert left < 1e-15


def test_a_lazy_student_told_what_it_can_not_say_leaves_that_share():
    """More inputs than parameters: the residual of least squares, as a share of what is missing."""
    network, start, x, answers = affine_student(1, n=9, d=2)
    _, left = lazy_student(network, start, x, answers, jnp.ones(3, bool), steps=20)
    missing = np.asarray(answers - affine(start, x))
    residual = np.linalg.lstsq(np.hstack([x, np.ones((9, 1))]), missing, rcond=None)[1].sum()
    assert float(left) == pytest.approx(residual / np.square(missing).sum(), rel=1e-9)


def test_a_lazy_student_learns_what_barely_shows_in_its_gradient():
    """The second input's gradient is 3e-6 times the first's; both are answered."""
    start, x = {"w": jnp.zeros((2, 1))}, jnp.diag(jnp.array([1.0, 3e-6]))
    network = Network(lambda key: start, *[lambda params, x: x @ params["w"]] * 2)
    got, left = lazy_student(network, start, x, jnp.ones((2, 1)), jnp.ones(1, bool), steps=10)
    np.testing.assert_allclose(got["w"].ravel(), [1, 1 / 3e-6], rtol=1e-6)
    assert left < 1e-9


def test_fewer_steps_of_a_lazy_student_are_an_earlier_stop():
    """The first step of conjugate gradients goes down the gradient, as far as is best."""
    network, start, x, answers = affine_student(2, n=4, d=6)
    got, _ = lazy_student(network, start, x, answers, jnp.ones(3, bool), steps=1)
    missing = answers - affine(start, x)
    step = {"w": x.T @ missing, "b": missing.sum(0)}
    response = affine(step, x)
    far = (response * missing).sum() / (response * response).sum()
    for name in start:
        np.testing.assert_allclose(got[name], start[name] + far * step[name], rtol=1e-9)


def test_hidden_overlap_is_one_zero_and_between(setting):
    x = setting[0]
    assert float(hidden_overlap(INIT, x, (1.0, 1.0))) == 1
    assert float(hidden_overlap(INIT, x, (0.0, 0.0))) > 0  # the signs that two networks share
    rising = [float(hidden_overlap(INIT, x, (r, r))) for r in (0.2, 0.5, 0.8, 0.95, 1.0)]
    assert rising == sorted(rising)
    one = Init((5, WIDTH))  # one hidden layer: no weights above it, slopes alone
    theta = cross_kernels(one, x, x, (0.7, 1.0)).hidden.mean()
    whole = cross_kernels(one, x, x).hidden.mean()
    assert float(hidden_overlap(one, x, (0.7,))) == pytest.approx(float(theta / whole), rel=1e-12)
    two = cross_kernels(INIT, x, x, (0.9, 0.6, 1.0))
    first, second = (two.weights + two.biases)[:-1].mean(axis=(1, 2))
    expected = (0.6 * first + second) / cross_kernels(INIT, x, x).hidden.mean()
    assert float(hidden_overlap(INIT, x, (0.9, 0.6))) == pytest.approx(float(expected), rel=1e-12)
    deep = Init((5, 40, 20, WIDTH))
    three = cross_kernels(deep, x, x, (0.9, 0.6, 0.7, 1.0))
    first, second, third = (three.weights + three.biases)[:-1].mean(axis=(1, 2))
    expected = (0.6 * 0.7 * first + 0.7 * second + third) / cross_kernels(deep, x, x).hidden.mean()
    got = float(hidden_overlap(deep, x, (0.9, 0.6, 0.7)))
    assert got == pytest.approx(float(expected), rel=1e-12)


def test_logit_overlap_is_the_correlation_of_outputs(setting):
    x = setting[0]
    assert float(logit_overlap(INIT, x, (1.0, 1.0, 1.0))) == 1
    assert float(logit_overlap(INIT, x, (1.0, 1.0, 0.4))) == pytest.approx(0.4, rel=1e-12)


def test_leading_order_of_a_linear_latent_is_the_teachers_change():
    """h = x W: K = <x, x'>, and answers on as many inputs as dimensions say all on any input."""
    draw = np.random.default_rng(0)
    inputs, x, change = (jnp.asarray(draw.normal(size=s)) for s in ((5, 5), (4, 5), (5, 7)))
    pull = jnp.linalg.solve(inputs @ inputs.T, inputs @ change)
    got = leading_order(lambda p, x: x @ p["w"], {"w": jnp.zeros((5, 7))}, x, inputs, pull)
    np.testing.assert_allclose(got, x @ change, rtol=1e-9)


def test_a_full_overlap_that_rounds_above_one_is_full(setting):
    _, change, rows, logits, root = setting
    some = (jax.random.key(1), change, rows, logits, root, mask(4))
    np.testing.assert_allclose(
        sample_class_logits(*some, 1.0, 1.0, 1 + 1e-7)[0],
        sample_class_logits(*some, 1.0, 1.0, 1.0)[0],
        1e-5,
    )
