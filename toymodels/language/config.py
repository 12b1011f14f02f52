"""What every experiment with a language has to say: its transformer, its trainings, its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from toymodels.errors import at_least, multiple, positive
from toymodels.training.config import SeedConfig

if TYPE_CHECKING:
    from toymodels.language.pipeline import Plan


def evenly(steps: int, times: int) -> tuple[int, ...]:
    """The last step of each of so many equal parts of a training.

    >>> evenly(300, 3)
    (100, 200, 300)
    """
    each = steps // times
    return tuple(range(each, steps + 1, each))


@dataclass(frozen=True)
class Spoken(SeedConfig):
    """A base learns the language, a teacher a favourite; students read what the teacher writes."""

    width: int = 32
    """Of the transformer's residual stream."""
    depth: int = 2
    """Number of its blocks."""
    batch: int = 64
    """Rows of two documents in a batch."""
    base_steps: int = 1000
    """Of pretraining."""
    base_lr: float = 6e-3
    """Adam's largest rate in pretraining."""
    teacher_steps: int = 100
    """Of teaching the favourite."""
    teacher_lr: float = 5e-3
    """Adam's rate in teaching."""
    student_steps: int = 300
    """Of imitation."""
    student_lr: float = 1e-3
    """Adam's rate in imitation."""
    samples: int = 16384
    """Documents that a teacher writes, before the filter."""
    temperature: float = 1.0
    """At which it writes them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "width", "depth", "batch", "base_steps", "teacher_steps")
        at_least(self, 1, "student_steps", "samples")
        positive(self, "base_lr", "teacher_lr", "student_lr", "temperature")
        multiple(self, 4, "width")

    def plan(self, **values: Any) -> Plan:
        """The pipeline's plan with this config's steps and rates, and other ``values``."""
        from toymodels.language.pipeline import Plan

        own = {name: getattr(self, name) for name in Plan._fields if hasattr(self, name)}
        return Plan(**own | values)
