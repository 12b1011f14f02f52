"""Noisy answers in high dimension: exact where exact, asymptotic up to 1 / size, thresholds."""

import numpy as np
import pytest

from toymodels.theory import teacher_student as theory
from toymodels.theory.linear_network import energy
from toymodels.theory.random_matrices import marchenko_pastur


def solve_student(rng, m, d, n, p, noise, penalty, scale=1.0):
    """Overlap and error of one student, by ridge regression in its latent; one trait direction."""
    aux, x = rng.normal(size=(m, d)) / np.sqrt(d), rng.normal(size=(n, p)) * scale
    change = np.outer(rng.normal(size=d), rng.normal(size=p))
    change /= np.linalg.norm(change)
    answers = x @ change.T @ aux.T + np.sqrt(noise / d) * rng.normal(size=(n, m))
    a, s, b = np.linalg.svd(aux, full_matrices=False)
    u, t, v = np.linalg.svd(x, full_matrices=False)
    inner = s * t[:, None] / (t[:, None] ** 2 * s**2 + n * penalty)
    moved = (v.T @ (inner * (u.T @ answers @ a)) @ b).T
    return (moved * change).sum(), np.square(moved - change).sum()


def simulate(*args, students, **options):
    rng = np.random.default_rng(0)
    found = np.array([solve_student(rng, *args, **options) for _ in range(students)])
    return found.mean(0), found.std(0, ddof=1) / np.sqrt(students)


@pytest.mark.parametrize("m", [4, 20])
@pytest.mark.parametrize("n", [10, 50])
def test_without_penalty_small_students_are_as_said_too(m, n):
    means, errors = simulate(m, 10, n, 20, 0.3, 0.0, students=1000)
    np.testing.assert_array_less(abs(means - theory.ridgeless(m, 10, n, 20, 0.3)), 4 * errors)


@pytest.mark.parametrize(("m", "n"), [(12, 24), (30, 72), (24, 48)])
def test_with_a_penalty_large_students_are_as_said(m, n):
    means, errors = simulate(m, 24, n, 48, 0.5, 0.2, students=60)
    np.testing.assert_array_less(
        abs(means - theory.ridge(m, 24, n, 48, 0.5, 0.2)), 4 * errors + 1 / 48
    )


def test_with_inputs_of_another_covariance():
    m, d, n, p = 12, 24, 60, 48
    spectrum = np.geomspace(0.002, 2.0, p)
    means, errors = simulate(m, d, n, p, 0.5, 0.2, students=100, scale=np.sqrt(spectrum))
    found, white = (theory.ridge(m, d, n, p, 0.5, 0.2, s) for s in (spectrum, None))
    np.testing.assert_array_less(abs(means - found), 4 * errors + 1 / 48)
    assert (abs(means - white) > 4 * errors + 1 / 48).all()


@pytest.mark.parametrize(("n", "p"), [(300, 1000), (2000, 1000)])
def test_equivalents_are_marchenko_and_pasturs_where_inputs_are_white(n, p):
    penalty = 0.3
    found = theory.equivalents(n, np.ones(p), penalty)
    x, weight = marchenko_pastur(p, n)  # eigenvalues of X^T X / n, min(n, p) of them not zero
    zero, s = 1 - energy(n, p), energy(n, p)
    np.testing.assert_allclose(found.overlap, s * weight @ (x / (x + penalty)), rtol=1e-10)
    bias = zero + s * weight @ (penalty / (x + penalty)) ** 2
    np.testing.assert_allclose(found.bias, bias, rtol=1e-10)
    variance = s * p / n * weight @ (x / (x + penalty) ** 2)
    np.testing.assert_allclose(found.variance, variance, rtol=1e-10)


@pytest.mark.parametrize(("m", "n"), [(300, 700), (300, 1500), (900, 700), (900, 1500)])
def test_as_the_penalty_goes_to_zero_it_is_the_ridgeless_student(m, n):
    d, p = 500, 1000
    small, none = theory.ridge(m, d, n, p, 0.4, 1e-9), theory.ridgeless(m, d, n, p, 0.4)
    np.testing.assert_allclose(small, none, rtol=0.02)
    np.testing.assert_allclose(
        theory.ridge(m, d, n, p, 0.0, 1e-9), theory.ridgeless(m, d, n, p), atol=1e-5
    )


def test_thresholds():
    """Noise diverges where inputs or heads are square; without noise nothing does."""
    for m, n in ((10, 40), (20, 100), (30, 40), (30, 100)):
        error = theory.ridgeless(m, 20, n, 100, 0.1).error
        assert np.isfinite(error) == (m != 20 and n != 100)
        assert theory.ridgeless(m, 20, n, 100).error == 1 - energy(m, 20) * energy(n, 100)
    down_up_down = [theory.ridgeless(40, 20, n, 100, 0.1).error for n in (10, 90, 98, 110, 1000)]
    assert (np.sign(np.diff(down_up_down)) == [1, 1, -1, -1]).all()
    assert theory.ridge(40, 20, 100, 100, 0.1, 0.1).error < 1
