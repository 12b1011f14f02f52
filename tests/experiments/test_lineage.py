"""Lineage: what must hold exactly before distillation, and after it."""

import dataclasses
import json

import numpy as np
import pytest

from experiments.lineage import STUDY, Config
from toymodels.errors import UserError
from toymodels.study import plotting

TINY = Config(
    dataset="digits",
    seeds=2,
    teacher_epochs=2,
    student_epochs=2,
    noise_images=512,
    teachers=3,
    m=(1, 30),
    rho=(1.0, 0.0),
    width=(16,),
    queries=(1, 30),
)


@pytest.fixture(scope="module")
def tiny():
    return STUDY.run(TINY)


def test_a_start_common_to_all_candidates_points_to_none(tiny):
    """Exactly 1 in N: a student of siblings, and a student from an independent initialisation."""
    before = tiny.identified.isel(width=0).sel(moment="before")
    np.testing.assert_allclose(before.sel(family="siblings"), 1 / 3, rtol=1e-6)
    np.testing.assert_allclose(before.sel(rho=0), 1 / 3, rtol=1e-6)
    own = before.sel(family="inits", rho=1)
    np.testing.assert_array_equal(own.sel(by=["weights", "distance"]), 1)


def test_one_logit_in_kl_teaches_nothing_to_trace(tiny):
    score = tiny.score.sel(m=1)
    np.testing.assert_allclose(score.sel(moment="after"), score.sel(moment="before"), atol=1e-6)
    readable = tiny.readable.sel(m=1)
    np.testing.assert_allclose(readable.sel(moment="after"), readable.sel(moment="before"))


def test_candidates_differ_in_what_their_family_says(tiny):
    start = tiny.teacher_accuracy.isel(width=0, teacher_epoch=0)
    spread = start.max("candidate") - start.min("candidate")
    assert (spread.sel(family="siblings") == 0).all()
    assert (spread.sel(family="inits") > 0).all()
    end = tiny.teacher_accuracy.isel(width=0, teacher_epoch=-1)
    assert float(end.std("candidate").min()) > 0
    # The first candidate of both has the same init, images and order.
    first = tiny.teacher_accuracy.sel(candidate=0)
    np.testing.assert_array_equal(first.sel(family="inits"), first.sel(family="siblings"))


def test_with_many_logits_the_imitated_logits_identify_the_teacher(tiny):
    after = tiny.identified.isel(width=0).sel(moment="after", queries=30, m=30)
    aux = after.sel(by="aux on noise", rho=1)
    assert (aux.sel(family="inits") == 1).all()
    assert aux.sel(family="siblings").mean() > 0.5
    table = json.loads(tiny.attrs["findings_table"])
    before = [row for row in table if row["at"].startswith("siblings, before")]
    assert {row["verdict"] for row in before} == {"not shown to differ from chance"}
    assert "(chance 0.333)" in before[0]["quantity"]
    assert before[0]["at"].endswith("weights")
    assert before[0]["mean"] == pytest.approx(1 / 3, rel=1e-6)
    lines = json.loads(tiny.attrs["findings"])
    (number,) = (line for line in lines if line.startswith("inits, m at which"))
    assert "aux on noise: 30;" in number
    plotting.render(STUDY.figure(tiny))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"teachers": 1}, "teachers must be at least 2; got 1"),
        ({"train_images": 1}, "train_images must be at least 2; got 1"),
        ({"noise": "fresh"}, "noise must be one of fixed; got 'fresh'"),
        ({"families": ("cousins",)}, "families must be one of inits, siblings; got 'cousins'"),
        ({"queries": (0,)}, "queries must be at least 1; got .*"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
