"""Records between the program that computes them and the store: of small models many share a file."""

import itertools
import time
from collections.abc import Sequence

import numpy as np

from toymodels.sweep import processes
from toymodels.sweep.axes import Arrays
from toymodels.sweep.table import Table

Rows = Sequence[Sequence[int]]
"""For each axis of a table the numbers of some rows."""

KEEP_S, KEEP_SHARE = 0.25, 0.01
"""Work that may be lost if a sweep is killed, beside the point that it computes: so many seconds, and
that share of the time since it began. Days of small models then leave hundreds of files."""


class Waiting:
    """Records that are computed and not yet kept: of small models many share a file."""

    def __init__(self) -> None:
        """Have none."""
        self.parts: dict[int, tuple[Table, list[tuple[Rows, Arrays]]]] = {}
        self.since = self.began = time.perf_counter()

    def add(self, table: Table, rows: Rows, record: Arrays) -> None:
        """Take the records of some rows of a table; what lies behind only filled a chunk."""
        own = {name: a[tuple(slice(len(axis)) for axis in rows)] for name, a in record.items()}
        self.parts.setdefault(id(table), (table, []))[1].append((rows, own))

    def due(self) -> bool:
        """Whether all should be kept now: they are worth it, or other processes take part."""
        now = time.perf_counter()
        long_ago = now - self.since > KEEP_S + KEEP_SHARE * (now - self.began)
        return bool(self.parts) and (long_ago or processes.several())

    def take(self) -> list[tuple[Table, Rows, Arrays]]:
        """All records, as few as rows allow for each table; they are then no longer here."""
        parts, self.parts, self.since = self.parts, {}, time.perf_counter()
        found = []
        for table, pieces in parts.values():
            axes = range(table.known.ndim)
            for axis in reversed(axes):  # first the points of a seed, then the seeds
                pieces = join_pieces(pieces, axis)
            found += [(table, rows, arrays) for rows, arrays in pieces]
        return found


def join_pieces(pieces: Sequence[tuple[Rows, Arrays]], axis: int) -> list[tuple[Rows, Arrays]]:
    """Records that follow one another, joined along an axis where their other rows are the same.

    >>> pieces = [([[0], [1]], {"y": np.ones((1, 1))}), ([[0], [2]], {"y": np.zeros((1, 1))})]
    >>> [(rows, arrays["y"].tolist()) for rows, arrays in join_pieces(pieces, 1)]
    [([[0], [1, 2]], [[1.0, 0.0]])]
    >>> len(join_pieces(pieces, 0))
    2
    """

    def others(piece: tuple[Rows, Arrays]) -> list[Sequence[int]]:
        return [rows for i, rows in enumerate(piece[0]) if i != axis]

    joined: list[tuple[Rows, Arrays]] = []
    for _, group in itertools.groupby(pieces, others):
        alike = list(group)
        rows = list(alike[0][0])
        rows[axis] = [row for piece, _ in alike for row in piece[axis]]
        arrays = {
            name: np.concatenate([record[name] for _, record in alike], axis)
            for name in alike[0][1]
        }
        joined.append((rows, arrays))
    return joined
