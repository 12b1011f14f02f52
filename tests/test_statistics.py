"""Paired differences and what an interval says; means and masks are tested with results."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from toymodels.stats.statistics import (
    Interval,
    difference,
    interval,
    mean_interval,
    proportion_difference,
    proportion_interval,
    ratio,
)


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


@pytest.mark.parametrize(("successes", "trials"), [(0, 18), (1, 18), (9, 18), (17, 18), (18, 18)])
def test_a_proportion_has_the_interval_of_wilson(successes, trials):
    shares = np.zeros(trials)
    shares[:successes] = 1
    # However the trials are spread over seeds.
    for seeds in (shares[:, None], np.random.default_rng(0).permutation(shares).reshape(3, 6)):
        found = proportion_interval(seeds.mean(axis=1), seeds.shape[1])
        known = stats.binomtest(successes, trials).proportion_ci(method="wilson")
        np.testing.assert_allclose(found[1:3], known, atol=1e-12)
        assert found.n == trials
        assert 0 <= found.ci_low < found.ci_high <= 1


def test_seeds_that_differ_are_the_sample_of_a_proportion():
    """As wide as Student's t in the middle, and still within [0, 1] at its end."""
    middle = np.array([0.3, 0.5, 0.7, 0.4, 0.6])
    found, student = proportion_interval(middle, 10_000, clustered=True), mean_interval(middle)
    np.testing.assert_allclose(found[1:3], student[1:3], atol=0.02)
    assert found.n == student.n == 5
    edge = [1.0, 1.0, 1.0, 0.9, 0.8]
    assert mean_interval(edge).ci_high > 1
    assert proportion_interval(edge, 10_000, clustered=True).ci_high < 1
    # Where they do not differ, there are only as many trials as there are.
    alike = proportion_interval([1.0, 1.0], 9, clustered=True)
    assert alike[1:3] == proportion_interval([1.0, 1.0], 9)[1:3]
    assert proportion_interval([0.5], 9, clustered=True) == Interval(0.5, None, None, 1)
    assert proportion_interval([0.5, np.nan, 0.5], 4).n == 8
    assert proportion_interval([np.nan], 4) == Interval(None, None, None, 0)
    with pytest.raises(ValueError, match=r"0 to 1\.5"):
        proportion_interval([0.0, 1.5], 6)


@pytest.mark.parametrize(("p", "between"), [(0.2, 0), (0.9, 0), (0.5, 0.2), (0.9, 0.1)])
def test_intervals_of_proportions_cover_the_truth(p, between):
    """Binomial seeds, and seeds whose rates differ (a beta law), in 500 experiments."""
    rng = np.random.default_rng(0)
    seeds, trials = 6, 30
    rate = np.full((500, seeds), p)
    if between:
        total = p * (1 - p) / between**2 - 1
        rate = rng.beta(p * total, (1 - p) * total, rate.shape)
    shares = rng.binomial(trials, rate) / trials
    found = [proportion_interval(row, trials, clustered=between > 0) for row in shares]
    assert np.mean([one.ci_low <= p <= one.ci_high for one in found]) > 0.92


def test_the_interval_of_an_array_is_of_what_it_says_it_is():
    array = xr.DataArray([0.5, 1.0, 1.0], {"seed": [0, 1, 2]})
    assert interval(array) == mean_interval([0.5, 1, 1])
    assert interval(array.assign_attrs(trials=6)) == proportion_interval([0.5, 1, 1], 6)
    clustered = interval(array.assign_coords(clustered_trials=6))
    assert clustered == proportion_interval([0.5, 1, 1], 6, clustered=True)


def test_there_is_no_verdict_without_an_interval():
    words = ("more", "less", "no difference shown")
    assert [
        mean_interval(values).verdict(*words)
        for values in ([1.0, 1.1], [-1.0, -1.1], [1.0, -1.0], [1.0], [np.nan, np.nan], [])
    ] == ["more", "less", "no difference shown", "unknown", "unknown", "unknown"]
    assert mean_interval([1.0, 1.1]).against(0.9) == 0
    assert mean_interval([1.0, 1.001]).against(0.9) == 1


def test_a_difference_of_proportions_is_that_of_newcombe():
    """Table II of Newcombe 1998 (Statistics in Medicine 17, 873), method 10: 56/70 and 48/80; 9/10
    and 3/10; 10/10 and 0/20."""
    for (a, n), (b, m), known in (
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((10, 10), (0, 20), (0.6791, 1.0)),
    ):
        found = proportion_difference(
            proportion_interval([a / n], n), proportion_interval([b / m], m)
        )
        np.testing.assert_allclose(found[1:3], known, atol=6e-5)
        assert found.n == min(n, m)
    nothing = proportion_interval([], 3)
    assert proportion_difference(nothing, proportion_interval([1.0], 3)) == nothing


def test_a_ratio_of_means_covers_the_truth_where_seeds_have_much_in_common():
    rng = np.random.default_rng(0)
    covering = 0
    for _ in range(300):
        b = 1 + 0.3 * rng.normal(size=10)
        pair = [xr.DataArray(v, {"seed": range(10)}) for v in (0.6 * b, b)]
        pair[0] = pair[0] + 0.05 * rng.normal(size=10)
        found = ratio(*pair)
        assert found.mean == pytest.approx(float(pair[0].mean() / pair[1].mean()))
        covering += found.ci_low < 0.6 < found.ci_high
    assert stats.binomtest(covering, 300, 0.95).pvalue > 1e-3
    pair[0][3] = np.nan
    assert ratio(*pair).n == 9
    assert ratio(pair[0] * np.nan, pair[1]).mean is None
