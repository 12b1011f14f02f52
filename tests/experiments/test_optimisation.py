"""Optimisation: neutral values give the protocol, and weight decays have their closed forms."""

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

from experiments.optimisation import PRESETS, REFERENCE, STUDY, Config
from toymodels import sweep
from toymodels.errors import UserError
from toymodels.networks.models import MLP, functional
from toymodels.study import plotting, results
from toymodels.sweep import RunOptions
from toymodels.training import protocol, tasks
from toymodels.training.config import follows
from toymodels.training.distillation import auxiliary_logits

TINY = Config(
    dataset="digits",
    seeds=2,
    optimiser=("adam",),
    rate=(1.0,),
    width=(16,),
    noise_images=256,
    teacher_epochs=(2,),
    student_epochs=2,
)


def tiny(**changes):
    return STUDY.run(dataclasses.replace(TINY, **changes), options=RunOptions(width=2))


@pytest.fixture(scope="module")
def plain():
    return tiny()


@pytest.fixture(scope="module")
def decayed():
    kinds, decays = ("adamw", "adam_l2"), (0.01, 0.02)
    return tiny(optimiser=kinds, weight_decay=decays, loss_scale=(1.0, 0.5))


def test_neutral_values_are_the_protocol(plain):
    """The reference is a program without rates, scales or parametrisations."""
    config, task, data = tasks.load(TINY.at(teacher_epochs=2), None)
    network = functional(lambda rngs: MLP((64, 16, 16, 13), rngs=rngs))
    parts, subset = protocol.reference_protocol(config, task, network), auxiliary_logits(10, 3)

    def student(data, lesson, start):
        init = parts.start(lesson, start)
        return parts.distil(init, lesson, subset, parts.watch(data, lesson, subset))[1]

    base, _ = sweep.grid(
        lambda: sweep.Program(parts.prepare, student),
        shared={"seed": [0, 1]},
        points={"start": [0, 1]},
        variables=tasks.TEACHER | tasks.STUDENT,
        data=data,
        options=RunOptions(width=2),
    )
    for name in ("accuracy", "loss", "teacher_accuracy", "teacher_loss"):
        np.testing.assert_allclose(plain[name], base[name], rtol=1e-4, err_msg=name)


def test_a_checkpoint_is_the_teacher_that_stopped_at_its_epoch(plain):
    """Each student of a checkpoint equals the student of a teacher trained to that epoch."""
    pair, single = tiny(teacher_epochs=(2, 1)), tiny(teacher_epochs=(1,))
    for epochs, expected in ((2, plain), (1, single)):
        for name in ("accuracy", "loss", "transfer"):
            checkpoint = pair[name].sel(teacher_epochs=epochs)
            np.testing.assert_allclose(
                checkpoint, expected[name], rtol=1e-4, atol=1e-6, err_msg=name
            )
    assert (abs(pair.loss.sel(teacher_epochs=1) - pair.loss.sel(teacher_epochs=2)) > 1e-5).any()


def test_decoupled_decay_does_not_depend_on_the_scale_of_the_loss_and_l2_does(decayed):
    """Adam normalises the gradient: L2 at half the loss equals twice the L2 at the full loss."""

    def curve(kind, decay, scale):
        return decayed.loss.sel(optimiser=kind, weight_decay=decay, loss_scale=scale)

    decoupled = curve("adamw", 0.01, 1.0), curve("adamw", 0.01, 0.5)
    np.testing.assert_allclose(*decoupled, rtol=1e-3)
    np.testing.assert_allclose(curve("adam_l2", 0.02, 1.0), curve("adam_l2", 0.01, 0.5), rtol=1e-3)
    full, half = (
        curve("adam_l2", 0.01, scale).sel(start="shared").isel(epoch=-1) for scale in (1.0, 0.5)
    )
    assert (abs(full - half) > 1e-2 * full).all()


def test_one_batch_of_the_whole_set_a_step_is_not_the_protocols_batches(plain):
    """Steps held fixed: 4 an epoch at batch 64, 4 at batch 256, which sees 4 times the images."""
    batches = tiny(student_batch=(64, 256), init_scale=(1.0, 0.5))
    plotting.render(STUDY.figure(batches))
    half, full = (batches.sel(init_scale=scale).loss for scale in (0.5, 1.0))
    for batch in (64, 256):
        first = full.sel(student_batch=batch).isel(epoch=0)
        np.testing.assert_allclose(first, plain.loss.isel(epoch=0), rtol=1e-4)
    assert (half.isel(epoch=0).sel(start="other") < full.isel(epoch=0).sel(start="other")).all()
    # As many steps as the protocol's go about as far, whatever the batch.
    end, expected = (
        loss.sel(start="other").isel(epoch=-1).mean("seed") for loss in (full, plain.loss)
    )
    np.testing.assert_allclose(end, [float(expected)] * 2, rtol=0.2)


def test_parametrisations_meet_at_the_base_width(plain):
    equivalent = tiny(parametrisation=("standard", "ntk", "mup"), base_width=16)
    np.testing.assert_array_equal(equivalent.loss.sel(parametrisation="standard"), plain.loss)
    np.testing.assert_array_equal(equivalent.loss.sel(parametrisation="mup"), plain.loss)
    first = equivalent.loss.isel(epoch=0)
    np.testing.assert_allclose(
        first.sel(parametrisation="ntk"), first.sel(parametrisation="standard"), rtol=0.02
    )
    smaller = tiny(parametrisation=("mup",), base_width=4)
    assert (smaller.loss.isel(epoch=0) < plain.loss.isel(epoch=0)).all()


def test_the_rate_is_selected_by_imitation_and_reported_with_its_transfer(plain):
    """The lower transfer is reported where the imitation loss is smaller."""
    two = xr.concat([plain, plain], xr.Variable("rate", [1.0, 3.0]), data_vars="all")
    two = two.assign(
        loss=two.loss * xr.DataArray([1.0, 0.5], dims="rate"),
        transfer=two.transfer * 0 + xr.DataArray([0.9, 0.1], dims="rate"),
    )
    (finding,) = STUDY.findings(two.transpose("seed", ...))
    assert finding.quantity.startswith("Transfer")
    assert (finding.at, finding.verdict) == ("rate = 3", "above zero")
    assert str(finding.estimate).startswith("0.100")
    assert STUDY.findings(plain)[0].quantity.startswith("Transfer")


def test_findings_and_figures_of_every_kind_of_axis(decayed):
    table = json.loads(decayed.attrs["findings_table"])
    assert list(dict.fromkeys(row["quantity"] for row in table)) == [
        "Transfer at the learning rate of the smallest imitation loss",
        "Test accuracy at weight_decay = 0.02 less that at 0.01",
        "Test accuracy at loss_scale = 1 less that at 0.5",
        "Test accuracy of adamw less that of adam_l2",
    ]
    plotting.render(STUDY.figure(decayed))
    metrics = results.metrics(decayed)
    assert "transfer[optimiser=adamw, weight_decay=0.01, loss_scale=1.0]" in metrics


def test_published_points_stand_beside_their_own_protocol_alone():
    def config(preset):
        return json.loads(json.dumps(dataclasses.asdict(PRESETS[preset])))

    assert follows(config("paper"), REFERENCE)
    assert follows(config("paper_teacher"), REFERENCE)
    assert not any(follows(config(name), REFERENCE) for name in PRESETS if "paper" not in name)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rate": (1.0, 0.0)}, "rate must be a positive finite number; got .*"),
        ({"rate": (1.0, 1.0)}, "rate must have one value at least, and none twice; got .*"),
        ({"optimiser": ("adagrad",)}, "optimiser must be one of sgd, .*; got 'adagrad'"),
        (
            {"weight_decay": (0.1,)},
            "weight_decay must be 0 but for adamw, adam_l2; got it for adam",
        ),
        (
            {"parametrisation": ("mup",), "optimiser": ("sgd",)},
            "parametrisation must be standard for sgd, momentum; got sgd",
        ),
        ({"student_batch": (-1,)}, "student_batch must be at least 0; got .*"),
        ({"teacher_epochs": (0,)}, "teacher_epochs must be at least 1; got .*"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(plain, golden):
    golden(plain)
