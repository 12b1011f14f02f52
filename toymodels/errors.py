"""The one error that is meant for the user, and the checks that raise it."""

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
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    if isinstance(error, UserError):
        return str(error)
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}{place}"


def at_least(config: Any, least: int, *names: str, most: int = 2**31 - 1) -> None:
    """Raise a UserError unless each named field of ``config`` is at least ``least``.

    Nor may it be more than ``most``, by default what 32 bits hold. None passes; of a tuple, every
    entry is checked.
    """
    for name in names:
        value = getattr(config, name)
        for entry in value if isinstance(value, tuple) else (value,):
            if entry is not None and not entry >= least:
                raise UserError(f"{name} must be at least {least}; got {value}")
            if entry is not None and entry > most:
                raise UserError(f"{name} must be at most {most}; got {value}")


def positive(config: Any, *names: str) -> None:
    """Raise a UserError unless each named field of ``config`` is a positive finite number.

    Of a tuple, every entry is checked.
    """
    for name in names:
        value = getattr(config, name)
        for entry in value if isinstance(value, tuple) else (value,):
            if not (entry > 0 and math.isfinite(entry)):
                raise UserError(f"{name} must be a positive finite number; got {value}")


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
