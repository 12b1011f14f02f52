"""What the student is told: the known students among the ways, and what labels and bits are."""

import dataclasses

import numpy as np
import pytest

from experiments import loss, mnist_aux
from experiments.loss import Config
from toymodels.errors import UserError
from toymodels.study import plotting

TINY = {
    "dataset": "digits",
    "seeds": 2,
    "widths": (16,),
    "noise_images": 256,
    "teacher_epochs": 2,
    "student_epochs": 2,
}


@pytest.fixture(scope="module")
def tiny():
    return loss.run(Config(**TINY, temperatures=(1.0, 0.1), draws=(1,)))


def test_kl_and_all_logits_are_the_students_of_the_reference_experiment(tiny):
    known = mnist_aux.run(mnist_aux.Config(**TINY))
    for way, student in (("KL", "student_aux"), ("all logits", "student_all")):
        ours = tiny.accuracy.sel(way=way, start="shared")
        np.testing.assert_allclose(ours, known.accuracy.sel(student=student), atol=0.01)
    ours = tiny.loss.sel(way="KL", start="shared")
    np.testing.assert_allclose(ours, known.loss.sel(student="student_aux"), rtol=1e-3)


def test_all_ways_are_measured_alike(tiny):
    """Before training the imitation loss is the same number, whatever a student is trained by."""
    first = tiny.loss.isel(epoch=0)
    np.testing.assert_array_equal(first, first.isel(way=[0] * first.sizes["way"]))


def test_everything_can_be_drawn_and_told(tiny):
    plotting.render(loss.plot(tiny))
    assert len(loss.findings(tiny)) == 4


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
        dataclasses.replace(Config(**TINY), **change)


def test_golden_values(tiny, golden):
    golden(tiny)
