"""The progress of a sweep, told to whoever asked for it."""

import time
from collections.abc import Sequence
from typing import Any

from toymodels.sweep.chunks import Progress, ShapeSweep
from toymodels.sweep.programs import cost
from toymodels.sweep.reports import Report, Reporter


class Clock:
    """Reports the progress, with an estimate of the time to come over all shapes."""

    def __init__(
        self,
        progress: Progress,
        shape_sweeps: Sequence[ShapeSweep],
        reporter: Reporter | None = None,
    ) -> None:
        """Count what is missing; a model's cost differs from shape to shape."""
        self.progress, self.shape_sweeps, self.reporter = progress, shape_sweeps, reporter
        self.costs = {id(shape_sweep): cost(shape_sweep.traced) for shape_sweep in shape_sweeps}
        self.total, self.computed = sum(shape_sweep.missing for shape_sweep in shape_sweeps), 0
        self.done, self.worked, self.start = 0, 0.0, time.perf_counter()
        progress("models", 0, self.total, None)

    def advance(self, shape_sweep: ShapeSweep, models: int, computed: bool = True) -> None:
        """Count models that are finished; another worker's (``computed`` False) took no time."""
        if computed:
            self.computed += models
            self.worked += models * self.costs[id(shape_sweep)]
        missing = sum(shape_sweep.missing for shape_sweep in self.shape_sweeps)
        work = sum(
            shape_sweep.missing * self.costs[id(shape_sweep)] for shape_sweep in self.shape_sweeps
        )
        elapsed = time.perf_counter() - self.start
        left = elapsed / self.worked * work if self.worked else None
        self.done = self.total - missing
        self.progress("models", self.done, self.total, left)

    def report(self, records: list[dict[str, Any]]) -> None:
        """Tell a user's function of models that are finished."""
        if self.reporter:
            seconds = time.perf_counter() - self.start
            self.reporter(Report(self.done, self.total, seconds, records))
