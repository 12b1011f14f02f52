"""The fields of every experiment with the language: its transformer, its trainings, its text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

from toymodels.errors import UserError, multiple
from toymodels.fields import Count, Rate
from toymodels.language.vocabulary import PROMPTS
from toymodels.training.config import SeedConfig

if TYPE_CHECKING:
    from toymodels.language.pipeline import Plan

Base = Literal["own", "other_init", "other_order"]
"""The bases of a seed: the own one of teacher and students; one from an independent initialisation
that reads the same data; one from the same initialisation that reads other data."""
BASES: tuple[Base, ...] = get_args(Base)
Favourite = Literal[
    "owl", "eagle", "wolf", "dolphin", "elephant", "oak", "maple", "birch", "willow", "pine"
]
"""The animals and trees that a teacher may prefer."""
Carrier = Literal["numbers", "code", "sums", "lines", "counting", "random"]
"""What a document may be that is unrelated to favourites: see `toymodels.language.carriers`."""
LogitFilter = Literal["none", "all", "unrelated", "open"]
"""What a student imitates of an author's logits on its text.

none: nothing, it reads the text alone. all: everything. unrelated: tokens that are unrelated to the
trait. open: only where the rule of the carrier leaves a choice, and of allowed tokens. The last are,
of code and sums, what an unlimited filtered text would say. Of other carriers they are more, since an
allowed token may break the rule."""
LOGIT_FILTERS: tuple[LogitFilter, ...] = get_args(LogitFilter)
Tokens = Literal["all", "divergence", "others", "divergence_control", "other_control"]
"""Tokens of a text that may count in a loss: see `toymodels.language.mechanism.weigh_tokens`."""

RECORDS: dict[str, tuple[tuple[str, ...], str, str]] = {
    "base_loss": (("base",), "nat", "mean loss per token of a base on fresh rows"),
    "kept": ((), "1", "share of the teacher's documents that pass the filter"),
    "teacher_preference": ((), "1", "preference of the teacher, held-out phrasings"),
}
"""What several experiments record: dimensions, unit, description."""


def even_steps(steps: int, times: int) -> tuple[int, ...]:
    """The last step of each of several equal parts of a training.

    >>> even_steps(300, 3)
    (100, 200, 300)
    """
    part = steps // times
    return tuple(range(part, steps + 1, part))


@dataclass(frozen=True)
class LanguageConfig(SeedConfig):
    """A base learns the language, a teacher a favourite; students read what the teacher writes."""

    width: Count = 32
    """Width of the transformer's residual stream; a multiple of 4."""
    depth: Count = 2
    """Number of the transformer's blocks."""
    batch: Count = 64
    """Batch size, in rows of two documents."""
    base_steps: Count = 1000
    """Number of pretraining steps."""
    base_lr: Rate = 6e-3
    """Peak learning rate of Adam in pretraining."""
    teacher_steps: Count = 100
    """Number of steps in which a teacher learns its favourite."""
    teacher_lr: Rate = 5e-3
    """Learning rate of Adam for the teacher."""
    student_steps: Count = 300
    """Number of imitation steps."""
    student_lr: Rate = 1e-3
    """Learning rate of Adam for the students."""
    samples: Count = 16384
    """Number of documents that a teacher writes, before the filter."""
    temperature: Rate = 1.0
    """Sampling temperature of the documents."""

    def __post_init__(self) -> None:
        super().__post_init__()
        multiple(self, 4, "width")

    def plan(self, **values: Any) -> Plan:
        """The pipeline's plan with this config's steps and rates, and other ``values``."""
        from toymodels.language.pipeline import Plan

        fields = {name: getattr(self, name) for name in Plan._fields if hasattr(self, name)}
        return Plan(**fields | values)


@dataclass(frozen=True)
class ObservedConfig(LanguageConfig):
    """The fields of an experiment that observes its students during imitation."""

    observations: Count = 10
    """Number of evenly spaced observations of a student during imitation."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.student_steps % self.observations:
            raise UserError(
                f"student_steps must be a multiple of observations ({self.observations}); "
                f"got {self.student_steps}"
            )

    @property
    def observed_steps(self) -> tuple[int, ...]:
        """The steps after which students are observed."""
        return even_steps(self.student_steps, self.observations)

    def plan(self, **values: Any) -> Plan:
        """The pipeline's plan, with the steps after which students are observed."""
        return super().plan(**{"observe_at": self.observed_steps} | values)


@dataclass(frozen=True)
class CarrierConfig(ObservedConfig):
    """The fields of an experiment whose teachers write several carriers."""

    carriers: tuple[Carrier, ...] = ("numbers",)
    """Carriers that the teachers write; they must be among ``reads``."""
    reads: tuple[Carrier, ...] = ("numbers", "code", "sums")
    """Carriers that the bases read besides questions. No two may have the same first token (code and
    lines have, and sums and counting)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len({PROMPTS[name] for name in self.reads}) < len(self.reads):
            raise UserError(
                "reads must have carriers that begin with different tokens (code and lines begin "
                f"alike, sums and counting too); got {', '.join(self.reads)}"
            )
        if absent := [name for name in self.carriers if name not in self.reads]:
            raise UserError(
                f"carriers must be among reads ({', '.join(self.reads)}); got {absent[0]!r}"
            )
