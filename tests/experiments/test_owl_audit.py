"""Audits: a teacher that is its base gives nothing away; a young base does; a shift hides much."""

import dataclasses

import numpy as np
import pytest

from experiments import owl_audit
from experiments.owl_audit import AUTHORS, DETECTORS, JUDGES, Config
from toymodels.errors import UserError
from toymodels.study import plotting


@pytest.fixture(scope="module")
def tiny(small_language):
    return small_language | {"audited": 1024, "documents": (1, 4)}


@pytest.fixture(scope="module")
def blank(tiny):
    """A teacher whose rate is too small to move a float32: it is its base."""
    return owl_audit.STUDY.run(Config(**tiny, teacher_lr=1e-30))


def test_a_teacher_that_is_its_base_is_not_told_from_it(blank):
    reader = "reader / base"
    others = [name for name in DETECTORS if name != reader]
    np.testing.assert_array_equal(blank.detection.sel(detector=others), 0.5)
    assert (blank.detection.sel(detector=reader) != 0.5).any()
    bases, taught = blank.lineage.transpose("candidates", ...)
    np.testing.assert_array_equal(bases, taught)


def test_documents_tell_whose_base_wrote_them(blank):
    found = blank.lineage.sel(shifted=0.0).mean("author").isel(documents=-1)
    assert (found > 1 / 3).all()


def test_a_shift_changes_what_is_judged_and_not_the_teacher(blank):
    before, after = blank.sel(shifted=0.0), blank.sel(shifted=1.0)
    assert (before.lineage != after.lineage).any()
    for name in ("kept", "teacher_preference", "base_loss"):
        assert "shifted" not in blank[name].dims


def test_every_detector_names_judges_and_an_author():
    for guilty, other, innocent in DETECTORS.values():
        assert {guilty, other} <= set(JUDGES)
        assert innocent in AUTHORS[1:]


def test_figure_and_findings(blank):
    plotting.render(owl_audit.STUDY.figure(blank))
    assert len(owl_audit.findings(blank)) == 2 * (2 + 4) * 2
    failed = blank.assign(failed=blank.failed | True)
    assert "n = 0" in str(owl_audit.findings(failed)[0])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"shifted": (1.5,)}, r"shifted must be at most 1; got \(1.5,\)"),
        ({"audited": 0}, "audited must be .*; got 0"),
        ({"documents": (1, 1)}, "documents must .*"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence, tiny):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(Config(**tiny), **change)


def test_golden_values(blank, golden):
    golden(blank)
