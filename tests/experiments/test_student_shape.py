"""Students of other shapes: the teacher's own shape is the base protocol, heads fit where said."""

import dataclasses

import jax
import numpy as np
import pytest
import xarray as xr

from experiments import student_shape
from experiments.student_shape import SHARED, Config, build_network
from toymodels import sweep
from toymodels.errors import UserError
from toymodels.study import plotting, results
from toymodels.study.distillation import STARTS
from toymodels.training import protocol, tasks
from toymodels.training.config import BROCKERS
from toymodels.training.distillation import auxiliary_logits

TINY = Config(
    **BROCKERS,
    dataset="digits",
    seeds=2,
    m=(3,),
    widths=(16, 12),
    student=("same", "cnn"),
    channels=(2, 3),
    noise_images=256,
    teacher_epochs=2,
    student_epochs=2,
)


@pytest.fixture(scope="module")
def tiny():
    return student_shape.STUDY.run(TINY)


def test_the_teachers_own_shape_is_the_base_protocol(tiny):
    """All that fits is the reference, nothing is the unrelated init: up to rounding."""
    config, task, data = tasks.load(TINY, None)
    parts = protocol.reference_protocol(config, task, build_network("same", config, task))
    subset = auxiliary_logits(10, 3)

    def student(data, begun, start):
        init = parts.start(begun, start)
        return parts.distil(init, begun, subset, parts.watch(data, begun, subset))[1]

    base, _ = sweep.grid(
        lambda: sweep.Program(parts.prepare, student),
        shared={"seed": [0, 1]},
        points={"start": STARTS},
        variables=tasks.TEACHER | tasks.STUDENT,
        data=data,
    )
    ours = tiny.sel(student="same", m=3)
    for shared, start in (("fitting", "shared"), ("nothing", "other")):
        expected = base.loss.sel(start=start)
        np.testing.assert_allclose(ours.loss.sel(shared=shared), expected, rtol=1e-4)
    assert (abs(ours.loss.sel(shared="heads") - base.loss) > 1e-3 * base.loss).all()


def test_a_cnn_shares_its_heads_and_no_more(tiny):
    cnn = tiny.sel(student="cnn")
    np.testing.assert_array_equal(cnn.loss.sel(shared="fitting"), cnn.loss.sel(shared="heads"))
    assert (cnn.loss.sel(shared="heads") != cnn.loss.sel(shared="nothing")).all()


def test_perlins_noise_is_the_students_and_not_the_teachers(tiny):
    smooth = student_shape.STUDY.run(
        dataclasses.replace(TINY, student=("same",), inputs="perlin:2")
    )
    np.testing.assert_array_equal(smooth.teacher_loss, tiny.teacher_loss.sel(student=["same"]))
    assert (smooth.loss != tiny.loss.sel(student=["same"])).all()


def test_transfer_is_measured_from_the_student_that_shares_nothing(tiny):
    assert (tiny.transfer.sel(shared="nothing") == 0).all()
    plotting.render(student_shape.STUDY.figure(tiny))
    assert "transfer[student=cnn, m=3, shared=heads]" in results.metrics(tiny)


@pytest.mark.parametrize(
    ("student", "hidden", "last"),
    [
        ("same", [16, 12], 12),
        ("wider", [32, 12], 12),
        ("narrower", [8, 12], 12),
        ("deeper", [16, 12, 12], 12),
        ("shallower", [12], 12),
        ("last_wider", [16, 24], 24),
        ("last_narrower", [16, 6], 6),
        ("cnn", [2, 3, 12], 12),
    ],
)
def test_every_student_has_the_shape_it_is_named_after(student, hidden, last):
    task = tasks.Task("digits", "", 10, 64, 16)
    params = jax.eval_shape(build_network(student, TINY, task).init, jax.random.key(0))
    assert [params[f"hidden{i + 1}"]["bias"].size for i in range(len(params) - 2)] == hidden
    assert params["class_head"]["kernel"].shape == (last, 10)
    assert params["aux_head"]["kernel"].shape == (last, 3)


def test_the_findings_are_those_of_the_numbers():
    # Per student what fitting and heads transfer; seeds differ by a little.
    means = {"same": (0.9, 0.5), "wider": (0.5, 0.5), "cnn": (-0.1, 0.2)}
    seeds = np.array([-0.01, 0.0, 0.01])
    values = np.array([[fit + seeds, heads - seeds, 0 * seeds] for fit, heads in means.values()])
    dims = ("student", "shared", "m", "seed")
    dataset = xr.Dataset(
        {
            "transfer": (dims, values[:, :, None]),
            "failed": (dims, np.zeros((3, 3, 1, 3), bool)),
        },
        {"student": list(means), "shared": list(SHARED), "m": [10], "seed": [0, 1, 2]},
    )
    rows = {(row.quantity, row.at): row for row in student_shape.STUDY.findings(dataset)}
    fitting, heads = "Transfer with all that fits shared", "Transfer with the heads alone shared"
    gain = "Transfer with all that fits shared less that with the heads alone"
    assert rows.keys() == {(q, student) for q in (fitting, heads, gain) for student in means}
    expected = {
        (fitting, "same"): ("0.900", "above zero"),
        (fitting, "cnn"): ("-0.100", "below zero"),
        (heads, "cnn"): ("0.200", "above zero"),
        (gain, "same"): ("0.400", "higher"),
        (gain, "cnn"): ("-0.300", "lower"),
        (gain, "wider"): ("0.000", "no difference shown"),
    }
    for (quantity, student), (mean, verdict) in expected.items():
        row = rows[quantity, student]
        assert str(row).startswith(f"{quantity}, {student}: {mean} (")
        assert row.verdict == verdict
    assert all(rows[heads, student].verdict == "above zero" for student in means)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"widths": (16,)}, "widths must be two at least; got .*"),
        ({"widths": (16, 1)}, "widths must be at least 2; got .*"),
        ({"inputs": "real"}, "inputs must be uniform or perlin:cells; got 'real'"),
        ({"inputs": "perlin:x"}, "inputs must have an integer from 1 to 1000 in perlin:; got .*"),
        ({"channels": (0,)}, "channels must be at least 1; got .*"),
        ({"student": ("same", "same")}, "student must have one value at least, and none .*"),
        ({"student": ("taller",)}, "student must be one of same, .*; got 'taller'"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
