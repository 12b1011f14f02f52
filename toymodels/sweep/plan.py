"""What a sweep would do, told without compiling or computing anything."""

from typing import Any, NamedTuple

from toymodels.sweep.chunks import ShapeSweep, Speed, remembered_width
from toymodels.sweep.estimate import nbytes
from toymodels.sweep.programs import cost
from toymodels.sweep.tracing import trace_grid
from toymodels.sweep.waiting import KEEP_S


class Plan(NamedTuple):
    """The work that a sweep consists of, what the store has of it, and what it needs."""

    shapes: int
    """Number of combinations of the axes that change shapes; each has programs of its own."""
    teachers: int
    """Number of combinations of the shared axes (seeds), over all shapes."""
    points: int
    """Number of points, over all shapes and seeds."""
    missing_teachers: int
    """Number of teachers to train: those of whose points one is missing, or of which nothing is known."""
    missing_points: int
    """Number of points that the store has not."""
    calls: int
    """Number of calls of compiled programs."""
    records_bytes: int
    """Size of all records, which stay in the main memory."""
    model_bytes: int
    """What one seed's students share, on a device: the largest over the shapes. A run needs more, which is
    known when its programs are compiled."""
    data_bytes: int
    """Size of the data, on each device."""
    budget_bytes: int
    """What may be used on a device."""
    seconds: float | None
    """Time of a single worker without compilation, by the speed of earlier runs that shared this
    store; None where there was none."""

    @property
    def models(self) -> int:
        """Number of models, teachers included."""
        return self.teachers + self.points

    def join(self, other: "Plan") -> "Plan":
        """Make one plan of two."""
        unknown = self.seconds is None or other.seconds is None
        sums = Plan._make([*(a + b for a, b in zip(self[:-1], other[:-1], strict=True)), None])
        return sums._replace(
            model_bytes=max(self.model_bytes, other.model_bytes),
            data_bytes=max(self.data_bytes, other.data_bytes),
            budget_bytes=min(self.budget_bytes, other.budget_bytes),
            seconds=None if unknown else (self.seconds or 0.0) + (other.seconds or 0.0),
        )

    def describe(self, workers: int = 1) -> list[str]:
        """Lines for a person; ``workers`` share the work.

        >>> Plan(1, 2, 6, 1, 3, 4, 10**6, 10**7, 10**6, 10**9, 8.0).describe(2)[3]
        'time: about 4 s and the compilation, as fast as the last run of these programs with this store'
        """
        together = f" by {workers} workers" if workers > 1 else ""
        lines = [
            f"models: {self.models:,} (teachers: {self.teachers:,}, points: {self.points:,}), "
            f"programs for {self.shapes} shape{'s' if self.shapes > 1 else ''}",
            f"to compute: {self.missing_points:,} points with {self.missing_teachers:,} teachers, in "
            f"{self.calls:,} calls{together}; the store has {self.points - self.missing_points:,} points",
            f"memory: {size(self.records_bytes)} for all records; {size(self.data_bytes)} for the data and "
            f"more than {size(self.model_bytes)} for a seed in each worker, of {size(self.budget_bytes)}",
        ]
        if not self.calls:
            return [*lines, "time: none, nothing is left to compute"]
        if self.seconds is None:
            lines.append(
                "time: unknown, this store has no finished run of these programs on this machine to "
                "go by; a run with a single seed tells"
            )
            return lines
        files = round(min(self.calls, 1 + self.seconds / KEEP_S))
        return [
            *lines,
            f"time: about {duration(self.seconds / workers)} and the compilation, as fast as the last run "
            "of these programs with this store",
            f"files: at most about {files:,} more in the store",
        ]


def size(number: float) -> str:
    """A number of bytes as a sentence gives it.

    >>> [size(n) for n in (0, 1234, 56.7e6, 1.5e9)]
    ['0 kB', '1 kB', '57 MB', '1.5 GB']
    """
    for unit, least in (("GB", 1e9), ("MB", 1e6)):
        if number >= least:
            return f"{number / least:.{1 if number < 10 * least else 0}f} {unit}"
    return f"{number / 1e3:.0f} kB"


def duration(seconds: float) -> str:
    """Seconds as a sentence gives them.

    >>> [duration(s) for s in (5, 600, 40_000)]
    ['5 s', '10 minutes', '11.1 hours']
    """
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def plan_grid(build: Any, **arguments: Any) -> Plan:
    """What `toymodels.sweep.grid` would do with the same arguments. Nothing is compiled or written.

    Raises:
        UserError: what `toymodels.sweep.grid` refuses before it compiles.

    """
    with trace_grid(build, **arguments) as traced:
        options, found = traced.options, []
        for program, traced_at in traced.programs:
            store = None if traced_at(traced.width).callbacks else options.store
            width = remembered_width(traced_at, traced.width, options.memory, store) or traced.width
            grids = traced.seeds, traced.values
            found.append(ShapeSweep(program, *grids, width, traced_at(width), store))
        shapes = [plan_shape(shape, estimate_speed(shape, found)) for shape in found]
        total = shapes[0]
        for shape in shapes[1:]:
            total = total.join(shape)
        return total._replace(data_bytes=nbytes(traced.data), budget_bytes=traced.budget)


def plan_shape(shape: ShapeSweep, speed: Speed | None) -> Plan:
    """The plan of one shape."""
    n_shared, n_points = shape.traced.block
    blocks = shape.blocks()
    missing = [len(shape.missing_points(block)) for block in blocks]
    calls = sum(-(-points // n_points) for points in missing)
    seconds = speed and speed.prepare * len(blocks) + speed.point * calls
    return Plan(
        shapes=1,
        teachers=len(shape.seeds),
        points=shape.recorded.known.size,
        missing_teachers=sum(map(len, blocks)),
        missing_points=shape.recorded.missing,
        calls=len(blocks) + calls,
        records_bytes=sum(table.nbytes for table in shape.tables),
        model_bytes=nbytes(shape.traced.prepare.out_info[0]) // n_shared,
        data_bytes=0,
        budget_bytes=0,
        seconds=seconds if blocks else 0.0,
    )


def estimate_speed(shape: ShapeSweep, all_shapes: list[ShapeSweep]) -> Speed | None:
    """The speed of a shape: its own, or in proportion to that of another shape, or None."""
    if own := shape.speed:
        return own
    for other in all_shapes:
        if speed := other.speed:
            ratio = cost(shape.traced) / cost(other.traced)
            return Speed(speed.prepare * ratio, speed.point * ratio)
    return None
