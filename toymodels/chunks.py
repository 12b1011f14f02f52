"""Chunks of a sweep: what an earlier run has finished, what is missing, and computing it."""

import functools
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from toymodels import memory, processes
from toymodels.axes import Arrays, Grid
from toymodels.programs import (
    Program,
    Traced,
    Width,
    compile_within,
    compiled_now,
    cost,
    digest,
    trace,
    widest,
)
from toymodels.store import Store

Tree = Any

Progress = Callable[[str, int, int, float | None], None]
"""``progress(stage, done, total, left_s)``: told when a stage begins and after each of its parts;
``left_s`` is an estimate of the seconds to come, None where nothing is known."""


class Results(NamedTuple):
    """What is recorded, as arrays with leading axes (shared,) and (shared, points)."""

    prepared: dict[str, np.ndarray]
    recorded: dict[str, np.ndarray]

    def put(self, arrays: Arrays, sizes: tuple[int, ...], at: tuple[int, ...]) -> None:
        """Copy a chunk that begins at ``at`` to its place among results of these sizes."""
        into = (self.prepared, self.recorded)[len(at) - 1]
        for name, array in arrays.items():
            if name not in into:
                into[name] = np.zeros(sizes + array.shape[len(at) :], array.dtype)
            fits = tuple(slice(n - i) for n, i in zip(sizes, at, strict=True))
            part = array[fits]  # without what only fills up the last chunk
            into[name][tuple(slice(i, i + n) for i, n in zip(at, part.shape, strict=False))] = part


class Sheet(NamedTuple):
    """All points of one shape."""

    program: Program
    seeds: Grid
    values: Grid
    width: Width
    traced: Traced
    compiled: tuple[Any, Any] | None
    results: Results
    missing: dict[int, list[int]]
    """First shared combination of a chunk -> first points of those chunks still to be computed."""

    def chunk_sizes(self, i: int, j: int | None = None) -> int:
        """Number of models in a chunk: of teachers, or of points."""
        shared = min(self.traced.block[0], len(self.seeds) - i)
        return shared if j is None else shared * min(self.traced.block[1], len(self.values) - j)

    def name(self, i: int, j: int | None = None) -> str:
        """Name of a chunk in the store."""
        seeds = self.seeds.block(i, self.traced.block[0])
        if j is None:
            return digest(self.traced.key, seeds)
        return digest(self.traced.key, seeds, self.values.block(j, self.traced.block[1]))


def sheet(
    program: Program,
    data: Tree,
    seeds: Grid,
    values: Grid,
    mesh: Mesh,
    asked: int | None,
    budget: int | None,
    store: Store | None,
    common: str,
) -> Sheet:
    """Make a shape ready: trace, find what the store has, compile if anything is missing."""

    @functools.cache
    def traced_at(width: Width) -> Traced:
        return trace(program, data, seeds, values, mesh, width, common)

    width, compiled = widest(mesh, seeds, values, asked), None
    # Memory may have been short when this sweep began: it goes on at the width chosen then.
    plan = f"{digest(traced_at(width).key, np.array(budget or 0))}-width"
    if store and (chosen := store.load(plan)):
        width = Width(*chosen["width"].tolist())
    else:
        free = memory.budget(jax.local_devices()[0]) if budget is None else budget
        most = processes.agreed(free)
        width, compiled = compile_within(most, width, traced_at)
        if store:
            store.save(plan, {"width": np.array(width)})

    one = Sheet(program, seeds, values, width, traced_at(width), compiled, Results({}, {}), {})
    for i in range(0, len(seeds), one.traced.block[0]):
        firsts = range(0, len(values), one.traced.block[1])
        absent = [j for j in firsts if not found(one, store, i, j)]
        if not found(one, store, i) or absent:
            one.missing[i] = absent
    if one.missing and compiled is None:
        one = one._replace(compiled=compiled_now(one.traced))
    return one


def found(one: Sheet, store: Store | None, i: int, j: int | None = None) -> bool:
    """Whether the store has a chunk; if it has, it is put among the results."""
    arrays = store.load(one.name(i, j)) if store else None
    if arrays is not None:
        keep(one, arrays, i, j)
    return arrays is not None


def keep(one: Sheet, arrays: Arrays, i: int, j: int | None = None) -> None:
    """Put a chunk among the results."""
    if j is None:
        one.results.put(arrays, (len(one.seeds),), (i,))
    else:
        one.results.put(arrays, (len(one.seeds), len(one.values)), (i, j))


def turned(items: Sequence[Any], shard: tuple[int, int]) -> list[Any]:
    """Items in the order of the k-th of n workers: it begins at its own part and goes round.

    >>> turned("abcdef", (2, 3))
    ['c', 'd', 'e', 'f', 'a', 'b']
    """
    k, n = shard
    first = (k - 1) * len(items) // n
    return [*items[first:], *items[:first]]


def compute(
    one: Sheet,
    data: Tree,
    mesh: Mesh,
    store: Store | None,
    clock: "Clock",
    shard: tuple[int, int] = (1, 1),
) -> None:
    """Compute the missing chunks of one shape, and keep each as soon as it is finished.

    What another worker has finished meanwhile is taken from the store: several of them, each with
    its shard, do a sweep together, and what one leaves undone another does.
    """

    def spread(block: Tree, axis: str) -> Tree:
        return jax.device_put(block, NamedSharding(mesh, PartitionSpec(axis)))

    def finished(record: Any, i: int, j: int | None = None) -> None:
        arrays = processes.gathered(wait(record))
        if store:
            store.save(one.name(i, j), arrays)
        keep(one, arrays, i, j)
        clock.advance(one, i, j)

    def still_missing(i: int, j: int | None = None) -> bool:
        if there := found(one, store, i, j):
            clock.advance(one, i, j, computed=False)
        return not there

    for i in turned(list(one.missing), shard):
        assert one.compiled is not None
        prepare, point = one.compiled
        begun = not still_missing(i)
        absent = [j for j in turned(one.missing[i], shard) if still_missing(i, j)]
        if begun and not absent:
            continue
        prepared, record = prepare(data, spread(one.seeds.block(i, one.traced.block[0]), "shared"))
        if not begun:
            finished(record, i)
        for j in absent:
            if not still_missing(i, j):
                continue
            block = spread(one.values.block(j, one.traced.block[1]), "point")
            finished(point(data, prepared, block), i, j)
        del prepared  # before the next is made: two would not fit where one was planned for


class Clock:
    """Tells the progress, with an estimate of the time to come over all shapes."""

    def __init__(self, progress: Progress, sheets: Sequence[Sheet]) -> None:
        """Count what is missing; a model's cost differs from shape to shape."""
        self.progress = progress
        self.costs = {id(one.program): cost(one.traced) for one in sheets}
        chunks = [
            (one, i, j) for one in sheets for i, js in one.missing.items() for j in (None, *js)
        ]
        self.total = sum(one.chunk_sizes(i, j) for one, i, j in chunks)
        self.work = sum(self.cost(*chunk) for chunk in chunks)
        self.done, self.computed, self.worked, self.start = 0, 0, 0.0, time.perf_counter()
        progress("models", 0, self.total, None)

    def cost(self, one: Sheet, i: int, j: int | None) -> float:
        """What a chunk costs, in any unit."""
        return one.chunk_sizes(i, j) * self.costs[id(one.program)]

    def advance(self, one: Sheet, i: int, j: int | None, computed: bool = True) -> None:
        """A chunk is finished, or was by another worker: that took no time here."""
        self.done += one.chunk_sizes(i, j)
        if computed:
            self.computed += one.chunk_sizes(i, j)
            self.worked += self.cost(one, i, j)
        else:
            self.work -= self.cost(one, i, j)
        elapsed = time.perf_counter() - self.start
        left = elapsed / self.worked * (self.work - self.worked) if self.worked else None
        self.progress("models", self.done, self.total, left)


def wait(values: Tree) -> Tree:
    """Wait for arrays in steps of a blink, so that Ctrl-C is heard in the middle of a chunk."""
    while not all(leaf.is_ready() for leaf in jax.tree.leaves(values)):
        time.sleep(0.002)
    return values
