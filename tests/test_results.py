import dataclasses
import errno
import json
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from toymodels.errors import UserError
from toymodels.stats import statistics
from toymodels.study import results
from toymodels.sweep import Execution
from toymodels.sweep.axes import Grid, label_arrays

EXECUTION = Execution(
    device="cpu (cpu)",
    precision="float32",
    devices=1,
    width=2,
    models=6,
    from_store=0,
    compile_s=1.0,
    run_s=2.0,
)
TASK = SimpleNamespace(name="digits", sha256="ab12")
VARIABLES = {
    "accuracy": ((), "1", "test accuracy"),
    "curve": (("epoch",), "1", "test accuracy on the way"),
    "teacher": ((), "1", "teacher's test accuracy"),
}


@dataclasses.dataclass(frozen=True)
class Config:
    m: int = 3


def describe_result(dataset, headline="accuracy"):
    return results.describe_result(dataset, "test", headline, Config(), TASK, EXECUTION)


def make(values):
    """Accuracies (seed, model)."""
    points = Grid.of({"model": {"teacher": 0, "student": 1}})
    recorded = {"accuracy": np.asarray(values, np.float32)}
    shared = Grid.of({"seed": range(len(values))})
    return describe_result(label_arrays({}, recorded, shared, points, VARIABLES, {}))


SEEDS, RHOS, GROUPS = [4, 2, 7], [0.0, 0.5, 1.0], {"all": 0, "head": 1}


def sweep(failing=()):
    """A sweep over seed, overlap and group, with NaN or another value at (seed, rho, group)."""
    accuracy = np.linspace(0.1, 0.9, 18, dtype=np.float32).reshape(3, 3, 2)
    curve = np.stack([accuracy / 2, accuracy], -1)
    for at, value in dict(failing).items():
        curve[at][0] = value
    return label_arrays(
        {"teacher": np.float32([0.9, 0.8, 0.7])},
        {"accuracy": accuracy.reshape(3, 6), "curve": curve.reshape(3, 6, 2)},
        Grid.of({"seed": SEEDS}),
        Grid.of({"rho": RHOS, "group": GROUPS}),
        VARIABLES,
        {"epoch": [0, 1]},
    )


def test_interval_is_scipys():
    x = np.random.default_rng(0).normal(size=7)
    low, high = stats.t.interval(0.95, 6, loc=x.mean(), scale=stats.sem(x))
    got = statistics.mean_interval(x)
    np.testing.assert_allclose(got, (x.mean(), low, high, 7), rtol=1e-12)


def test_interval_covers_at_its_rate():
    rng = np.random.default_rng(1)
    intervals = [statistics.mean_interval(rng.normal(size=5)) for _ in range(2000)]
    covered = np.mean([i.ci_low < 0 < i.ci_high for i in intervals])
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_one_value_has_no_interval_and_none_no_mean():
    assert statistics.mean_interval([0.5]) == (0.5, None, None, 1)
    assert statistics.mean_interval([]) == (None, None, None, 0)


def test_nan_is_left_out_and_not_counted():
    alone = statistics.mean_interval([1.0, 3.0])
    assert statistics.mean_interval([np.nan, 1.0, 3.0, np.nan]) == alone
    assert statistics.mean_interval([np.nan]) == (None, None, None, 0)


def test_summary_keeps_every_seed_unrounded():
    values = [[0.9, 1 / 3], [0.8, 0.2]]
    summary = results.summary(make(values))
    assert list(summary) == [
        "experiment",
        "config",
        "dataset",
        "metrics",
        "findings",
        "findings_table",
        "failed",
        "provenance",
        "timing",
    ]
    assert summary["metrics"]["student"]["values"] == [
        float(np.float32(1 / 3)),
        float(np.float32(0.2)),
    ]
    assert summary["timing"] == {"compile_s": 1.0, "run_s": 2.0}
    assert "run_s" not in summary["provenance"]


def test_a_result_says_where_it_came_from():
    dataset = describe_result(sweep().transpose("group", "rho", "epoch", "seed"))
    assert dataset.curve.dims[0] == dataset.accuracy.dims[0] == "seed"
    summary = results.summary(dataset)
    assert summary["experiment"] == "test"
    assert summary["config"] == {"m": 3}
    assert summary["dataset"] == {"name": "digits", "sha256": "ab12"}
    assert summary["failed"] == {"seeds": [], "points": []}
    execution = EXECUTION._asdict()
    del execution["compile_s"], execution["run_s"]
    assert summary["provenance"].items() >= execution.items()
    assert summary["provenance"].keys() >= {"toymodels", "jax", "git_commit", "command", "created"}


def test_a_failed_point_is_named_and_in_no_mean_of_its_own():
    dataset = make([[0.9, 0.5], [0.9, np.nan], [0.7, 0.3]])
    summary = results.summary(dataset)
    assert summary["failed"] == {"seeds": [1], "points": [{"seed": 1, "model": "student"}]}
    teacher, student = (summary["metrics"][name] for name in ("teacher", "student"))
    assert (teacher["n"], student["n"]) == (3, 2)
    np.testing.assert_allclose(teacher["mean"], 2.5 / 3, rtol=1e-6)
    np.testing.assert_allclose(student["mean"], 0.4, rtol=1e-6)
    np.testing.assert_allclose(student["values"], [0.5, 0.3], rtol=1e-6)
    assert np.isnan(dataset.accuracy.sel(seed=1, model="student"))
    assert "NaN" not in results.files(dataset)["summary.json"].decode()


def test_all_seeds_failed_is_still_a_summary():
    summary = json.loads(results.files(make([[np.nan, np.inf]]))["summary.json"])
    nothing = {"mean": None, "ci_low": None, "ci_high": None, "n": 0, "values": []}
    assert summary["metrics"] == {"teacher": nothing, "student": nothing}
    assert summary["failed"]["seeds"] == [0]
    assert len(summary["failed"]["points"]) == 2


def test_failed_points_are_told_by_plain_coordinates():
    dataset = sweep({(1, 2, 0): np.nan, (0, 1, 1): -np.inf})
    points = results.failed_points(dataset)
    assert points == [
        {"seed": 4, "rho": 0.5, "group": "head"},
        {"seed": 2, "rho": 1.0, "group": "all"},
    ]
    assert {type(value) for point in points for value in point.values()} == {int, float, str}
    assert results.failed_seeds(dataset) == [4, 2]
    assert json.loads(describe_result(dataset).attrs["failed_points"]) == points


def test_of_a_failed_point_no_value_counts_and_of_others_every_one():
    whole, dataset = sweep(), sweep({(1, 2, 0): np.inf})
    before = dataset.copy(deep=True)
    done, at = statistics.succeeded(dataset), {"seed": 2, "rho": 1.0, "group": "all"}
    assert np.isnan(done.accuracy.sel(at))
    assert done.curve.sel(at).isnull().all()
    assert (done.accuracy.isnull().sum(), done.curve.isnull().sum()) == (1, 2)
    np.testing.assert_array_equal(done.accuracy.fillna(whole.accuracy), whole.accuracy)
    xr.testing.assert_identical(done.failed, dataset.failed)
    xr.testing.assert_identical(dataset, before)
    assert done.curve.attrs == dataset.curve.attrs
    assert done.curve.dims == dataset.curve.dims


def test_where_nothing_failed_nothing_changes():
    xr.testing.assert_identical(statistics.succeeded(sweep()), sweep())


def test_what_several_points_share_fails_with_the_last_of_them():
    def rows(j):
        return {(j, rho, group): np.nan for rho in range(3) for group in range(2)}

    most = dict(list(rows(1).items())[:-1])
    assert not statistics.succeeded(sweep(most)).teacher.isnull().any()
    done = statistics.succeeded(sweep(rows(1)))
    assert done.teacher.isnull().values.tolist() == [False, True, False]
    assert results.failed_seeds(sweep(rows(1))) == [2]


def test_what_has_no_seed_nor_point_is_left_alone():
    dataset = sweep(dict.fromkeys(np.ndindex(3, 3, 2), np.nan))
    dataset["published"] = ("source", [0.5, np.nan])
    dataset["steps"] = dataset.seed * 2
    done = statistics.succeeded(dataset)
    xr.testing.assert_identical(done.published, dataset.published)
    xr.testing.assert_identical(done.steps, dataset.steps)
    assert done.accuracy.isnull().all()


def test_metrics_of_one_headline_of_one_dimension_have_its_labels_for_names():
    dataset = describe_result(sweep().isel(rho=-1, drop=True))
    assert list(results.metrics(dataset)) == ["all", "head"]
    assert results.metrics(dataset)["head"]["n"] == 3


def test_metrics_of_several_dimensions_say_where():
    dataset = describe_result(sweep({(1, 2, 0): np.nan}))
    metrics = results.metrics(dataset)
    assert list(metrics) == [
        f"accuracy[rho={rho}, group={group}]" for rho in RHOS for group in GROUPS
    ]
    assert [row["n"] for row in metrics.values()] == [3, 3, 3, 3, 2, 3]
    row = metrics["accuracy[rho=0.5, group=head]"]
    expected = sweep().accuracy.sel(rho=0.5, group="head")
    np.testing.assert_array_equal(row["values"], expected)
    interval = statistics.mean_interval(expected)._asdict()
    assert {name: row[name] for name in interval} == interval


def test_metrics_of_several_headlines_come_in_their_order():
    dataset = sweep()
    dataset["rho_50"] = dataset.accuracy.max("rho").where(lambda best: best.seed != 2)
    metrics = results.metrics(describe_result(dataset, "rho_50 accuracy"))
    assert len(metrics) == 2 + 6
    assert list(metrics)[:3] == [
        "rho_50[group=all]",
        "rho_50[group=head]",
        "accuracy[rho=0.0, group=all]",
    ]
    # A value that does not exist, though nothing failed, is in no mean either.
    assert metrics["rho_50[group=all]"]["n"] == 2


def test_arrays_lie_side_by_side_under_their_names():
    dataset = sweep()
    first, last = (dataset.curve.isel(epoch=i).assign_attrs(units="u") for i in (0, -1))
    table = statistics.side_by_side("when", {"late": last, "early": first}, "both")
    assert table.when.values.tolist() == ["late", "early"]
    assert set(table.coords) == {"when", "seed", "rho", "group"}
    assert table.attrs == {"units": "u", "description": "both"}
    for name, array in (("late", last), ("early", first)):
        np.testing.assert_array_equal(table.sel(when=name), array)
    assert first.attrs["description"] == last.attrs["description"] == "test accuracy on the way"


def test_netcdf_round_trip(tmp_path):
    dataset = results.with_published(
        make([[0.9, 0.5]]), "model", {"paper": ((0.94, 0.5), (None, 0.02))}
    )
    results.write_files(tmp_path, results.files(dataset))
    with xr.open_dataset(tmp_path / "results.nc") as again:
        xr.testing.assert_identical(again.load(), dataset)
        assert again.failed.dtype == bool
        assert results.summary(again) == results.summary(dataset)


def test_full_disk_leaves_nothing_and_keeps_the_old(tmp_path, monkeypatch):
    results.write_files(tmp_path, {"a": b"old", "b": b"old"})
    calls = []

    def full(descriptor, *args):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return genuine(descriptor, *args)

    genuine = os.fsync
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"out: cannot write to .*: No space left on device"):
        results.write_files(tmp_path, {"a": b"new", "b": b"new"})
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": b"old", "b": b"old"}


def test_output_folder_disappears_if_nothing_came_of_it(tmp_path):
    with pytest.raises(KeyboardInterrupt), results.output_folder(tmp_path / "a" / "b"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    with results.output_folder(tmp_path / "a" / "b") as folder:
        results.write_files(folder, {"x": b"1"})
    assert (tmp_path / "a" / "b" / "x").read_bytes() == b"1"


def test_output_folder_that_is_a_file(tmp_path):
    (tmp_path / "f").write_text("")
    for path in (tmp_path / "f", tmp_path / "f" / "g"):
        with (
            pytest.raises(UserError, match=r"out: cannot write to .*f"),
            results.output_folder(path),
        ):
            pytest.fail("must not begin")


def test_files_have_ordinary_permissions(tmp_path):
    results.write_files(tmp_path, {"x": b"1"})
    plain = tmp_path / "plain"
    plain.write_bytes(b"")
    assert (tmp_path / "x").stat().st_mode == plain.stat().st_mode


def test_commit_is_this_checkouts():
    if not Path(__file__).parents[1].joinpath(".git").exists():
        pytest.skip("not a checkout")
    assert len(results.git_commit().removesuffix("-dirty")) == 40
