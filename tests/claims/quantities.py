"""Functions of expressions: what the text says of a result beside means and intervals.

Arrays have the dimension ``seed`` or had it; a function says which it returns.
"""

import json
from pathlib import Path

import numpy as np
import xarray as xr
from scipy import stats

from toymodels.measure.predictors import rank_correlation
from toymodels.stats.statistics import Interval, mean_interval
from toymodels.stats.transfer import foreseen

__all__ = [
    "above_curve", "absolute", "average", "between", "beyond", "count", "exponent", "first", "foreseen",
    "greatest", "half", "high", "holding", "largest", "last", "left_out", "log", "low", "mean",
    "median_positive", "peak", "places", "point", "power", "rms", "shown", "size", "smallest", "spearman",
    "spread", "together", "total", "typical_half", "verdicts", "wilson_high", "wilson_low",
]  # fmt: skip


def interval(array: xr.DataArray) -> Interval:
    """Mean and interval over seeds of an array with no other dimension."""
    if array.dims != ("seed",):
        raise ValueError(f"{array.name} has the dimensions {array.dims}; say where along each")
    return mean_interval(array.values)


def mean(array: xr.DataArray) -> xr.DataArray:
    """Mean over seeds, without an interval."""
    return array.mean("seed")


def low(array: xr.DataArray) -> float | None:
    """Lower end of the interval over seeds."""
    return interval(array).ci_low


def high(array: xr.DataArray) -> float | None:
    """Upper end of the interval over seeds."""
    return interval(array).ci_high


def half(array: xr.DataArray) -> float:
    """Half width of the interval over seeds."""
    found = interval(array)
    return (found.ci_high - found.ci_low) / 2


def spread(array: xr.DataArray) -> float:
    """Standard deviation over seeds."""
    return float(array.std("seed", ddof=1))


def average(array: xr.DataArray, *dims: str) -> xr.DataArray:
    """Mean over these dimensions, seed by seed."""
    return array.mean(dims)


def smallest(array: xr.DataArray) -> xr.DataArray:
    """The least over all dimensions: of means over seeds, where there are seeds."""
    return (array.mean("seed") if "seed" in array.dims else array).min()


def largest(array: xr.DataArray) -> xr.DataArray:
    """The greatest over all dimensions: of means over seeds, where there are seeds."""
    return (array.mean("seed") if "seed" in array.dims else array).max()


def last(array: xr.DataArray, dim: str) -> xr.DataArray:
    """The array at the last place along a dimension."""
    return array.isel({dim: -1}, drop=True)


def point(array: xr.DataArray, **places: int) -> xr.DataArray:
    """The array at these places, counted from 0 along each dimension."""
    return array.isel(places, drop=True)


def peak(array: xr.DataArray, dim: str, coordinate: str) -> float:
    """The coordinate along a dimension where the mean over seeds is greatest, everywhere else."""
    found = array[coordinate].values[array.mean("seed").argmax(dim).values]
    if np.ptp(found):
        raise ValueError(f"{array.name} peaks at several of {coordinate}: {found}")
    return float(np.ravel(found)[0])


def count(array: xr.DataArray) -> int:
    """How many entries are true."""
    return int(array.sum())


def total(array: xr.DataArray) -> float:
    """Sum over all entries."""
    return float(array.sum())


def size(array: xr.DataArray) -> int:
    """How many entries there are."""
    return int(array.size)


def places(array: xr.DataArray) -> int:
    """At how many places there is a mean over seeds."""
    return len(rows(array))


def rows(array: xr.DataArray) -> list[xr.DataArray]:
    """The values over seeds at every place."""
    others = [dim for dim in array.dims if dim != "seed"]
    values = array.transpose(..., "seed").values.reshape(-1, array.sizes["seed"])
    return [xr.DataArray(row, dims="seed") for row in values] if others else [array]


def shown(array: xr.DataArray) -> int:
    """At how many places the interval over seeds lies above zero."""
    return sum(interval(row).sign > 0 for row in rows(array))


def holding(array: xr.DataArray) -> int:
    """At how many places the interval over seeds holds zero."""
    return sum(interval(row).sign == 0 for row in rows(array))


def greatest(*values: float | xr.DataArray) -> float:
    """The largest absolute value of all entries, those of single seeds."""
    return max(float(np.max(np.abs(value))) for value in values)


def rms(array: xr.DataArray) -> float:
    """Root mean square of all entries: of means over seeds, where there are seeds."""
    return float(np.sqrt(((array.mean("seed") if "seed" in array.dims else array) ** 2).mean()))


def together(*arrays: xr.DataArray) -> xr.DataArray:
    """Arrays of the same seeds along a new dimension."""
    return xr.concat(arrays, "part")


def spearman(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
    """Rank correlation over all dimensions but the seeds, seed by seed."""
    return rank_correlation(a, b, [dim for dim in b.dims if dim != "seed"])


def beyond(array: xr.DataArray, n: int) -> xr.DataArray:
    """The array without its first n seeds."""
    return array.isel(seed=slice(n, None))


def first(array: xr.DataArray, seeds: int) -> xr.DataArray:
    """Mean over the first so many seeds."""
    return array.isel(seed=slice(seeds)).mean("seed")


def typical_half(array: xr.DataArray, seeds: int) -> float:
    """Median half width of the intervals over so many successive seeds."""
    starts = range(0, array.sizes["seed"] - seeds + 1, seeds)
    return float(np.median([half(array.isel(seed=slice(i, i + seeds))) for i in starts]))


def between(array: xr.DataArray, low: float, high: float, dim: str = "rho") -> xr.DataArray:
    """The part of an array whose coordinate along a dimension lies between two values."""
    return array.isel({dim: np.flatnonzero((array[dim] >= low) & (array[dim] <= high))})


def power(share: xr.DataArray, dim: str = "rho") -> xr.DataArray:
    """The k of ``share = rho ** k``, at every rho."""
    return np.log(share) / np.log(share[dim])


def exponent(array: xr.DataArray, dim: str) -> xr.DataArray:
    """The power of a coordinate as which an array goes, by least squares of logs, seed by seed."""
    logs = np.log(array).assign_coords({dim: np.log(array[dim])})
    return logs.polyfit(dim, 1).polyfit_coefficients.sel(degree=1, drop=True)


def log(value: float) -> float:
    """Natural logarithm."""
    return float(np.log(value))


def wilson_low(cases: float, of: int) -> float:
    """Lower end of Wilson's 95 % interval of a proportion."""
    return float(stats.binomtest(round(cases), of).proportion_ci(method="wilson").low)


def wilson_high(cases: float, of: int) -> float:
    """Upper end of Wilson's 95 % interval of a proportion."""
    return float(stats.binomtest(round(cases), of).proportion_ci(method="wilson").high)


def verdicts(least: float) -> int:
    """Number of comparisons in all figures that show something, with a q above ``least``."""
    rows = [
        row
        for path in (Path(__file__).parents[2] / "figures").glob("*/summary.json")
        for row in json.loads(path.read_text())["findings_table"]
        if row["q"] is not None and row["detectable"] is None
    ]
    return sum(row["q"] > least for row in rows)


def left_out(outcome: xr.DataArray, measure: xr.DataArray) -> float:
    """Share of the variance of a mean outcome that rising curves through the other points foretell.

    Points of the same measure and outcome count as one, or a copy would foretell itself.
    """
    from sklearn.isotonic import IsotonicRegression

    means = [a.mean("seed").values.ravel() for a in xr.broadcast(measure, outcome)]
    x, y = np.unique(np.round(means, 6), axis=1).astype(float)
    others = ~np.eye(len(x), dtype=bool)
    curves = [IsotonicRegression(out_of_bounds="clip").fit(x[o], y[o]) for o in others]
    foretold = np.array([curve.predict([at])[0] for curve, at in zip(curves, x, strict=True)])
    centres = np.array([y[o].mean() for o in others])
    return float(1 - np.square(y - foretold).sum() / np.square(y - centres).sum())


def above_curve(
    overlap: xr.DataArray, y: xr.DataArray, overlaps: xr.DataArray, ys: xr.DataArray
) -> xr.DataArray:
    """How far y at an overlap lies above ys at overlaps, linear in the angle, seed by seed."""
    found = []
    for seed in y.seed:
        knots = np.arccos(np.clip(overlaps.sel(seed=seed).values, -1, 1))
        order, at = knots.argsort(), np.arccos(float(overlap.sel(seed=seed)))
        line = np.interp(at, knots[order], ys.sel(seed=seed).values[order])
        found.append(float(y.sel(seed=seed)) - line)
    return xr.DataArray(found, {"seed": y.seed})


def median_positive(array: xr.DataArray) -> float:
    """Median over the seeds with a finite number above zero."""
    values = array.values
    return float(np.median(values[np.isfinite(values) & (values > 0)]))


def absolute(array: xr.DataArray) -> xr.DataArray:
    """Absolute values."""
    return abs(array)
