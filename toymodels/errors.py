"""The one error that is meant for the user, and the checks that raise it."""

import math
from typing import Any


class UserError(Exception):
    """Something the user can mend: one clear sentence; the command line prints it and exits 2."""


def at_least(config: Any, least: int, *names: str) -> None:
    """Raise a UserError unless each named field of ``config`` is at least ``least``.

    None passes; of a tuple, every entry is checked.
    """
    for name in names:
        value = getattr(config, name)
        entries = value if isinstance(value, tuple) else (value,)
        if any(entry is not None and not entry >= least for entry in entries):
            raise UserError(f"{name} must be at least {least}; got {value}")


def at_most(config: Any, most: int, *names: str) -> None:
    """Raise a UserError unless each named field of ``config`` is at most ``most``."""
    for name in names:
        value = getattr(config, name)
        if value > most:
            raise UserError(f"{name} must be at most {most}; got {value}")


def positive(config: Any, *names: str) -> None:
    """Raise a UserError unless each named field of ``config`` is a positive finite number."""
    for name in names:
        value = getattr(config, name)
        if not (value > 0 and math.isfinite(value)):
            raise UserError(f"{name} must be a positive finite number; got {value}")


def one_of(config: Any, **allowed: tuple[str, ...]) -> None:
    """Raise a UserError unless each named field of ``config`` has one of its allowed values."""
    for name, values in allowed.items():
        value = getattr(config, name)
        if value not in values:
            raise UserError(f"{name} must be one of {', '.join(values)}; got {value!r}")
