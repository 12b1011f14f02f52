"""Configs that results keep: made again, refused, and compared with presets."""

import dataclasses
import json
from typing import Literal

import pytest

import experiments
from toymodels.errors import UserError
from toymodels.study import configs
from toymodels.training.config import NetworkConfig, select_fields

PRESETS = {"quick": NetworkConfig(), "paper": NetworkConfig(seeds=100, batch=1024)}


def keep(config, **swept):
    """The fields of a config as a summary.json holds them."""
    return json.loads(json.dumps(select_fields(config, swept)))


@pytest.mark.parametrize("name", experiments.names())
def test_every_preset_is_made_again_from_what_its_result_keeps(name):
    study = experiments.load_study(name)
    for config in study.presets.values():
        again = configs.rebuild_config(type(config), keep(config), name)
        unused = getattr(config, "unused", ())
        used = [f.name for f in dataclasses.fields(config) if f.name not in unused]
        assert {n: getattr(again, n) for n in used} == {n: getattr(config, n) for n in used}
        assert configs.list_missing(again, keep(config)) == []


@pytest.mark.parametrize("name", experiments.names())
def test_every_preset_is_the_nearest_to_itself(name):
    presets = experiments.load_study(name).presets
    for preset, config in presets.items():
        nearest, differences = configs.find_preset(presets, keep(config))
        assert (presets[nearest] == config, differences) == (True, []), preset


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        (
            {"colour": "red"},
            "x has other fields now than this result's config: it has no field colour",
        ),
        ({"seeds": "5"}, "seeds has a value of another type than x takes: 5"),
        ({"seeds": True}, "seeds has a value of another type than x takes: True"),
        ({"widths": ["8"]}, "widths has a value of another type"),
        ({"widths": 8}, "widths has a value of another type"),
        ({"loss": None}, "loss has a value of another type"),
        ({"loss": "hinge"}, "loss must be one of kl, mse; got 'hinge'"),
        ({"batch": {"a": 1}}, "batch has a value of another type"),
        ({"seeds": 0}, "seeds must be at least 1; got 0"),
        ({"teacher_lr": float("nan")}, "teacher_lr must be a positive finite number"),
    ],
)
def test_fields_that_cannot_be_are_refused_by_name(changes, words):
    with pytest.raises(UserError, match=words):
        configs.rebuild_config(NetworkConfig, keep(NetworkConfig()) | changes, "x")


def test_an_axis_kept_in_place_of_a_value_leaves_the_field_alone():
    stored = keep(NetworkConfig(), temperature=[0.5, 2.0])
    assert stored["temperature"] == [0.5, 2.0]
    assert configs.rebuild_config(NetworkConfig, stored, "x") == NetworkConfig()
    assert configs.find_preset(PRESETS, stored) == ("quick", [])


def test_a_field_that_is_read_and_not_kept_is_missing():
    stored = keep(NetworkConfig(loss="mse"))
    assert "temperature" not in stored
    assert configs.list_missing(NetworkConfig(loss="mse"), stored) == []
    assert configs.list_missing(NetworkConfig(loss="kl"), stored) == ["temperature"]


def test_the_nearest_preset_and_the_options_that_make_the_config_of_it():
    config = dataclasses.replace(PRESETS["paper"], dataset="digits", widths=(8, 8), noise="fresh")
    nearest, differences = configs.find_preset(PRESETS, keep(config))
    assert nearest == "paper"
    assert configs.write_options(differences) == "--noise fresh --widths 8 8"  # auto was digits


def test_types_of_fields():
    assert configs.fits(tuple[int, float], (1, 2.0))
    assert not configs.fits(tuple[int, float], (1,))
    assert configs.fits(int | None, None)
    assert not configs.fits(Literal["a"], 1)
    assert not configs.fits(int, 1.0)
