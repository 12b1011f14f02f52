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
    "samples": 64,
}
FEW = {name: () for name in owl_defence.METHODS}


@pytest.fixture(scope="module")
def tiny():
    return owl_defence.run(Config(**TINY, observations=2, audited=1024, documents=(1, 4)))


def test_no_defence_is_the_student_of_owl_numbers(tiny):
    same = owl_numbers.run(owl_numbers.Config(**TINY, observations=2, students=("text",)))
    same = same.sel(favourite="owl", carrier="numbers", teacher="own", student="text", drop=True)
    plain = tiny.sel(treatment="none", drop=True)
    np.testing.assert_allclose(plain.preference, same.preference, rtol=1e-4)
    np.testing.assert_allclose(plain.answered, same.answered, rtol=1e-4)
    for name in ("kept", "teacher_preference"):
        np.testing.assert_allclose(plain[name], same[name], rtol=1e-5)
