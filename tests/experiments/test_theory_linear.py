"""Closed forms beside students: exact zeros, agreement, findings."""

import json
from typing import get_args

import numpy as np
import pytest

from experiments import theory_linear
from experiments.theory_linear import CURVES, Config, Name
from toymodels.errors import UserError
from toymodels.study import plotting, results
from toymodels.theory.laws import LAWS

TINY = Config(seeds=4, laws=("energies",))


@pytest.fixture(scope="module")
def tiny():
    return theory_linear.STUDY.run(TINY)


def test_a_student_of_one_layer_has_nothing_of_its_teachers_class_rows_to_the_bit(tiny):
    assert (tiny.simulation.sel(law="energies", curve=2) == 0).all()
    assert (tiny.simulation.sel(law="energies", curve=1) > 0).all()
    sentence = "energies, one layer: theory says 0; all 48 students have exactly 0."
    assert sentence in theory_linear.findings(tiny)


def test_all_is_recovered_at_as_many_logits_as_dimensions_and_no_more_than_theory_before(tiny):
    ended = tiny.sel(law="energies", curve=0)
    whole = ended["at"] >= 1
    np.testing.assert_allclose(ended.simulation.where(whole, 1), 1, atol=1e-5)
    assert (abs(ended.simulation.mean("seed") - ended.theory) < 0.1).all()


def test_what_is_drawn_is_what_is_said(tiny):
    """Lines end where the points do; a map is drawn where there is one."""
    for end in (0, -1):
        np.testing.assert_allclose(tiny.line.isel(line=end), tiny.theory.isel(x=end))
    plotting.render(theory_linear.figure(tiny), kinds=("png",))
    share, alpha = [0.2, 0.5, 0.8], [1.0, 1.5, 2.0, 2.5]
    map_of_leakage = (("share", "alpha"), np.full((3, 4), 0.7))
    more = tiny.assign(leakage=map_of_leakage).assign_coords(share=share, alpha=alpha)
    plotting.render(theory_linear.figure(more), kinds=("png",))


def test_a_result_says_that_its_data_were_drawn(tiny):
    assert json.loads(tiny.attrs["dataset"]) == {
        "name": "gaussian",
        "sha256": "none: drawn from the seeds",
    }
    assert len(results.metrics(tiny)) == CURVES * len(TINY.laws)
    assert plotting.caption(tiny) == "gaussian, n = 4 seeds"


def test_findings_follow_the_numbers(tiny):
    off = tiny.assign(simulation=tiny.theory + 0.5 + 0 * tiny.simulation)
    sentences = theory_linear.findings(off)
    assert "students have up to 5.0e-01" in sentences[2]
    assert "differ by 0.5000 (rms over 12 points)" in sentences[0]
    assert "0 of 12 intervals hold the theory" in sentences[0]
    row = "Simulation less theory, mean over points, energies, in the end: 0.500 "
    assert str(sentences[3]) == row + "(0.500 to 0.500, n = 4), above zero."


def test_every_law_has_its_name_and_its_shape():
    assert get_args(Name) == tuple(LAWS)
    points = {(len(law().points), len(law().curves)) for law in LAWS.values()}
    assert points == {(12, CURVES)}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"size": 8}, "size must be at least 16; got 8"),
        ({"size": 20}, "size must be a multiple of 8; got 20"),
        ({"laws": ("ohm",)}, "laws must be one of energies, .*; got 'ohm'"),
        ({"laws": ()}, "laws must have one value at least, and none twice; got .*"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        TINY.at(**change)


def test_golden_values(tiny, golden):
    golden(tiny)
