"""Sweeps: named axes with coordinates in, one labelled Dataset out.

An experiment is a `Program` of two pure functions: ``prepare`` runs once for every combination of
the shared axes (a seed: its reference, its teacher, the inputs and the teacher's answers),
``point`` once for every combination of the point axes (an overlap, a student) and reads what was
prepared. What varies along these axes is traced, so that each shape is compiled once; axes that
change shapes (m, width, depth) build one program each.

On a CPU points run one after the other. On an accelerator they run in chunks of one fixed width, side
by side (``vmap``); the last chunk is filled up by repeating a point, because the bits of a vmapped
model depend on the width it runs in and on nothing else that runs beside it.

Finished points are kept in a `Store` under the hash of all that decides their values: the programs
as traced, versions, processor or device, settings, data, coordinates. A sweep that was killed goes
on from there and ends in the same bits; one with more seeds, more values of an axis or another
order computes only what is new; one whose program differs in anything finds nothing. A teacher's
parameters are not kept: where one of its students is missing, it is trained again.
"""

import itertools
import numbers
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import xarray as xr
from jax.sharding import NamedSharding, PartitionSpec

from toymodels.errors import UserError
from toymodels.sweep import processes
from toymodels.sweep.axes import Axis, Grid, join_shapes, label_arrays
from toymodels.sweep.chunks import (
    Clock,
    Progress,
    ShapeSweep,
    compute,
    memory_budget,
    open_shape,
    tracer,
)
from toymodels.sweep.compilation import CompiledPrograms, compiler
from toymodels.sweep.declarations import (
    MOST,
    Variables,
    check_call,
    check_declarations,
    check_labels,
    check_name,
    check_records,
)
from toymodels.sweep.estimate import refuse_too_large
from toymodels.sweep.forks import refuse_forked
from toymodels.sweep.narrow import describe_value, narrow_data
from toymodels.sweep.programs import Program, arithmetic, device_mesh, salt, widest
from toymodels.sweep.soundness import refuse_wrong_sums
from toymodels.sweep.store import Store

__all__ = ["Execution", "Program", "Progress", "RunOptions", "along", "grid"]

Tree = Any

PRECISIONS = ("float32", "tensorfloat32", "bfloat16")
"""Precisions of matrix products."""


class RunOptions(NamedTuple):
    """How a sweep runs; its values depend on this up to rounding only."""

    width: int | None = None
    """Points side by side on a device (None: what suits the device and its memory)."""
    memory: int | None = None
    """Bytes to use on a device (None: 80 % of what is free)."""
    devices: int | None = None
    """Number of local devices (None: all)."""
    store: Store | None = None
    """Where finished chunks are kept (None: nowhere)."""
    compiled: CompiledPrograms | None = None
    """Where compiled programs are kept (None: nowhere)."""
    shard: tuple[int, int] = (1, 1)
    """Which of how many workers this is: those that share a store share the work."""
    progress: Progress = lambda stage, done, total, left_s: None
    """Called as the sweep goes on."""
    announce: Callable[[str], None] = lambda line: None
    """Called with one line that says what is in the store and what will be computed."""

    def check(self) -> None:
        """Refuse what cannot be.

        Raises:
            UserError: one sentence with the field.

        """
        for name, value in (("width", self.width), ("memory", self.memory)):
            if value is not None and not (integer(value) and value >= 1):
                field = "chunk" if name == "width" else name
                raise UserError(
                    f"{field} must be an integer of at least 1; got {describe_value(value)}"
                )
        if self.width is not None and self.width > MOST:
            raise UserError(f"chunk must be at most {MOST}; got {self.width}")
        if self.devices is not None and not integer(self.devices):
            raise UserError(f"devices must be an integer; got {describe_value(self.devices)}")
        two = (
            isinstance(self.shard, tuple) and len(self.shard) == 2 and all(map(integer, self.shard))
        )
        if not two or not 1 <= self.shard[0] <= self.shard[1]:
            raise UserError(
                f"shard must be (k, n) with k from 1 to n; got {describe_value(self.shard)}"
            )
        if not isinstance(self.store, Store | None):
            raise UserError(f"store must be a Store, or None; got {describe_value(self.store)}")
        if not isinstance(self.compiled, CompiledPrograms | None):
            raise UserError(
                f"compiled must be CompiledPrograms, or None; got {describe_value(self.compiled)}"
            )
        for name, function in (("progress", self.progress), ("announce", self.announce)):
            if not callable(function):
                raise UserError(f"{name} must be a function; got {describe_value(function)}")


def integer(value: Any) -> bool:
    """Whether a value is an integer, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


class Execution(NamedTuple):
    """How a result was computed: the same device, precision, width and devices, the same bits."""

    device: str
    precision: str
    devices: int
    width: int
    """Points side by side on a device; the fewest, where shapes differ."""
    models: int
    """Number of models: a teacher for every combination of the shared axes, and its points."""
    from_store: int
    """How many of them an earlier run had finished, or another worker did meanwhile."""
    compile_s: float
    run_s: float


def along(dim: str, sweeps: Sequence[tuple[xr.Dataset, Execution]]) -> tuple[xr.Dataset, Execution]:
    """Join sweeps that have the same axes but for different values of one of them, ``dim``."""
    datasets, executions = zip(*sweeps, strict=True)
    together = executions[0]._replace(
        width=min(execution.width for execution in executions),
        models=sum(execution.models for execution in executions),
        from_store=sum(execution.from_store for execution in executions),
        compile_s=sum(execution.compile_s for execution in executions),
        run_s=sum(execution.run_s for execution in executions),
    )
    whole = xr.concat(
        datasets,
        dim,
        data_vars="minimal",
        coords="minimal",
        compat="override",
        combine_attrs="override",
    )
    return whole, together


def grid(
    build: Callable[..., Program],
    *,
    shared: Mapping[str, Axis],
    points: Mapping[str, Axis],
    variables: Variables,
    shapes: Mapping[str, Sequence[Any]] | None = None,
    coords: Mapping[str, Sequence[Any]] | None = None,
    data: Tree = (),
    precision: str = "float32",
    options: RunOptions | None = None,
) -> tuple[xr.Dataset, Execution]:
    """Run every point of a grid.

    Args:
        build: ``build(**shape)``, called once for every combination of the axes in ``shapes``.
        shared: axes of ``prepare`` by name: numbers, or label -> pytree of arrays.
        points: axes of ``point``, likewise.
        variables: for each recorded array its dimensions behind the axes, its unit, one sentence.
        shapes: axes that change shapes.
        coords: coordinates of the dimensions behind the axes.
        data: arrays that every model reads; held once on each device.
        precision: of float32 matrix products, explicit on every device.
        options: width, memory, devices, store, progress.

    Returns:
        A Dataset with dimensions (shapes, shared, points, ...), and how it was computed. Its bool
        variable ``failed`` marks the points with a value that is not finite.

    Raises:
        UserError: a name, label, number or dimension that cannot be (`toymodels.sweep.declarations`), a
            width below one, more devices than there are, a model larger than the memory. All but
            the last is refused before anything is compiled.

    >>> times = Program(lambda data, seed: (seed, {}), lambda data, seed, x: {"y": seed * x})
    >>> dataset, _ = grid(lambda: times, shared={"seed": [1, 2]}, points={"x": [0.5, 1.0, 4.0]},
    ...                   variables={"y": ((), "1", "x times the seed")})
    >>> dataset.y.values.tolist()
    [[0.5, 1.0, 4.0], [1.0, 2.0, 8.0]]

    """
    refuse_forked()
    options = RunOptions() if options is None else options
    shapes, coords = ({} if value is None else value for value in (shapes, coords))
    if not isinstance(options, RunOptions):
        raise UserError(f"options must be RunOptions, or None; got {describe_value(options)}")
    options.check()
    if precision not in PRECISIONS:
        raise UserError(
            f"precision must be one of {', '.join(PRECISIONS)}; got {describe_value(precision)}"
        )
    check_declarations((shapes, shared, points), variables, coords)
    data = narrow_data(data)
    check_call("build", build, **shapes)
    seeds, values = Grid.of(shared), Grid.of(points)
    mesh = device_mesh(options.devices, len(seeds), len(values))
    refuse_wrong_sums(mesh.devices.flat[0].platform)
    combinations = [
        dict(zip(shapes, chosen, strict=True)) for chosen in itertools.product(*shapes.values())
    ]
    start = time.perf_counter()
    shape_sweeps: list[ShapeSweep] = []
    with arithmetic(precision, mesh):
        data = jax.device_put(data, NamedSharding(mesh, PartitionSpec()))
        common = salt(mesh, precision, data)
        processes.check_agreement(common)
        width, most = widest(mesh, values, options.width), memory_budget(options.memory)
        options.progress("compiling", 0, len(combinations), None)
        traced = []  # all shapes, before the first is compiled
        for chosen in combinations:
            program = build(**chosen)
            if not isinstance(program, Program):
                raise UserError(f"build must return a Program; got {describe_value(program)}")
            check_call("prepare", program.prepare, "data", **shared)
            check_call("point", program.point, "data", "prepared", **points)
            for name, own in program.coords.items():
                check_name("coords", name)
                check_labels(f"coords of {name}", own)
            traced_at = tracer(program, data, seeds, values, mesh, common)
            first = traced_at(width)
            records = first.prepare.out_info[1], first.point.out_info
            labels = {**coords, **program.coords}
            check_records(*records, (shapes, shared, points), variables, labels)
            refuse_too_large(first, len(seeds), len(values), most)
            traced.append((program, traced_at))
        compiles = compiler(options.compiled, [*mesh.devices.flat], options.shard[0])
        for i, (program, traced_at) in enumerate(traced):
            if i:
                options.progress("compiling", i, len(combinations), None)
            shape_sweeps.append(
                open_shape(
                    program,
                    traced_at,
                    seeds,
                    values,
                    width,
                    options.memory,
                    options.store,
                    compiles,
                )
            )
    compile_s = time.perf_counter() - start

    if options.compiled and (line := options.compiled.describe()):
        options.announce(line)
    options.announce(plan(shape_sweeps))
    start = time.perf_counter()
    clock = Clock(options.progress, shape_sweeps)
    for shape_sweep in shape_sweeps:
        compute(shape_sweep, data, mesh, clock, options.shard)
    labelled_parts = [
        label_arrays(
            shape_sweep.prepared.arrays,
            shape_sweep.recorded.arrays,
            seeds,
            values,
            variables,
            {**coords, **shape_sweep.program.coords},
        )
        for shape_sweep in shape_sweeps
    ]
    device = mesh.devices.flat[0]
    models = len(shape_sweeps) * len(seeds) * (1 + len(values))
    return join_shapes(labelled_parts, shapes), Execution(
        device=f"{device.platform} ({device.device_kind})",
        precision=precision,
        devices=mesh.size,
        width=min(shape_sweep.width.points for shape_sweep in shape_sweeps),
        models=models,
        from_store=models - clock.computed,
        compile_s=compile_s,
        run_s=time.perf_counter() - start,
    )


def plan(shape_sweeps: Sequence[ShapeSweep]) -> str:
    """One line: how many points will be computed, and how many the store has."""
    points = sum(shape_sweep.recorded.known.size for shape_sweep in shape_sweeps)
    missing = sum(int((~shape_sweep.recorded.known).sum()) for shape_sweep in shape_sweeps)
    teachers = sum(len(block) for shape_sweep in shape_sweeps for block in shape_sweep.blocks())
    return (
        f"to compute: {missing} of {points} points, with {teachers} teachers; "
        f"the store has {points - missing} points"
    )
