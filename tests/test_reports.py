"""What a sweep tells a user's function: every model once, as it is in the result, and nothing changes."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

import toymodels as tm
from toymodels import sweep
from toymodels.errors import UserError
from toymodels.sweep import Program, RunOptions
from toymodels.sweep.store import Store

VARIABLES = {"norm": ((), "1", "of the seed's weights"), "curve": (("step",), "1", "on the way")}


def build(width=4):
    def prepare(data, seed):
        w = jax.random.normal(jax.random.key(seed), (width,))
        return w, {"norm": jnp.linalg.norm(w)}

    def point(data, w, rate, sign):
        return {"curve": jnp.cumsum(jnp.tanh(w * rate * sign["by"]))[:2]}

    return Program(prepare, point)


def run(seeds=(0, 1, 2), **options):
    dataset, _ = sweep.grid(
        build,
        shapes={"width": (4, 6)},
        shared={"seed": seeds},
        points={"rate": (0.1, 0.5), "sign": {"up": {"by": 1.0}, "down": {"by": -1.0}}},
        variables=VARIABLES,
        coords={"step": (0, 1)},
        options=RunOptions(**options),
    )
    return dataset


def check(records, dataset):
    """Every record holds what the dataset has at its labels."""
    for record in records:
        (name,) = {"norm", "curve"} & record.keys()
        place = {axis: label for axis, label in record.items() if axis != name}
        np.testing.assert_array_equal(
            np.float32(record[name]), dataset[name].sel(place).values, strict=True
        )


@pytest.mark.parametrize("width", [1, 3])
def test_every_model_is_reported_once_as_it_is_in_the_result(width):
    reports = []
    dataset = run(width=width, report=reports.append)
    records = [record for report in reports for record in report.records]
    assert len(records) == len({json.dumps(record) for record in records}) == 2 * 3 * (1 + 4)
    check(records, dataset)
    done = [report.done for report in reports]
    assert done == sorted(done)
    assert {report.total for report in reports} == {done[-1]} == {30}
    seconds = [report.seconds for report in reports]
    assert seconds == sorted(seconds)


def test_a_report_changes_neither_values_nor_names_of_chunks(tmp_path):
    a = run(store=Store(tmp_path / "a"))
    b = run(store=Store(tmp_path / "b"), report=lambda report: None)
    xr.testing.assert_identical(a, b)
    keys = [{path.name for path in (tmp_path / name).iterdir()} for name in "ab"]
    assert keys[0] == keys[1]
    reports = []
    xr.testing.assert_identical(run(store=Store(tmp_path / "a"), report=reports.append), a)
    assert reports == []  # nothing was left to compute


def test_only_what_is_computed_is_reported(tmp_path):
    run(seeds=(0, 1), store=Store(tmp_path))
    reports = []
    dataset = run(store=Store(tmp_path), report=reports.append)
    records = [record for report in reports for record in report.records]
    assert {record["seed"] for record in records} == {2}
    check(records, dataset)
    assert (reports[-1].done, reports[-1].total) == (10, 10)


def test_an_error_of_the_function_ends_the_sweep_and_keeps_what_is_finished(tmp_path):
    def fail(report):
        raise ConnectionError("the logger is away")

    with pytest.raises(ConnectionError):
        run(store=Store(tmp_path), report=fail)
    reports = []
    dataset = run(store=Store(tmp_path), report=reports.append)
    assert 0 < sum(len(report.records) for report in reports) < 30
    xr.testing.assert_identical(dataset, run())


def test_a_report_that_is_no_function_is_refused():
    with pytest.raises(UserError, match="report must be a function; got 3"):
        run(report=3)


@pytest.mark.thorough
def test_the_example_of_the_guide_logs_every_model():
    from experiments.mnist_aux import STUDY

    guide = (Path(__file__).parents[1] / "docs" / "howto.md").read_text()
    (example,) = (b for b in re.findall(r"```python\n(.*?)```", guide, re.DOTALL) if "report=" in b)
    logged = []
    small = {"noise_images": 64, "teacher_epochs": 1, "student_epochs": 1, "widths": (8,)}
    names = {
        "tm": tm,
        "STUDY": STUDY,
        "config": STUDY.config(dataset="digits", seeds=1, **small),
        "tracker": SimpleNamespace(log=logged.append),
    }
    exec(compile(example, "howto.md", "exec"), names)
    assert len(logged) == 1 + 4
    assert logged[-1]["done"] == 1
    curves = {record["student"]: record["accuracy"] for record in logged if "student" in record}
    for student, curve in curves.items():
        expected = names["dataset"].accuracy.sel(seed=0, student=student)
        np.testing.assert_array_equal(np.float32(curve), expected)
