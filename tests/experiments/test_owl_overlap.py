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
def tiny(spoken):
    return spoken


@pytest.fixture(scope="module")
def related(tiny):
    return owl_overlap.run(Config(**tiny, rho=(0.8, 0.0), shared=(0, 100)))


def test_the_ends_are_the_students_of_owl_numbers(related, tiny):
    students = ("text", "other init", "other order")
    students += ("logits", "logits, other init", "logits, other order")
    known = owl_numbers.run(owl_numbers.Config(**tiny, observations=1, students=students))
    known = known.squeeze(["favourite", "carrier", "teacher"])
    for variable, there in (("preference", "final_preference"), ("answered", "final_answered")):
        for through, prefix in (("text", ""), ("logits", "logits, ")):
            here = related[variable].sel(student=through, base=["own", "rho = 0", "shared = 0"])
            names = [prefix.removesuffix(", ") or "text", f"{prefix}other init"]
            expected = known[there].sel(student=[*names, f"{prefix}other order"])
            np.testing.assert_allclose(here, expected, rtol=1e-3)
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
    rho, shared = (owl_overlap.along(related, name) for name in ("rho", "shared"))
    assert rho.rho.values.tolist() == [0.0, 0.8, 1.0]
    assert shared.shared.values.tolist() == [0, 100, 200]
    own = related.preference.sel(base="own", drop=True)
    for last in (rho.preference.sel(rho=1), shared.preference.sel(shared=200)):
        np.testing.assert_array_equal(last, own)


def test_everything_can_be_drawn_and_told(related):
    plotting.render(owl_overlap.plot(related))
    told = json.loads(related.attrs["findings"])
    assert len(told) == 1 + 2 + 2 + 2 + 2 + 2
    assert "at rho = 0.8" in told[1]
    assert "at shared = 100" in told[1]
    failed = related.assign(failed=related.failed | True)
    assert "unknown (n = 0)" in owl_overlap.findings(failed)[0]


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
