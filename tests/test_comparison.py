"""Differences of two results: paired by seeds where they pair, else not."""

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from toymodels.errors import UserError
from toymodels.stats.statistics import unpaired_difference
from toymodels.study.comparison import compare_results


def result(seeds=(0, 1, 2, 3), rho=(1.0, 0.5), experiment="x", headline="score", draw=0):
    values = np.random.default_rng(draw).normal(size=(len(seeds), len(rho)))
    array = xr.DataArray(values, {"seed": list(seeds), "rho": list(rho)}, ("seed", "rho"))
    attrs = {"experiment": experiment, "headline": headline}
    return xr.Dataset({headline: array, "failed": array.isnull()}, attrs=attrs)


def test_a_result_differs_from_itself_by_exactly_nothing():
    found = compare_results(result(), result())
    assert [row.difference for row in found.rows] == [(0.0, 0.0, 0.0, 4)] * 2
    assert [row.verdict for row in found.rows] == ["no difference shown"] * 2
    assert [row.at for row in found.rows] == ["rho = 1", "rho = 0.5"]


def test_the_paired_interval_is_scipys_over_the_common_seeds():
    a, b = result(seeds=(0, 1, 2, 3), draw=1), result(seeds=(3, 2, 1, 9), draw=2)
    found = compare_results(a, b)
    assert found.remarks == ["Differences are paired over the seeds that both results have: 3."]
    for row, rho in zip(found.rows, (1.0, 0.5), strict=True):
        x, y = (r.score.sel(seed=[1, 2, 3], rho=rho).values for r in (a, b))
        test = stats.ttest_rel(y, x)
        low, high = test.confidence_interval(0.95)
        np.testing.assert_allclose(row.difference, ((y - x).mean(), low, high, 3), rtol=1e-12)
        np.testing.assert_allclose((row.first, row.second), (x.mean(), y.mean()))


def test_without_common_seeds_the_interval_is_welchs_and_said_to_be():
    a, b = result(seeds=(0, 1, 2), draw=1), result(seeds=(5, 6, 7, 8), draw=2)
    found = compare_results(a, b)
    assert "the results have 0 of their 3 and 4 seeds in common" in found.remarks[0]
    x, y = (r.score.sel(rho=1.0).values for r in (a, b))
    low, high = stats.ttest_ind(y, x, equal_var=False).confidence_interval(0.95)
    expected = (y.mean() - x.mean(), low, high, 3)
    np.testing.assert_allclose(found.rows[0].difference, expected, rtol=1e-12)


def test_seeds_of_two_experiments_do_not_pair():
    found = compare_results(result(), result(experiment="y"))
    assert "The seeds do not pair, for the results are of two experiments" in found.remarks[0]
    assert found.rows[0].difference.ci_low < 0 < found.rows[0].difference.ci_high


def test_a_failed_seed_of_one_result_is_left_out_of_both():
    a, b = result(draw=1), result(draw=2)
    b["score"][1, 0] = np.inf
    b["failed"] = ~np.isfinite(b.score)
    first, second = compare_results(a, b).rows
    kept = [0, 2, 3]
    x, y = (r.score.sel(rho=1.0).values[kept] for r in (a, b))
    np.testing.assert_allclose((first.first, first.difference.mean), (x.mean(), (y - x).mean()))
    assert (first.difference.n, second.difference.n) == (3, 4)


def test_points_are_matched_by_their_labels_and_the_others_are_told():
    a, b = result(rho=(1.0, 0.9, 0.0), draw=1), result(rho=(0.0, 1.0), draw=1)
    found = compare_results(a, b)
    assert [row.at for row in found.rows] == ["rho = 1", "rho = 0"]
    expected = (b.score.sel(rho=1.0) - a.score.sel(rho=1.0)).mean()
    np.testing.assert_allclose(found.rows[0].difference.mean, expected)
    assert "A has 3, B has 2, and both have 2 of the labels of rho." in found.remarks[1]


@pytest.mark.parametrize(
    "other", [result(headline="gain"), result(rho=(0.1,)), result().rename(rho="m")]
)
def test_results_without_a_common_point_are_refused(other):
    with pytest.raises(
        UserError, match=r"must have a metric at a common point; A has score\[rho\]"
    ):
        compare_results(result(), other)


def test_means_of_few_or_equal_seeds():
    assert unpaired_difference([], [1.0]) == (None, None, None, 0)
    assert unpaired_difference([2.0], [1.0, 3.0, np.nan]) == (0.0, None, None, 1)
    assert unpaired_difference([2.0, 2.0], [1.0, 1.0]) == (1.0, 1.0, 1.0, 2)
