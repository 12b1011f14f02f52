"""Many comparisons at once: false discovery rates, and the differences that could have been seen."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toymodels.stats.findings import Finding
    from toymodels.stats.statistics import Interval

POWER = 0.8
"""Probability with which a detectable difference would have been shown."""


def correct(findings: Sequence[Finding | str]) -> list[Finding | str]:
    """Findings with `Finding.q`, and with `Finding.detectable` where nothing is shown.

    A family is all findings on one quantity that have a verdict by Student's t. The intervals and
    verdicts stay those of each finding alone.

    Source:
        Benjamini and Hochberg, J. R. Stat. Soc. B 57, 289 (1995), by SciPy.

    >>> from toymodels.stats.findings import judge
    >>> from toymodels.stats.statistics import mean_interval
    >>> seeds = {"m = 1": [0.1, 0.2, 0.3], "m = 2": [0.5, 0.6, 0.7], "m = 3": [-0.1, 0.1, 0.1]}
    >>> rows = correct([judge("Transfer", at, mean_interval(x)) for at, x in seeds.items()])
    >>> for row in rows:
    ...     print(row.at, row.verdict, round(row.q, 3), row.detectable and round(row.detectable, 2))
    m = 1 not distinguishable from zero 0.111 0.31
    m = 2 above zero 0.027 None
    m = 3 not distinguishable from zero 0.667 0.36

    """
    from scipy import stats

    found = list(findings)
    families: dict[str, dict[int, Finding]] = {}
    for i, finding in enumerate(found):
        if not isinstance(finding, str) and finding.verdict and is_student(finding.estimate):
            families.setdefault(finding.quantity, {})[i] = finding
    for rows in families.values():
        rates = stats.false_discovery_control([*map(p_value, rows.values())])
        for (i, row), rate in zip(rows.items(), rates, strict=True):
            shown = row.estimate.against(row.against) != 0
            smallest = None if shown else detectable(row.estimate)
            found[i] = row._replace(q=float(rate), detectable=smallest)
    return found


def is_student(estimate: Interval) -> bool:
    """Whether an interval is symmetric about its mean, as Student's t is and Wilson's is not."""
    mean, low, high, n = estimate
    if mean is None or low is None or high is None or n < 2:
        return False
    return math.isfinite(high - low) and math.isclose(
        high - mean, mean - low, rel_tol=1e-6, abs_tol=1e-12
    )


def standard_error(estimate: Interval) -> float:
    """The standard error behind a 95 % interval of Student's t."""
    from scipy import stats

    assert estimate.ci_low is not None
    assert estimate.ci_high is not None
    half = (estimate.ci_high - estimate.ci_low) / 2
    return half / float(stats.t.ppf(0.975, estimate.n - 1))


def p_value(finding: Finding) -> float:
    """The two-sided p of Student's t for a finding against its value."""
    from scipy import stats

    mean, error = finding.estimate.mean, standard_error(finding.estimate)
    assert mean is not None
    away = abs(mean - finding.against)
    if error == 0:
        return float(away == 0)
    return float(2 * stats.t.sf(away / error, finding.estimate.n - 1))


def detectable(estimate: Interval) -> float:
    """The smallest difference that would have been shown with probability `POWER`.

    By the usual approximation, the sum of two quantiles of Student's t, with the spread that was seen.
    """
    from scipy import stats

    df = estimate.n - 1
    quantiles = stats.t.ppf(0.975, df) + stats.t.ppf(POWER, df)
    return float(quantiles * standard_error(estimate))
