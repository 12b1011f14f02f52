"""Functions of expressions: what the text says of a result beside means and intervals.

Arrays have the dimension ``seed`` or had it; a function says which it returns.
"""

import numpy as np
import xarray as xr

from toymodels.statistics import Interval, mean_interval

__all__ = [
    "average", "count", "half", "high", "largest", "last", "low", "mean", "over", "places",
    "point", "rms", "shown", "size", "smallest", "spearman", "spread", "together",
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
    return array.isel({dim: -1})


def point(array: xr.DataArray, **places: int) -> xr.DataArray:
    """The array at these places, counted from 0 along each dimension."""
    return array.isel(places)


def count(array: xr.DataArray) -> int:
    """How many entries are true."""
    return int(array.sum())


def size(array: xr.DataArray) -> int:
    """How many entries there are."""
    return int(array.size)


def over(array: xr.DataArray) -> xr.DataArray:
    """Whether the interval over seeds lies above zero, at every place."""
    found = [interval(row).sign > 0 for row in rows(array)]
    return xr.DataArray(found, dims="place")


def shown(array: xr.DataArray) -> int:
    """At how many places the interval over seeds lies above zero."""
    return count(over(array))


def places(array: xr.DataArray) -> int:
    """At how many places there is a mean over seeds."""
    return len(rows(array))


def rows(array: xr.DataArray) -> list[xr.DataArray]:
    """The values over seeds at every place."""
    others = [dim for dim in array.dims if dim != "seed"]
    values = array.transpose(..., "seed").values.reshape(-1, array.sizes["seed"])
    return [xr.DataArray(row, dims="seed") for row in values] if others else [array]


def rms(array: xr.DataArray) -> float:
    """Root mean square of all entries: of means over seeds, where there are seeds."""
    return float(np.sqrt(((array.mean("seed") if "seed" in array.dims else array) ** 2).mean()))


def together(*arrays: xr.DataArray) -> xr.DataArray:
    """Arrays of the same seeds along a new dimension."""
    return xr.concat([array.drop_vars(set(array.coords) - {"seed"}) for array in arrays], "part")


def spearman(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
    """Rank correlation over all dimensions but the seeds, seed by seed."""
    from scipy import stats

    pairs = xr.broadcast(a, b)
    found = [
        stats.spearmanr(*(array.sel(seed=seed).values.ravel() for array in pairs)).statistic
        for seed in a.seed
    ]
    return xr.DataArray(found, {"seed": a.seed})
