"""Two results side by side: differences of their metrics at the points that both have."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from toymodels.errors import UserError
from toymodels.stats.findings import HIGHER
from toymodels.stats.sentences import label_point
from toymodels.stats.statistics import (
    Interval,
    keep_finite,
    mean_interval,
    succeeded,
    unpaired_difference,
)


class Row(NamedTuple):
    """A metric of two results at one point."""

    metric: str
    at: str
    """Labels of the point; empty where there is one point alone."""
    first: float | None
    """Mean of the first result over the seeds that are compared; None: no seed."""
    second: float | None
    """Mean of the second result."""
    difference: Interval
    """Mean of the second less the first, with its 95 % interval."""

    @property
    def verdict(self) -> str:
        """Whether the second result is higher or lower, as far as its interval shows it."""
        return self.difference.verdict(*HIGHER)


class Comparison(NamedTuple):
    """The metrics of two results at the points that both have."""

    remarks: list[str]
    """Sentences on the seeds, and on what only one of the results has."""
    rows: list[Row]


def compare_results(a: xr.Dataset, b: xr.Dataset) -> Comparison:
    """Compare the metrics of two results, seed by seed where both have the same seeds.

    Raises:
        UserError: they have no metric at no point in common.

    """
    seeds = keep_common(a.seed.values, b.seed.values)
    alike = a.attrs["experiment"] == b.attrs["experiment"]
    equal = len(seeds) == a.sizes["seed"] == b.sizes["seed"]
    paired = alike and (equal or len(seeds) > 1)
    remarks = [describe_seeds(a, b, seeds, alike, paired)]
    rows: list[Row] = []
    done = succeeded(a), succeeded(b)
    for name in a.attrs["headline"].split():
        if name not in b.attrs["headline"].split():
            continue
        x, y = (dataset[name] for dataset in done)
        if {*x.dims} != {*y.dims}:
            remarks.append(f"Only one of the results has all dimensions of {name}.")
            continue
        dims = [str(dim) for dim in x.dims if dim != "seed"]
        common = {dim: keep_common(x[dim].values, y[dim].values) for dim in dims}
        remarks += [
            describe_axis(dim, len(labels), x.sizes[dim], y.sizes[dim])
            for dim, labels in common.items()
            if not len(labels) == x.sizes[dim] == y.sizes[dim]
        ]
        if paired:
            x, y = x.sel(seed=seeds), y.sel(seed=seeds)
        told = [dim for dim in dims if max(x.sizes[dim], y.sizes[dim]) > 1]
        for labels in itertools.product(*common.values()):
            place = dict(zip(dims, labels, strict=True))
            at = ", ".join(label_point(dim, place[dim]) for dim in told)
            first, second = (keep_finite(array.sel(place)).values for array in (x, y))
            rows.append(compare_point(name, at, first, second, paired))
    if not rows:
        raise UserError(
            "results must have a metric at a common point; A has "
            f"{describe_metrics(a)}, and B has {describe_metrics(b)}"
        )
    return Comparison([*dict.fromkeys(remarks)], rows)


def describe_axis(dim: str, common: int, a: int, b: int) -> str:
    """A sentence on an axis that is not the same in both results."""
    return (
        f"Only common points are compared: A has {a}, B has {b}, and both have {common} of the labels "
        f"of {dim}."
    )


def describe_metrics(dataset: xr.Dataset) -> str:
    """The metrics of a result with their dimensions.

    >>> array = xr.DataArray([[0.5]], dims=("seed", "rho"))
    >>> describe_metrics(xr.Dataset({"transfer": array}, attrs={"headline": "transfer"}))
    'transfer[rho]'
    """
    names = dataset.attrs["headline"].split()
    dims = {name: [str(dim) for dim in dataset[name].dims if dim != "seed"] for name in names}
    return ", ".join(f"{name}[{', '.join(dims[name])}]" if dims[name] else name for name in names)


def describe_seeds(
    a: xr.Dataset, b: xr.Dataset, common: Sequence[int], alike: bool, paired: bool
) -> str:
    """How the seeds of two results are compared, and why."""
    if paired:
        return f"Differences are paired over the seeds that both results have: {len(common)}."
    why = (
        f"the results have {len(common)} of their {a.sizes['seed']} and {b.sizes['seed']} seeds in common"
        if alike
        else "the results are of two experiments"
    )
    return f"The seeds do not pair, for {why}: the intervals are those of unpaired means (Welch)."


def compare_point(metric: str, at: str, x: np.ndarray, y: np.ndarray, paired: bool) -> Row:
    """Compare the seeds of two results at a point; with ``paired`` they are the same seeds."""
    if paired:
        x, y = (np.where(np.isnan(x - y), np.nan, values) for values in (x, y))
        difference = mean_interval(y - x)
    else:
        difference = unpaired_difference(y, x)
    return Row(metric, at, mean_interval(x).mean, mean_interval(y).mean, difference)


def keep_common(a: np.ndarray, b: np.ndarray) -> list[Any]:
    """The labels that both have, in the order of the first."""
    known = set(b.tolist())
    return [label for label in a.tolist() if label in known]
