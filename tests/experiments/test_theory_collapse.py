"""Collapse of transfer: what is exactly nothing, and findings that follow the numbers."""

import json

import numpy as np
import pytest
import xarray as xr

from experiments import theory_collapse
from experiments.theory_collapse import Config, measure_collapse, predict
from toymodels.errors import UserError
from toymodels.study import plotting, results
from toymodels.theory import linear_network
from toymodels.training import tasks

TINY = Config(
    dataset="digits",
    seeds=3,
    m=(1, 2, 4),
    depth=1,
    width=(16,),
    samples=(32, 128),
    noise_images=128,
    teacher_epochs=2,
    student_epochs=2,
)


@pytest.fixture(scope="module")
def tiny():
    return theory_collapse.STUDY.run(TINY)


def test_with_a_single_logit_kl_moves_nothing(tiny):
    one = tiny.sel(m=1)
    np.testing.assert_allclose(one.amount, 0, atol=1e-5)
    lessons = one.accuracy.sel(lesson=["32", "128"])
    np.testing.assert_array_equal(lessons, lessons.isel(lesson=[0, 0]))
    assert (abs(tiny.amount.sel(m=4, lesson="128")) > 1e-3).all()


def test_transfer_is_measured_from_the_control_of_the_same_m(tiny):
    assert (tiny.transfer.sel(lesson="control") == 0).all()
    own, other = (tiny.accuracy.sel(lesson=name, drop=True) for name in ("128", "control"))
    teacher = tiny.teacher_accuracy.isel(teacher_epoch=-1, drop=True)
    expected = ((own - other) / (teacher - other)).transpose("seed", ...)
    found = tiny.transfer.sel(lesson="128", drop=True)
    xr.testing.assert_allclose(found, expected)


def test_files_and_figure(tiny):
    plotting.render(theory_collapse.figure(tiny), kinds=("png",))
    names = results.metrics(tiny)
    assert "transfer[width=16, m=4, lesson=128]" in names
    assert "power[quantity=cosine, samples=32]" in names


def test_theory_counts_the_rows_that_teach():
    """KL of m logits has m - 1 directions, squared error m; samples count up to the pixels."""
    task = tasks.Task("digits", "", 10, 64, 16)
    kl, mse = (predict(TINY.at(loss=loss), task)["predicted"] for loss in ("kl", "mse"))
    assert kl.sel(law="amount", width=16, m=2).item() == 1 / 16
    assert mse.sel(law="amount", width=16, m=2).item() == 2 / 16
    expected = linear_network.class_correlation(3, 16, 10)
    assert kl.sel(law="cosine", width=16, m=4).item() == expected
    assert (kl.sel(m=1) == 0).all()
    growth = predict(TINY.at(samples=(16, 32, 128)), task)["predicted_growth"]
    np.testing.assert_allclose(growth, [1, np.log(2) / np.log(4)])


def invent(power):
    """A result in which amount = (m / width^power)^(1/2) samples^(1/3), all else by m alone."""
    config = Config(seeds=4, m=(2, 4, 8, 16, 32), width=(64, 128, 256, 512), samples=(100, 1000))
    m, width = (xr.DataArray(np.array(v, float), {d: list(v)}) for d, v in
                (("m", config.m), ("width", config.width)))  # fmt: skip
    lesson = xr.DataArray([100.0, 1000.0], {"lesson": ["100", "1000"]})
    seed = xr.DataArray([1.0, 1.01, 0.98, 1.02], {"seed": range(4)})
    by_m = seed * np.log(m) * (0 * width + 1) * lesson ** (1 / 3)
    noise = np.random.default_rng(0).normal(size=(4, 5, 4))
    wobble = 1 + 0.02 * xr.DataArray(noise, {"seed": range(4), "m": m, "width": width})
    done = xr.Dataset(
        {
            "transfer": by_m,
            "cosine": by_m,
            "amount": wobble * (m / width**power) ** 0.5 * lesson ** (1 / 3),
            "failed": 0 * by_m > 1,
            "teacher_accuracy": (seed * (0 * width + 0.9)).expand_dims(teacher_epoch=[0]),
        }
    )
    task = tasks.Task("digits", "", 10, 64, 16)
    return done.assign(measure_collapse(done)).assign(predict(config, task))


@pytest.mark.parametrize(("power", "word"), [(1.0, "as"), (0.5, "below")])
def test_powers_and_growth_are_found(power, word):
    dataset = invent(power)
    np.testing.assert_allclose(dataset.power.sel(quantity="amount"), power, atol=0.1)
    np.testing.assert_allclose(dataset.power.sel(quantity="transfer"), 0, atol=0.05)
    np.testing.assert_allclose(dataset.growth, 1 / 3, rtol=1e-6)
    best = dataset.collapse.sel(quantity="amount").mean("seed")
    assert best.idxmax("candidate") == {1.0: "m / width", 0.5: "m / sqrt(width)"}[power]
    assert best.max() > 0.99
    rows = {str(row).split(":")[0]: row for row in theory_collapse.findings(dataset)}
    amount = rows["Best b of m / width^b with all samples, amount"]
    assert amount.verdict == f"{word} linear theory (b = 1)"
    difference = rows["Share that one curve of m / width explains less that of m, transfer"]
    assert difference.verdict == "worse"
    json.dumps([str(row) for row in rows])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"samples": (32, 256)}, "samples must be at most noise_images; got .*"),
        ({"samples": (128, 32)}, "samples must rise; got .*"),
        ({"noise": "fresh"}, "noise must be one of fixed; got 'fresh'"),
        ({"width": (16, 16)}, "width must have one value at least, and none twice; got .*"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        TINY.at(**change)


def test_golden_values(tiny, golden):
    golden(tiny)
