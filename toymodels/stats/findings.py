"""Findings: what a result shows, each an estimate with its interval and a verdict."""

from __future__ import annotations

import json
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import xarray as xr

from toymodels.stats.sentences import points
from toymodels.stats.statistics import Interval, interval, ratio

ABOVE_ZERO = ("above zero", "below zero", "not distinguishable from zero")
"""Verdicts on an estimate that may be zero."""
HIGHER = ("higher", "lower", "no difference shown")
"""Verdicts on a difference."""


class Finding(NamedTuple):
    """An estimate at one point of a result, and what its interval shows."""

    quantity: str
    """What is estimated, in words."""
    at: str
    """Where: labels and values of the axes; empty where there is one value alone."""
    estimate: Interval
    """Mean over seeds, the ends of its 95 % interval, number of seeds."""
    verdict: str = ""
    """What the interval shows; "unknown" where there is none; empty where nothing is asked."""
    against: float = 0.0
    """The value that the estimate is compared with."""
    q: float | None = None
    """False discovery rate among the findings on this quantity (`toymodels.stats.corrections`)."""
    detectable: float | None = None
    """Where nothing is shown: the difference that would have been shown in four cases of five."""

    def __str__(self) -> str:
        """As one line.

        >>> print(Finding("Transfer", "m = 3", Interval(0.5, 0.4, 0.6, 5), "above zero"))
        Transfer, m = 3: 0.500 (0.400 to 0.600, n = 5), above zero.
        """
        where = f"{self.quantity}, {self.at}" if self.at else self.quantity
        return f"{where}: {self.estimate}{self.verdict and ', '}{self.verdict}."

    def row(self) -> dict[str, Any]:
        """As a row of a table: what JSON can hold."""
        return {
            "quantity": self.quantity,
            "at": self.at,
            **self.estimate._asdict(),
            "verdict": self.verdict,
            "against": self.against,
            "q": self.q,
            "detectable": self.detectable,
        }

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Finding:
        """The finding of a row.

        Raises:
            TypeError: the row holds something else.

        >>> finding = Finding("Transfer", "", Interval(0.5, None, None, 1), "unknown")
        >>> Finding.from_row(finding.row()) == finding
        True

        """
        words = [row[name] for name in ("quantity", "at", "verdict")]
        numbers = [row[name] for name in ("mean", "ci_low", "ci_high")]
        rates = [row.get(name) for name in ("q", "detectable")]  # older results have none
        against = row.get("against", 0.0)
        if not all(isinstance(word, str) for word in words) or not isinstance(row["n"], int):
            raise TypeError("a row of findings must hold words and a count")
        if not all(isinstance(number, float | int | None) for number in (*numbers, *rates)):
            raise TypeError("a row of findings must hold numbers or null")
        mean, low, high = numbers
        if (low is None) != (high is None) or (mean is None and low is not None):
            raise TypeError("a row of findings must hold both ends of an interval, or none")
        if not isinstance(against, float | int):
            raise TypeError("a row of findings must say with what number it is compared")
        quantity, at, verdict = words
        return cls(quantity, at, Interval(mean, low, high, row["n"]), verdict, against, *rates)


def read_table(dataset: xr.Dataset) -> list[Finding]:
    """The findings of a result that have an estimate; older results have none."""
    return [Finding.from_row(row) for row in json.loads(dataset.attrs.get("findings_table", "[]"))]


def judge(
    quantity: str,
    at: str,
    estimate: Interval,
    words: tuple[str, str, str] = ABOVE_ZERO,
    against: float = 0.0,
) -> Finding:
    """A finding whose verdict says where the interval lies.

    Args:
        quantity: what is estimated, in words.
        at: where; empty where there is one value alone.
        estimate: mean and interval.
        words: verdict where the interval lies above ``against``, below it, and where it holds it.
        against: the value to compare with.

    >>> print(judge("Share", "m = 3", Interval(0.5, 0.4, 0.6, 5), HIGHER, against=0.3))
    Share, m = 3: 0.500 (0.400 to 0.600, n = 5), higher.

    """
    return Finding(quantity, at, estimate, estimate.verdict(*words, against), against)


def compare(
    quantity: str,
    array: xr.DataArray,
    words: tuple[str, str, str] | None = ABOVE_ZERO,
    against: float = 0.0,
) -> list[Finding]:
    """A finding for every point of an array (seed, ...).

    Args:
        quantity: what the array is, in words.
        array: values by seed; its other dimensions are the points.
        words: verdict where the interval lies above ``against``, below it, and where it holds it
            (None: no verdict).
        against: the value to compare with.

    >>> array = xr.DataArray([[1.0, 0.0], [1.1, 0.1]], {"seed": [0, 1], "start": ["own", "other"]})
    >>> for finding in compare("Transfer", array):
    ...     print(finding)
    Transfer, own: 1.050 (0.415 to 1.685, n = 2), above zero.
    Transfer, other: 0.050 (-0.585 to 0.685, n = 2), not distinguishable from zero.

    """
    estimates = [(name, interval(seeds)) for name, seeds in points(array)]
    if words is None:
        return [Finding(quantity, name, estimate) for name, estimate in estimates]
    return [judge(quantity, name, estimate, words, against) for name, estimate in estimates]


def compare_at_overlap(
    quantity: str, gaps: xr.DataArray, names: Mapping[Any, str] = MappingProxyType({})
) -> list[Finding]:
    """A finding for every level of `toymodels.stats.transfer.contrast_at_overlap` that has values.

    Args:
        quantity: what the differences are, in words.
        gaps: differences (seed, level), with the coordinate ``overlap`` (level,).
        names: what a level is, by its label, to stand beside its overlap; some may have no name.

    >>> overlap = ("level", [0.9, 0.5])
    >>> gaps = xr.DataArray([[0.1, 0.0], [0.3, 0.0]], {"seed": [0, 1], "level": [1, 2]})
    >>> rows = compare_at_overlap("Gap", gaps.assign_coords(overlap=overlap), {1: "noise = 2"})
    >>> [row.at for row in rows]
    ['noise = 2, overlap = 0.90', 'overlap = 0.50']

    """
    rows = []
    for level in gaps.level.values.tolist():
        gap = gaps.sel(level=level)
        if (estimate := interval(gap)).mean is not None:
            at = ", ".join(
                [*filter(None, [names.get(level)]), f"overlap = {gap.overlap.item():.2f}"]
            )
            rows.append(judge(quantity, at, estimate, HIGHER))
    return rows


def compare_remaining(
    quantity: str, array: xr.DataArray, along: str, whole: float = 1.0
) -> list[Finding]:
    """Findings on a value at one label of a dimension, and on what share of it remains at the others.

    There is no share of a value that is not shown to be above zero.

    Args:
        quantity: what the array is, in words.
        array: values (seed, along, ...); its other dimensions are the points.
        along: a dimension of numbers.
        whole: the label to whose value the others are compared.

    >>> coords = {"seed": [0, 1], "rho": [1.0, 0.5]}
    >>> for finding in compare_remaining("Cosine", xr.DataArray([[0.2, 0.1]] * 2, coords), "rho"):
    ...     print(finding)
    Cosine, rho = 1: 0.200 (0.200 to 0.200, n = 2), above zero.
    Cosine over that at rho = 1, rho = 0.5: 0.500 (0.500 to 0.500, n = 2).

    """
    findings = []
    for name, part in points(array, along):
        largest, at = part.sel({along: whole}, drop=True), f"{name}, " if name else ""
        row = judge(quantity, f"{at}{along} = {whole:g}", interval(largest))
        findings.append(row)
        if row.estimate.sign > 0:
            findings += [
                Finding(
                    f"{quantity} over that at {along} = {whole:g}",
                    f"{at}{along} = {label:g}",
                    ratio(part.sel({along: label}, drop=True), largest),
                )
                for label in part[along].values
                if label != whole
            ]
    return findings


def compare_published(array: xr.DataArray, published: xr.Dataset) -> list[Finding]:
    """Test accuracies less those of a publication, with the joint interval of both.

    Args:
        array: values (seed, model).
        published: the variables ``published`` and ``published_half_width`` (model,), half of a 95 %
            interval or NaN, with the coordinate ``source``, the publication's name.

    """
    findings = []
    for model in array.model.values:
        estimate, known = interval(array.sel(model=model)), published.sel(model=model)
        if estimate.mean is None or estimate.ci_low is None or estimate.ci_high is None:
            continue
        half = float(known.published_half_width.fillna(0))
        gap = estimate.mean - float(known.published)
        joint = ((estimate.ci_high - estimate.ci_low) ** 2 / 4 + half**2) ** 0.5
        difference = Interval(gap, gap - joint, gap + joint, estimate.n)
        quantity = f"Test accuracy less that of {published.source.item()}"
        findings.append(judge(quantity, str(model), difference, HIGHER))
    return findings
