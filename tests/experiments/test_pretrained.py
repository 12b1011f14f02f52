"""Pretrained references: nothing is the reference experiment, and what start, control and task are."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import mnist_aux, pretrained
from experiments.pretrained import Config, list_references, select_longest, unfold
from toymodels.errors import UserError
from toymodels.study import plotting
from toymodels.study.distillation import perceptron
from toymodels.training import pretraining, tasks
from toymodels.training.protocol import reference_protocol, seed_keys

FIELDS = {
    "dataset": "digits",
    "seeds": 2,
    "widths": (16,),
    "train_images": 512,
    "noise_images": 256,
    "batch": 16,
    "student_epochs": 2,
}
TINY = Config(
    **FIELDS,
    pretraining=("same", "relabelled", "random"),
    pretraining_epochs=(2, 1),
    teacher_epochs=(1, 2),
)


@pytest.fixture(scope="module")
def tiny():
    return pretrained.STUDY.run(TINY)


def test_without_pretraining_the_students_are_those_of_the_reference_experiment(tiny):
    known = mnist_aux.STUDY.run(mnist_aux.Config(**FIELDS, teacher_epochs=2))
    ours = tiny.sel(reference="untrained", teacher_epochs=2, start="shared")
    student = known.sel(student="student_aux")
    np.testing.assert_allclose(ours.accuracy, student.accuracy, atol=0.01)
    np.testing.assert_allclose(ours.loss, student.loss, rtol=1e-3)
    for name in ("teacher_accuracy", "teacher_loss"):
        np.testing.assert_allclose(tiny[name].sel(reference="untrained"), known[name], rtol=1e-5)


def test_references_are_named_by_task_and_by_rising_epochs(tiny):
    pretrained_names = [f"{task} {n}" for task in ("same", "relabelled", "random") for n in (1, 2)]
    names = ["untrained", *pretrained_names]
    assert list_references(TINY) == tiny.reference.values.tolist() == names
    longest = select_longest(tiny).reference.values.tolist()
    assert longest == ["untrained", "same 2", "relabelled 2", "random 2"]
    lines = unfold(tiny.likeness)
    assert lines.task.values.tolist() == ["same", "relabelled", "random"]
    assert lines.epochs.values.tolist() == [0, 1, 2]
    for task in lines.task.values:
        for epochs, name in enumerate(("untrained", f"{task} 1", f"{task} 2")):
            line = lines.sel(task=task, epochs=epochs)
            np.testing.assert_array_equal(line, tiny.likeness.sel(reference=name))


def test_students_start_where_their_teacher_did_and_controls_elsewhere(tiny):
    first = tiny.isel(epoch=0)
    start = tiny.teacher_accuracy.isel(teacher_epoch=0)
    shared = first.accuracy.sel(start="shared")
    for epochs in TINY.teacher_epochs:
        np.testing.assert_array_equal(shared.sel(teacher_epochs=epochs), start)
    assert (first.loss.sel(start="shared") != first.loss.sel(start="other")).all()
    np.testing.assert_array_equal(first.amount, 0)
    # Student and control have learnt to read the target before distillation, or to misread it.
    means = first.accuracy.mean("seed").sel(teacher_epochs=1)
    assert (means.sel(reference="same 2") > means.sel(reference="untrained") + 0.2).all()
    assert (means.sel(reference="relabelled 2") < means.sel(reference="untrained")).all()


def test_the_target_is_the_most_alike_and_no_pretraining_is_no_displacement(tiny):
    likeness = tiny.likeness
    np.testing.assert_array_equal(likeness.sel(reference="untrained"), 0)
    same = likeness.sel(reference=["same 1", "same 2"]).min("reference")
    others = [name for name in tiny.reference.values if not name.startswith("same")]
    assert (same > likeness.sel(reference=others).max("reference") + 0.2).all()
    assert (abs(likeness) <= 1).all()


def test_a_teacher_moves_on_and_less_where_it_has_read_the_target_already(tiny):
    distance = tiny.teacher_distance
    assert (distance.sel(teacher_epochs=1) < distance.sel(teacher_epochs=2)).all()
    assert (distance.sel(reference="same 2") < distance.sel(reference="untrained")).all()


def test_the_control_learns_the_same_task_from_another_init_in_another_order():
    config, task, data = tasks.load(TINY, None)
    config = config.at(teacher_epochs=2)
    protocol = reference_protocol(config, task, perceptron(config, task))
    data = jax.tree.map(lambda a: jnp.asarray(a[:64]), data)
    config = config.at(pretraining=("random",), pretraining_epochs=(1,))
    keys = seed_keys(0)

    @jax.jit
    def run():
        images = pretraining.randomise(data.train, task, jax.random.fold_in(keys.teacher, 2))
        control = pretrained.pretrain(protocol, config, data, keys, control=True)
        known = pretraining.pretrain(
            protocol,
            protocol.network.init(keys.relation),
            images,  # as the references of the seed see them
            ("same",),
            (1,),
            task_key=keys.noise,  # not read by this task
            order_key=jax.random.fold_in(keys.relation, 1),
        )
        return control, known

    control, known = run()
    for name in ("hidden1", "head"):
        np.testing.assert_allclose(control[name]["kernel"], known[name]["kernel"], atol=1e-5)
    first = jax.tree.map(lambda a: a[0], control)
    assert (
        first["hidden1"]["kernel"] != protocol.network.init(keys.init)["hidden1"]["kernel"]
    ).all()


def test_gains_and_amounts_are_differences_of_what_is_recorded(tiny):
    at = {"reference": "same 2", "teacher_epochs": 2}
    run = tiny.sel(at)
    gain = run.accuracy.isel(epoch=-1) - run.accuracy.isel(epoch=0)
    np.testing.assert_allclose(run.gain, gain, atol=1e-7)
    last = run.amount.isel(epoch=-1)
    np.testing.assert_allclose(
        run.acquired, last.sel(start="shared") - last.sel(start="other"), atol=1e-6
    )


def test_findings_and_figure(tiny):
    plotting.render(pretrained.STUDY.figure(tiny))
    rows = {(row.quantity, row.at): row for row in pretrained.findings(tiny)}
    quantities = list(dict.fromkeys(quantity for quantity, _ in rows))
    assert quantities == [
        "Transfer",
        "Student's gain of accuracy",
        "Amount above the control's",
        "Amount above the control's less that without pretraining",
        "Share of the variance of transfer that likeness foresees",
        "Share of the variance of transfer that nearness of the teacher foresees",
        "Share of the variance of amount that likeness foresees",
        "Share of the variance of amount that nearness of the teacher foresees",
    ]
    at = {"reference": "random 2", "teacher_epochs": 1}
    row = rows["Amount above the control's", "random 2, teacher_epochs = 1"]
    assert row.estimate.mean == pytest.approx(float(tiny.acquired.sel(at).mean()), abs=1e-6)
    assert ("Amount above the control's less that without pretraining", "untrained") not in rows


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"pretraining": ("letters",)}, "pretraining must be one of same, .*; got .*letters.*"),
        ({"pretraining": ("same", "same")}, "pretraining must have .* none twice; got .*"),
        ({"pretraining_epochs": (0, 1)}, r"pretraining_epochs must be at least 1; got \(0, 1\)"),
        ({"teacher_epochs": ()}, "teacher_epochs must have one value at least, .*"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
