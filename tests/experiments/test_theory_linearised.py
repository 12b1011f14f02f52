"""Predicted beside trained students: exact where it must be; findings follow the numbers."""

import numpy as np
import pytest
import xarray as xr

from experiments import theory_linearised
from experiments.theory_linearised import TIMES, Config, analyse, findings
from toymodels.errors import UserError
from toymodels.study import plotting, results

TINY = Config(
    dataset="digits",
    seeds=2,
    m=8,
    width=(16,),
    teacher_lr=(0.1, 1e-3),
    train_images=512,
    teacher_epochs=2,
    noise_images=64,
    batch=64,
    student_epochs=64,
    krylov=32,
)


@pytest.fixture(scope="module")
def tiny():
    return theory_linearised.STUDY.run(TINY)


def test_before_training_there_is_no_discrepancy(tiny):
    first = tiny.isel(time=0)
    assert (first.moved == 0).all()
    np.testing.assert_allclose(first.off, 0, atol=1e-6)
    assert (first.agreement == 1).all()


def test_with_a_shared_init_theory_becomes_exact_as_the_teacher_moves_less(tiny):
    """A hundredth of its rate leaves little of the discrepancy; another init has no such limit."""
    shared, other = (
        tiny.discrepancy.sel(start=start, teacher_lr=1e-3) for start in ("shared", "other")
    )
    assert (shared < 0.2 * tiny.discrepancy.sel(start="shared", teacher_lr=0.1)).all()
    assert (shared < 0.1).all()
    assert (other > 2 * shared).all()


def invent(discrepancy):
    """A result whose discrepancy is ``discrepancy(width, teacher_lr, student_lr)``, and a little of
    its own by seed."""
    axes = {
        "seed": [0, 1, 2],
        "width": [64, 16],
        "student_lr": [1.0, 0.5],
        "teacher_lr": [0.1, 0.01],
        "start": ["shared", "other"],
        "time": [0.0, 1.0, 2.0],
    }
    shape = [len(labels) for labels in axes.values()]
    ones = xr.DataArray(np.ones(shape), axes, list(axes))
    parts = (ones[name] for name in ("width", "teacher_lr", "student_lr"))
    off = discrepancy(*parts) * (1 + 0.001 * ones.seed) * ones
    values = {
        name: share * ones
        for name, share in (("accuracy", 0.6), ("predicted_accuracy", 0.5), ("agreement", 0.8))
    }
    dataset = xr.Dataset({**values, "off": off, "moved": ones})
    dataset["failed"] = dataset.off.isel(time=0, drop=True) < 0
    about = {"config": results.to_json({"m": 5}), "dataset": results.to_json({"name": "made"})}
    return analyse(dataset.assign_attrs(about))


def test_findings_follow_the_numbers():
    rows = findings(invent(lambda width, teacher, student: width**-0.5 * teacher))
    discrepancy, powers, accuracy, gap, agreement = (
        [row for row in rows if row.quantity.startswith(quantity)]
        for quantity in ("Discrepancy by", "Power of", "Final", "Predicted", "Share")
    )
    assert len(discrepancy) == 3 * 2 * 2
    assert len(powers) == 3 * 2
    assert len(accuracy) == len(gap) == len(agreement) == 2 * 2
    assert str(discrepancy[0]).startswith("Discrepancy by width, shared, width = 16: 0.025 (")
    assert ": -0.500 (-0.500 to -0.500, n = 3)" in str(powers[0])
    assert ": 1.000 (1.000 to 1.000, n = 3)" in str(powers[2])
    assert ": 0.000 (" in str(powers[4]).replace("-0.000 (", "0.000 (")
    assert ": 0.600 (0.600 to 0.600, n = 3)" in str(accuracy[0])
    assert ": -0.100" in str(gap[0])
    assert ": 0.800" in str(agreement[0])


def test_whatever_varies_can_be_drawn(tiny):
    plotting.render(theory_linearised.figure(tiny), kinds=("png",))
    whole = invent(lambda width, teacher, student: width**-0.5 * teacher)
    plotting.render(theory_linearised.figure(whole), kinds=("png",))
    alone = whole.isel(width=[0], teacher_lr=[0], student_lr=[0])
    plotting.render(theory_linearised.figure(alone), kinds=("png",))


def test_rates_come_to_the_same_time():
    config = TINY.at(student_lr=(1.0, 0.5))
    assert config.time == 64
    assert config.steps(1.0) == [2, 4, 8, 16, 32, 64]
    assert config.steps(0.5) == [4, 8, 16, 32, 64, 128]
    assert len(config.steps(1.0)) == TIMES


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"width": ()}, "width must have one value at least, and none twice; got .*"),
        ({"krylov": 0}, "krylov must be at least 1; got 0"),
        ({"student_lr": (0.0,)}, "student_lr must be a positive finite number; got .*"),
        ({"loss": "kl"}, "loss must be one of mse; got 'kl'"),
        ({"student_epochs": 31}, "student_epochs must come to at least 32 steps; got 31 of 1"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        TINY.at(**change)


def test_golden_values(tiny, golden):
    golden(tiny)
