import numpy as np
import pytest
from scipy import integrate

from toymodels.theory.random_matrices import (
    marchenko_pastur,
    projector_moments,
    pseudo_inverse_trace,
)


@pytest.mark.parametrize(("rows", "columns"), [(30, 100), (100, 30), (90, 100)])
def test_marchenko_pastur_is_its_density(rows, columns):
    few, many = sorted((rows, columns))
    c, scale = few / many, many / columns
    low, high = (scale * (1 + sign * np.sqrt(c)) ** 2 for sign in (-1, 1))

    def density(x):
        return np.sqrt((high - x) * (x - low)) / (2 * np.pi * c * scale * x)

    # x = middle + half cos(theta) takes away the square roots at the edges.
    middle, half = (low + high) / 2, (high - low) / 2

    def average(f):
        def integrand(theta):
            x = middle + half * np.cos(theta)
            return f(x) * density(x) * half * np.sin(theta)

        return integrate.quad(integrand, 0, np.pi)[0]

    x, weight = marchenko_pastur(rows, columns)
    for f in (np.ones_like, np.reciprocal, np.square, lambda x: np.exp(-x)):
        assert weight @ f(x) == pytest.approx(average(f), rel=1e-9)


def test_random_heads_have_the_moments_of_a_haar_projector_and_an_inverse_wishart():
    rng, m, d, n = np.random.default_rng(0), 3, 7, 20_000
    z = rng.normal(size=(n, m, d))
    p = np.swapaxes(z, 1, 2) @ np.linalg.solve(z @ np.swapaxes(z, 1, 2), z)
    a, b = projector_moments(m, d)
    for (i, j, k, h), expected in {
        (0, 0, 1, 1): a,
        (0, 1, 0, 1): b,
        (2, 2, 2, 2): a + 2 * b,
        (0, 1, 2, 3): 0,
    }.items():
        samples = p[:, i, j] * p[:, k, h]
        assert abs(samples.mean() - expected) < 5 * samples.std() / np.sqrt(n)
    traces = np.trace(np.linalg.inv(z @ np.swapaxes(z, 1, 2)), axis1=1, axis2=2)
    assert abs(traces.mean() - pseudo_inverse_trace(m, d)) < 5 * traces.std() / np.sqrt(n)


@pytest.mark.parametrize(("m", "d"), [(2, 5), (5, 5), (30, 47)])
def test_moments_of_a_projector_keep_its_trace_and_its_square(m, d):
    a, b = projector_moments(m, d)
    assert d**2 * a + 2 * d * b == pytest.approx(m**2, rel=1e-12)
    assert a + (d + 1) * b == pytest.approx(m / d, rel=1e-12)
