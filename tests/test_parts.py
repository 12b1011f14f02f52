"""A user's own parts in a study of the project."""

import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest

import toymodels as tm
from experiments import aux_count, init_overlap, owl_numbers, theory_linear
from toymodels.training import losses

TINY = {
    "dataset": "digits",
    "seeds": 2,
    "noise_images": 64,
    "teacher_epochs": 1,
    "student_epochs": 2,
    "width": (8,),
    "rho": (1.0, 0.0),
    "groups": ("all",),
}
CONFIG = init_overlap.STUDY.config(**TINY)


def build(config, task):
    sizes = task.n_pixels, config.width, config.width, tm.count_outputs(config, task)
    return tm.functional(lambda rngs: tm.MLP(sizes, rngs=rngs))


def test_parts_that_are_the_study_s_own_change_no_bit():
    ours = init_overlap.STUDY.run(CONFIG)
    optimiser = optax.adam(CONFIG.student_lr)
    same = init_overlap.STUDY.with_parts(
        "same", network=build, images=tm.load("digits"), student_optimiser=optimiser
    ).run(CONFIG)
    for name in ours.data_vars:
        np.testing.assert_array_equal(same[name], ours[name])
    assert same.attrs["dataset"] == ours.attrs["dataset"]
    assert same.attrs["experiment"] == "same"
    assert json.loads(same.attrs["parts"]).keys() == {"network", "images", "student_optimiser"}


@pytest.mark.thorough
def test_every_part_is_used():
    def nothing_to_imitate(student, teacher, mask):
        return jnp.sum(student) * 0.0

    study = init_overlap.STUDY.with_parts("none", imitation=nothing_to_imitate)
    with pytest.warns(match="did not move"):
        runs = study.run(CONFIG)
    # A student that is told nothing stays where it starts.
    assert (runs.accuracy == runs.accuracy.isel(epoch=0)).all()
    frozen = init_overlap.STUDY.with_parts("frozen", teacher_optimiser=optax.sgd(0.0)).run(CONFIG)
    assert (frozen.teacher_accuracy == frozen.teacher_accuracy.isel(teacher_epoch=0)).all()
    dark = init_overlap.STUDY.with_parts("dark", noise=lambda key, n: jnp.zeros((n, 64))).run(
        CONFIG
    )
    assert not dark.loss.equals(init_overlap.STUDY.run(CONFIG).loss)


@pytest.mark.thorough
def test_no_published_value_stands_beside_a_user_s_part(monkeypatch):
    drawn = []
    monkeypatch.setattr(tm.plotting, "reported", lambda *args, **kw: drawn.append(args))
    config = aux_count.STUDY.config(
        dataset="digits", seeds=2, noise_images=64, teacher_epochs=1, student_epochs=1, m=(2, 3)
    )
    mine = aux_count.STUDY.with_parts("mine", imitation=losses.mse())
    for study, times in ((aux_count.STUDY, 1), (mine, 0)):
        drawn.clear()
        runs = study.run(config)
        paper = json.loads(runs.attrs["config"]) | tm.CLOUD
        study.figure(runs.assign_attrs(config=json.dumps(paper)))
        assert bool(drawn) == bool(times)


@pytest.mark.parametrize(
    ("study", "parts", "told"),
    [
        (init_overlap.STUDY, {"optimizer": 1}, "student_optimiser; got 'optimizer'"),
        (theory_linear.STUDY, {"network": build}, "theory_linear is another"),
        (owl_numbers.STUDY, {"network": build}, "owl_numbers is another"),
    ],
)
def test_what_cannot_be_replaced_is_refused(study, parts, told):
    with pytest.raises(tm.UserError, match=told):
        study.with_parts("mine", **parts)


def test_a_network_that_is_none_is_refused_before_computing():
    study = init_overlap.STUDY.with_parts("mine", network=lambda config, task: "mlp")
    with pytest.raises(tm.UserError, match="returns one; got str"):
        study.run(CONFIG)
    with pytest.raises(tm.UserError, match="another than that of the study"):
        init_overlap.STUDY.with_parts("init_overlap")
