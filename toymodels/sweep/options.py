"""How a sweep runs: width, memory, devices, where finished and compiled things are kept."""

import numbers
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from toymodels.errors import UserError
from toymodels.sweep.chunks import Progress
from toymodels.sweep.compilation import CompiledPrograms
from toymodels.sweep.declarations import MOST
from toymodels.sweep.narrow import describe_value
from toymodels.sweep.reports import Reporter
from toymodels.sweep.store import Store


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
    report: Reporter | None = None
    """Called with a `toymodels.sweep.Report` each time that models are finished and kept, for a logger
    of any kind (None: nothing). Models of other workers are counted in it, but their records are not.
    It changes no number. An error in it ends the sweep; what is kept stays.

    >>> from toymodels.sweep import Program, grid
    >>> times = Program(lambda data, seed: (seed, {}), lambda data, seed, x: {"y": seed * x})
    >>> log = []
    >>> options = RunOptions(report=lambda report: log.extend(report.records))
    >>> dataset, _ = grid(lambda: times, shared={"seed": [2]}, points={"x": [0.5, 4.0]},
    ...                   variables={"y": ((), "1", "x times the seed")}, options=options)
    >>> log[1:]
    [{'seed': 2, 'x': 0.5, 'y': 1.0}, {'seed': 2, 'x': 4.0, 'y': 8.0}]
    """

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
        if self.store and not isinstance(self.store.folder, Path):
            raise UserError(
                f"store must have a folder that is a pathlib.Path; got {describe_value(self.store.folder)}"
            )
        if not isinstance(self.compiled, CompiledPrograms | None):
            raise UserError(
                f"compiled must be CompiledPrograms, or None; got {describe_value(self.compiled)}"
            )
        functions = {"progress": self.progress, "announce": self.announce, "report": self.report}
        for name, function in functions.items():
            if not callable(function) and not (name == "report" and function is None):
                raise UserError(f"{name} must be a function; got {describe_value(function)}")


def integer(value: Any) -> bool:
    """Whether a value is an integer, and no bool."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
