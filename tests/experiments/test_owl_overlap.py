"""Transfer between related bases: its two ends and its middle are students of owl_numbers."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import owl_numbers, owl_overlap
from experiments.owl_overlap import Config
from toymodels.errors import UserError
from toymodels.study import plotting


@pytest.fixture(scope="module")
def tiny(small_language):
    return small_language


@pytest.fixture(scope="module")
def related(tiny):
    return owl_overlap.STUDY.run(Config(**tiny, rho=(0.8, 0.0), shared=(0, 100)))


def test_the_ends_are_the_students_of_owl_numbers(related, tiny):
    students = ("text", "other_init", "other_order")
    students += ("logits", "logits_other_init", "logits_other_order")
    known = owl_numbers.STUDY.run(owl_numbers.Config(**tiny, observations=1, students=students))
    known = known.squeeze(["favourite", "carrier", "teacher"])
    for variable, final in (("preference", "final_preference"), ("answered", "final_answered")):
        for through, prefix in (("text", ""), ("logits", "logits_")):
            found = related[variable].sel(student=through, base=["own", "rho = 0", "shared = 0"])
            names = [prefix.removesuffix("_") or "text", f"{prefix}other_init"]
            expected = known[final].sel(student=[*names, f"{prefix}other_order"])
            np.testing.assert_allclose(found, expected, rtol=1e-3)
    # Of other init and other order: not the same numbers at any of them.
    assert (np.abs(np.diff(related.preference.isel(base=[0, 2, 3]), axis=1)) > 1e-4).all()
    np.testing.assert_allclose(related.teacher_preference, known.teacher_preference, rtol=1e-4)
    np.testing.assert_allclose(related.kept, known.kept, atol=1 / tiny["samples"])
    np.testing.assert_allclose(
        related.base_loss.sel(base=["own", "rho = 0"]), known.base_loss.isel(base=[0, 1]), rtol=1e-4
    )


def test_the_own_base_is_the_teachers_and_others_are_as_alike_as_they_should_be(related):
    likeness = related.likeness.sel(base=["rho = 0", "rho = 0.8", "own"])
    np.testing.assert_allclose(likeness.sel(base="own"), 1, atol=1e-5)
    assert (likeness.diff("base") > 0.1).all()
    assert (
        related.likeness.sel(base="shared = 100") > related.likeness.sel(base="shared = 0")
    ).all()


def test_points_lie_along_their_axes(related):
    rho, shared = (owl_overlap.select_relation(related, name) for name in ("rho", "shared"))
    assert rho.rho.values.tolist() == [0.0, 0.8, 1.0]
    assert shared.shared.values.tolist() == [0, 100, 200]
    own = related.preference.sel(base="own", drop=True)
    for last in (rho.preference.sel(rho=1), shared.preference.sel(shared=200)):
        np.testing.assert_array_equal(last, own)


def test_figure_and_findings(related):
    plotting.render(owl_overlap.STUDY.figure(related))
    lines = json.loads(related.attrs["findings"])
    assert len(lines) == 3 + 2 * 5 + 2 * 4 + 2 + 2 * 5 + 2 + 2
    gains = " ".join(line for line in lines if line.startswith("Preference of the student less"))
    assert "rho = 0.8, text" in gains
    assert "shared = 100, text" in gains
    failed = related.assign(failed=related.failed | True)
    assert "unknown (n = 0)" in str(owl_overlap.findings(failed)[0])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rho": (0.5,)}, r"rho must include 0 and not 1, which is the own base; got \(0.5,\)"),
        ({"rho": (0.0, 1.5)}, r"rho must be at most 1; got \(0.0, 1.5\)"),
        (
            {"shared": (0, 200)},
            r"shared must include 0 and not 200, which is the own base; got \(0, 200\)",
        ),
        ({"shared": (0, 201)}, r"shared must be at most 200; got \(0, 201\)"),
        ({"width": 6}, "width must be a multiple of 4; got 6"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence, tiny):
    config = Config(**tiny, rho=(0.8, 0.0), shared=(0, 100))
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(config, **change)


def test_golden_values(related, golden):
    golden(related)
