"""Fine-tuning of students: how each is made, that they are paired, and the findings."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import xarray as xr

from experiments import persistence
from experiments.persistence import STUDY, TUNINGS, Config
from toymodels.errors import UserError
from toymodels.networks.models import MLP, functional
from toymodels.stats.persistence import measure_persistence
from toymodels.study import plotting
from toymodels.sweep import RunOptions
from toymodels.training import protocol, tasks
from toymodels.training.distillation import auxiliary_logits

TINY = Config(
    dataset="digits",
    seeds=2,
    widths=(32,),
    m=10,
    noise_images=1000,
    teacher_epochs=5,
    student_epochs=5,
    direct_steps=100,
    tune_steps=3,
    records=6,
)


@pytest.fixture(scope="module")
def tiny():
    return STUDY.run(TINY, options=RunOptions(width=4))


def test_the_direct_student_is_the_recorded_state_nearest_on_training_images(tiny):
    """The gap equals that of networks trained in this test."""
    gap = abs(tiny.gap)
    np.testing.assert_array_equal(tiny.matched, gap.argmin("direct_step"))
    assert (gap.min("direct_step") < gap.isel(direct_step=0)).all()

    config, task, data = tasks.load(TINY, None)
    network = functional(lambda rngs: MLP((64, 32, 20), rngs=rngs))
    parts, subset = protocol.reference_protocol(config, task, network), auxiliary_logits(10, 10)

    @jax.jit
    def scores(data, seed):
        lesson, _ = parts.prepare(data, seed)
        student, _ = parts.distil(lesson.reference, lesson, subset, lambda params: ())
        images = jax.tree.map(lambda a: a[: persistence.MATCHING], data.train)
        on_training = [parts.trait.score(p, images) for p in (lesson.reference, student)]
        return *on_training, parts.trait.score(student, data.test)

    reference, student, on_test = scores(data, 1)
    np.testing.assert_allclose(tiny.gap.sel(seed=1, direct_step=0), reference - student, atol=0.01)
    np.testing.assert_allclose(
        tiny.accuracy.sel(seed=1, student="subliminal", step=0), [on_test] * 3, atol=0.01
    )


def test_before_fine_tuning_a_student_does_not_depend_on_it(tiny):
    start = tiny.accuracy.isel(step=0)
    np.testing.assert_array_equal(start, start.sel(tuning=["images"] * 3))
    teacher = tiny.teacher_accuracy.isel(teacher_epoch=-1)
    np.testing.assert_allclose(start.sel(student="teacher", tuning="images"), teacher, atol=1e-6)
    assert (tiny.loss.isel(step=-1) < tiny.loss.isel(step=0)).mean() > 0.8


def test_more_records_seeds_and_tunings_keep_the_earlier_values(tiny):
    fewer = dataclasses.replace(TINY, seeds=1, first_seed=1, records=3, tuning=("images",))
    repeated = STUDY.run(fewer, options=RunOptions(width=4))
    names = ["accuracy", "loss", "matched", "gap"]
    expected = tiny[names].sel(seed=[1], tuning=["images"]).isel(step=slice(4))
    xr.testing.assert_allclose(repeated[names], expected, rtol=1e-4, atol=0.01)


def test_every_fine_tuning_has_findings_and_the_figure_is_drawn(tiny):
    lines = json.loads(tiny.attrs["findings"])
    half_lives = [line.split(":")[0] for line in lines if line.startswith("Median half-life")]
    assert [line.split()[-1] for line in half_lives] == list(TUNINGS)
    assert len(json.loads(tiny.attrs["findings_table"])) == 2 + 2 * len(TUNINGS)
    plotting.render(STUDY.figure(tiny))


@pytest.mark.parametrize(
    ("rates", "verdict"), [((0.05, 0.02), "faster"), ((0.001, 0.05), "slower")]
)
def test_findings_say_which_is_forgotten_faster_and_how_many_never(rates, verdict):
    steps, wobble = np.arange(0, 101, 5), 1 + 0.01 * np.arange(4)[:, None]
    curves = [0.1 + 0.5 * np.exp(-r * wobble * steps) for r in (*rates, 0.01)]
    accuracy = np.stack([*curves, np.full_like(curves[0], 0.1)], 1)[:, :, None]
    dims = ("seed", "student", "tuning", "step")
    dataset = xr.Dataset(
        {"accuracy": (dims, accuracy), "failed": (dims[:3], np.zeros((4, 4, 1), bool))},
        {"seed": range(4), "student": list(persistence.STUDENTS), "tuning": ["images"]}
        | {"step": steps},
    )
    *_, mean, _, half_lives = STUDY.findings(measure_persistence(dataset))
    quantity = "Mean retained fraction of the subliminal trait less that of the direct trait"
    word = {"slower": "higher", "faster": "lower"}[verdict]
    assert (mean.quantity, mean.verdict) == (quantity, word)
    if verdict == "slower":
        assert "subliminal more than 100 steps (4 of 4 seeds never lose half)" in half_lives
    else:
        assert "subliminal 14 steps (0 of 4 seeds never lose half)" in half_lives
        assert "direct 34 steps (0 of 4 seeds never lose half)" in half_lives


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"tuning": ()}, "tuning must have one value at least, .*"),
        ({"tuning": ("labels",)}, "tuning must be one of unrelated, reference, images; .*"),
        ({"records": 0}, "records must be at least 1; got 0"),
        ({"direct_lr": 0.0}, "direct_lr must be a positive finite number; got .*"),
        ({"direct_steps": 0}, "direct_steps must be at least 1; got 0"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
