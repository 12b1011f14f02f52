"""Points of a sweep about which there is something to say: they failed, or they did not move."""

from typing import Any

import numpy as np
import xarray as xr


def failed_points(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """The coordinates of every point with a value that is not finite."""
    return list_points(dataset.failed)


def list_points(where: xr.DataArray) -> list[dict[str, Any]]:
    """The coordinates of every point where a bool array is true."""
    names = [str(dim) for dim in where.dims]
    return [
        {name: label(where[name].values[i]) for name, i in zip(names, at, strict=True)}
        for at in np.argwhere(where.values)
    ]


def curve_of(dataset: xr.Dataset, name: str) -> xr.DataArray | None:
    """A variable that every point has along one more dimension, such as epochs; None: no such."""
    axes = set(dataset.failed.dims)
    array = dataset.get(name)
    if array is None or not axes < set(array.dims) or len(array.dims) != len(axes) + 1:
        return None
    (dim,) = set(array.dims) - axes
    return array.transpose(dim, *dataset.failed.dims)


def unmoved_points(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """The coordinates of every point that training left as it was, as far as is recorded.

    Its loss stays the same from the first record to the last, up to rounding (the first is computed
    by a program of its own), and its accuracy too. Its rate may be too small for float32, or there
    may be nothing to learn: the KL loss of a single logit is zero.
    """
    loss, accuracy = curve_of(dataset, "loss"), curve_of(dataset, "accuracy")
    if loss is None or len(loss) < 2:
        return []
    still = ~dataset.failed & (abs(loss - loss[0]) <= 1e-6 * abs(loss[0])).all(loss.dims[:1])
    if accuracy is not None:
        still = still & (accuracy == accuracy[0]).all(accuracy.dims[:1])
    return list_points(still)


def remarks(dataset: xr.Dataset) -> list[str]:
    """One line on the points that failed, one on those that did not move; where there are any."""
    kinds = {
        "failed, with values that are not finite": failed_points(dataset),
        "did not move: their loss never changed, but for rounding": unmoved_points(dataset),
    }
    lines = []
    for words, points in kinds.items():
        places = [", ".join(f"{k} {v}" for k, v in point.items()) for point in points[:5]]
        more = f" and {len(points) - 5} more" if len(points) > 5 else ""
        if points:
            where = "; ".join(places) + more
            lines.append(f"{len(points)} of {dataset.failed.size} points {words}: {where}")
    return lines


def has_diverged(dataset: xr.Dataset) -> bool:
    """Whether points that failed were finite before their training: then rates may be the cause."""
    loss = curve_of(dataset, "loss")
    return loss is not None and bool(np.isfinite(loss[0].values[dataset.failed.values]).all())


def label(value: Any) -> Any:
    """A coordinate as a plain Python number or string."""
    return value.item() if isinstance(value, np.generic) else value


def failed_seeds(dataset: xr.Dataset) -> list[int]:
    """The seeds with a point that failed."""
    others = [dim for dim in dataset.failed.dims if dim != "seed"]
    return [int(seed) for seed in dataset.seed[dataset.failed.any(others).values]]


def axes(dataset: xr.Dataset) -> dict[str, list[Any]]:
    """The values of every axis of a sweep."""
    return {str(dim): dataset[dim].values.tolist() for dim in dataset.failed.dims}
