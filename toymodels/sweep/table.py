"""The records of all points of a grid: which are known, and some of them as a chunk with their names."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from toymodels.sweep.axes import Arrays, Grid
from toymodels.sweep.programs import digest


def name_points(grid: Grid) -> list[str]:
    """The name of each point of a grid: a hash of its values, with their shapes and types.

    >>> grid = Grid.of({"x": [0.5, 1.0]})
    >>> name_points(grid) == [digest("", grid.rows([i])) for i in range(2)]
    True
    """
    states = [hashlib.sha256() for _ in range(len(grid))]
    for leaf in jax.tree.leaves(grid.columns):
        column = np.ascontiguousarray(leaf)
        about = f"{(1, *column.shape[1:])} {column.dtype}".encode()
        size = column.nbytes // len(grid)
        content = column.tobytes()
        for i, state in enumerate(states):
            state.update(about)
            state.update(content[i * size : (i + 1) * size])
    return [state.hexdigest() for state in states]


class Table:
    """Recorded arrays of all points of a grid, or of a product of two; which rows are known."""

    def __init__(self, key: str, grids: Sequence[Grid], record: Mapping[str, Any]) -> None:
        """Know nothing yet; ``record`` holds shapes and types, a leading axis for each grid."""
        self.key = key
        self.names = [name_points(grid) for grid in grids]
        self.places = [{name: i for i, name in enumerate(names)} for names in self.names]
        self.known = np.zeros([len(grid) for grid in grids], bool)
        self.missing = self.known.size
        self.arrays = {
            name: np.zeros(self.known.shape + spec.shape[len(grids) :], spec.dtype)
            for name, spec in record.items()
        }

    @property
    def nbytes(self) -> int:
        """Size of all arrays, in bytes."""
        return sum(array.nbytes for array in self.arrays.values())

    def put(self, rows: Sequence[Sequence[int]], arrays: Arrays) -> None:
        """Copy the records of some rows to their places; what lies behind only filled a chunk."""
        at = np.ix_(*rows)
        for name, array in arrays.items():
            self.arrays[name][at] = array[tuple(slice(len(axis)) for axis in rows)]
        self.missing -= int((~self.known[at]).sum())
        self.known[at] = True

    def pack(self, rows: Sequence[Sequence[int]]) -> tuple[str, Arrays]:
        """Name and content of a chunk with the records of some rows."""
        names = [[axis[i] for i in chosen] for axis, chosen in zip(self.names, rows, strict=True)]
        at = np.ix_(*rows)
        values = {f"value {name}": array[at] for name, array in self.arrays.items()}
        axes = {f"axis {i}": np.array(axis) for i, axis in enumerate(names)}
        return digest(repr(names)), axes | values

    def unpack(self, chunk: Arrays) -> None:
        """Take what a chunk has of this grid; nothing, unless its shapes and types are right."""
        axes = [chunk.get(f"axis {i}", np.zeros(0, str)) for i in range(self.known.ndim)]
        if any(axis.ndim != 1 or axis.dtype.kind != "U" for axis in axes):
            return
        sizes = tuple(map(len, axes))
        expected = {f"value {name}": array for name, array in self.arrays.items()}
        if chunk.keys() != expected.keys() | {f"axis {i}" for i in range(len(axes))} or any(
            (chunk[name].shape, chunk[name].dtype)
            != (sizes + array.shape[len(axes) :], array.dtype)
            for name, array in expected.items()
        ):
            return
        found = [
            [(row, place[name]) for row, name in enumerate(axis.tolist()) if name in place]
            for axis, place in zip(axes, self.places, strict=True)
        ]
        if all(found):
            rows, places = ([[pair[k] for pair in axis] for axis in found] for k in (0, 1))
            at = np.ix_(*rows)
            self.put(places, {name: chunk[f"value {name}"][at] for name in self.arrays})
