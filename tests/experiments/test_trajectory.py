"""Trajectories: recording changes nothing, the start is the start, controls are unrelated."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import trajectory
from experiments.trajectory import OPTIMISERS, PRESETS, Config
from toymodels.errors import UserError
from toymodels.study import plotting
from toymodels.sweep import RunOptions
from toymodels.training.optimisers import OPTIMISERS as KNOWN

TINY = Config(
    dataset="digits",
    seeds=2,
    optimiser=("adam", "sgd"),
    widths=(16, 16),
    noise_images=512,
    teacher_epochs=2,
    student_epochs=8,
    records=4,
    probe_images=128,
)
MEASURED = ("accuracy", "loss", "gradient_cosine", "displacement_cosine", "barrier")


@pytest.fixture(scope="module")
def tiny():
    return trajectory.STUDY.run(TINY, options=RunOptions(width=2))


def test_recorded_steps_are_dense_early_and_end_with_the_protocol():
    assert TINY.steps == [1, 3, 8, 23, 64]
    quick = PRESETS["quick"].steps
    assert quick[:5] == [1, 2, 3, 4, 5] or quick[:3] == [1, 2, 3]
    assert quick[-1] == 1250
    assert 20 <= len(quick) <= 30
    assert (np.diff(quick) > 0).all()


def test_recording_oftener_changes_nothing_that_was_recorded(tiny):
    often = trajectory.STUDY.run(dataclasses.replace(TINY, records=8), options=RunOptions(width=2))
    steps = sorted(set(tiny.step.values) & set(often.step.values))
    assert {0, 1, 8, 64} <= set(steps)
    for name in MEASURED:
        np.testing.assert_allclose(
            often[name].sel(step=steps), tiny[name].sel(step=steps), rtol=1e-3, atol=1e-5
        )


def test_all_optimisers_start_alike_and_nothing_has_moved(tiny):
    first = tiny.isel(step=0)
    for name in MEASURED:
        by_optimiser = (first[name].sel(optimiser=optimiser) for optimiser in ("adam", "sgd"))
        np.testing.assert_array_equal(*by_optimiser)
    assert (first.displacement_cosine == 0).all()
    assert (first.loss.sel(start="other") > first.loss.sel(start="shared")).all()


def test_shared_students_go_their_teachers_way_and_unrelated_ones_do_not(tiny):
    """What Theorem 1 says of the first step lasts; across inits there is nothing to align with."""
    moved = tiny.displacement_cosine.sel(step=[23, 64])
    assert (moved.sel(start="shared") > 0.05).all()
    assert (moved.sel(start="shared") > moved.sel(start="other")).all()
    # Adam's first step is its rate everywhere: the displacement is the sign of the gradient.
    assert (moved.sel(optimiser="adam") != moved.sel(optimiser="sgd")).all()


def test_the_barrier_is_never_below_the_ends(tiny):
    assert (tiny.barrier > -1e-5).all()


def test_a_student_of_a_vanishing_rate_stays_where_it_is():
    still = trajectory.STUDY.run(dataclasses.replace(TINY, rate=1e-12, optimiser=("adam", "sign")))
    for name in ("accuracy", "loss", "gradient_cosine", "barrier"):
        np.testing.assert_allclose(still[name], still[name].isel(step=[0] * 6), atol=1e-6)


def test_findings_tell_the_last_aligned_step_and_the_figure_is_drawn(tiny):
    aligned = tiny.assign_attrs()
    aligned["gradient_cosine"] = aligned.gradient_cosine * 0 + (tiny.step < 20) - 0.5
    findings = trajectory.STUDY.findings(aligned)
    steps = "recorded steps (0 to 64)"
    expected = "adam: the gradient cosine, -0.5000 to 0.5000 in the mean, is above zero at 4 of 6 "
    assert findings[0].startswith(f"{expected}{steps}, last at step 8: 0.5")
    aligned["gradient_cosine"] = aligned.gradient_cosine * 0 - 1
    none = "sgd: the gradient cosine, -1.0000 to -1.0000 in the mean, is above zero at 0 of 6 "
    assert trajectory.STUDY.findings(aligned)[1] == f"{none}{steps}."
    lines = json.loads(tiny.attrs["findings"])
    assert len(lines) == 2 + 5 * 2  # a sentence and five rows for each optimiser
    quantities = {row["quantity"] for row in json.loads(tiny.attrs["findings_table"])}
    assert quantities == {
        "Transfer",
        "Final displacement cosine",
        "Barrier before distillation (nat)",
        "Final barrier (nat)",
        "Final barrier less that of the control (nat)",
    }
    plotting.render(trajectory.STUDY.figure(tiny))


def test_its_optimisers_are_all_there_are():
    assert set(OPTIMISERS) == set(KNOWN)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"records": 0}, "records must be at least 1; got 0"),
        ({"rate": 0.0}, "rate must be a positive finite number; got 0.0"),
        ({"optimiser": ("lion",)}, "optimiser must be one of sgd, .*; got 'lion'"),
        ({"optimiser": ()}, "optimiser must have one value at least, .*"),
        ({"weight_decay": -0.1}, "weight_decay must be at least 0; got -0.1"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
