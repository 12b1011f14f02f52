"""Files that are no results: each is one sentence, and nothing hangs, grows or is followed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import xarray as xr

from toymodels import files
from toymodels.errors import UserError, plain
from toymodels.study import netcdf, results

ROOT = Path(__file__).parents[1]
FIGURE = ROOT / "figures" / "behavioural_cloning"


SUMMARY = {"experiment": "", "config": {}, "dataset": {"name": ""}, "metrics": {}, "findings": []}


@pytest.fixture
def folder(tmp_path):
    for name in ("results.nc", "summary.json"):
        (tmp_path / name).write_bytes((FIGURE / name).read_bytes())
    return tmp_path


def changed(folder, change):
    """Change the open HDF5 file of a result."""
    with h5py.File(folder / "results.nc", "a") as file:
        change(file)


def external_link(file):
    file["accuracy2"] = h5py.ExternalLink("/etc/passwd", "/")


def soft_link(file):
    file["accuracy2"] = h5py.SoftLink("/nowhere")


def external_storage(file):
    file.create_dataset("secret", (100,), "i1", external=[("/etc/passwd", 0, 100)])


def virtual(file):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("other.nc", "x", (3,))
    file.create_virtual_dataset("virtual", layout)


def group(file):
    file.create_group("inner")


def bomb(file):
    file.create_dataset("bomb", (10**6, 10**6), "f4", chunks=(1000, 1000), fillvalue=1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (external_link, "holds a link to another place"),
        (soft_link, "holds a link to another place"),
        (external_storage, "holds an array that lies in another file"),
        (virtual, "holds an array that lies in another file"),
        (group, "holds more than arrays"),
        (bomb, "holds arrays of 4000.00 GB"),
    ],
)
def test_hdf5_that_is_more_than_arrays_is_refused(folder, change, words):
    results.open_result(folder)
    changed(folder, change)
    with pytest.raises(UserError, match=words):
        results.open_result(folder)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("config", "[1, 2]"),
        ("config", "not JSON"),
        ("config", "[" * 100_000),
        ("dataset", '"digits"'),
        ("findings", "[1, null]"),
        ("findings", "7"),
        ("failed_points", "[3]"),
        ("provenance", "{}"),
        ("headline", 5),
        ("headline", ""),
        ("headline", "nothing_of_this_name"),
        ("experiment", np.arange(3)),
    ],
)
def test_attributes_of_a_wrong_type_are_no_result(folder, name, value):
    dataset = results.open_result(folder).assign_attrs({name: value})
    dataset.to_netcdf(folder / "results.nc", engine="h5netcdf")
    with pytest.raises(UserError, match=r"results.nc is damaged, or not a result of toymodels"):
        results.open_result(folder)


@pytest.mark.parametrize("name", ["failed", "seed", "headline"])
def test_variables_of_a_wrong_type_are_no_result(folder, name):
    dataset = results.open_result(folder)
    name = dataset.attrs["headline"].split()[0] if name == "headline" else name
    dataset[name] = dataset[name].astype(str)
    dataset.to_netcdf(folder / "results.nc", engine="h5netcdf")
    with pytest.raises(UserError, match=r"results.nc is damaged, or not a result of toymodels"):
        results.open_result(folder)


@pytest.mark.parametrize("name", ["results.nc", "summary.json"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
def test_pipes_devices_and_folders_are_not_read(folder, name, kind):
    path = folder / name
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    read = results.open_result if name == "results.nc" else results.read_summary
    with pytest.raises(UserError, match=f"{name} (is not an ordinary file|cannot be read)"):
        read(folder)


def test_a_large_file_is_not_read(folder, monkeypatch):
    monkeypatch.setattr(netcdf, "LARGEST", 1000)
    with pytest.raises(UserError, match="is too large to be read"):
        results.open_result(folder)


# Another process has the file open, as a notebook may have.
OPEN = """
import h5py, sys, time
file = h5py.File(sys.argv[1], sys.argv[2], **({"libver": "latest"} if sys.argv[2] == "a" else {}))
print("open", flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("mode", ["r", "a"])
def test_a_file_that_another_process_has_open_is_read(folder, mode):
    command = [sys.executable, "-c", OPEN, folder / "results.nc", mode]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout.readline() == b"open\n"
            assert results.open_result(folder).attrs["experiment"] == "behavioural_cloning"
        finally:
            child.kill()


def test_a_file_that_another_process_is_writing_is_not_called_damaged(folder):
    path = folder / "results.nc"
    path.write_bytes(path.read_bytes()[:5000])
    with path.open("rb") as held:
        files.lock(held.fileno())
        with pytest.raises(UserError, match="is open in another process, which writes to it"):
            results.open_result(folder)
    with pytest.raises(UserError, match="is damaged"):
        results.open_result(folder)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        '{"metrics": 3}',
        json.dumps(SUMMARY | {"metrics": {"a": 1}}),
        json.dumps(
            SUMMARY | {"metrics": {"a": {"mean": "0.5", "ci_low": 0, "ci_high": 1, "n": 2}}}
        ),
        json.dumps(SUMMARY | {"metrics": {"a": {"mean": None, "ci_low": 0, "ci_high": 1, "n": 2}}}),
        json.dumps(SUMMARY | {"findings": [None]}),
        json.dumps(SUMMARY | {"dataset": {}}),
    ],
)
def test_a_summary_that_is_none_is_refused(folder, text):
    results.read_summary(folder)
    (folder / "summary.json").write_text(json.dumps(SUMMARY))
    assert results.read_summary(folder) == SUMMARY
    (folder / "summary.json").write_text(text)
    with pytest.raises(UserError, match=r"summary.json is damaged, or not a summary"):
        results.read_summary(folder)


def test_a_folder_left_half_written_is_finished_by_its_reader(folder):
    dataset = results.open_result(folder)
    dataset["accuracy"] = dataset.accuracy / 2
    complete = folder / files.COMPLETE
    complete.mkdir()
    for name, content in results.files(dataset).items():
        (complete / name).write_bytes(content)
    xr.testing.assert_identical(results.open_result(folder), dataset)
    assert {p.name for p in folder.iterdir()} == {"results.nc", "summary.json"}


def test_control_characters_are_shown_and_not_sent():
    assert plain("a\x1b]0;title\x07\x9b31m\u202eb") == r"a\x1b]0;title\x07\x9b31m\u202eb"
    assert plain("0.5 ± 0.1, n = 3, é") == "0.5 ± 0.1, n = 3, é"
