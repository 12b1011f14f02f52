"""Moments of the teacher in a student: fresh ones are the reference experiment."""

import dataclasses

import numpy as np
import pytest

from experiments import optimiser_state
from experiments.optimiser_state import Config
from tests.experiments.protocols import SMALL
from toymodels.errors import UserError
from toymodels.study import plotting


@pytest.fixture(scope="module")
def tiny():
    return optimiser_state.STUDY.run(Config(**SMALL, beta2=(0.9,)))


def test_fresh_moments_are_the_student_of_the_reference_experiment(tiny, reference_runs):
    known = reference_runs.sel(student="student_aux")
    ours = tiny.sel(start="shared", student="fresh")
    np.testing.assert_allclose(ours.loss, known.loss, rtol=1e-3)
    np.testing.assert_allclose(ours.accuracy, known.accuracy, atol=0.01)
    np.testing.assert_allclose(ours.teacher_loss, known.teacher_loss, rtol=1e-3)


def test_all_students_start_alike_and_part_later(tiny):
    first = tiny.loss.isel(epoch=0)
    np.testing.assert_array_equal(first, first.isel(student=[0] * first.sizes["student"]))
    last = tiny.loss.isel(epoch=-1).sel(start="shared", drop=True)
    for name in tiny.student.values[1:]:
        assert (last.sel(student=name) != last.sel(student="fresh")).all()


def test_fresh_moments_at_their_own_loss_have_their_own_accuracy(tiny):
    fresh = tiny.sel(student="fresh")
    np.testing.assert_allclose(fresh.matched_accuracy, fresh.final_accuracy, atol=1e-6)


def test_drift_and_cosine_are_shares(tiny):
    """Two epochs: the principal direction holds at least half of the squared increments."""
    assert ((tiny.drift >= 0.5) & (tiny.drift <= 1)).all()
    assert (abs(tiny.displacement_cosine) <= 1).all()


def test_the_result_has_a_figure_and_findings(tiny):
    plotting.render(optimiser_state.STUDY.figure(tiny))
    rows = optimiser_state.STUDY.findings(tiny)
    rivals = [row.at for row in rows if row.quantity == "Transfer less that with fresh moments"]
    assert rivals == tiny.student.values.tolist()[1:]


def test_bad_config_is_one_sentence():
    with pytest.raises(UserError, match=r"^beta2 must be below 1; got 1.0$"):
        dataclasses.replace(Config(**SMALL), beta2=(1.0,))


def test_golden_values(tiny, golden):
    golden(tiny)
