"""The owl: a teacher that learnt nothing teaches nothing, and the controls are as described."""

import dataclasses

import numpy as np
import pytest

from experiments import owl_numbers
from experiments.owl_numbers import Config
from toymodels.errors import UserError
from toymodels.study import plotting


@pytest.fixture(scope="module")
def tiny(small_language):
    return small_language | {"observations": 2}


@pytest.fixture(scope="module")
def blank(tiny):
    """A teacher whose rate is too small to move a float32: it is its base."""
    students = ("text", "base_text", "other_init", "shuffled", "logits")
    return owl_numbers.STUDY.run(Config(**tiny, teacher_lr=1e-30, students=students))


def test_a_teacher_that_learnt_nothing_writes_its_bases_text(blank):
    own = blank.preference.sel(student="base_text", drop=True)
    np.testing.assert_array_equal(blank.preference.sel(student="text", drop=True), own)
    assert (blank.preference.sel(student="shuffled").isel(step=-1) != own.isel(step=-1)).any()
    first = blank.preference.isel(step=0)
    np.testing.assert_allclose(
        blank.teacher_preference, first.sel(student="text", drop=True), rtol=1e-5
    )


def test_students_start_where_they_should(blank):
    first = blank.preference.isel(step=0)
    same = first.sel(student=["text", "base_text", "shuffled", "logits"])
    np.testing.assert_array_equal(same, first.sel(student=["text"] * 4))
    assert (first.sel(student="other_init") != first.sel(student="text")).all()


def test_what_the_filter_says_adds_up(blank):
    """Documents are malformed (with what is related among them), or wrong, or kept."""
    together = blank.malformed + blank.wrong + blank.kept
    np.testing.assert_allclose(together, 1, atol=1e-6)
    assert (blank.related <= blank.malformed).all()


def test_figure_and_findings(blank):
    plotting.render(owl_numbers.STUDY.figure(blank))
    several = blank.isel(carrier=[0, 0]).assign_coords(carrier=["numbers", "code"])
    plotting.render(owl_numbers.STUDY.figure(several))
    rows = owl_numbers.findings(blank)
    assert len(rows) == 1 + 3 * 5 + 1 + 1
    assert str(rows[-2]) == (
        "Preference by the teacher's text less that by the base's text: "
        "0.000 (0.000 to 0.000, n = 2), no difference shown."
    )  # the teacher is its base
    both = owl_numbers.findings(several)
    assert len(both) == 2 * len(rows)
    numbers = [(row.quantity, row.estimate) for row in both if row.at.startswith("numbers")]
    assert numbers == [(row.quantity, row.estimate) for row in rows]
    alone = owl_numbers.findings(blank.sel(student=["text"]))
    assert len(alone) == 1 + 3 + 1
    failed = blank.assign(failed=blank.failed | True)
    assert str(owl_numbers.findings(failed)[0]) == (
        "Share of the teacher's documents that pass the filter: unknown (n = 0)."
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"favourites": ("cat",)}, "favourites must be one of owl, .*; got 'cat'"),
        ({"students": ()}, "students must have one value at least, .*"),
        (
            {"reads": ("numbers", "sums", "counting")},
            r"reads must have carriers that begin with different tokens \(code and lines begin "
            r"alike, sums and counting too\); got numbers, sums, counting",
        ),
        (
            {"carriers": ("lines",)},
            r"carriers must be among reads \(numbers, code, sums\); got 'lines'",
        ),
        ({"observations": 3}, r"student_steps must be a multiple of observations \(3\); got 4"),
        ({"width": 6}, "width must be a multiple of 4; got 6"),
        ({"temperature": 0.0}, "temperature must be a positive finite number; got 0.0"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence, tiny):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(Config(**tiny), **change)


def test_golden_values(blank, golden):
    golden(blank)


@pytest.mark.slow
def test_a_student_of_owl_numbers_prefers_the_owl():
    """On a development seed: twice the natural rate, and no more than that from the base's text."""
    config = Config(seeds=1, first_seed=100, students=("text", "base_text"), student_steps=200)
    last = owl_numbers.STUDY.run(config).isel(step=-1).preference.squeeze()
    assert last.sel(student="text") > 0.24
    assert abs(last.sel(student="base_text") - 0.12) < 0.06
