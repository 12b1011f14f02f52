"""Points of a sweep about which there is something to say: they failed, or they did not move."""

from typing import Any

import numpy as np
import xarray as xr


def failed_points(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """The coordinates of every point with a value that is not finite."""
    return marked(dataset.failed)


def marked(where: xr.DataArray) -> list[dict[str, Any]]:
    """The coordinates of every point where a bool array is true."""
    names = [str(dim) for dim in where.dims]
    return [
        {name: label(where[name].values[i]) for name, i in zip(names, at, strict=True)}
        for at in np.argwhere(where.values)
    ]


def unmoved_points(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """The coordinates of every point that training left as it was, as far as is recorded.

    All its curves over epochs are constant to the bit, the loss among them: the rate may be too
    small for float32, or there may be nothing to learn (the KL loss of a single logit is zero).
    """
    axes = set(dataset.failed.dims)
    curves = {
        name: array
        for name, array in dataset.data_vars.items()
        if array.dtype.kind == "f" and set(array.dims) >= axes | {"epoch"}
    }
    if "loss" not in curves or dataset.sizes["epoch"] < 2:
        return []
    still = ~dataset.failed
    for array in curves.values():
        same = (array == array.isel(epoch=0)) | array.isnull()
        still = still & same.all([dim for dim in array.dims if dim not in axes])
    return marked(still)


def remarks(dataset: xr.Dataset) -> list[str]:
    """One line on the points that failed, one on those that did not move; where there are any."""
    kinds = {
        "points failed, with values that are not finite": failed_points(dataset),
        "points did not move: their curves are constant to the bit": unmoved_points(dataset),
    }
    lines = []
    for words, points in kinds.items():
        places = [", ".join(f"{k} {v}" for k, v in point.items()) for point in points[:5]]
        more = f" and {len(points) - 5} more" if len(points) > 5 else ""
        if points:
            lines.append(
                f"{len(points)} of {dataset.failed.size} {words}: {'; '.join(places)}{more}"
            )
    return lines


def diverged(dataset: xr.Dataset) -> bool:
    """Whether points that failed were finite before their training: then rates may be the cause."""
    curves = [
        array.where(dataset.failed, drop=True)
        for array in dataset.data_vars.values()
        if array.dtype.kind == "f" and set(array.dims) >= {*dataset.failed.dims, "epoch"}
    ]
    return bool(curves) and all(np.isfinite(array.isel(epoch=0)).all() for array in curves)


def label(value: Any) -> Any:
    """A coordinate as a plain Python number or string."""
    return value.item() if isinstance(value, np.generic) else value


def failed_seeds(dataset: xr.Dataset) -> list[int]:
    """The seeds with a point that failed."""
    others = [dim for dim in dataset.failed.dims if dim != "seed"]
    return [int(seed) for seed in dataset.seed[dataset.failed.any(others).values]]
