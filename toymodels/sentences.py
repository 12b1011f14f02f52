"""Numbers in sentences: what holds at which points of a result, told by intervals over seeds."""

import itertools
from collections.abc import Iterator

import xarray as xr

from toymodels.statistics import mean_interval


def points(array: xr.DataArray, beside: str | None = None) -> Iterator[tuple[str, xr.DataArray]]:
    """The points of the axes with several values: their names, and the array (seed, ...) there.

    Labels stand for themselves, numbers behind the name of their axis; so does a coordinate that
    each point has of its own (the rate chosen for it). The dimension ``beside``, if any, stays.

    >>> array = xr.DataArray([[1.0, 2.0]], {"seed": [0], "rho": [0.0, 0.5]})
    >>> [name for name, _ in points(array)]
    ['rho = 0', 'rho = 0.5']
    """
    kept = ["seed", *([beside] if beside else [])]
    chosen = [name for name, c in array.coords.items() if name not in array.dims and c.dims]
    array = array.squeeze([dim for dim in array.dims if dim not in kept and array.sizes[dim] == 1])
    dims = [dim for dim in array.dims if dim not in kept]
    for values in itertools.product(*(array[dim].values for dim in dims)):
        part = array.sel(dict(zip(dims, values, strict=True))).transpose(*kept)
        at = {name: part[name].item() for name in (*dims, *chosen)}
        names = [v if isinstance(v, str) else f"{name} = {v:.3g}" for name, v in at.items()]
        yield ", ".join(names), part


def by_sign(subject: str, array: xr.DataArray, words: tuple[str, str, str]) -> str:
    """One sentence: where an array's mean over seeds is above zero, below, or neither is shown.

    >>> array = xr.DataArray([[1.0, 0.0], [1.1, 0.1]], {"seed": [0, 1], "start": ["own", "other"]})
    >>> print(by_sign("Transfer", array, ("shows", "is negative", "does not show")))
    Transfer: shows at own 1.050 (0.415 to 1.685, n = 2); \
does not show at other 0.050 (-0.585 to 0.685, n = 2).
    """
    groups: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for name, seeds in points(array):
        interval = mean_interval(seeds.values)
        groups[interval.sign].append(f"at {name} {interval}" if name else str(interval))
    told = [
        f"{w} {', '.join(group)}" for w, group in zip(words, groups.values(), strict=True) if group
    ]
    return f"{subject}: {'; '.join(told)}."
