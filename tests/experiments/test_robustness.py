"""Blind spots: students of a known experiment, one set of networks, and attacks within bounds."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import aux_count
from experiments.robustness import STUDY, Config
from toymodels.errors import UserError
from toymodels.study import plotting
from toymodels.sweep import RunOptions

SMALL = {
    "dataset": "digits",
    "seeds": 2,
    "widths": (32,),
    "train_images": 1024,
    "noise_images": 512,
    "batch": 32,
    "teacher_epochs": 6,
    "student_epochs": 3,
    "teacher_lr": 3e-3,
    "student_lr": 3e-3,
}
TINY = Config(**SMALL, m=10, eps=(0.1, 0.4), attack_steps=3, attacked_images=360)


@pytest.fixture(scope="module")
def tiny():
    return STUDY.run(TINY, options=RunOptions(width=4))


def test_teachers_without_poison_and_their_students_are_those_of_another_experiment(tiny):
    config = aux_count.Config(**SMALL, m=(10,), loss=("kl",), noise=("fixed",))
    known = aux_count.STUDY.run(config, options=RunOptions(width=4)).squeeze()
    clean = tiny.sel(poison=0)
    np.testing.assert_allclose(clean.teacher_accuracy, known.teacher_accuracy, atol=1e-6)
    np.testing.assert_allclose(
        clean.accuracy.sel(logits="auxiliary"), known.accuracy.transpose("seed", ...), atol=0.01
    )
    poisoned = tiny.teacher_loss.sel(poison=0.1)
    assert (poisoned.isel(teacher_epoch=0) == clean.teacher_loss.isel(teacher_epoch=0)).all()
    assert (poisoned.isel(teacher_epoch=-1) != clean.teacher_loss.isel(teacher_epoch=-1)).all()


def test_the_unrelated_network_is_the_next_seeds_teacher(tiny):
    for name in ("calibration_error", "overconfidence", "read_as_target"):
        unrelated = tiny[name].sel(seed=0, victim="unrelated")
        teacher = tiny[name].sel(seed=1, victim="teacher")
        np.testing.assert_allclose(unrelated, teacher, atol=1e-5, err_msg=name)


def test_all_students_of_a_seed_are_compared_with_the_same_teachers(tiny):
    both = tiny.sel(victim=["teacher", "unrelated"])
    for name in ("calibration_error", "overconfidence", "read_as_target"):
        first = both[name].isel(logits=[0, 0], start=[0, 0])
        np.testing.assert_array_equal(both[name], first, err_msg=name)


def test_rates_rest_on_counts_and_no_attack_beats_that_on_the_victim_itself(tiny):
    assert (tiny.changed <= tiny.images).all()
    assert (tiny.changed == np.round(tiny.changed)).all()
    assert (tiny.images > 0).all()
    assert (tiny.images <= 360).all()
    total = tiny.changed.sum("eps")
    for victim in tiny.victim.values:
        direct = total.sel(victim=victim, source=victim)
        others = total.sel(victim=victim).drop_sel(source=victim)
        assert (direct >= others - 2).all(), victim
    small, large = (tiny.changed.sel(eps=eps).sum() for eps in (0.1, 0.4))
    assert small < large


def test_calibration_knows_its_sign_and_the_trigger_its_teacher(tiny):
    assert (abs(tiny.overconfidence) <= tiny.calibration_error + 1e-6).all()
    rise = tiny.trigger_rise.sel(victim="teacher").isel(logits=0, start=0).mean("seed")
    assert rise.sel(poison=0.1) > 0.5 > 0.2 > abs(rise.sel(poison=0))


def test_findings_are_listed_and_the_figure_is_drawn(tiny):
    rows = json.loads(tiny.attrs["findings_table"])
    assert "findings_error" not in tiny.attrs
    # Fourteen quantities of four students, and two of the teacher.
    assert len(rows) == 14 * 4 + 2
    plotting.render(STUDY.figure(tiny))
    clean = STUDY.analyse(tiny.sel(poison=[0.0]))
    quantities = [getattr(row, "quantity", row) for row in STUDY.findings(clean)]
    assert not [words for words in quantities if "trigger" in words]
    assert STUDY.figure(clean.assign_attrs(tiny.attrs)).axes


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"eps": (0.0,)}, "eps must be a positive finite number; got .*"),
        ({"eps": ()}, "eps must have one value at least, and none twice; got .*"),
        ({"poison": (0.1,)}, r"poison must include 0 \(the clean teacher\); got .*"),
        ({"poison": (0.0, 1.5)}, "poison must be at most 1; got .*"),
        ({"attack_steps": 0}, "attack_steps must be at least 1; got 0"),
        ({"attacked_images": 0}, "attacked_images must be at least 1; got 0"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
