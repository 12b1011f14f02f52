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

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import xarray as xr

from toymodels.sweep.axes import Axis, combine_labels, join_shapes, label_arrays
from toymodels.sweep.chunks import Progress, ShapeSweep, compute, open_shape
from toymodels.sweep.clock import Clock
from toymodels.sweep.compilation import compiler
from toymodels.sweep.declarations import Variables
from toymodels.sweep.options import RunOptions
from toymodels.sweep.programs import Program
from toymodels.sweep.reports import Report
from toymodels.sweep.tracing import trace_grid

__all__ = ["Execution", "Program", "Progress", "Report", "RunOptions", "along", "grid"]

Tree = Any


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
    found: int = 0
    """How many of them the store had when this run began."""


def along(dim: str, sweeps: Sequence[tuple[xr.Dataset, Execution]]) -> tuple[xr.Dataset, Execution]:
    """Join sweeps that have the same axes but for different values of one of them, ``dim``."""
    datasets, executions = zip(*sweeps, strict=True)
    together = executions[0]._replace(
        width=min(execution.width for execution in executions),
        models=sum(execution.models for execution in executions),
        from_store=sum(execution.from_store for execution in executions),
        found=sum(execution.found for execution in executions),
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
        options: width, memory, devices, store, progress, and a function that is told of finished models.

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
    start = time.perf_counter()
    shape_sweeps: list[ShapeSweep] = []
    with trace_grid(
        build,
        shared=shared,
        points=points,
        variables=variables,
        shapes=shapes,
        coords=coords,
        data=data,
        precision=precision,
        options=options,
    ) as traced:  # all shapes, before the first is compiled
        options, mesh, seeds, values = traced.options, traced.mesh, traced.seeds, traced.values
        compiles = compiler(options.compiled, [*mesh.devices.flat], options.shard[0])
        for i, (program, traced_at) in enumerate(traced.programs):
            if i:
                options.progress("compiling", i, len(traced.programs), None)
            shape_sweeps.append(
                open_shape(
                    program,
                    traced_at,
                    seeds,
                    values,
                    traced.width,
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
    clock = Clock(options.progress, shape_sweeps, options.report)
    for shape_sweep, labels in zip(shape_sweeps, combine_labels(traced.shapes), strict=True):
        compute(shape_sweep, traced.data, mesh, clock, options.shard, labels)
    labelled_parts = [
        label_arrays(
            shape_sweep.prepared.arrays,
            shape_sweep.recorded.arrays,
            seeds,
            values,
            variables,
            {**traced.coords, **shape_sweep.program.coords},
        )
        for shape_sweep in shape_sweeps
    ]
    device = mesh.devices.flat[0]
    models = len(shape_sweeps) * len(seeds) * (1 + len(values))
    return join_shapes(labelled_parts, traced.shapes), Execution(
        device=f"{device.platform} ({device.device_kind})",
        precision=precision,
        devices=mesh.size,
        width=min(shape_sweep.width.points for shape_sweep in shape_sweeps),
        models=models,
        from_store=models - clock.computed,
        compile_s=compile_s,
        run_s=time.perf_counter() - start,
        found=models - sum(shape_sweep.missing_first for shape_sweep in shape_sweeps),
    )


def plan(shape_sweeps: Sequence[ShapeSweep]) -> str:
    """One line: how many points will be computed, and how many the store has."""
    points = sum(shape_sweep.recorded.known.size for shape_sweep in shape_sweeps)
    missing = sum(shape_sweep.recorded.missing for shape_sweep in shape_sweeps)
    teachers = sum(len(block) for shape_sweep in shape_sweeps for block in shape_sweep.blocks())
    return (
        f"to compute: {missing} of {points} points, with {teachers} teachers; "
        f"the store has {points - missing} points"
    )
