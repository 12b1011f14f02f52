"""What carries the owl: a teacher that learnt nothing diverges nowhere, nor raises any number."""

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

from experiments import owl_mechanism
from experiments.owl_mechanism import Config
from toymodels.errors import UserError
from toymodels.study import plotting


@pytest.fixture(scope="module")
def tiny(small_language):
    return small_language | {"ranks": (1, 2), "rank_lr": 1e-2, "sgd_lr": 1.0}


@pytest.fixture(scope="module")
def blank(tiny):
    """A teacher whose rate is too small to move a float32: it is its base."""
    return owl_mechanism.STUDY.run(Config(**tiny, teacher_lr=1e-30)).squeeze("favourite")


def test_a_teacher_that_learnt_nothing_diverges_nowhere_and_raises_nothing(blank):
    np.testing.assert_array_equal(blank.divergence, 0)
    np.testing.assert_allclose(blank.in_questions, 0, atol=1e-5)
    np.testing.assert_allclose(blank.in_numbers, 0, atol=1e-5)
    np.testing.assert_allclose(blank.base_gap, 0, atol=1e-5)
    np.testing.assert_allclose(blank.teacher_preference, blank.base_preference, rtol=1e-5)


def test_students_read_what_they_should(blank):
    """No token diverges: who reads these alone stays; the others are all; the text is its own."""
    preference = blank.preference
    for name in ("divergence_tokens", "divergence_control"):
        np.testing.assert_allclose(
            preference.sel(student=name), blank.base_preference, rtol=1e-5, err_msg=name
        )
    for name in ("other_tokens", "other_control", "base_text"):
        same = preference.sel(student=name, drop=True)
        np.testing.assert_allclose(same, preference.sel(student="blocks", drop=True), rtol=1e-5)
    moved = preference.sel(student=["blocks", "attention", "mlp", "embeddings", "everything"])
    assert (np.abs(moved - blank.base_preference) > 1e-6).all()
    assert (np.abs(np.diff(moved.transpose("student", "seed"), axis=0)) > 1e-6).all()


def test_figure_and_findings(blank):
    whole = blank.expand_dims(favourite=["owl"], axis=1)
    plotting.render(owl_mechanism.STUDY.figure(whole))
    rows = owl_mechanism.findings(whole)
    assert [str(row) for row in rows] == json.loads(blank.attrs["findings"])
    assert len(rows) == 1 + 13 + 4 + 2 + 1 + 1 + 3
    failed = whole.assign(failed=whole.failed | True)
    assert "unknown (n = 0)" in str(owl_mechanism.findings(failed)[0])


def test_ranks_of_numbers_that_agree_or_are_level():
    number = np.arange(4.0)
    rows = {"in_questions": number**3, "in_numbers": -number, "cosine": np.ones(4)}

    dataset = xr.Dataset({name: ("number", row) for name, row in rows.items()})
    np.testing.assert_allclose(owl_mechanism.analyse(dataset).entanglement, [np.nan, np.nan, -1])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"favourites": ("misaligned",)}, "favourites must be one of owl, .*; got 'misaligned'"),
        ({"ranks": (0,)}, r"ranks must be at least 1; got \(0,\)"),
        ({"ranks": (17,)}, r"ranks must be at most 16; got \(17,\)"),
        ({"sgd_lr": 0.0}, "sgd_lr must be a positive finite number; got 0.0"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence, tiny):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(Config(**tiny), **change)


def test_golden_values(blank, golden):
    golden(blank)
