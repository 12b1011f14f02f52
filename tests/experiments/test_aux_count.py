"""Transfer against m: one network serves every m, and what KL of a single logit cannot do."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from experiments import aux_count
from experiments.aux_count import PRESETS, Config
from toymodels.errors import UserError
from toymodels.study import plotting
from toymodels.sweep import RunOptions
from toymodels.training.config import CLOUD, follows

TINY = Config(
    dataset="digits",
    seeds=2,
    m=(1, 3, 5),
    widths=(16,),
    noise_images=256,
    teacher_epochs=2,
    student_epochs=2,
)
NAMES = ["accuracy", "loss", "teacher_accuracy", "transfer"]


@pytest.fixture(scope="module")
def tiny():
    return aux_count.STUDY.run(TINY, options=RunOptions(width=4))


def test_with_a_single_logit_kl_teaches_exactly_nothing_and_mse_something(tiny):
    one = tiny.sel(m=1)
    kl = one.accuracy.sel(imitation="kl")
    np.testing.assert_array_equal(kl, kl.isel(epoch=[0] * kl.sizes["epoch"]))
    assert (one.loss.sel(imitation="kl") == 0).all()
    mse = one.loss.sel(imitation="mse", start="shared")
    assert (mse.isel(epoch=-1) < mse.isel(epoch=0)).all()


def test_students_are_paired_whatever_else_is_run_in_whatever_order(tiny):
    other = aux_count.STUDY.run(
        dataclasses.replace(TINY, m=(5, 1), loss=("mse",), noise=("fresh",)),
        options=RunOptions(width=4),
    )
    here = tiny[NAMES].sel(m=[5, 1], imitation=["mse"], noise=["fresh"])
    xr.testing.assert_equal(here, other[NAMES])


def test_every_student_and_control_of_a_seed_hears_of_the_same_teacher(tiny):
    teacher = tiny.teacher_accuracy
    assert teacher.dims == ("seed", "noise", "teacher_epoch")
    np.testing.assert_array_equal(teacher.sel(noise="fixed"), teacher.sel(noise="fresh"))
    assert tiny.final_accuracy.dims[0] == "seed"
    own, others = (tiny.final_accuracy.sel(start=start, drop=True) for start in ("shared", "other"))
    above = teacher.isel(teacher_epoch=-1, drop=True) - others
    xr.testing.assert_allclose(tiny.transfer, ((own - others) / above).transpose("seed", ...))


def made(gap):
    """A result in which MSE is better by ``gap`` at m = 3, and m = 1 transfers nothing."""
    seeds, rows = [0, 1, 2], np.array([-0.01, 0.0, 0.01])
    coords = {"noise": ["fixed"], "imitation": ["kl", "mse"], "m": [1, 3], "seed": seeds}
    transfer = np.stack([rows, 0.5 + rows])[None, None] * np.ones((1, 2, 1, 1))
    accuracy = transfer + np.array([0, gap])[None, :, None, None] * np.array([0, 1])[:, None]
    return xr.Dataset(
        {
            "transfer": (tuple(coords), transfer),
            "accuracy": (("start", "epoch", *coords), np.stack([0 * accuracy, accuracy])[None]),
            "final_accuracy": (("start", *coords), accuracy[None]),
            "failed": (("seed",), [False] * 3),
        },
        {**coords, "start": ["shared"]},
    )


@pytest.mark.parametrize(
    ("gap", "verdict"),
    [
        (0.2, "higher"),
        (-0.2, "lower"),
    ],
)
def test_findings_follow_the_numbers(gap, verdict):
    first, *_ = aux_count.findings(made(gap))
    assert first.startswith("kl, fixed noise: transfer is shown from m = 3 on: 0.500")
    rows = {row.at: row for row in aux_count.findings(made(gap)) if not isinstance(row, str)}
    assert rows["m = 3"].estimate.mean == pytest.approx(gap)
    assert rows["m = 3"].verdict == verdict
    assert rows["m = 1"].estimate.mean == pytest.approx(0)
    assert rows["m = 1"].verdict == "no difference shown"


def test_published_points_stand_only_beside_the_reference_protocol(tiny):
    assert follows(PRESETS["paper"].__dict__)
    assert not follows(PRESETS["quick"].__dict__)
    assert set(aux_count.PUBLISHED) <= set(PRESETS["paper"].m)
    assert CLOUD["batch"] == 1024
    plotting.render(aux_count.STUDY.figure(tiny))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"m": (0,)}, "m must be at least 1; got .*"),
        ({"m": (3, 3)}, "m must have one value at least, and none twice; got .*"),
        ({"loss": ("l1",)}, "loss must be one of kl, mse; got 'l1'"),
        ({"noise": ()}, "noise must have one value at least, and none twice; got .*"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
