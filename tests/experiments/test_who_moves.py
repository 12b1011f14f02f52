"""Who may move: what is frozen stays, and what gets no gradient might as well be frozen."""

import dataclasses
import functools

import jax
import numpy as np
import pytest
import xarray as xr

from experiments import who_moves
from experiments.who_moves import Config, list_students, name_parts
from tests.experiments.protocols import SMALL
from toymodels.errors import UserError
from toymodels.networks.groups import parameter_groups
from toymodels.study import plotting

TINY = Config(**SMALL)
CURVES = ["accuracy", "loss", "accuracy_by_teacher"]


@pytest.fixture(scope="module")
def tiny():
    return who_moves.STUDY.run(TINY)


def same(runs, first, second, names=CURVES):
    """Assert that two students, or some students of one start, have the same curves to the bit."""
    pairs = (runs[names].sel(student=name, drop=True) for name in (first, second))
    xr.testing.assert_equal(*pairs)


def test_where_all_parts_move_the_student_is_that_of_the_reference_experiment(tiny, reference_runs):
    known = reference_runs
    ours = tiny.sel(student="all move", start="shared")
    student = known.sel(student="student_aux")
    np.testing.assert_allclose(ours.accuracy, student.accuracy, atol=0.01)
    np.testing.assert_allclose(ours.loss, student.loss, rtol=1e-3)
    np.testing.assert_array_equal(tiny.teacher_accuracy, known.teacher_accuracy)


def test_the_class_head_gets_no_gradient_so_that_freezing_it_changes_exactly_nothing(tiny):
    same(tiny, "class_head frozen", "all move")
    # With one hidden layer only two parts get a gradient: to freeze one is to move the other alone.
    same(tiny, "hidden1 frozen", "only aux_head")
    same(tiny, "aux_head frozen", "only hidden1")


def test_the_auxiliary_head_reads_no_class(tiny):
    alone = tiny.sel(student="only aux_head")
    for name in ("accuracy", "accuracy_by_teacher"):
        np.testing.assert_array_equal(alone[name], alone[name].isel(epoch=[0, 0, 0]))
    assert (alone.loss.isel(epoch=-1) < alone.loss.isel(epoch=0)).all()


def test_a_trained_class_head_is_the_plain_student_read_by_that_head(tiny):
    plain, trained = (tiny.sel(student=name) for name in ("all move", "trained class_head"))
    np.testing.assert_array_equal(trained.accuracy, plain.accuracy_by_teacher)
    np.testing.assert_array_equal(trained.loss, plain.loss)
    for name in ("trained class_head", "trained heads"):
        student = tiny.sel(student=name)
        np.testing.assert_array_equal(student.accuracy, student.accuracy_by_teacher)


def test_the_teachers_auxiliary_head_is_that_of_the_reference(tiny):
    same(tiny.sel(start="shared"), "trained heads", "trained class_head")
    other = tiny.sel(start="other").isel(epoch=0)
    heads, class_head = (other.loss.sel(student=f"trained {n}") for n in ("heads", "class_head"))
    assert (heads != class_head).all()


def test_the_untrained_teacher_has_its_initial_class_head(tiny):
    first, last = (tiny.isel(teacher_epoch=i) for i in (0, -1))
    np.testing.assert_array_equal(first.teacher_by_initial_head, first.teacher_accuracy)
    assert (last.teacher_by_initial_head != last.teacher_accuracy).any()
    # The student from the reference, read by the trained head before it moves, is no teacher yet.
    start = tiny.accuracy_by_teacher.sel(start="shared", student="all move").isel(epoch=0)
    assert (start < last.teacher_accuracy).all()


@pytest.mark.parametrize("name", ["hidden1 frozen", "only hidden2", "aux_head frozen"])
def test_what_is_frozen_keeps_its_bits_and_what_has_a_gradient_moves(name):
    config = dataclasses.replace(TINY, widths=(8, 8), student_epochs=1)
    pair = functools.partial(who_moves.STUDY.train, config, seed=0, start="shared")
    _, student = pair(student=name)
    frozen = {*list_students(config)[name].frozen, "class_head"}
    groups = parameter_groups(student.init, 10)
    moved = jax.tree.map(lambda a, b: np.asarray(a != b), student.init, student.params)
    for part in name_parts(config):
        within = jax.tree.map(lambda mask, move: (mask & move).any(), groups[part], moved)
        assert any(jax.tree.leaves(within)) == (part not in frozen), part


def test_names_follow_the_depth_of_the_network():
    config = dataclasses.replace(TINY, widths=(8, 8, 8))
    parts = ["hidden1", "hidden2", "hidden3", "class_head", "aux_head"]
    assert name_parts(config) == parts
    recipes = list_students(config)
    assert recipes["only hidden2"].frozen == ("hidden1", "hidden3", "class_head", "aux_head")
    assert [name for name in recipes if name.endswith("frozen")] == [f"{p} frozen" for p in parts]


def test_findings_and_figure(tiny):
    plotting.render(who_moves.STUDY.figure(tiny))
    rows = {(row.quantity, row.at): row for row in who_moves.findings(tiny)}
    cost = "Test accuracy less that where all parts move"
    names = tiny.student.values.tolist()
    assert [at for quantity, at in rows if quantity == cost] == names[1:]
    assert rows[cost, "class_head frozen"].estimate[:3] == (0, 0, 0)
    # The student with the trained class head is the plain one, read by that head.
    plain = tiny.sel(student="all move", start="shared")
    gap = (plain.accuracy_by_teacher - plain.accuracy).isel(epoch=-1).mean()
    row = rows[cost, "trained class_head"]
    assert row.estimate.mean == pytest.approx(float(gap), abs=1e-6)
    gain = plain.accuracy_by_teacher.isel(epoch=[0, -1]).diff("epoch").mean()
    row = rows["Test accuracy by the teacher's class head, gain by distillation", "shared"]
    assert row.estimate.mean == pytest.approx(float(gain), abs=1e-6)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"widths": (0,)}, "widths must be at least 1; got .*"),
        ({"m": 0}, "m must be at least 1; got 0"),
        ({"loss": "l1"}, "loss must be one of kl, mse; got 'l1'"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
