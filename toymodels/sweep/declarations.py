"""What a sweep declares, checked before anything is compiled: axes, variables, coordinates.

A mistake here would otherwise be met when all has been computed, or never: a label that stands for
another number, two points that are one.
"""

import inspect
import math
import numbers
from collections.abc import Callable, Collection, Mapping, Sequence, Set
from typing import Any

import numpy as np

from toymodels.errors import UserError
from toymodels.sweep.narrow import describe_value

Variables = Mapping[str, tuple[tuple[str, ...], str, str]]
"""For each variable of a result its dimensions behind the axes, its unit, and one sentence."""

RESERVED = {"failed"}
"""Variables that the sweep adds."""

SAVED = "biuf"
"""Kinds of numbers that a result can hold: bool, integers, floats as NumPy has them."""

NUMBERS = bool | int | float | np.bool_ | np.integer | np.floating
"""Types of labels that are numbers."""

MOST = 10**6
"""The largest number of labels of an axis."""


def check_declarations(
    axes: Sequence[Mapping[str, Any]], variables: Variables, coords: Mapping[str, Sequence[Any]]
) -> None:
    """Check names, labels and dimensions; ``axes`` are the shapes, the shared and the point axes.

    Raises:
        UserError: one sentence with the axis, variable or coordinate.

    """
    fields = ("shapes", "shared", "points", "variables", "coords")
    for field, value in zip(fields, (*axes, variables, coords), strict=True):
        if not isinstance(value, Mapping):
            raise UserError(f"{field} must be a mapping of names; got {describe_value(value)}")
    names = [name for part in axes for name in part]
    for name in names:
        check_name("axes", name)
        if name in RESERVED:
            raise UserError(f"axes must have names other than {list_names(RESERVED)}; got {name!r}")
        if names.count(name) > 1:
            raise UserError(f"axes must have names of their own; got {name} twice")
    for part in axes:
        for name, axis in part.items():
            check_labels(f"axis {name}", axis)
    for name, labels in coords.items():
        check_name("coords", name)
        if name in names:
            raise UserError(f"coords: {name} is an axis, which has its own coordinates")
        check_labels(f"coords of {name}", labels)
    for name, about in variables.items():
        check_variable(name, about, names, variables)


def check_name(field: str, name: Any) -> None:
    """Refuse a name that a file of results cannot hold."""
    if not isinstance(name, str) or not name:
        raise UserError(f"{field} must have strings as names; got {describe_value(name)}")
    plain = name.isprintable() and name.strip() == name and len(name) <= 200
    if not plain or "/" in name or name == ".":
        raise UserError(
            f"{field} must have names of at most 200 printable characters, with no / in them and "
            f"no space around them; got {describe_value(name)}"
        )


def check_labels(field: str, labels: Any) -> None:
    """Refuse what cannot label the points of an axis: nothing, nested things, one label twice."""
    ordered = isinstance(labels, Collection) and not isinstance(labels, str | bytes | Set)
    if not ordered or getattr(labels, "ndim", 1) != 1:
        raise UserError(
            f"{field} must be a sequence of numbers or strings; got {describe_value(labels)}"
        )
    if len(labels) > MOST:
        raise UserError(f"{field} must have at most {MOST} values; got {len(labels)}")
    values = list(labels)
    if not values:
        raise UserError(f"{field} must have one value at least; got none")
    for value in values:
        # A span of time is an integer to NumPy, and no number to anyone else.
        if not isinstance(value, str | NUMBERS) or isinstance(value, np.timedelta64):
            raise UserError(f"{field} must hold numbers or strings; got {describe_value(value)}")
        if isinstance(value, str) and not value.isprintable():
            raise UserError(f"{field} must hold printable strings; got {describe_value(value)}")
        if isinstance(value, numbers.Real) and not math.isfinite(value):
            raise UserError(f"{field} must hold finite numbers; got {value}")
    if len({kind_of(value) for value in values}) > 1:
        raise UserError(
            f"{field} must hold numbers, strings or bools, no two of them; got {describe_value(values)}"
        )
    if len(set(values)) < len(values):
        twice = next(value for value in values if values.count(value) > 1)
        raise UserError(f"{field} must hold no value twice; got {describe_value(twice)} again")
    kept = np.array(values)
    if kept.dtype.kind not in SAVED + "U" or kept.tolist() != values:
        raise UserError(
            f"{field} must hold numbers of at most 64 bits; got {describe_value(values)}"
        )


def kind_of(label: Any) -> str:
    """What a label is: a string, a bool or a number."""
    if isinstance(label, str):
        return "string"
    return "bool" if isinstance(label, bool | np.bool_) else "number"


def check_variable(name: str, about: Any, axes: Sequence[str], variables: Variables) -> None:
    """Check one declared variable."""
    if name in axes:
        raise UserError(f"axes must have names that no variable has; got {name}")
    check_name("variables", name)
    if name in RESERVED:
        raise UserError(
            f"variables must have names other than {list_names(RESERVED)}; got {name!r}"
        )
    form = "variables must be given as (dimensions, unit, sentence), dimensions a tuple of strings"
    if not (isinstance(about, tuple) and len(about) == 3 and isinstance(about[0], tuple | list)):
        raise UserError(f"{form}; got {describe_value(about)} for {name}")
    dims = about[0]
    if not all(isinstance(word, str) and word.isprintable() for word in (*dims, *about[1:])):
        raise UserError(f"{form}, all of them printable; got {describe_value(about)} for {name}")
    for dim in dims:
        check_name(f"variables: dimensions of {name}", dim)
    if len(set(dims)) < len(dims) or set(dims) & variables.keys():
        raise UserError(
            f"variables: dimensions of {name} must be distinct, and no variable; got {dims}"
        )


def check_records(
    prepared: Any,
    recorded: Any,
    axes: Sequence[Mapping[str, Any]],
    variables: Variables,
    coords: Mapping[str, Sequence[Any]],
) -> None:
    """Check what the two functions of a program record, known from their trace.

    Args:
        prepared: shapes and types by name, with one axis before the variable's own.
        recorded: likewise, with two.
        axes: the shapes, the shared and the point axes. What is prepared may have a dimension that
            is called like a point axis, and as long.
        variables: as declared.
        coords: as declared; a dimension without coordinates may have any size.

    Raises:
        UserError: a record is not declared, is missing or recorded twice, has another shape than
            declared, or a type that cannot be saved.

    """
    shapes, shared, points = axes
    labels = {**coords, **points}
    sizes = {dim: (len(values), "its coordinates") for dim, values in labels.items()}
    for function, record in (("prepare", prepared), ("point", recorded)):
        if not isinstance(record, Mapping):
            raise UserError(f"{function} must record a dict of arrays; got {type(record).__name__}")
        if unknown := [name for name in record if name not in variables]:
            raise UserError(
                f"variables: {function} records {unknown[0]}, which is not declared; "
                f"declared are {list_names(variables)}"
            )
    if twice := sorted(prepared.keys() & recorded.keys()):
        raise UserError(f"variables: prepare and point both record {twice[0]}")
    if absent := [name for name in variables if name not in {**prepared, **recorded}]:
        raise UserError(f"variables: {absent[0]} is declared, but never recorded")
    over = {*shapes, *shared}
    for record, leading, taken in ((prepared, 1, over), (recorded, 2, over | points.keys())):
        for name, array in record.items():
            if not hasattr(array, "shape"):
                what = type(array).__name__
                raise UserError(f"variables: {name} must be an array; it is recorded as {what}")
            dims, shape = variables[name][0], array.shape[leading:]
            if taken & set(dims):
                raise UserError(
                    f"variables: dimensions of {name} must not be called like its axes; got {dims}"
                )
            if len(dims) != len(shape):
                raise UserError(
                    f"variables: {name} must have the dimensions {tuple(dims)}; "
                    f"it is recorded with the shape {shape}"
                )
            for dim, size in zip(dims, shape, strict=True):
                expected, source = sizes.setdefault(dim, (size, name))
                if size != expected:
                    raise UserError(
                        f"variables: {name} must have a size of {expected} along {dim}, as "
                        f"{source} {'have' if dim in labels else 'has'}; it is recorded with {size}"
                    )
            if getattr(array.dtype, "kind", "?") not in SAVED:
                raise UserError(
                    f"variables: {name} must be bool, integer or a NumPy float, which can be "
                    f"saved; it is recorded as {array.dtype}"
                )
    known = {dim for dims, _, _ in variables.values() for dim in dims}
    if unknown := sorted(coords.keys() - known):
        raise UserError(
            f"coords: no variable has a dimension {unknown[0]}; there are {list_names(known)}"
        )


def check_call(what: str, function: Callable[..., Any], *args: str, **named: Any) -> None:
    """Refuse a function of the user's that cannot be called as a sweep calls it.

    Raises:
        UserError: it takes other arguments, or is no function.

    """
    try:
        inspect.signature(function).bind(*args, **named)
    except (TypeError, ValueError) as error:
        taken = ", ".join([*args, *named]) or "no arguments"
        raise UserError(f"{what} must be a function of {taken}: {error}") from error


def list_names(names: Collection[str]) -> str:
    """Names in a sentence."""
    return ", ".join(sorted(names)) or "none"
