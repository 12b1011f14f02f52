"""What a sweep tells a user's function as its models are finished, for a logger of any kind."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from toymodels.sweep.axes import Arrays, Grid


class Report(NamedTuple):
    """Models that a sweep has computed and, if it has a store, kept."""

    done: int
    """Number of finished models, teachers included, of those that were missing when the sweep began."""
    total: int
    """Number of models that were missing when the sweep began."""
    seconds: float
    """Time since the sweep began to compute."""
    records: list[dict[str, Any]]
    """For each of these models the labels of its axes and its recorded values by name: numbers, or
    nested lists of numbers for records with dimensions of their own (a learning curve). A teacher
    has the labels of the shared axes alone."""


Reporter = Callable[[Report], None]


def list_records(
    shape: Mapping[str, Any],
    grids: Sequence[Grid],
    rows: Sequence[Sequence[int]],
    arrays: Arrays,
) -> list[dict[str, Any]]:
    """The records of some models as plain data.

    Args:
        shape: labels of the axes that change shapes.
        grids: the shared axes, and those of the points if the records are theirs.
        rows: the numbers of some rows of each grid; the models are their product.
        arrays: what is recorded of them, an axis for each grid in front.

    >>> grids = [Grid.of({"seed": [7, 8]}), Grid.of({"rho": [0.0, 0.5]})]
    >>> list_records({"m": 3}, grids, [[1], [0, 1]], {"score": np.array([[0.25, 0.75]])})
    [{'m': 3, 'seed': 8, 'rho': 0.0, 'score': 0.25}, {'m': 3, 'seed': 8, 'rho': 0.5, 'score': 0.75}]

    """
    records = []
    for at in np.ndindex(*map(len, rows)):
        record = dict(shape)
        for grid, axis, i in zip(grids, rows, at, strict=True):
            record |= label_row(grid, axis[i])
        records.append(record | {name: array[at].tolist() for name, array in arrays.items()})
    return records


def label_row(grid: Grid, row: int) -> dict[str, Any]:
    """The labels of a point of a grid."""
    places = np.unravel_index(row, grid.shape)
    return {
        name: labels[place]
        for (name, labels), place in zip(grid.coords.items(), places, strict=True)
    }
