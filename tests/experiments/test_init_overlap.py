"""Transfer against initialisation overlap: its ends are known students, and seeds are paired."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import xarray as xr
from scipy import stats

from experiments import init_overlap, mnist_aux
from experiments.init_overlap import GROUPS, PRESETS, Config
from toymodels import sweep
from toymodels.errors import UserError
from toymodels.networks.models import MLP, functional
from toymodels.study import plotting, results
from toymodels.sweep import RunOptions
from toymodels.training import protocol, tasks
from toymodels.training.distillation import auxiliary_logits

TINY = Config(
    dataset="digits",
    seeds=2,
    width=(16,),
    rho=(1.0, 0.9, 0.0),
    noise_images=256,
    teacher_epochs=2,
    student_epochs=2,
)
QUICK = dataclasses.replace(
    PRESETS["quick"], dataset="digits", seeds=3, groups=("all",), rho=(1.0, 0.97, 0.9, 0.65, 0.0)
)


@pytest.fixture(scope="module")
def tiny():
    return init_overlap.STUDY.run(TINY, options=RunOptions(width=3))


@pytest.fixture(scope="module")
def quick():
    return init_overlap.STUDY.run(QUICK)


def test_full_overlap_is_the_student_with_the_teachers_init_to_the_bit(tiny):
    """Whatever the group: the same bits as a student that never heard of rotations."""
    config, task, data = tasks.load(TINY, None)
    network = functional(lambda rngs: MLP((64, 16, 16, 13), rngs=rngs))
    parts, subset = protocol.reference_protocol(config, task, network), auxiliary_logits(10, 3)

    def student(data, begun, copy):
        return parts.distil(begun.reference, begun, subset, parts.watch(data, begun, subset))[1]

    shared, _ = sweep.grid(
        lambda: sweep.Program(parts.prepare, student),
        shared={"seed": [0, 1]},
        points={"copy": [0, 1, 2]},
        variables=tasks.TEACHER | tasks.STUDENT,
        data=data,
        options=RunOptions(width=3),
    )
    at_one = tiny.isel(m=0, width=0).sel(rho=1)
    for name in ("accuracy", "loss"):
        for group in GROUPS:
            np.testing.assert_array_equal(
                at_one[name].sel(group=group), shared[name].sel(copy=0), err_msg=group
            )


def test_every_measured_overlap_is_the_one_asked_for(tiny):
    start = tiny.isel(m=0, width=0)
    inside = {
        "all": ["hidden1", "hidden2", "class_head", "aux_head"],
        "hidden": ["hidden1", "hidden2"],
        **{group: [group] for group in GROUPS[2:]},
    }
    for group, rotated in inside.items():
        for part in inside["all"]:
            expected = start.rho if part in rotated else xr.ones_like(start.rho)
            got = start.overlap.sel(group=group, part=part).transpose("rho", "seed")
            n = {"hidden1": 1024, "hidden2": 256, "class_head": 160, "aux_head": 48}[part]
            assert (abs(got - expected) < 4 / np.sqrt(n)).all(), (group, part)
    assert (start.aux_agreement.sel(rho=1) > 0.99999).all()
    assert (start.latent_cka.sel(rho=1) > 0.99999).all()


def test_students_of_a_seed_are_paired_and_seeds_stand_alone(tiny):
    """One seed and fewer overlaps change no value: nothing is drawn in their order."""
    alone = init_overlap.STUDY.run(
        dataclasses.replace(TINY, seeds=1, first_seed=1, rho=(0.0, 1.0)),
        options=RunOptions(width=3),
    )
    names = ["accuracy", "loss", "overlap", "transfer", "teacher_accuracy"]
    xr.testing.assert_equal(tiny[names].sel(seed=[1], rho=[0.0, 1.0]), alone[names])


def test_transfer_falls_with_the_overlap(quick):
    mean = quick.transfer.isel(m=0, width=0).sel(group="all").mean("seed")
    assert mean.sel(rho=1) > 0.3
    assert (mean.diff("rho") < 0).all() or abs(float(mean.sel(rho=0.65))) < 0.1
    assert mean.sel(rho=1) > mean.sel(rho=0.9) + 0.1
    assert abs(mean.sel(rho=0.65)) < 0.1
    (half,) = quick.rho_50.mean("seed").values.ravel()
    assert 0.85 < half < 0.99


def test_no_overlap_is_the_cross_model_control_in_distribution(quick):
    """The smaller form of the slow test."""
    control = mnist_aux.STUDY.run(mnist_aux.Config(dataset="digits", seeds=3))
    ours = quick.accuracy.isel(m=0, width=0, epoch=-1).sel(group="all", rho=0).values
    theirs = control.final_accuracy.sel(model="cross_aux").values
    assert stats.ttest_ind(ours, theirs, equal_var=False).pvalue > 0.01


@pytest.mark.slow
def test_no_overlap_is_the_cross_model_control_in_distribution_of_many_seeds():
    ours = init_overlap.STUDY.run(dataclasses.replace(QUICK, seeds=40, rho=(1.0, 0.0)))
    control = mnist_aux.STUDY.run(mnist_aux.Config(dataset="digits", seeds=40, first_seed=100))
    theirs = control.final_accuracy.sel(model="cross_aux").values
    at_zero = ours.accuracy.isel(m=0, width=0, epoch=-1).sel(group="all", rho=0).values
    assert stats.ks_2samp(at_zero, theirs).pvalue > 0.01


@pytest.mark.thorough
def test_shapes_are_axes_and_everything_can_be_drawn():
    config = dataclasses.replace(TINY, m=(3, 1), width=(8, 16), groups=("all", "biases"))
    dataset = init_overlap.STUDY.run(config)
    assert dataset.sizes["m"] == dataset.sizes["width"] == 2
    assert dataset.m.values.tolist() == [3, 1]
    # With m = 1 the KL loss teaches nothing at all; zero biases are rotated into zero biases.
    one = dataset.accuracy.sel(m=1)
    np.testing.assert_array_equal(one, one.isel(epoch=[0] * one.sizes["epoch"]))
    biases = dataset.accuracy.sel(group="biases")
    np.testing.assert_allclose(biases, biases.sel(rho=[1.0] * 3), atol=0.05)
    plotting.render(init_overlap.STUDY.figure(dataset))
    metrics = results.metrics(dataset)
    assert "rho_50[m=3, width=8, group=all]" in metrics
    assert metrics["transfer[m=3, width=8, group=all, rho=0.0]"]["mean"] == 0
    assert "NaN" not in json.dumps(metrics, allow_nan=False)


def test_each_preset_is_a_config_that_holds_both_ends():
    for preset in PRESETS.values():
        assert {0.0, 1.0} <= set(preset.rho)
    assert len(PRESETS["paper"].rho) == 21
    assert jax.numpy.float32(1.0) in PRESETS["paper"].rho


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rho": (1.0, 0.5)}, "rho must include 1 .* and 0 .*; got .*"),
        ({"rho": (1.0, 0.0, 1.5)}, "rho must be at most 1; got .*"),
        ({"rho": (1.0, 0.0, 0.0)}, "rho must have one value at least, and none twice; got .*"),
        ({"groups": ("hidden",)}, "groups must include all, .*; got .*"),
        ({"groups": ("all", "hidden3")}, "groups must include all, .*; got .*"),
        ({"m": ()}, "m must have one value at least, .*"),
        ({"width": (0,)}, "width must be at least 1; got .*"),
        ({"depth": 0}, "depth must be at least 1; got 0"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
