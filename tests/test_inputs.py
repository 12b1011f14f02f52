import jax
import numpy as np
import pytest
from scipy import stats

from toymodels.data.inputs import BLOCK, uniform_noise


def test_uniform_on_minus_one_to_one_and_independent():
    x = np.asarray(uniform_noise(jax.random.key(0), 2500, 20))
    assert x.shape == (2500, 20)
    assert stats.kstest(x.ravel(), stats.uniform(-1, 2).cdf).pvalue > 1e-3
    correlations = np.corrcoef(x.T) - np.eye(20)
    assert np.abs(correlations).max() < 6 / np.sqrt(2500)
    assert len(np.unique(x)) > 0.99 * x.size


@pytest.mark.parametrize("n", [1, BLOCK - 1, BLOCK, BLOCK + 1])
def test_more_images_keep_the_earlier_ones(n):
    longest = uniform_noise(jax.random.key(1), 2 * BLOCK + 7, 5)
    np.testing.assert_array_equal(uniform_noise(jax.random.key(1), n, 5), longest[:n])


def test_another_key_gives_other_images():
    a, b = (uniform_noise(jax.random.key(k), 4, 5) for k in (0, 1))
    assert not np.isin(a, b).any()
