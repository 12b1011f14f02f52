"""A grid checked and traced: all that is known of a sweep before anything is compiled."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from toymodels.errors import UserError
from toymodels.sweep import processes
from toymodels.sweep.axes import Axis, Grid, combine_labels
from toymodels.sweep.chunks import memory_budget, tracer
from toymodels.sweep.declarations import (
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
from toymodels.sweep.options import RunOptions
from toymodels.sweep.programs import (
    Program,
    Traced,
    Width,
    arithmetic,
    device_mesh,
    salt,
    widest,
)
from toymodels.sweep.soundness import refuse_wrong_sums

Tree = Any

PRECISIONS = ("float32", "tensorfloat32", "bfloat16")
"""Precisions of matrix products."""


class TracedGrid(NamedTuple):
    """The programs of all shapes, and what they run on."""

    options: RunOptions
    shapes: Mapping[str, Sequence[Any]]
    coords: Mapping[str, Sequence[Any]]
    data: Tree
    """Arrays that every model reads, on the devices."""
    seeds: Grid
    """The shared axes."""
    values: Grid
    """The axes of the points."""
    mesh: Mesh
    width: Width
    """Models side by side, if the memory allows."""
    budget: int
    """Bytes that may be used on a device."""
    programs: list[tuple[Program, Callable[[Width], Traced]]]
    """The program of each shape, and a function that traces it at a width."""


@contextmanager
def trace_grid(
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
) -> Iterator[TracedGrid]:
    """Check a grid and trace all its programs; hold our settings as long as the context lasts.

    For the arguments see `toymodels.sweep.engine.grid`.

    Raises:
        UserError: what cannot be, or cannot fit into the memory.

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
    combinations = combine_labels(shapes)
    with arithmetic(precision, mesh):
        data = jax.device_put(data, NamedSharding(mesh, PartitionSpec()))
        common = salt(mesh, precision, data)
        processes.check_agreement(common)
        width, most = widest(mesh, values, options.width), memory_budget(options.memory)
        options.progress("compiling", 0, len(combinations), None)
        traced = []
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
        yield TracedGrid(options, shapes, coords, data, seeds, values, mesh, width, most, traced)
