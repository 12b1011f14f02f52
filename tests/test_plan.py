"""A plan tells what a run will do; it compiles, computes and writes nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toymodels import sweep
from toymodels.study import cli
from toymodels.study.options import Options
from toymodels.sweep import Program, RunOptions
from toymodels.sweep.axes import Grid
from toymodels.sweep.plan import plan_grid
from toymodels.sweep.programs import digest
from toymodels.sweep.store import Store
from toymodels.sweep.table import name_points


def build(size=4, calls=False):
    def prepare(data, seed):
        return jnp.full((size, 1000), seed, jnp.float32), {"mean": jnp.float32(seed)}

    def point(data, w, x):
        y = (w @ w.T).sum() * x
        if calls:
            y = jax.pure_callback(lambda y: y, y, y)
        return {"y": jnp.full(3, y)}

    return Program(prepare, point)


def arguments(store, seeds=3, xs=(0.5, 1.0), sizes=(4,), calls=False, **how):
    return {
        "build": lambda size: build(size, calls),
        "shapes": {"size": sizes},
        "shared": {"seed": range(seeds)},
        "points": {"x": xs},
        "variables": {"mean": ((), "1", "seed"), "y": (("column",), "1", "sums")},
        "data": np.zeros(100, np.float32),
        "options": RunOptions(store=store and Store(store), **how),
    }


@pytest.fixture
def _nothing_compiles(monkeypatch):
    def compiles(*_, **__):
        pytest.fail("must not be compiled")

    monkeypatch.setattr(jax.stages.Lowered, "compile", compiles)


@pytest.mark.usefixtures("_nothing_compiles")
def test_a_plan_counts_what_there_is(tmp_path):
    plan = plan_grid(**arguments(tmp_path / "store", memory=10**9, sizes=(4, 8)))
    assert (plan.shapes, plan.teachers, plan.points, plan.models) == (2, 6, 12, 18)
    assert (plan.missing_teachers, plan.missing_points, plan.calls) == (6, 12, 18)
    assert plan.records_bytes == 4 * (6 + 3 * 12)
    assert plan.model_bytes == 8 * 1000 * 4  # of the larger shape
    assert (plan.data_bytes, plan.budget_bytes) == (400, 10**9)
    assert plan.seconds is None
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("before", "missing"),
    [
        ({}, (0, 0)),
        ({"seeds": 2}, (1, 2)),
        ({"xs": (1.0,)}, (3, 3)),
        ({"seeds": 1, "xs": (1.0, 2.0)}, (3, 5)),
        ({"sizes": (8,)}, (3, 6)),
    ],
)
def test_a_plan_is_what_the_run_then_does(before, missing, tmp_path):
    sweep.grid(**arguments(tmp_path, **before))
    plan = plan_grid(**arguments(tmp_path))
    assert (plan.missing_teachers, plan.missing_points) == missing
    lines = []
    sweep.grid(**arguments(tmp_path, announce=lines.append))
    assert lines == [
        f"to compute: {missing[1]} of 6 points, with {missing[0]} teachers; "
        f"the store has {6 - missing[1]} points"
    ]


def test_the_time_is_that_of_earlier_runs_of_the_same_programs(tmp_path):
    def seconds(**change):
        return plan_grid(**arguments(tmp_path, **change)).seconds

    assert seconds() is None
    sweep.grid(**arguments(tmp_path))
    (speed,) = tmp_path.glob("*/speed.chunk")
    assert seconds() == 0.0
    Store(tmp_path).save(speed.parent.name, "speed", {"seconds": np.array([2.0, 0.5])})
    # Three more seeds with two points each; in another shape, six times the first seed's work.
    assert seconds(seeds=6) == 3 * 2.0 + 6 * 0.5
    assert seconds(seeds=3, xs=(0.5, 1.0, 3.0)) == 3 * 2.0 + 3 * 0.5
    both = seconds(seeds=6, sizes=(4, 8))
    assert both > 2 * seconds(seeds=6)
    for damaged in (np.array([np.nan, 1.0]), np.array([-1.0, 1.0]), np.zeros(3), np.zeros(2, int)):
        Store(tmp_path).save(speed.parent.name, "speed", {"seconds": damaged})
        assert seconds(seeds=6) is None
    speed.write_bytes(b"")
    assert seconds(seeds=6) is None


def test_a_run_takes_the_speed_for_no_chunk(tmp_path):
    whole, _ = sweep.grid(**arguments(tmp_path))
    again, how = sweep.grid(**arguments(tmp_path))
    assert how.from_store == how.models
    assert again.identical(whole)


def test_nothing_is_found_of_a_program_that_calls_python(tmp_path):
    with pytest.warns(UserWarning, match="callbacks"):
        sweep.grid(**arguments(tmp_path, calls=True))
    plan = plan_grid(**arguments(tmp_path, calls=True))
    assert plan.missing_points == 6


@pytest.mark.parametrize("workers", [1, 4])
def test_the_lines_say_the_numbers(workers, tmp_path):
    plan = plan_grid(**arguments(tmp_path))._replace(points=10**6, missing_points=12_345)
    lines = plan._replace(seconds=7200.0).describe(workers)
    assert lines[0] == "models: 1,000,003 (teachers: 3, points: 1,000,000), programs for 1 shape"
    assert "12,345 points with 3 teachers" in lines[1]
    assert ("by 4 workers" in lines[1]) == (workers == 4)
    assert {1: "about 2.0 hours", 4: "about 30 minutes"}[workers] in lines[3]
    assert plan.describe()[3].startswith("time: unknown")
    assert plan._replace(calls=0).describe()[-1] == "time: none, nothing is left to compute"


def test_names_of_points_are_hashes_of_their_values():
    grid = Grid.of(
        {"a": {"x": np.array([1, 2], np.int8), "y": np.zeros(2, np.int8)}, "b": [0.5, 2]}
    )
    assert name_points(grid) == [digest("", grid.rows([i])) for i in range(4)]
    assert len(set(name_points(grid))) == 4


@pytest.mark.usefixtures("_nothing_compiles")
def test_a_dry_run_of_a_command_writes_nothing(tmp_path, capsys):
    from experiments.init_overlap import STUDY

    config = STUDY.config(dataset="digits", noise_images=64, seeds=3, width=(8,), rho=(0.0, 1.0))
    cli.execute(STUDY, config, Options(dry_run=True, out=tmp_path / "out", workers=1))
    lines = capsys.readouterr().out.splitlines()
    points = 3 * 2 * len(config.groups)
    assert lines[0].startswith(f"models: {3 + points:,} (teachers: 3, points: {points:,})")
    assert lines[1].startswith(f"to compute: {points:,} points with 3 teachers")
    assert lines[-1].startswith("time: unknown")
    assert list(tmp_path.iterdir()) == []
