"""Every field of every experiment has bounds: what no machine can run is refused at once."""

import dataclasses
import typing

import pytest

import experiments
from experiments import mnist_aux
from toymodels.errors import UserError

EXTREMES = {
    int: (-(2**31), -1, 2**31 - 1, 2**63),
    float: (float("nan"), float("inf"), -float("inf"), 1e-50, -1e-50, 1e308),
}

EXPONENTS = {"smallest"}
"""Fields that may be -1."""


def numbers(default):
    """Names of the fields that hold numbers, the type of those, and whether there are several."""
    for name, kind in typing.get_type_hints(type(default)).items():
        inner = typing.get_args(kind) or (kind,)
        for number in {int, float} & set(inner):
            yield name, number, typing.get_origin(kind) is tuple


@pytest.mark.parametrize("name", experiments.names())
def test_every_number_has_bounds(name):
    default = experiments.load_study(name).presets["quick"]
    found = list(numbers(default))
    assert {"seeds", "first_seed"} <= {field for field, _, _ in found}
    for field, number, several in found:
        for extreme in EXTREMES[number]:
            if extreme == -1 and field in EXPONENTS:
                continue
            value = (*getattr(default, field)[:-1], extreme) if several else extreme
            with pytest.raises(UserError, match=rf"\b{field}\b"):
                dataclasses.replace(default, **{field: value})


def test_what_float32_turns_to_zero_or_infinity_is_named():
    with pytest.raises(UserError, match=r"student_lr must be from 1.2e-38 to 3.4e\+38 in size"):
        mnist_aux.Config(student_lr=1e-50)
    with pytest.raises(UserError, match=r"temperature must be from 1.2e-38 .*; got 1e-39"):
        mnist_aux.Config(temperature=1e-39)
    mnist_aux.Config(student_lr=2e-38, temperature=3e38)


def test_a_network_has_at_most_so_many_layers():
    mnist_aux.Config(widths=(8,) * 64)
    with pytest.raises(UserError, match="widths must be of at most 64 layers; got 65"):
        mnist_aux.Config(widths=(8,) * 65)
    with pytest.raises(UserError, match="depth must be at most 64; got 65"):
        dataclasses.replace(experiments.load_study("init_overlap").presets["paper"], depth=65)
