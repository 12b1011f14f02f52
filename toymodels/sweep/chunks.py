"""The points of a sweep in chunks: what a store has, what is missing, and how it is computed."""

import functools
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from toymodels.sweep import memory, processes
from toymodels.sweep.axes import Arrays, Grid
from toymodels.sweep.programs import (
    Compile,
    Program,
    Traced,
    Width,
    compile_within,
    read_width,
    trace,
)
from toymodels.sweep.reports import list_records
from toymodels.sweep.store import Reader, Store
from toymodels.sweep.table import Table
from toymodels.sweep.waiting import Waiting

if TYPE_CHECKING:
    from toymodels.sweep.clock import Clock

Tree = Any
Progress = Callable[[str, int, int, float | None], None]
"""``progress(stage, done, total, left_s)``: called when a stage begins and after each of its parts;
``left_s`` is an estimate of the seconds to come, None where nothing is known."""

SPEED = "speed"
"""Name of the chunk that holds how fast a program runs here."""

CHUNK_BYTES = 2**20
"""Room for the names and headers in a chunk's file, beside its arrays."""


class ShapeSweep:
    """All points of one shape: what is known of them, and the program that computes the others."""

    def __init__(
        self,
        program: Program,
        seeds: Grid,
        values: Grid,
        width: Width,
        traced: Traced,
        store: Store | None,
    ) -> None:
        """Take from the store what it has."""
        self.program, self.seeds, self.values = program, seeds, values
        self.width, self.traced = width, traced
        self.compiled: tuple[Any, Any] | None = None
        _, record = traced.prepare.out_info
        self.prepared = Table(traced.prepare_key, [seeds], record)
        self.recorded = Table(traced.point_key, [seeds, values], traced.point.out_info)
        self.tables = (self.prepared, self.recorded)
        self.readers = [
            Reader(store, table.key, table.nbytes + CHUNK_BYTES) for table in self.tables if store
        ]
        self.refresh()
        self.missing_first = self.missing

    def refresh(self) -> int:
        """Take what is new in the store; the number of models that were missing until now."""
        before = self.missing
        for table, reader in zip(self.tables, self.readers, strict=False):
            for chunk in reader.new():
                table.unpack(chunk)
        return before - self.missing

    @property
    def missing(self) -> int:
        """Number of models whose records are not known, the shared ones included."""
        return sum(table.missing for table in self.tables)

    def missing_points(self, block: Sequence[int]) -> list[int]:
        """The points that are missing of any of these shared combinations."""
        return np.flatnonzero(~self.recorded.known[list(block)].all(axis=0)).tolist()

    def lacks(self, block: Sequence[int], points: Sequence[int]) -> bool:
        """Whether any of these points is missing of any of these shared combinations."""
        return not self.recorded.known[np.ix_(block, points)].all()

    def blocks(self) -> list[list[int]]:
        """Shared combinations that lack something, as many at a time as run side by side."""
        lacking = ~self.prepared.known | ~self.recorded.known.all(axis=1)
        return list(batches(np.flatnonzero(lacking).tolist(), self.traced.block[0]))

    @property
    def speed(self) -> "Speed | None":
        """How fast a run that shared this store was, or None where none has told."""
        if not self.readers:
            return None
        told = self.readers[-1].store.load(self.recorded.key, SPEED, CHUNK_BYTES) or {}
        seconds = told.get("seconds", np.zeros(0))
        if seconds.shape != (2,) or seconds.dtype != float or not (seconds >= 0).all():
            return None
        return Speed(*seconds.tolist())

    def keep_speed(self, speed: "Speed") -> None:
        """Tell later runs how fast this one was."""
        if self.readers:
            arrays = {"seconds": np.array(speed)}
            self.readers[-1].save(SPEED, arrays)

    def keep(self, table: Table, rows: Sequence[Sequence[int]], arrays: Arrays) -> int:
        """Put finished records in their places and into the store; the number of new models."""
        before = self.missing
        table.put(rows, arrays)
        if self.readers:
            self.readers[self.tables.index(table)].save(*table.pack(rows))
        return before - self.missing


class Speed(NamedTuple):
    """Seconds that a worker takes for one call of each function of a program."""

    prepare: float
    point: float


def batches(items: Sequence[int], size: int) -> Iterator[list[int]]:
    """Items in order, ``size`` at a time; the last batch may be shorter.

    >>> list(batches([3, 4, 5], 2))
    [[3, 4], [5]]
    """
    return (list(items[i : i + size]) for i in range(0, len(items), size))


def fill_chunk(rows: Sequence[int], size: int) -> list[int]:
    """Rows of a whole chunk: the last is repeated.

    >>> fill_chunk([3, 4], 4)
    [3, 4, 4, 4]
    """
    return [*rows, *[rows[-1]] * (size - len(rows))]


def rotate_items(items: Sequence[Any], shard: tuple[int, int]) -> list[Any]:
    """Items in the order of the k-th of n workers: it begins at its own part and goes round.

    >>> rotate_items("abcdef", (2, 3))
    ['c', 'd', 'e', 'f', 'a', 'b']
    """
    k, n = shard
    first = (k - 1) * len(items) // n
    return [*items[first:], *items[:first]]


def tracer(
    program: Program, data: Tree, seeds: Grid, values: Grid, mesh: Mesh, common: str
) -> Callable[[Width], Traced]:
    """Trace a program at the widths that are asked for, at each of them once."""
    return functools.cache(lambda width: trace(program, data, seeds, values, mesh, width, common))


def memory_budget(budget: int | None) -> int:
    """Bytes to use on a device: as many as were asked for, or what is free everywhere."""
    return processes.agree(memory.budget(jax.local_devices()[0]) if budget is None else budget)


def width_name(budget: int | None) -> str:
    """Name of the chunk that holds the width of a sweep with a budget of memory."""
    return f"width-{budget or 'free'}"


def remembered_width(
    traced_at: Callable[[Width], Traced], width: Width, budget: int | None, store: Store | None
) -> Width | None:
    """The width at which a store's earlier run of the same program went on, at most ``width``."""
    if store is None:
        return None
    key = traced_at(width).point_key
    return read_width(store.load(key, width_name(budget), CHUNK_BYTES), width)


def open_shape(
    program: Program,
    traced_at: Callable[[Width], Traced],
    seeds: Grid,
    values: Grid,
    width: Width,
    budget: int | None,
    store: Store | None,
    compiles: Compile,
) -> ShapeSweep:
    """Make a shape ready: find what the store has, compile if anything is missing."""
    most = memory_budget(budget)
    if store:
        store.check(traced_at(width).prepare_key)
        store.check(traced_at(width).point_key)
    if store and traced_at(width).callbacks:
        warnings.warn(
            "this program calls Python functions (callbacks), whose bodies have no part in a "
            "chunk's name: nothing is taken from the store or kept in it",
            stacklevel=4,
        )
        store = None
    # Memory may have been short when this sweep began: it goes on at the width chosen then.
    chosen = remembered_width(traced_at, width, budget, store)
    at = chosen or width
    found = ShapeSweep(program, seeds, values, at, traced_at(at), store)
    if chosen is None:
        at, compiled = compile_within(most, width, traced_at, compiles)
        if store:
            key, plan = traced_at(width).point_key, width_name(budget)
            store.save(key, plan, {"width": np.array(at)})
        if at != width:
            found = ShapeSweep(program, seeds, values, at, traced_at(at), store)
        found.compiled = compiled
    elif found.missing:
        found.compiled = compiles(found.traced)
    return found


def compute(
    shape_sweep: ShapeSweep,
    data: Tree,
    mesh: Mesh,
    clock: "Clock",
    shard: tuple[int, int] = (1, 1),
    shape: Mapping[str, Any] = MappingProxyType({}),
) -> None:
    """Compute what is missing of one shape, and keep each chunk as soon as it is finished.

    ``shape`` tells the labels of this shape in reports.

    What another worker has finished meanwhile is taken from the store: several of them, each with
    its shard, do a sweep together, and what one leaves undone another does.
    """
    n_shared, n_points = shape_sweep.traced.block

    def spread(block: Tree, axis: str) -> Tree:
        return jax.device_put(block, NamedSharding(mesh, PartitionSpec(axis)))

    def keep(waiting: Waiting) -> None:
        for table, rows, arrays in waiting.take():
            clock.advance(shape_sweep, shape_sweep.keep(table, rows, arrays))
            if clock.reporter:
                grids = (shape_sweep.seeds, shape_sweep.values)[: len(rows)]
                clock.report(list_records(shape, grids, rows, arrays))

    def look_around() -> None:
        if new := shape_sweep.refresh():
            clock.advance(shape_sweep, new, computed=False)

    waiting, spent, calls = Waiting(), [0.0, 0.0], [0, 0]

    def count(function: int, start: float) -> None:
        spent[function] += time.perf_counter() - start
        calls[function] += 1

    for block in rotate_items(shape_sweep.blocks(), shard):
        look_around()
        known = shape_sweep.prepared.known[block].all()
        if known and not shape_sweep.missing_points(block):
            continue
        assert shape_sweep.compiled is not None
        prepare, point = shape_sweep.compiled
        start = time.perf_counter()
        shared = spread(shape_sweep.seeds.rows(fill_chunk(block, n_shared)), "shared")
        prepared, record = prepare(data, shared)
        wait(record)
        if not known:
            waiting.add(shape_sweep.prepared, [block], processes.gather(record))
        count(0, start)
        for chunk in rotate_items(
            list(batches(shape_sweep.missing_points(block), n_points)), shard
        ):
            start = time.perf_counter()
            look_around()
            if shape_sweep.lacks(block, chunk):
                values = spread(shape_sweep.values.rows(fill_chunk(chunk, n_points)), "point")
                record = processes.gather(wait(point(data, prepared, values)))
                waiting.add(shape_sweep.recorded, [block, chunk], record)
                count(1, start)
            if waiting.due():
                keep(waiting)
        del prepared  # before the next is made: two would not fit where one was planned for
    keep(waiting)
    if all(calls):
        shape_sweep.keep_speed(Speed(*(s / n for s, n in zip(spent, calls, strict=True))))


def wait(values: Tree) -> Tree:
    """Wait for arrays in steps of a blink, so that Ctrl-C is heard in the middle of a chunk."""
    pause = 1e-4
    while not all(leaf.is_ready() for leaf in jax.tree.leaves(values)):
        time.sleep(pause)
        pause = min(2 * pause, 2e-3)
    return values
