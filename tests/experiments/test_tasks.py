"""Other hidden functions through auxiliary logits: what is asked for is what is computed."""

import dataclasses
import json
from typing import get_args

import jax
import numpy as np
import pytest
import xarray as xr

from experiments import tasks as experiment
from experiments.tasks import PRESETS, Config, Name
from toymodels.errors import UserError
from toymodels.networks.models import MLP, functional
from toymodels.stats import statistics
from toymodels.study import plotting, results
from toymodels.training import protocol, tasks

TINY = Config(
    dataset="digits",
    seeds=2,
    widths=(16,),
    m=2,
    train_images=200,
    noise_images=128,
    teacher_epochs=2,
    student_epochs=1,
    tasks=get_args(Name),
    classes=(2,),
)


@pytest.fixture(scope="module")
def tiny():
    return experiment.STUDY.run(TINY)


def test_every_task_is_there_with_teacher_student_and_control(tiny):
    assert set(tiny.task.values) == {*get_args(Name), "2 classes", "10 classes"}
    assert not tiny.failed.any()
    assert tiny.accuracy.dims == ("seed", "task", "start", "epoch")
    share = tiny.accuracy.isel(epoch=-1)
    control = share.sel(start="other")
    teacher = tiny.teacher_accuracy.isel(teacher_epoch=-1)
    expected = (share.sel(start="shared") - control) / (teacher - control).where(teacher > control)
    np.testing.assert_allclose(tiny.transfer, expected, rtol=1e-5)
    assert json.loads(tiny.attrs["provenance"])["models"] == 2 * 12 * 3


def test_a_student_begins_with_the_score_of_its_teachers_beginning(tiny):
    """The reference is the same, and so is what it is asked.

    An R^2 is a sum of squares, which the programs of teachers and of students may round each in
    their own way; accuracies are counts.
    """
    student = tiny.accuracy.sel(start="shared", epoch=0)
    teacher = tiny.teacher_accuracy.sel(teacher_epoch=0)
    np.testing.assert_allclose(student, teacher, rtol=3e-7)
    counts = student >= 0
    assert counts.any()
    np.testing.assert_array_equal(student.where(counts), teacher.where(counts))


def test_all_classes_are_the_plain_protocol(tiny):
    """Up to rounding, and to the second head that nobody reads: the init is drawn with it."""
    config, about, data = tasks.load(TINY, None)
    network = functional(lambda rngs: MLP((64, 16, 22), rngs=rngs))
    parts = protocol.reference_protocol(config, about, network)
    _, curve = jax.jit(parts.prepare)(data, 1)
    ours = tiny.sel(task="10 classes", seed=1)
    np.testing.assert_allclose(curve["teacher_loss"], ours.teacher_loss, rtol=1e-4)
    np.testing.assert_allclose(curve["teacher_accuracy"], ours.teacher_accuracy, atol=0.006)


def test_a_task_does_not_depend_on_which_others_are_asked_for(tiny):
    alone = experiment.STUDY.run(dataclasses.replace(TINY, tasks=("parity",)))
    assert set(alone.task.values) == {"parity", "2 classes", "10 classes"}
    for name in ("accuracy", "teacher_loss"):
        xr.testing.assert_allclose(alone[name], tiny[name].sel(task=alone.task.values), atol=0.006)


def test_fewer_classes_are_an_easier_task_for_teachers_and_chance_says_so(tiny):
    at_first = tiny.teacher_accuracy.isel(teacher_epoch=0).mean("seed")
    assert at_first.sel(task="2 classes") > at_first.sel(task="10 classes")
    trained = tiny.teacher_accuracy.isel(teacher_epoch=-1)
    assert (trained.sel(task="2 classes") > trained.sel(task="10 classes")).all()


def test_findings_say_what_the_numbers_say(tiny):
    result = tiny.copy(deep=True)
    seeds = xr.DataArray([-0.001, 0.001], {"seed": result.seed})
    known = xr.zeros_like(result.task, float)
    for task, value in {"parity": 0.5, "2 classes": 0.9, "10 classes": 0.4, "mod_3": -0.3}.items():
        known.loc[{"task": task}] = value
    known = known.drop_vars("task").assign_coords(task=result.task)
    result["transfer"] = seeds + known
    rows = {(row.quantity, row.at): row for row in experiment.STUDY.findings(result)}
    verdicts = {at: row.verdict for (quantity, at), row in rows.items() if quantity == "Transfer"}
    assert verdicts["parity"] == verdicts["2 classes"] == "above zero"
    assert str(rows["Transfer", "parity"]).startswith("Transfer, parity: 0.500 (")
    assert verdicts["mod_3"] == "below zero"
    assert str(rows["Transfer", "mod_3"]).startswith("Transfer, mod_3: -0.300 (")
    assert verdicts["gaussian"] == "not distinguishable from zero"
    for task, verdict in {"2 classes": "higher", "relabelled": "lower"}.items():
        assert (
            rows[f"Transfer of {task} less that of the label (10 classes)", ""].verdict == verdict
        )
    teacher = tiny.teacher_accuracy.sel(task="autoencoder").isel(teacher_epoch=-1)
    expected = statistics.mean_interval(teacher.values)
    assert rows["Explained variance", "autoencoder, teacher"].estimate == expected


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (-2.6, "not acquired: the student is worse than the mean image"),
        (0.0, "not shown to be acquired: the student is not shown to beat the mean image"),
        (0.3, "above zero"),
    ],
)
def test_an_autoencoder_worse_than_the_mean_image_has_acquired_nothing(tiny, score, verdict):
    """Whatever its transfer: of two scores below zero one may still be above the other."""
    seeds = xr.DataArray([-0.001, 0.001], {"seed": tiny.seed})
    result = tiny.assign(transfer=seeds + 0.5 + 0 * tiny.transfer)
    result["accuracy"] = seeds + score + 0 * tiny.accuracy
    rows = [row for row in experiment.STUDY.findings(result) if row.quantity == "Transfer"]
    (autoencoder,) = [row for row in rows if row.at == "autoencoder"]
    assert autoencoder.verdict == verdict
    assert str(autoencoder).startswith("Transfer, autoencoder: 0.5")
    scores = [row.at for row in experiment.STUDY.findings(result) if "variance" in row.quantity]
    assert scores == [f"autoencoder, {model}" for model in ("teacher", "student", "control")]


def test_it_can_be_drawn_and_kept(tiny):
    plotting.render(experiment.STUDY.figure(tiny))
    results.files(tiny)


def test_the_paper_preset_has_all_tasks():
    assert PRESETS["paper"].tasks == get_args(Name)
    assert PRESETS["paper"].m == 3  # the published points are of three
    assert set(get_args(Name)) - set(Config().tasks) == set(experiment.EASY)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tasks": ()}, "tasks must have one value at least, .*"),
        ({"tasks": ("parity", "parity")}, "tasks must have one value at least, and none twice.*"),
        ({"tasks": ("oddness",)}, "tasks must be one of relabelled, .*; got 'oddness'"),
        ({"classes": (1, 2)}, "classes must be at least 2; got .*"),
        ({"classes": (2, 2)}, "classes must have one value at least, and none twice; got .*"),
        ({"m": 0}, "m must be at least 1; got 0"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_more_classes_than_the_data_set_has():
    with pytest.raises(UserError, match=r"^classes must be at most the 10 of digits; got"):
        experiment.STUDY.run(dataclasses.replace(TINY, classes=(2, 11)))


def test_golden_values(tiny, golden):
    golden(tiny)
