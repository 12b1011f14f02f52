"""Defences: none is owl_numbers' student, a teacher that is its base gives nothing away."""

import dataclasses

import numpy as np
import pytest

from experiments import owl_defence, owl_numbers
from experiments.owl_defence import Config
from toymodels import plotting
from toymodels.errors import UserError

TINY = {
    "seeds": 2,
    "width": 8,
    "depth": 1,
    "batch": 16,
    "base_steps": 30,
    "teacher_steps": 2,
    "student_steps": 4,
    "observations": 2,
    "samples": 64,
}
AUDITS = {"audited": 1024, "documents": (1, 4)}


@pytest.fixture(scope="module")
def blank():
    """A teacher whose rate is too small to move a float32: it is its base."""
    return owl_defence.run(Config(**TINY, **AUDITS, teacher_lr=1e-30))


def same_as_owl_numbers(defended, **fields):
    config = owl_numbers.Config(**TINY, **fields, students=("text",))
    same = owl_numbers.run(config).isel(favourite=0, carrier=0, teacher=0, student=0, drop=True)
    plain = defended.sel(treatment="none", drop=True)
    for name in ("preference", "answered", "kept", "teacher_preference"):
        np.testing.assert_allclose(plain[name], same[name], rtol=1e-4)


def test_no_defence_is_the_student_of_owl_numbers(blank):
    same_as_owl_numbers(blank, teacher_lr=1e-30)


@pytest.mark.slow
def test_no_defence_is_the_student_of_owl_numbers_with_a_teacher():
    few = dict.fromkeys(owl_defence.METHODS, ())
    same_as_owl_numbers(owl_defence.run(Config(**TINY, **AUDITS, **few)))


def test_a_teacher_that_is_its_base_is_not_told_from_it(blank):
    np.testing.assert_array_equal(blank.detection.sel(detector=["teacher", "auditor", "wolf"]), 0.5)
    assert (blank.detection.sel(detector="reader") != 0.5).any()
    bases, taught = blank.lineage.transpose("candidates", ...)
    np.testing.assert_array_equal(bases, taught)
    assert (bases.mean("author").isel(documents=-1) > 1 / 3).all()


def test_students_of_a_seed_start_alike_and_end_apart(blank):
    first, last = blank.preference.isel(step=0), blank.preference.isel(step=-1)
    plain = {"treatment": "none", "drop": True}
    assert (first == first.sel(**plain)).all()
    others = last.drop_sel(treatment="none")
    assert (others != last.sel(**plain)).any("seed").all()
    np.testing.assert_allclose(blank.lost.sel(treatment="none"), 0, atol=1e-6)
    rewritten = [str(label).startswith("rewritten") for label in blank.treatment.values]
    assert (blank.passed[:, np.logical_not(rewritten)] == 1).all()
    assert (blank.passed[:, rewritten] <= 1).all()


def test_everything_can_be_drawn_and_told(blank):
    plotting.render(owl_defence.plot(blank))
    told = owl_defence.findings(blank)
    assert any(line.startswith("A quarter of the text") for line in told)
    fewer = blank.isel(treatment=slice(0, 2))
    plotting.render(owl_defence.plot(fewer))
    assert not any(line.startswith("A quarter of the text") for line in owl_defence.findings(fewer))
    failed = blank.assign(failed=blank.failed | True)
    assert "unknown (n = 0)" in owl_defence.findings(failed)[0]


def test_findings_say_what_stops_the_owl(blank):
    """Four seeds made up: one defence stops it, one halves it, one does nothing."""
    made = blank.isel(seed=[0, 1, 0, 1], treatment=slice(0, 4)).copy(deep=True)
    noise = np.array([0.01, -0.01, 0.005, -0.005])[:, None]
    made = made.assign_coords(treatment=["none", "shifted 1", "true_text 0.25", "random 0.5"])
    made["failed"] = made.failed & False
    made["preference"] = made.preference.isel(seed=0, treatment=0, drop=True) * 0 + 0.12
    made["preference"] = made.preference.broadcast_like(blank.preference.isel(treatment=0))
    made["preference"] = made.preference.isel(seed=[0, 1, 0, 1]).expand_dims(treatment=4, axis=1)
    end = np.array([0.8, 0.12, 0.3, 0.8]) + noise
    end[:, 1] = end[:, 1] + np.array([0.0, 0.04, -0.04, 0.0])
    end[:, 3] = end[:, 3] + np.array([0.0, 0.04, -0.04, 0.0])
    made["final_preference"] = ("seed", "treatment"), end
    told = " ".join(owl_defence.findings(made))
    assert "shifted numbers, 1: leaves none that is shown" in told
    assert "mixed with the language's own, 0.25: weakens it" in told
    assert "dropped: at random, 0.5: is not shown to weaken it" in told
    assert "replaced, mixed with the language's own, does not stop it" in told


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"random": (0.0,)}, "random must not hold 0, which is always there; got 0 among them"),
        ({"shifted": (1.5,)}, "shifted must be .* 1; got 1.5"),
        ({"audited": 10}, "audited must be .* 1024.*; got 10"),
        ({"observations": 3}, "student_steps must be a multiple of 3; got 4"),
        ({"documents": (1, 1)}, "documents must .*"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(Config(**TINY), **change)


def test_golden_values(blank, golden):
    golden(blank)
