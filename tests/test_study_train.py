"""``STUDY.train``: the student that a sweep records, with its parameters."""

import dataclasses

import jax
import numpy as np
import pytest

import toymodels as tm
from experiments import init_overlap, theory_linear

STUDY = init_overlap.STUDY
CONFIG = STUDY.config(
    dataset="digits",
    seeds=2,
    width=(16,),
    m=(2, 3),
    groups=("all", "hidden"),
    rho=(1.0, 0.9, 0.0),
    train_images=200,
    noise_images=200,
    teacher_epochs=2,
    student_epochs=2,
    batch=50,
)
POINT = {"group": "hidden", "rho": 0.9, "m": 3}


@pytest.fixture(scope="module")
def runs():
    return STUDY.run(CONFIG)


@pytest.fixture(scope="module")
def pair():
    return STUDY.train(CONFIG, seed=1, **POINT)


def test_the_curves_are_those_that_the_sweep_records(runs, pair):
    """Within float32 rounding: a sweep trains several students side by side."""
    teacher, student = pair
    recorded = runs.sel(seed=1, width=16, **POINT)
    for name in ("accuracy", "loss", "overlap"):
        np.testing.assert_allclose(student.curve[name], recorded[name], rtol=1e-4, atol=1e-6)
    for name in ("accuracy", "loss"):
        expected = recorded[f"teacher_{name}"]
        np.testing.assert_allclose(teacher.curve[name], expected, rtol=1e-5)


def test_the_parameters_are_those_of_the_curves(pair):
    """What the verbs say of the returned parameters is what was recorded while they were trained."""
    for trained in pair:
        for params, at in ((trained.init, 0), (trained.params, -1)):
            received = tm.accuracy(trained.net, params, trained.data)
            np.testing.assert_allclose(received, trained.curve["accuracy"][at], atol=1e-6)
    assert pair.teacher.net.m == 3
    # The heads are the reference's, the hidden layers are rotated.
    head, hidden = (
        np.array_equal(pair.student.init[name]["kernel"], pair.teacher.init[name]["kernel"])
        for name in ("head", "hidden1")
    )
    assert head
    assert not hidden


def test_the_verbs_make_the_same_student(pair):
    """The reference protocol of a seed, with the same start: equal within rounding."""
    teacher, student = pair
    again = tm.distil(student.net, student.init, teacher, key=1, n_inputs=200, batch=50, epochs=2)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), again.params, student.params
    )


def test_a_finished_run_is_trained_again_from_its_result(runs, pair):
    assert STUDY.read_config(runs) == CONFIG
    again = STUDY.train(runs, seed=1, **POINT)
    jax.tree.map(np.testing.assert_array_equal, again.student.params, pair.student.params)
    with pytest.raises(tm.UserError, match="must be a result of init_overlap; got one of other"):
        STUDY.read_config(runs.assign_attrs(experiment="other"))


@pytest.mark.parametrize(
    ("point", "sentence"),
    [
        ({"rho": 0.9, "m": 3}, "group must be given: all or hidden"),
        ({**POINT, "rho": 0.5}, "rho must be 1.0, 0.9 or 0.0; got 0.5"),
        ({**POINT, "group": "heads"}, "group must be all or hidden; got 'heads'"),
        (
            {**POINT, "depth": 2},
            "depth is no axis of this study; its axes are group, m, rho, width",
        ),
        ({**POINT, "seed": -1}, "seed must be an integer from 0 to 2147483647; got -1"),
    ],
)
def test_a_point_that_is_not_there_is_one_sentence(point, sentence):
    with pytest.raises(tm.UserError, match=sentence):
        STUDY.train(CONFIG, **point)


def test_a_study_without_a_student_at_each_point_is_refused():
    def student(setup, group, rho):
        return {"accuracy": rho, "loss": rho}

    other = dataclasses.replace(
        STUDY, sweep=tm.distillation_sweep(student, init_overlap.points, shapes=("m", "width"))
    )
    with pytest.raises(tm.UserError, match="init_overlap records something else"):
        other.train(CONFIG, **POINT)
    theory = theory_linear.STUDY
    axes = theory.sweep(theory.presets["quick"], None)
    point = {name: next(iter(axis)) for name, axis in {**axes.shapes, **axes.points}.items()}
    with pytest.raises(tm.UserError, match="theory_linear is another"):
        theory.train(theory.presets["quick"], **point)
