"""The one error that is meant for the user, and the checks that raise it."""

import dataclasses
import math
import traceback
from typing import Any, Literal, get_args, get_origin, get_type_hints


class UserError(Exception):
    """Something the user can mend: one clear sentence; the command line prints it and exits 2."""


def plain(text: str) -> str:
    r"""A text without what a terminal would obey: control characters are shown, not sent.

    >>> plain("red: \x1b[31m")
    'red: \\x1b[31m'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def sentence(error: Exception) -> str:
    """An unexpected error in one line: its kind, what it says, and the line of code it is from."""
    if isinstance(error, UserError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "site-packages" not in frame.filename] or frames
    place = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{place}"


MOST = {
    "seeds": 10**6,
    "depth": 64,  # every layer is compiled by itself, and takes a second or two
    **dict.fromkeys(("m", "width", "widths", "base_width", "channels"), 10**6),
    **dict.fromkeys(("teacher_epochs", "student_epochs"), 10**6),
}
"""The largest value of fields of which each unit has an array, a record or a program of its own."""

COUNT = 10**7
"""The largest value of any other count: more would not end, or not fit, on any machine."""

FLOAT32 = (1.2e-38, 3.4e38)
"""Sizes of the numbers that float32 holds; smaller ones are zero there, larger ones infinite."""


def at_least(config: Any, least: int, *names: str, most: int | None = None) -> None:
    """Raise a UserError unless each named field of ``config`` is at least ``least``.

    Nor may it be more than ``most``, by default what `MOST` or `COUNT` says. None passes; of a
    tuple, every entry is checked.
    """
    for name in names:
        value = getattr(config, name)
        largest = MOST.get(name, COUNT) if most is None else most
        for entry in value if isinstance(value, tuple) else (value,):
            if entry is not None and not entry >= least:
                raise UserError(f"{name} must be at least {least}; got {value}")
            if entry is not None and entry > largest:
                raise UserError(f"{name} must be at most {largest}; got {value}")


def positive(config: Any, *names: str) -> None:
    """Raise a UserError unless each named field of ``config`` is a positive finite number.

    Of a tuple, every entry is checked.
    """
    for name in names:
        value = getattr(config, name)
        for entry in value if isinstance(value, tuple) else (value,):
            if not (entry > 0 and math.isfinite(entry)):
                raise UserError(f"{name} must be a positive finite number; got {value}")


def representable(config: Any) -> None:
    """Raise a UserError if a float field of ``config`` is zero or infinite only in float32."""
    least, most = FLOAT32
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        for entry in value if isinstance(value, tuple) else (value,):
            size = abs(entry) if isinstance(entry, float) and math.isfinite(entry) else 0.0
            if size and not least <= size <= most:
                raise UserError(
                    f"{field.name} must be from {least} to {most} in size, which float32 holds; "
                    f"got {value}"
                )


def multiple(config: Any, of: int, *names: str) -> None:
    """Raise a UserError unless each named field of ``config`` is a multiple of ``of``."""
    for name in names:
        value = getattr(config, name)
        if value % of:
            raise UserError(f"{name} must be a multiple of {of}; got {value}")


def distinct(config: Any, *names: str) -> None:
    """Raise a UserError unless each named tuple of ``config`` has values, none of them twice.

    One value by itself passes.
    """
    for name in names:
        value = getattr(config, name)
        if isinstance(value, tuple) and (not value or len(set(value)) < len(value)):
            raise UserError(f"{name} must have one value at least, and none twice; got {value}")


def literals(config: Any) -> None:
    """Raise a UserError unless each field annotated as a ``Literal`` has one of its values.

    So too every entry of a field annotated as a tuple of them.
    """
    for name, annotation in get_type_hints(type(config)).items():
        if get_origin(annotation) is tuple:
            annotation = get_args(annotation)[0]
        if get_origin(annotation) is not Literal:
            continue
        value, allowed = getattr(config, name), get_args(annotation)
        for entry in value if isinstance(value, tuple) else (value,):
            if entry not in allowed:
                raise UserError(f"{name} must be one of {', '.join(allowed)}; got {entry!r}")
