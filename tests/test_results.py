import errno
import json
import os
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from scipy import stats

from toymodels import results
from toymodels.errors import UserError

ABOUT = {
    "experiment": "test",
    "headline": "accuracy",
    "config": {"m": 3},
    "dataset": {"name": "digits"},
    "provenance": {"jax": "1", "compile_s": 1.0, "run_s": 2.0},
}


def make(values):
    return results.labelled(
        {"accuracy": np.asarray(values, np.float32)},
        {"accuracy": (("model",), "1", "test accuracy")},
        {"seed": range(len(values)), "model": ["teacher", "student"]},
        ABOUT,
    )


def test_interval_is_scipys():
    x = np.random.default_rng(0).normal(size=7)
    low, high = stats.t.interval(0.95, 6, loc=x.mean(), scale=stats.sem(x))
    got = results.mean_interval(x)
    np.testing.assert_allclose(got, (x.mean(), low, high, 7), rtol=1e-12)


def test_interval_covers_at_its_rate():
    rng = np.random.default_rng(1)
    intervals = [results.mean_interval(rng.normal(size=5)) for _ in range(2000)]
    covered = np.mean([i.ci_low < 0 < i.ci_high for i in intervals])
    assert abs(covered - 0.95) < 4 * np.sqrt(0.95 * 0.05 / 2000)


def test_one_value_has_no_interval_and_none_no_mean():
    assert results.mean_interval([0.5]) == (0.5, None, None, 1)
    assert results.mean_interval([]) == (None, None, None, 0)


def test_summary_keeps_every_seed_unrounded():
    values = [[0.9, 1 / 3], [0.8, 0.2]]
    summary = results.summary(make(values))
    assert list(summary) == [
        "experiment",
        "config",
        "dataset",
        "metrics",
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


def test_a_failed_seed_is_named_and_in_no_mean():
    dataset = make([[0.9, 0.5], [0.9, np.nan], [0.7, 0.3]])
    summary = results.summary(dataset)
    assert summary["failed"] == {"seeds": [1]}
    assert summary["metrics"]["teacher"]["n"] == 2
    np.testing.assert_allclose(summary["metrics"]["teacher"]["mean"], 0.8, rtol=1e-6)
    assert np.isnan(dataset.accuracy.sel(seed=1, model="student"))
    assert "NaN" not in results.files(dataset)["summary.json"].decode()


def test_all_seeds_failed_is_still_a_summary():
    summary = json.loads(results.files(make([[np.nan, np.inf]]))["summary.json"])
    assert summary["metrics"]["teacher"] == {
        "mean": None,
        "ci_low": None,
        "ci_high": None,
        "n": 0,
        "values": [],
    }


def test_netcdf_round_trip(tmp_path):
    dataset = results.with_published(
        make([[0.9, 0.5]]), "model", {"paper": ((0.94, 0.5), (None, 0.02))}
    )
    results.write_files(tmp_path, results.files(dataset))
    with xr.open_dataset(tmp_path / "results.nc") as again:
        xr.testing.assert_identical(again.load(), dataset)


@pytest.mark.parametrize("fails", ["fsync", "fdopen"])
def test_full_disk_leaves_nothing_and_keeps_the_old(tmp_path, monkeypatch, fails):
    results.write_files(tmp_path, {"a": b"old", "b": b"old"})
    calls = []

    def full(descriptor, *args):
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return genuine(descriptor, *args)

    genuine = getattr(os, fails)
    monkeypatch.setattr(os, fails, full)
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
    if not Path(results.__file__).parents[1].joinpath(".git").exists():
        pytest.skip("not a checkout")
    assert len(results.git_commit().removesuffix("-dirty")) == 40
