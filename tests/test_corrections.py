"""Corrections for many comparisons, beside SciPy's tests and simulated seeds."""

import numpy as np
import pytest
from scipy import stats

from toymodels.stats.corrections import correct, detectable, p_value
from toymodels.stats.findings import HIGHER, Finding, judge
from toymodels.stats.statistics import Interval, mean_interval, proportion_interval

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("against", [0.0, 0.5])
@pytest.mark.parametrize("n", [2, 3, 10])
def test_p_is_that_of_student_s_test(n, against):
    x = RNG.normal(0.4, 1.0, n)
    finding = judge("Transfer", "", mean_interval(x), against=against)
    assert p_value(finding) == pytest.approx(stats.ttest_1samp(x, against).pvalue, rel=1e-9)


def test_a_verdict_and_its_p_say_the_same():
    for _ in range(200):
        finding = judge("Transfer", "", mean_interval(RNG.normal(0.3, 1.0, 8)))
        assert (finding.estimate.sign != 0) == (p_value(finding) < 0.05)


def test_families_are_quantities_and_need_a_verdict_by_student():
    shown, not_shown = mean_interval([0.5, 0.6, 0.7]), mean_interval([0.0, 0.3, -0.1])
    rows = [
        judge("Transfer", "a", shown),
        "a sentence",
        judge("Transfer", "b", not_shown),
        judge("Gain", "a", shown, HIGHER),
        Finding("Transfer", "c", shown),
        judge("Transfer", "d", Interval(0.5, None, None, 1)),
        judge("Transfer", "e", proportion_interval([1.0, 0.5], 6), HIGHER, 0.2),
    ]
    first, sentence, second, alone, *others = correct(rows)
    assert sentence == "a sentence"
    expected = stats.false_discovery_control([p_value(rows[0]), p_value(rows[2])])
    assert (first.q, second.q) == tuple(expected)
    assert alone.q == pytest.approx(p_value(rows[3]))  # a family of one
    assert first.detectable is None
    assert second.detectable == detectable(not_shown)
    assert [row.q for row in others] == [None] * 3
    assert [row._replace(q=None, detectable=None) for row in (first, second, alone)] == [
        rows[0],
        rows[2],
        rows[3],
    ]


def test_values_that_do_not_scatter():
    same = correct([judge("Transfer", "", mean_interval([0.5, 0.5]))])[0]
    zero = correct([judge("Transfer", "", mean_interval([0.0, 0.0]))])[0]
    assert (same.q, zero.q, zero.detectable) == (0.0, 1.0, 0.0)


def test_a_detectable_difference_is_shown_in_four_cases_of_five():
    n, sigma = 10, 1.0
    half = stats.t.ppf(0.975, n - 1) * sigma / n**0.5
    difference = detectable(Interval(0.0, -half, half, n))
    found = sum(mean_interval(RNG.normal(difference, sigma, n)).sign > 0 for _ in range(2000))
    assert 0.76 < found / 2000 < 0.84


def test_rows_of_older_results_are_read():
    finding = correct([judge("Transfer", "", mean_interval([0.0, 0.3, -0.1]))])[0]
    row = finding.row()
    assert Finding.from_row(row) == finding
    older = {name: row[name] for name in row if name not in ("q", "detectable", "against")}
    assert Finding.from_row(older) == finding._replace(q=None, detectable=None)
    with pytest.raises(TypeError):
        Finding.from_row({**row, "q": "small"})
