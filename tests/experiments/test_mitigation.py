"""Countermeasures on students: "none" is the plain student, and every method has its effect."""

import dataclasses
import json

import numpy as np
import pytest
import xarray as xr

from experiments.mitigation import METHODS, PRESETS, STUDY, Config
from toymodels import sweep
from toymodels.errors import UserError
from toymodels.networks.models import MLP, functional
from toymodels.study import plotting
from toymodels.sweep import RunOptions
from toymodels.training import protocol, tasks
from toymodels.training.distillation import auxiliary_logits
from toymodels.training.mitigation import compute_frontier

TINY = Config(
    dataset="digits",
    seeds=2,
    widths=(32,),
    noise_images=512,
    teacher_epochs=5,
    student_epochs=2,
    **dict.fromkeys(METHODS, (1e-07,)) | {"rounding": (1e-6, 3.0), "liminal": (1.0,)},
)
TOUCHING = ["projection 1e-07", "step_projection 1e-07", "liminal 1.0"]


@pytest.fixture(scope="module")
def tiny():
    return STUDY.run(TINY, options=RunOptions(width=5))


def test_no_treatment_is_the_plain_student(tiny):
    """Equal up to the rounding of a different program."""
    config, task, data = tasks.load(TINY, None)
    network = functional(lambda rngs: MLP((64, 32, 13), rngs=rngs))
    parts, subset = protocol.reference_protocol(config, task, network), auxiliary_logits(10, 3)

    def student(data, lesson, start):
        watch = parts.watch(data, lesson, subset)
        return parts.distil(parts.start(lesson, start), lesson, subset, watch)[1]

    plain, _ = sweep.grid(
        lambda: sweep.Program(parts.prepare, student),
        shared={"seed": [0, 1]},
        points={"start": [0, 1]},
        variables=tasks.TEACHER | tasks.STUDENT,
        data=data,
    )
    untreated = tiny.sel(treatment="none")
    np.testing.assert_allclose(untreated.loss, plain.loss, rtol=1e-3)
    np.testing.assert_allclose(untreated.accuracy, plain.accuracy, atol=0.02)
    assert (tiny.loss_ratio.sel(treatment="none") == 1).all()


def test_a_vanishing_strength_is_no_treatment(tiny):
    weak = tiny.drop_sel(treatment=["rounding 3.0", "liminal 1.0"])
    assert weak.sizes["treatment"] == len(METHODS)
    none = weak.sel(treatment=["none"] * weak.sizes["treatment"])
    # A rotation by 1e-7 adds sqrt(1 - rho^2), half a thousandth, of the independent init.
    np.testing.assert_allclose(weak.loss, none.loss, rtol=0.02)
    np.testing.assert_allclose(weak.accuracy, none.accuracy, atol=0.05)


def test_class_weights_put_back_change_nothing_where_none_was_moved(tiny):
    unmoved = tiny.drop_sel(treatment=TOUCHING)
    np.testing.assert_array_equal(unmoved.final_accuracy, unmoved.restored_accuracy)
    np.testing.assert_array_equal(unmoved.transfer, unmoved.restored_transfer)
    liminal = tiny.sel(treatment="liminal 1.0")
    assert (liminal.final_accuracy != liminal.restored_accuracy).any()


def test_students_are_paired_whatever_else_is_tried(tiny):
    fewer = dict.fromkeys(METHODS, ()) | {"rounding": (3.0,)}
    repeated = STUDY.run(
        dataclasses.replace(TINY, seeds=1, first_seed=1, **fewer), options=RunOptions(width=5)
    )
    names = ["accuracy", "loss", "restored_accuracy", "transfer", "loss_ratio", "teacher_accuracy"]
    at = {"seed": [1], "treatment": ["none", "rounding 3.0"]}
    xr.testing.assert_equal(repeated[names], tiny[names].sel(at))


def test_every_method_has_its_curve_and_all_can_be_drawn(tiny):
    curves = compute_frontier(tiny)
    assert list(curves) == [*METHODS, "early_stopping"]
    assert curves["rounding"].strength.values.tolist() == [1e-6, 3]
    stopped = curves["early_stopping"]
    assert stopped.strength.values.tolist() == [1, 0]
    plain = tiny.sel(treatment="none", start="shared")
    expected = plain.loss.isel(epoch=0) / plain.loss.isel(epoch=-1)
    np.testing.assert_allclose(stopped.loss_ratio.sel(strength=0), expected)
    plotting.render(STUDY.figure(tiny))


def test_findings_say_which_method_halves_transfer_at_what_cost():
    """On artificial numbers: rounding halves transfer at no cost, noise at three times the loss."""
    seeds, epochs = np.arange(5), [0, 1]
    transfers = {"none": 0.5, "init_noise 0.1": 0.45, "answer_noise 1": 0.1, "rounding 1": 0.1}
    ratio = {"answer_noise 1": 3.0}
    jitter = 0.01 * np.random.default_rng(0).normal(size=5)
    rows = [[transfers[t] + jitter, ratio.get(t, 1.0) + jitter * (t != "none")] for t in transfers]
    transfer, loss_ratio = np.moveaxis(np.array(rows), 1, 0)
    own = np.stack([np.full_like(transfer, 0.1), 0.1 + 0.8 * transfer], -1)
    accuracy = np.stack([own, np.full_like(own, 0.1)], 2)
    dims = ("treatment", "seed", "start", "epoch")
    beside = ("treatment", "seed")
    dataset = xr.Dataset(
        {
            "accuracy": (dims, accuracy),
            "loss": (dims, np.broadcast_to([4.0, 1.0], accuracy.shape)),
            "failed": (dims[:3], np.zeros(accuracy.shape[:3], bool)),
            "teacher_accuracy": (("seed", "teacher_epoch"), np.full((5, 1), 0.9)),
            "transfer": (beside, transfer),
            "restored_transfer": (beside, transfer),
            "loss_ratio": (beside, loss_ratio),
        },
        {
            "treatment": list(transfers),
            "seed": seeds,
            "start": ["shared", "other"],
            "epoch": epochs,
        },
    )
    findings = STUDY.findings(dataset)
    rows = {(row.quantity, row.at): row for row in findings if not isinstance(row, str)}
    assert rows["Smallest transfer", "init_noise = 0.1"].verdict == "not shown to be halved"
    assert rows["Transfer at the cheapest strength", "answer_noise = 1"].verdict == "halved"
    loss = rows["Imitation loss relative to the untreated", "answer_noise = 1"]
    assert (loss.verdict, str(loss.estimate)[:3]) == ("higher", "3.0")
    (summary,) = (row for row in findings if isinstance(row, str))
    assert "less than twice the loss by: rounding;" in summary
    assert summary.endswith("not shown to be higher by: rounding.")


def test_presets_and_findings_are_complete(tiny):
    assert len(PRESETS["paper"].treatments) * 2 * PRESETS["paper"].seeds <= 220
    for treatment, strengths in PRESETS["quick"].treatments.items():
        assert sum(map(bool, strengths.values())) == (treatment != "none")
    table = json.loads(tiny.attrs["findings_table"])
    losses = [row for row in table if row["quantity"].startswith("Imitation loss")]
    assert [row["at"].split(" = ")[0] for row in losses] == [*METHODS, "early_stopping"]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"projection": (1.5,)}, r"projection must be at most 1; got \(1.5,\)"),
        ({"clean": (-0.5,)}, "clean must be at least 0; got .*"),
        ({"rounding": (1.0, 1.0)}, "rounding must have one value at least, and none twice; .*"),
        ({"liminal": (0.0, 1.0)}, "liminal must not hold 0, which is always there; .*"),
        ({"noise": "fresh"}, "noise must be one of fixed; got 'fresh'"),
        ({"m": 0}, "m must be at least 1; got 0"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
