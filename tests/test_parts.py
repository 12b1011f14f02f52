"""A user's own parts in a study of the project."""

import json

import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import toymodels as tm
from experiments import (
    architecture,
    aux_count,
    init_overlap,
    mnist_aux,
    owl_numbers,
    student_shape,
    theory_linear,
)
from toymodels.study import results
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
    mine = aux_count.STUDY.with_parts("mine", student_optimiser=optax.adam(1e-3))
    for study, times in ((aux_count.STUDY, 1), (mine, 0)):
        drawn.clear()
        runs = study.run(config)
        paper = json.loads(runs.attrs["config"]) | tm.CLOUD
        study.figure(runs.assign_attrs(config=json.dumps(paper)))
        assert bool(drawn) == bool(times)


def outputs(n):
    return lambda config, task: tm.functional(lambda rngs: tm.MLP((64, 8, n), rngs=rngs))


REFUSED = [
    (init_overlap, {"optimizer": 1}, "must be one of images, .*student_optimiser; got 'optimizer'"),
    (init_overlap, {}, "a part must be given"),
    (theory_linear, {"network": build}, "theory_linear takes no parts"),
    (owl_numbers, {"network": build}, "owl_numbers takes no parts"),
    (student_shape, {"network": build}, "student_shape takes no parts"),
    (architecture, {"network": build}, "architecture takes no parts"),
    (mnist_aux, {"network": build}, "a part of mnist_aux must be one of images, trait"),
    (aux_count, {"imitation": losses.mse()}, "a part of aux_count must be one of"),
    (init_overlap, {"student_optimiser": optax.adam}, "must be an optax transformation"),
    (init_overlap, {"student_optimiser": 0.1}, "got float"),
    (init_overlap, {"images": (1, 2)}, "images must be of tm.images or tm.load; got tuple"),
    (init_overlap, {"network": 5}, "network must be a function; got int"),
    (init_overlap, {"imitation": "mse"}, "imitation must be a function; got str"),
]


@pytest.mark.parametrize(("module", "parts", "told"), REFUSED)
def test_what_cannot_be_replaced_is_refused(module, parts, told):
    with pytest.raises(tm.UserError, match=told):
        module.STUDY.with_parts("mine", **parts)


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ({"network": lambda config, task: "mlp"}, "returns a tm.Network .*; got str"),
        ({"network": outputs(12)}, "must have 13 outputs for each input"),
        ({"network": outputs(110)}, "must have 13 outputs for each input"),
        ({"noise": lambda key, n: jnp.zeros((n // 2, 64))}, r"noise must return inputs \(7, 64\)"),
        ({"noise": lambda n: n}, "noise must be a function of key and n"),
    ],
)
def test_parts_that_do_not_fit_are_refused_before_computing(parts, told):
    with pytest.raises(tm.UserError, match=told):
        init_overlap.STUDY.with_parts("mine", **parts).run(CONFIG)


@pytest.mark.parametrize("name", ["init_overlap", "mnist_aux", "x y", "a/b", ""])
def test_a_name_that_is_taken_or_none_is_refused(name):
    with pytest.raises(tm.UserError, match="name must be of letters"):
        init_overlap.STUDY.with_parts(name, network=build)


def test_parts_are_given_at_once():
    study = init_overlap.STUDY.with_parts("mine", network=build)
    with pytest.raises(tm.UserError, match="all parts must be given at once; mine has some"):
        study.with_parts("more", imitation=losses.mse())


def test_a_result_names_its_parts_and_keeps_no_field_that_they_replace(tmp_path):
    study = init_overlap.STUDY.with_parts(
        "mine", images=tm.load("digits", train_images=200), imitation=losses.mse()
    )
    config = init_overlap.STUDY.config(**TINY | {"dataset": "mnist"})
    runs = study.run(config)  # MNIST is not read
    summary = json.loads(results.files(runs)["summary.json"])
    assert summary["parts"].keys() == {"images", "imitation"}
    assert summary["parts"]["images"] == "digits"
    assert not summary["config"].keys() & {"dataset", "train_images", "loss", "temperature"}
    assert runs.loss.units == "unit of the loss"
    results.write_files(tmp_path, results.files(runs))
    results.refuse_another(tmp_path, "mine", config, study.parts)
    other = init_overlap.STUDY.with_parts("mine", images=tm.load("digits"), imitation=max)
    with pytest.raises(tm.UserError, match="other parts of a user's own"):
        results.refuse_another(tmp_path, "mine", config, other.parts)
    hashes = {results.config_hash(config, parts) for parts in (study.parts, other.parts, {})}
    assert len(hashes) == 3


def test_a_trait_and_a_network_without_a_latent_are_recorded_in_their_own_words():
    about = tm.tasks.About("ones", "share of ones", "squared error", "1")

    def trait(network, task):
        def score(params, batch):
            return jnp.float32(7.0)

        return tm.tasks.Trait(lambda params, batch: 0 * score(params, batch), score, about)

    def linear(config, task):
        return tm.functional(lambda rngs: nnx.Linear(64, 13, rngs=rngs))

    runs = init_overlap.STUDY.with_parts("mine", network=linear, trait=trait).run(CONFIG)
    assert "latent_cka" not in runs
    assert runs.accuracy.attrs["description"] == "student's test share of ones"
    assert (runs.accuracy == 7).all()
    assert (runs.teacher_accuracy == 7).all()
