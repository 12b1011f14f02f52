"""Bounds of a configuration's fields, declared where the field is declared, checked by one function.

A field is annotated with its bounds: ``batch: Annotated[int, Range(1)]``. Of a tuple, every entry is
checked, and the tuple must have an entry and none twice, for a tuple is an axis of a sweep.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from toymodels.errors import COUNT, MOST, UserError, literals, representable


@dataclass(frozen=True)
class Range:
    """Bounds of a number, both included; None passes."""

    low: float
    high: float | None = None
    """None: what `toymodels.errors.MOST` says of the field, or COUNT."""
    repeats: bool = False
    """Whether a tuple may hold a value twice: then it is no axis (the widths of the layers)."""

    def check(self, name: str, value: Any, entry: Any) -> None:
        """Raise a UserError unless an entry of a field's value lies within."""
        high = MOST.get(name, COUNT) if self.high is None else self.high
        if not entry >= self.low:
            raise UserError(f"{name} must be at least {self.low}; got {value}")
        if entry > high:
            raise UserError(f"{name} must be at most {high}; got {value}")


@dataclass(frozen=True)
class Positive:
    """A positive finite number; None passes."""

    repeats: bool = False
    """Whether a tuple may hold a value twice."""

    def check(self, name: str, value: Any, entry: Any) -> None:
        """Raise a UserError unless an entry of a field's value is one."""
        if not (entry > 0 and math.isfinite(entry)):
            raise UserError(f"{name} must be a positive finite number; got {value}")


@dataclass(frozen=True)
class Doses(Range):
    """Positive amounts of a treatment, none of them twice; no amount leaves the treatment out.

    0, no treatment, is always there, and so must not be among them.
    """

    low: float = 0
    repeats: bool = True

    def check(self, name: str, value: Any, entry: Any) -> None:
        """Raise a UserError unless an entry of a field's value is such an amount."""
        if entry == 0:
            raise UserError(f"{name} must not hold 0, which is always there; got 0 among them")
        super().check(name, value, entry)
        if value.count(entry) > 1:
            raise UserError(f"{name} must have no value twice; got {value}")


@dataclass(frozen=True)
class Includes:
    """Values that a tuple must hold, with the part that each of them plays."""

    values: tuple[Any, ...]
    roles: tuple[str, ...] = ()

    def check(self, name: str, value: tuple[Any, ...]) -> None:
        """Raise a UserError unless a field's value holds them all."""
        if not {*self.values} <= {*value}:
            roles = self.roles or ("",) * len(self.values)
            required = " and ".join(
                f"{entry} ({role})" if role else f"{entry}"
                for entry, role in zip(self.values, roles, strict=True)
            )
            raise UserError(f"{name} must include {required}; got {value}")


Count = Annotated[int, Range(1)]
"""An integer of at least 1."""
Counts = Annotated[tuple[int, ...], Range(1)]
"""An axis of integers of at least 1."""
Rate = Annotated[float, Positive()]
"""A positive number."""
Rates = Annotated[tuple[float, ...], Positive()]
"""An axis of positive numbers."""
Overlaps = Annotated[tuple[float, ...], Range(-1, 1), Includes((1, 0), ("shared", "the control"))]
"""An axis of overlaps: cosines, with 1, the shared initialisation, and 0, the control."""


def check_fields(config: Any) -> None:
    """Check every field of a dataclass against what it declares.

    Raises:
        UserError: one sentence with the field, its value and what is allowed.

    >>> @dataclass(frozen=True)
    ... class Config:
    ...     rho: Annotated[tuple[float, ...], Range(-1, 1)] = (1.0, 0.0)
    >>> check_fields(Config())
    >>> check_fields(Config(rho=(2.0,)))
    Traceback (most recent call last):
    toymodels.errors.UserError: rho must be at most 1; got (2.0,)

    """
    literals(config)
    for name, kind in get_type_hints(type(config), include_extras=True).items():
        value = getattr(config, name)
        declared = declared_bounds(kind)
        bounds = [bound for bound in declared if isinstance(bound, Range | Positive)]
        entries = value if isinstance(value, tuple) else (value,)
        for bound in bounds:
            for entry in entries:
                if entry is not None:
                    bound.check(name, value, entry)
        repeats = any(bound.repeats for bound in bounds)
        if isinstance(value, tuple) and not repeats and (not value or len({*value}) < len(value)):
            raise UserError(f"{name} must have one value at least, and none twice; got {value}")
        for bound in declared:
            # A single value stands for one point of an axis whose tuple was checked.
            if isinstance(bound, Includes) and isinstance(value, tuple):
                bound.check(name, value)
    representable(config)


def declared_bounds(kind: Any) -> list[Any]:
    """What an annotation declares, at its top and for the entries of a tuple or an option.

    >>> declared_bounds(tuple[Count, ...] | None)
    [Range(low=1, high=None, repeats=False)]
    """
    if get_origin(kind) is Annotated:
        inner, *metadata = get_args(kind)
        return [*metadata, *declared_bounds(inner)]
    return [bound for part in get_args(kind) for bound in declared_bounds(part)]


def list_treatments(
    doses: Mapping[str, Iterable[float]], label: str = "{} {:g}"
) -> dict[str, dict[str, float]]:
    """The dose of every treatment by label: none at all, then one dose of one treatment at a time.

    An axis of a sweep. ``label`` is the format of a treatment's name and its dose.

    >>> list_treatments({"drop": (0.5, 1.0), "shift": (1.0,)})["drop 0.5"]
    {'drop': 0.5, 'shift': 0.0}
    >>> list(list_treatments({"drop": (0.5, 1.0), "shift": (1.0,)}))
    ['none', 'drop 0.5', 'drop 1', 'shift 1']
    """
    nothing = dict.fromkeys(doses, 0.0)
    single = {
        label.format(name, dose): {**nothing, name: dose}
        for name, amounts in doses.items()
        for dose in amounts
    }
    return {"none": nothing} | single


def encode_options(record: Any) -> dict[str, int]:
    """The fields of a record as numbers: the place of each value among the options of its Literal.

    One traced program then serves all records of a table.

    >>> from typing import Literal
    >>> @dataclass(frozen=True)
    ... class Student:
    ...     start: Literal["own", "other"] = "own"
    ...     text: Literal["teacher", "base", "shuffled"] = "teacher"
    >>> encode_options(Student(text="shuffled"))
    {'start': 0, 'text': 2}
    """
    options = {name: get_args(kind) for name, kind in get_type_hints(type(record)).items()}
    return {name: values.index(getattr(record, name)) for name, values in options.items()}
