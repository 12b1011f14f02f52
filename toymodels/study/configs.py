"""Configs as results keep them: made again, and compared with one another and with presets."""

from __future__ import annotations

import dataclasses
import json
import shlex
import types
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from toymodels.errors import UserError

ABSENT = "-"
"""Stands for the value of a field that a config does not have."""


class Difference(NamedTuple):
    """A field that has different values in two configs."""

    field: str
    first: Any
    second: Any


def rebuild_config(kind: type[Any], stored: Mapping[str, Any], experiment: str) -> Any:
    """The config of which a result keeps the fields. A field that is not kept has its default.

    Args:
        kind: the experiment's config class.
        stored: the fields, as JSON holds them.
        experiment: name of the experiment.

    Raises:
        UserError: a field that the experiment does not have now, or a value that is not allowed.

    """
    kinds = get_type_hints(kind, include_extras=True)
    names = {field.name for field in dataclasses.fields(kind)}
    if unknown := [name for name in stored if name not in names]:
        raise UserError(
            f"{experiment} has other fields now than this result's config: "
            f"it has no field {unknown[0]}"
        )
    values = {}
    for name, value in stored.items():
        if is_swept(kinds[name], value):
            continue
        values[name] = make_tuples(value)
        if not fits(kinds[name], values[name]):
            raise UserError(f"{name} has a value of another type than {experiment} takes: {value}")
    return kind(**values)


def is_swept(kind: Any, value: Any) -> bool:
    """Whether a result keeps an axis of its sweep in place of a field's one value.

    The field itself then had no part in the run (see `toymodels.training.config.select_fields`).

    >>> is_swept(float, [0.5, 2.0]), is_swept(tuple[float, ...] | None, [0.5, 2.0])
    (True, False)
    """
    return isinstance(value, list) and not fits(kind, ())


def make_tuples(value: Any) -> Any:
    """A value of JSON with tuples in place of lists."""
    return tuple(map(make_tuples, value)) if isinstance(value, list) else value


def fits(kind: Any, value: Any) -> bool:
    """Whether a value has the type that a field declares; bounds and choices are the config's to check.

    >>> fits(tuple[int, ...] | None, (1, 2)), fits(float, 1), fits(int, True), fits(int, "1")
    (True, True, False, False)
    """
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return fits(inner[0], value)
    if origin is Literal:
        return type(value) in set(map(type, inner))
    if origin in (Union, types.UnionType):
        return any(fits(part, value) for part in inner)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        if inner[-1] is Ellipsis:
            return all(fits(inner[0], entry) for entry in value)
        return len(inner) == len(value) and all(map(fits, inner, value))
    if kind in (int, float):  # an integer is a float, too, but True is no integer
        return isinstance(value, (int, kind)) and not isinstance(value, bool)
    return value is None if kind in (None, type(None)) else isinstance(value, kind)


def keep_fields(config: Any) -> dict[str, Any]:
    """All fields of a config, as JSON holds them."""
    fields: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
    return fields


def list_missing(config: Any, stored: Mapping[str, Any]) -> list[str]:
    """The fields that a run of a config reads, and of which a result keeps no value."""
    unused = getattr(config, "unused", ())
    names = [field.name for field in dataclasses.fields(config)]
    return [name for name in names if name not in stored and name not in unused]


def compare_configs(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Difference]:
    """The fields in which two configs, as JSON holds them, differ.

    >>> compare_configs({"m": 3, "loss": "kl"}, {"m": 3, "loss": "mse", "batch": 64})
    [Difference(field='loss', first='kl', second='mse'), Difference(field='batch', first='-', second=64)]
    """
    return [
        Difference(name, a.get(name, ABSENT), b.get(name, ABSENT))
        for name in [*a, *(name for name in b if name not in a)]
        if name not in a or name not in b or a[name] != b[name]
    ]


def find_preset(presets: Mapping[str, Any], stored: Mapping[str, Any]) -> tuple[str, list[Any]]:
    """The preset that is nearest to a config, and the fields of the config that differ from it.

    The data set that "auto" has become is no difference.
    """
    found = {name: differ_from(preset, stored) for name, preset in presets.items()}
    nearest = min(found, key=lambda name: len(found[name]))
    return nearest, found[nearest]


def differ_from(preset: Any, stored: Mapping[str, Any]) -> list[Difference]:
    """The fields that a result keeps and in which it differs from a preset."""
    kinds = get_type_hints(type(preset), include_extras=True)
    own = keep_fields(preset)
    if own.get("dataset") == "auto":
        del own["dataset"]
        stored = {name: value for name, value in stored.items() if name != "dataset"}
    return [
        difference
        for difference in compare_configs(own, stored)
        if difference.field in stored
        and not (difference.field in kinds and is_swept(kinds[difference.field], difference.second))
    ]


def write_options(differences: list[Difference]) -> str:
    """What a command line has to say for a preset to become a config that differs from it.

    >>> write_options([Difference("noise_images", 8000, 64), Difference("widths", [256], [8, 8])])
    '--noise-images 64 --widths 8 8'
    """
    return " ".join(
        f"--{difference.field.replace('_', '-')} {write_value(difference.second)}"
        for difference in differences
    )


def write_value(value: Any) -> str:
    """A value as a command line gives it.

    >>> write_value([8, 8]), write_value(None), write_value("a b")
    ('8 8', 'None', "'a b'")
    """
    values = value if isinstance(value, list | tuple) else [value]
    return " ".join(shlex.quote(str(entry)) for entry in values)
