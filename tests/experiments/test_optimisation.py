"""Optimisation: the neutral knob is the protocol, decays do what they say, choices are honest."""

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

from experiments import optimisation
from experiments.optimisation import PRESETS, REFERENCE, Config, findings
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
    return optimisation.run(dataclasses.replace(TINY, **changes), options=RunOptions(width=2))


@pytest.fixture(scope="module")
def plain():
    return tiny()


@pytest.fixture(scope="module")
def decayed():
    kinds, decays = ("adamw", "adam_l2"), (0.01, 0.02)
    return tiny(optimiser=kinds, weight_decay=decays, loss_scale=(1.0, 0.5))


def test_neutral_knobs_are_the_protocol(plain):
    """A program that never heard of rates, scales or parametrisations."""
    config, task, data = tasks.load(TINY.at(teacher_epochs=2), None)
    network = functional(lambda rngs: MLP((64, 16, 16, 13), rngs=rngs))
    parts, subset = protocol.reference_protocol(config, task, network), auxiliary_logits(10, 3)

    def student(data, begun, start):
        init = parts.start(begun, start)
        return parts.distil(init, begun, subset, parts.watch(data, begun, subset))[1]

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


def test_a_teacher_kept_at_an_epoch_is_the_teacher_that_stopped_there(plain):
    """Trained once to the largest: each student as if its teacher had been trained for it."""
    both, alone = tiny(teacher_epochs=(2, 1)), tiny(teacher_epochs=(1,))
    for epochs, other in ((2, plain), (1, alone)):
        for name in ("accuracy", "loss", "transfer"):
            here = both[name].sel(teacher_epochs=epochs)
            np.testing.assert_allclose(here, other[name], rtol=1e-4, atol=1e-6, err_msg=name)
    assert (abs(both.loss.sel(teacher_epochs=1) - both.loss.sel(teacher_epochs=2)) > 1e-5).any()


def test_decoupled_decay_is_blind_to_the_scale_of_the_loss_and_l2_is_not(decayed):
    """Adam sees gradient over its size: L2 of half the loss is twice the L2."""

    def curve(kind, decay, scale):
        return decayed.loss.sel(optimiser=kind, weight_decay=decay, loss_scale=scale)

    decoupled = curve("adamw", 0.01, 1.0), curve("adamw", 0.01, 0.5)
    np.testing.assert_allclose(*decoupled, rtol=1e-3)
    np.testing.assert_allclose(curve("adam_l2", 0.02, 1.0), curve("adam_l2", 0.01, 0.5), rtol=1e-3)
    one, other = (
        curve("adam_l2", 0.01, scale).sel(start="shared").isel(epoch=-1) for scale in (1.0, 0.5)
    )
    assert (abs(one - other) > 1e-2 * one).all()


def test_one_batch_of_the_whole_set_a_step_is_not_the_protocols_batches(plain):
    """Steps held fixed: 4 an epoch at batch 64, 4 at batch 256, which sees 4 times the images."""
    drawn = tiny(student_batch=(64, 256), init_scale=(1.0, 0.5))
    plotting.render(optimisation.plot(drawn))
    halved, whole = (drawn.sel(init_scale=scale).loss for scale in (0.5, 1.0))
    for batch in (64, 256):
        first = whole.sel(student_batch=batch).isel(epoch=0)
        np.testing.assert_allclose(first, plain.loss.isel(epoch=0), rtol=1e-4)
    assert (halved.isel(epoch=0).sel(start="other") < whole.isel(epoch=0).sel(start="other")).all()
    # As many steps as the protocol's go about as far, whatever the batch.
    end, expected = (
        loss.sel(start="other").isel(epoch=-1).mean("seed") for loss in (whole, plain.loss)
    )
    np.testing.assert_allclose(end, [float(expected)] * 2, rtol=0.2)


def test_parametrisations_meet_at_the_base_width(plain):
    same = tiny(parametrisation=("standard", "ntk", "mup"), base_width=16)
    np.testing.assert_array_equal(same.loss.sel(parametrisation="standard"), plain.loss)
    np.testing.assert_array_equal(same.loss.sel(parametrisation="mup"), plain.loss)
    first = same.loss.isel(epoch=0)
    np.testing.assert_allclose(
        first.sel(parametrisation="ntk"), first.sel(parametrisation="standard"), rtol=0.02
    )
    away = tiny(parametrisation=("mup",), base_width=4)
    assert (away.loss.isel(epoch=0) < plain.loss.isel(epoch=0)).all()


def test_the_rate_is_chosen_by_imitation_and_told_with_its_transfer(plain):
    """The worse accuracy is told where its imitation is better."""
    two = xr.concat([plain, plain], xr.Variable("rate", [1.0, 3.0]), data_vars="all")
    two = two.assign(
        loss=two.loss * xr.DataArray([1.0, 0.5], dims="rate"),
        transfer=two.transfer * 0 + xr.DataArray([0.9, 0.1], dims="rate"),
    )
    (sentence,) = findings(two.transpose("seed", ...))
    assert sentence.startswith("Transfer: above zero at rate = 3 0.100")
    assert findings(plain)[0].startswith("Transfer: ")


def test_findings_and_figures_of_every_kind_of_axis(decayed):
    told = json.loads(decayed.attrs["findings"])
    assert [sentence.split(":")[0] for sentence in told] == [
        "Transfer",
        "Test accuracy at weight_decay = 0.02 against 0.01",
        "Test accuracy at loss_scale = 1 against 0.5",
        "Test accuracy of adamw against adam_l2",
    ]
    plotting.render(optimisation.plot(decayed))
    metrics = results.metrics(decayed)
    assert "transfer[optimiser=adamw, weight_decay=0.01, loss_scale=1.0]" in metrics


def test_published_points_stand_beside_their_own_protocol_alone():
    def kept(preset):
        return json.loads(json.dumps(dataclasses.asdict(PRESETS[preset])))

    assert follows(kept("paper"), REFERENCE)
    assert follows(kept("paper_teacher"), REFERENCE)
    assert not any(follows(kept(name), REFERENCE) for name in PRESETS if "paper" not in name)


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
