"""What the student sees: the known students among them, labels and bits."""

import dataclasses

import numpy as np
import pytest

from experiments import loss
from experiments.loss import Config
from tests.experiments.protocols import SMALL
from toymodels.errors import UserError
from toymodels.study import plotting


@pytest.fixture(scope="module")
def tiny():
    return loss.STUDY.run(Config(**SMALL, temperatures=(1.0, 0.1), draws=(1,)))


def test_kl_and_all_logits_are_the_students_of_the_reference_experiment(tiny, reference_runs):
    known = reference_runs
    for signal, student in (("KL", "student_aux"), ("all logits", "student_all")):
        ours = tiny.accuracy.sel(way=signal, start="shared")
        np.testing.assert_allclose(ours, known.accuracy.sel(student=student), atol=0.01)
    ours = tiny.loss.sel(way="KL", start="shared")
    np.testing.assert_allclose(ours, known.loss.sel(student="student_aux"), rtol=1e-3)


def test_all_students_have_the_same_measure(tiny):
    """Before training the imitation loss is the same number, whatever a student is trained by."""
    first = tiny.loss.isel(epoch=0)
    np.testing.assert_array_equal(first, first.isel(way=[0] * first.sizes["way"]))


def test_the_result_has_a_figure_and_findings(tiny):
    plotting.render(loss.STUDY.figure(tiny))
    findings = loss.findings(tiny)
    assert [f.at for f in findings if f.quantity == "Transfer"] == tiny.way.values.tolist()
    rivals = [f.at for f in findings if f.quantity == "Test accuracy less that by KL"]
    assert rivals == ["MSE", "KL, T = 0.1", "1 drawn", "largest", "signs"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"temperatures": (2.0,)}, "temperatures must include 1; got .*"),
        ({"temperatures": (1.0, 0.0)}, "temperatures must be a positive finite number; got .*"),
        ({"draws": (0,)}, "draws must be at least 1; got .*"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(Config(**SMALL), **change)


def test_golden_values(tiny, golden):
    golden(tiny)
