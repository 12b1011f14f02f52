"""Paired differences and what an interval says; means and masks are tested with results."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from toymodels.statistics import Interval, difference, mean_interval


def test_a_difference_is_paired_by_seed_whatever_their_order():
    rng = np.random.default_rng(0)
    luck = rng.normal(size=9)
    a = xr.DataArray(luck + 0.1 + 0.01 * rng.normal(size=9), {"seed": range(9)})
    b = xr.DataArray(luck, {"seed": range(9)})
    found = difference(a, b.isel(seed=slice(None, None, -1)))
    test = stats.ttest_rel(a, b).confidence_interval(0.95)
    np.testing.assert_allclose(found[1:3], (test.low, test.high))
    assert found.sign == 1
    assert mean_interval(a.values).sign == 0  # the luck of the seeds would hide it


@pytest.mark.parametrize("n", [2, 3, 5, 20])
@pytest.mark.parametrize("level", [0.95, 0.5])
def test_intervals_cover_the_truth_at_their_stated_rate(n, level):
    """Of normal seeds, in 2,000 experiments: as often as a binomial law of that rate allows."""
    rng = np.random.default_rng(n)
    found = [mean_interval(rng.normal(0.3, 2.0, n), level) for _ in range(2000)]
    covering = sum(one.ci_low < 0.3 < one.ci_high for one in found)
    assert stats.binomtest(covering, len(found), level).pvalue > 1e-3


def test_a_paired_difference_covers_the_truth_at_its_stated_rate():
    """Whatever the seeds have in common."""
    rng = np.random.default_rng(0)
    luck, own = rng.normal(size=(1000, 4)), rng.normal(scale=0.3, size=(1000, 4))
    pairs = [
        [xr.DataArray(v, {"seed": range(4)}) for v in (a + e, a)]
        for a, e in zip(luck, own, strict=True)
    ]
    found = [difference(*pair) for pair in pairs]
    covering = sum(one.ci_low < 0 < one.ci_high for one in found)
    assert stats.binomtest(covering, len(found), 0.95).pvalue > 1e-3


@pytest.mark.parametrize(
    ("interval", "sign", "text"),
    [
        (Interval(0.5, 0.1, 0.9, 3), 1, "0.500 (0.100 to 0.900, n = 3)"),
        (Interval(-0.5, -0.9, -0.1, 3), -1, "-0.500 (-0.900 to -0.100, n = 3)"),
        (Interval(0.1, -0.1, 0.3, 3), 0, "0.100 (-0.100 to 0.300, n = 3)"),
        (Interval(0.5, None, None, 1), 0, "0.500 (n = 1)"),
        (Interval(None, None, None, 0), 0, "unknown (n = 0)"),
    ],
)
def test_what_an_interval_says(interval, sign, text):
    assert interval.sign == sign
    assert str(interval) == text
