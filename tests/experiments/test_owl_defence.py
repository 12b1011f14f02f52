"""Defences: none is the student of owl_numbers; the rest move what they should."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from experiments import owl_defence, owl_numbers
from experiments.owl_defence import Config
from toymodels.errors import UserError
from toymodels.stats.findings import Finding
from toymodels.study import plotting

GOLDEN = Path(__file__).parent / "golden"


@pytest.fixture(scope="module")
def tiny(small_language):
    return small_language | {"observations": 2}


@pytest.fixture(scope="module")
def blank(tiny):
    """A teacher whose rate is too small to move a float32: it is its base."""
    return owl_defence.STUDY.run(Config(**tiny, teacher_lr=1e-30))


def test_no_defence_is_the_student_of_owl_numbers(blank):
    """As that experiment's tests have it on record, for the same small configuration."""
    known = json.loads((GOLDEN / "owl_numbers.json").read_text())
    name = "final_preference[favourite=owl, carrier=numbers, teacher=own, student=text]"
    mean = float(blank.final_preference.sel(treatment="none").mean())
    assert mean == pytest.approx(known[name], rel=2e-3)


@pytest.mark.slow
def test_no_defence_is_the_student_of_owl_numbers_seed_by_seed(tiny):
    few = dict.fromkeys(owl_defence.METHODS, ())
    defended = owl_defence.STUDY.run(Config(**tiny, **few)).sel(treatment="none", drop=True)
    same = owl_numbers.STUDY.run(owl_numbers.Config(**tiny, students=("text",)))
    same = same.isel(favourite=0, carrier=0, teacher=0, student=0, drop=True)
    for name in ("preference", "answered", "kept", "teacher_preference"):
        np.testing.assert_allclose(defended[name], same[name], rtol=1e-4)


def test_students_of_a_seed_start_alike_and_end_apart(blank):
    first, last = blank.preference.isel(step=0), blank.preference.isel(step=-1)
    plain = {"treatment": "none", "drop": True}
    assert (first == first.sel(**plain)).all()
    assert (blank.kept > 0).all()
    changed = last.treatment != "none"
    assert ((last != last.sel(**plain)).any("seed") == changed).all()
    np.testing.assert_allclose(blank.lost.sel(treatment="none"), 0, atol=1e-6)


def test_figure_and_findings(blank):
    plotting.render(owl_defence.STUDY.figure(blank))
    lines = [str(row) for row in owl_defence.findings(blank)]
    assert any("true_text 0.25" in line for line in lines)
    fewer = blank.isel(treatment=slice(0, 2))
    plotting.render(owl_defence.STUDY.figure(fewer))
    assert not any("true_text 0.25" in str(row) for row in owl_defence.findings(fewer))
    failed = blank.assign(failed=blank.failed | True)
    assert "unknown (n = 0)" in str(owl_defence.findings(failed)[0])


def test_findings_say_what_stops_the_owl(blank):
    """Four seeds made up: one defence stops it, one halves it, one does nothing."""
    made = blank.isel(seed=[0, 1, 0, 1], treatment=slice(0, 4)).copy(deep=True)
    labels = ["none", "shifted 1", "true_text 0.25", "random 0.5"]
    made = made.assign_coords(seed=range(4), treatment=labels)
    made["preference"] = 0 * made.preference + 0.12
    # Intervals of 0.03 and less about 0.8, the base's 0.12, 0.3 and 0.8.
    noise = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]).T
    end = np.array([0.8, 0.12, 0.3, 0.8]) + 0.01 * noise
    made["final_preference"] = ("seed", "treatment"), end
    rows = [row for row in owl_defence.findings(made) if isinstance(row, Finding)]
    above, weaker = (
        {row.at: row.verdict for row in rows if row.quantity.startswith(start)}
        for start in ("Preference of the defended student less", "Preference of the undefended")
    )
    assert above["shifted 1"] == "not distinguishable from zero"
    assert (above["true_text 0.25"], weaker["true_text 0.25"]) == ("above zero", "weakened")
    assert weaker["random 0.5"] == "not shown to be weakened"
    cheapest = owl_defence.findings(made)[-1]
    assert all(name in cheapest for name in ("half of the rise", "shifted 1, ", "true_text 0.25, "))
    assert "random" not in cheapest


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"random": (0.0,)}, "random must not hold 0, which is always there; got 0 among them"),
        ({"shifted": (1.5,)}, r"shifted must be at most 1; got \(1.5,\)"),
        ({"observations": 3}, r"student_steps must be a multiple of observations \(3\); got 4"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence, tiny):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(Config(**tiny), **change)


def test_golden_values(blank, golden):
    golden(blank)
