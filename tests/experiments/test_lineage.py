"""Lineage and the predictors: what must hold exactly before anything is learnt, and after."""

import dataclasses
import json

import numpy as np
import pytest

from experiments import lineage, predictors
from toymodels.errors import UserError
from toymodels.study import plotting

SMALL = {"dataset": "digits", "seeds": 2, "teacher_epochs": 2, "student_epochs": 2}
TINY = lineage.Config(
    **SMALL, noise_images=512, teachers=3, m=(1, 30), rho=(1.0, 0.0), width=(16,), queries=(1, 30)
)
FORETOLD = predictors.Config(
    **SMALL,
    noise_images=256,
    m=(1, 20),
    rho=(1.0, 0.9, 0.0),
    images=(10, 256),
    widths=(16,),
    rows=256,
)


@pytest.fixture(scope="module")
def traced():
    return lineage.run(TINY)


@pytest.fixture(scope="module")
def foretold():
    return predictors.run(FORETOLD)


def test_a_start_common_to_all_candidates_points_to_none(traced):
    """In exactly one of N: a student of siblings, and one from an unrelated init."""
    before = traced.identified.isel(width=0).sel(moment="before")
    np.testing.assert_allclose(before.sel(family="siblings"), 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(before.sel(rho=0), 1 / 3, rtol=1e-6)
    own = before.sel(family="inits", rho=1)
    np.testing.assert_array_equal(own.sel(by=["weights", "distance"]), 1)


def test_one_logit_in_kl_teaches_nothing_to_trace(traced):
    score = traced.score.sel(m=1)
    np.testing.assert_allclose(score.sel(moment="after"), score.sel(moment="before"), atol=1e-6)
    readable = traced.readable.sel(m=1)
    np.testing.assert_allclose(readable.sel(moment="after"), readable.sel(moment="before"))


def test_candidates_differ_in_what_their_family_says(traced):
    start = traced.teacher_accuracy.isel(width=0, teacher_epoch=0)
    spread = start.max("candidate") - start.min("candidate")
    assert (spread.sel(family="siblings") == 0).all()
    assert (spread.sel(family="inits") > 0).all()
    end = traced.teacher_accuracy.isel(width=0, teacher_epoch=-1)
    assert float(end.std("candidate").min()) > 0
    # The first candidate of both has the same init, images and order.
    first = traced.teacher_accuracy.sel(candidate=0)
    np.testing.assert_array_equal(first.sel(family="inits"), first.sel(family="siblings"))


def test_with_many_logits_the_imitated_ones_tell_and_all_of_it_can_be_drawn(traced):
    after = traced.identified.isel(width=0).sel(moment="after", queries=30, m=30)
    aux = after.sel(by="aux on noise", rho=1)
    assert (aux.sel(family="inits") == 1).all()
    assert aux.sel(family="siblings").mean() > 0.5
    told = json.loads(traced.attrs["findings"])
    (nothing,) = (line for line in told if line.startswith("siblings, before"))
    assert "better than chance (0.333) by no probe; not shown by weights 0.333 (" in nothing
    (number,) = (line for line in told if line.startswith("inits, m at which"))
    assert "aux on noise: 30;" in number
    plotting.render(lineage.plot(traced))


def test_coverage_needs_two_logits_in_kl_and_the_shared_start(foretold):
    assert (foretold.coverage.sel(m=1) == 0).all()
    still = foretold.accuracy.sel(m=1)
    np.testing.assert_array_equal(still, still.isel(epoch=[0] * still.sizes["epoch"]))
    share = foretold.coverage.sel(m=20)
    assert (share.sel(rho=1) > share.sel(rho=0)).all()
    assert (share.sel(rho=1) > 0).all()


def test_the_control_is_no_point_and_drift_is_the_teachers_alone(foretold):
    assert (foretold.transfer.sel(rho=0) == 0).all()
    drift = foretold.drift
    np.testing.assert_array_equal(drift, drift.isel(m=[0, 0], rho=[0] * 3, images=[0, 0]))
    rates = drift.isel(m=0, rho=0, images=0)
    assert (rates.sel(teacher_rate=1e-3) > rates.sel(teacher_rate=3e-4)).all()
    assert ((foretold.visibility > 0) & (foretold.visibility < 1)).all()
    np.testing.assert_allclose(foretold.visible_drift, drift * foretold.visibility, rtol=1e-5)
    known = foretold.rank_correlation
    assert (abs(known.where(known.notnull(), 0)) <= 1).all()
    plotting.render(predictors.plot(foretold))


@pytest.mark.parametrize(
    ("config", "change", "sentence"),
    [
        (TINY, {"teachers": 1}, "teachers must be at least 2; got 1"),
        (TINY, {"noise": "fresh"}, "noise must be fixed, .*; got 'fresh'"),
        (
            TINY,
            {"families": ("cousins",)},
            "families must be one of inits, siblings; got 'cousins'",
        ),
        (TINY, {"queries": (0,)}, "queries must be at least 1; got .*"),
        (FORETOLD, {"rho": (1.0, 0.5)}, "rho must include 1 .* and 0 .*; got .*"),
        (FORETOLD, {"images": (512,)}, "images must be at most 256; got .*"),
        (FORETOLD, {"teacher_rate": (0.0,)}, "teacher_rate must be a positive finite number; .*"),
        (FORETOLD, {"noise": "fresh"}, "noise must be fixed, .*; got 'fresh'"),
    ],
)
def test_bad_config_is_one_sentence(config, change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(config, **change)


def test_golden_values(traced, foretold, golden):
    golden(traced)
    golden(foretold)
