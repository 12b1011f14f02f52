"""Named axes: their product as arrays a program can read, and results under their names."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import xarray as xr

from toymodels.errors import UserError
from toymodels.sweep.declarations import Variables, check_labels
from toymodels.sweep.narrow import check_kept, check_numbers, describe_value, narrow_array

Tree = Any

Axis = Sequence[float] | Mapping[Any, Tree]
"""Numbers, which are their own coordinates, or label -> pytree of arrays (a mask, a choice)."""

Arrays = Mapping[str, np.ndarray]

MOST_POINTS = 10**7
"""The largest product of axes: each of its points has a name, and hours of computing."""


class Grid(NamedTuple):
    """The product of named axes, flattened; the last axis runs fastest."""

    coords: dict[str, list[Any]]
    columns: dict[str, Tree]
    """For each axis the values of all points, stacked on a leading axis."""

    @classmethod
    def of(cls, axes: Mapping[str, Axis]) -> "Grid":
        """The product of axes.

        Raises:
            UserError: no axis, one without values, values that are no numbers and have no labels,
                or that become others in JAX's own width, choices of different shapes.

        >>> grid = Grid.of({"seed": [7, 8], "rho": [0.0, 0.5, 1.0]})
        >>> len(grid), grid.columns["rho"].tolist()
        (6, [0.0, 0.5, 1.0, 0.0, 0.5, 1.0])

        """
        if not axes:
            raise UserError("axes must be one at least; got none")
        for name, axis in axes.items():
            check_labels(f"axis {name}", axis)
        if (number := math.prod(map(len, axes.values()))) > MOST_POINTS:
            sizes = " x ".join(str(len(axis)) for axis in axes.values())
            raise UserError(f"axes must have at most {MOST_POINTS} points; got {sizes} = {number}")
        coords = {name: list(axis) for name, axis in axes.items()}
        rows = np.indices([len(labels) for labels in coords.values()]).reshape(len(axes), -1)
        columns = {}
        for (name, axis), row in zip(axes.items(), rows, strict=True):
            stacked = stack(f"axis {name}", axis)
            columns[name] = jax.tree.map(lambda a, row=row: a[row], stacked)
        if not jax.tree.leaves(columns):
            raise UserError(f"axes must hold a number at least; got none in {', '.join(axes)}")
        return cls(coords, columns)

    def __len__(self) -> int:
        """Number of points."""
        return math.prod(self.shape)

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        return tuple(len(labels) for labels in self.coords.values())

    def rows(self, numbers: Sequence[int]) -> dict[str, Tree]:
        """The values of the points with these numbers; beyond the end the last is repeated."""
        rows = np.minimum(np.asarray(numbers), len(self) - 1)
        return jax.tree.map(lambda a: a[rows], self.columns)


def stack(field: str, axis: Axis) -> Tree:
    """The values of an axis on a leading axis, in JAX's own widths (32 bits but under x64)."""
    if not isinstance(axis, Mapping) and any(isinstance(value, str) for value in axis):
        raise UserError(
            f"{field} must hold numbers, or be a mapping from labels to arrays; "
            f"got {describe_value([*axis])}"
        )
    values = [*(axis.values() if isinstance(axis, Mapping) else axis)]
    try:
        stacked = jax.tree.map(lambda *leaves: np.stack([*map(np.asarray, leaves)]), *values)
        narrow = jax.tree.map(narrow_array, stacked)
    except (ValueError, TypeError) as error:
        what = (
            "map every label to arrays of the same shapes, all of them of numbers"
            if isinstance(axis, Mapping)
            else "hold numbers of at most 64 bits"
        )
        raise UserError(f"{field} must {what}; got {describe_value(axis)}") from error
    if not isinstance(axis, Mapping):
        check_numbers(field, values, narrow)
    jax.tree.map(lambda *pair: check_kept(field, *pair), stacked, narrow)
    return narrow


def label_arrays(
    prepared: Arrays,
    recorded: Arrays,
    shared: Grid,
    points: Grid,
    variables: Variables,
    coords: Mapping[str, Sequence[Any]],
) -> xr.Dataset:
    """Results of one shape, (shared, ...) and (shared, points, ...), under the names of their axes.

    The bool variable ``failed`` marks the points with a value that is not finite, be it their own
    or one of their teacher.
    """
    finite = np.ones((len(shared), len(points)), bool)
    arrays = {}
    for leading, part in (((shared,), prepared), ((shared, points), recorded)):
        for name, array in part.items():
            rows = array.reshape(*array.shape[: len(leading)], -1)
            finite &= np.isfinite(rows).all(axis=-1).reshape(len(shared), -1)
            dims, units, description = variables[name]
            axes = [axis for grid in leading for axis in grid.coords]
            shape = sum((grid.shape for grid in leading), ()) + array.shape[len(leading) :]
            about = {"units": units, "description": description}
            arrays[name] = ((*axes, *dims), array.reshape(shape), about)
    about = {"units": "1", "description": "whether a value of this point is not finite"}
    failed = ((*shared.coords, *points.coords), ~finite.reshape(shared.shape + points.shape), about)
    used = {dim for dims, _, _ in arrays.values() for dim in dims}
    known = {dim: [*labels] for dim, labels in coords.items() if dim in used}
    return xr.Dataset({**arrays, "failed": failed}, {**shared.coords, **points.coords, **known})


def combine_labels(shapes: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
    """The labels of every shape: one for each combination of the axes that change shapes.

    >>> combine_labels({"m": [1, 3], "width": [8]})
    [{'m': 1, 'width': 8}, {'m': 3, 'width': 8}]
    """
    return [
        dict(zip(shapes, chosen, strict=True)) for chosen in itertools.product(*shapes.values())
    ]


def join_shapes(parts: Sequence[xr.Dataset], shapes: Mapping[str, Sequence[Any]]) -> xr.Dataset:
    """Results of all shapes, the last axis running fastest, along the axes that tell them apart.

    Where a coordinate differs from shape to shape (layers), what a shape doesn't have is NaN.
    """
    if not shapes:
        (whole,) = parts
        return whole
    (name, values), *inner = shapes.items()
    size = len(parts) // len(values)
    whole = xr.concat(
        [join_shapes(parts[i : i + size], dict(inner)) for i in range(0, len(parts), size)],
        xr.Variable(name, list(values)),
        data_vars="all",
        coords="minimal",
        compat="override",
        join="outer",
        combine_attrs="override",
    )
    # An outer join sorts labels: back to the order of those who have most of them.
    longest = sorted(parts, key=lambda part: -sum(part.sizes.values()))
    return whole.sel(
        {
            dim: list(dict.fromkeys(label for part in longest for label in part[dim].values))
            for dim in parts[0].coords
        }
    )
