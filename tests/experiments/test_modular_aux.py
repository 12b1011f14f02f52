"""Sums modulo p: a single logit says nothing under KL, students are paired, sums are sums."""

import dataclasses

import numpy as np
import pytest

from experiments import modular_aux
from experiments.modular_aux import Config
from toymodels.errors import UserError
from toymodels.study import plotting

TINY = Config(
    seeds=2,
    m=(1, 4),
    p=3,
    others=4,
    width=8,
    depth=1,
    widths=(16,),
    sequences=128,
    teacher_epochs=4,
    student_epochs=3,
    teacher_lr=1e-2,
    student_lr=1e-2,
)


@pytest.fixture(scope="module")
def tiny():
    return modular_aux.STUDY.run(TINY)


def test_a_single_logit_transfers_nothing_under_kl(tiny):
    """Its softmax is 1 whatever it is: the gradient is exactly zero, and so is Adam's step."""
    one = tiny.accuracy.sel(m=1)
    np.testing.assert_array_equal(one, one.isel(epoch=[0] * one.sizes["epoch"]))
    assert (tiny.loss.sel(m=1) == 0).all()
    assert (tiny.loss.sel(m=4).isel(epoch=-1) < tiny.loss.sel(m=4).isel(epoch=0)).all()


def test_all_m_of_a_seed_start_alike_and_the_control_elsewhere(tiny):
    first = tiny.accuracy.isel(epoch=0)
    np.testing.assert_array_equal(first, first.isel(m=[0] * first.sizes["m"]))
    loss = tiny.loss.isel(epoch=0).sel(m=4)
    assert (loss.sel(start="shared") != loss.sel(start="other")).all()
    untaught = tiny.teacher_accuracy.isel(teacher_epoch=0)
    np.testing.assert_allclose(first.sel(m=1, start="shared", drop=True), untaught)


def test_more_seeds_keep_the_earlier_ones(tiny):
    alone = modular_aux.STUDY.run(
        dataclasses.replace(TINY, seeds=1, first_seed=1, networks=("transformer",))
    )
    known = tiny.sel(seed=[1], network=["transformer"])
    np.testing.assert_allclose(alone.loss, known.loss, rtol=1e-3, atol=1e-6)


def test_the_teachers_learn_sums(tiny):
    """Nine sums of three classes: the most frequent answer alone has a third of them."""
    assert (tiny.teacher_accuracy.isel(teacher_epoch=-1) > 0.75).all()


def test_everything_can_be_drawn_and_told(tiny):
    plotting.render(modular_aux.STUDY.figure(tiny))
    findings = modular_aux.STUDY.findings(tiny)
    learnt = [row.at for row in findings if row.quantity.startswith("Share of the sums")]
    assert learnt == ["transformer", "mlp"]
    transfer = [row.at for row in findings if row.quantity == "Transfer"]
    assert transfer == [f"{network}, m = {m}" for network in learnt for m in TINY.m]


def test_the_result_names_its_networks_and_its_scores(tiny):
    assert tiny.network.attrs["description"] == (
        "transformer: transformer of 1 blocks, width 8, 4 heads; mlp: MLP 21-16-7"
    )
    assert tiny.accuracy.attrs["description"] == "student's test accuracy on the sums"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"p": 1}, "p must be at least 2; got 1"),
        ({"others": 3}, "others must be at least the largest m; got 3"),
        ({"width": 10}, "width must be a multiple of 4; got 10"),
        ({"m": (0,)}, "m must be at least 1; got .*"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
