"""Numbers in sentences: what holds at which points of a result, told by intervals over seeds."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import xarray as xr

from toymodels.stats.transfer import describe_undefined


def complete(findings: Sequence[Any], dataset: xr.Dataset) -> list[Any]:
    """An experiment's findings, and what every result has to say beside them.

    Where transfer is undefined; or, where every point failed, that alone.
    """
    if dataset.failed.all():
        return ["Every point failed, with values that are not finite: there is no finding."]
    return [*findings, *describe_undefined(dataset)]


def points(array: xr.DataArray, beside: str | None = None) -> Iterator[tuple[str, xr.DataArray]]:
    """The points of the axes with several values: their names, and the array (seed, ...) there.

    Labels stand for themselves, numbers behind the name of their axis; so does a coordinate that
    each point has of its own (the rate chosen for it), but for the number of its
    trials. The dimension ``beside``, if any, stays.

    >>> array = xr.DataArray([[1.0, 2.0]], {"seed": [0], "rho": [0.0, 0.5]})
    >>> [name for name, _ in points(array)]
    ['rho = 0', 'rho = 0.5']
    """
    kept = ["seed", *([beside] if beside else [])]
    names = set(array.coords) - set(array.dims) - {"clustered_trials"}
    chosen = [name for name in array.coords if name in names and array[name].dims]
    array = array.squeeze([dim for dim in array.dims if dim not in kept and array.sizes[dim] == 1])
    dims = [dim for dim in array.dims if dim not in kept]
    for values in itertools.product(*(array[dim].values for dim in dims)):
        part = array.sel(dict(zip(dims, values, strict=True))).transpose(*kept)
        at = {name: part[name].item() for name in (*dims, *chosen)}
        yield ", ".join(label_point(name, value) for name, value in at.items()), part


def label_point(name: Any, value: Any) -> str:
    """A label as it is, a number behind the name of its axis.

    >>> label_point("loss", "kl"), label_point("samples", 4000), label_point("rho", 1 / 3)
    ('kl', 'samples = 4000', 'rho = 0.333')
    """
    if isinstance(value, str):
        return value
    return f"{name} = {value}" if isinstance(value, int) else f"{name} = {value:.3g}"


def scientific(values: xr.DataArray) -> str:
    """A mean over seeds that spans orders of magnitude, with its number of seeds.

    >>> scientific(xr.DataArray([1e-5, 3e-5], {"seed": [0, 1]}))
    '2.0e-05 (n = 2)'
    """
    known = values.dropna("seed")
    return f"{float(known.mean()):.1e} (n = {known.size})" if known.size else "unknown (n = 0)"


def count_negative(values: xr.DataArray) -> str:
    """How many of the values that are known are negative.

    >>> count_negative(xr.DataArray([-1.0, 2.0, float("nan")]))
    '1 of 2'
    """
    return f"{int((values < 0).sum())} of {int(values.notnull().sum())}"
