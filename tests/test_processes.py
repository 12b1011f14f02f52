"""Real processes on this machine: workers that share a store, and one sweep over all of them."""

import json
import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

from toymodels.study import workers

ROOT = Path(__file__).parents[1]
TINY = [
    *("--dataset", "digits", "--seeds", "4", "--widths", "8", "--noise-images", "64"),
    *("--teacher-epochs", "1", "--student-epochs", "1"),
]
ALONE = ("--workers", "1")


def started(*arguments, **environment):
    return subprocess.Popen(
        [sys.executable, "-m", "experiments.mnist_aux", *TINY, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def values(folder):
    with xr.open_dataset(folder / "results.nc") as dataset:
        return dataset.load().drop_attrs()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    child = started("--out", folder, *ALONE)
    _, told = child.communicate()
    assert child.returncode == 0, told
    return folder


def test_three_workers_of_a_job_array_end_in_the_same_bits(tmp_path, alone):
    common = ("--store", tmp_path / "chunks", "--out", tmp_path / "out", *ALONE)
    children = [started(*common, "--shard", f"{k}/3") for k in (1, 2, 3)]
    told = [child.communicate() for child in children]
    assert [child.returncode for child in children] == [0, 0, 0], told
    xr.testing.assert_identical(values(tmp_path / "out"), values(alone))


def slurm(rank, port):
    """What SLURM tells each of two tasks on one node."""
    return {
        "JAX_PLATFORMS": "cpu",
        "JAX_COORDINATOR_PORT": str(port),
        "SLURM_JOB_ID": "1",
        "SLURM_STEP_NODELIST": "localhost",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_STEP_NUM_NODES": "1",
    }


def test_two_processes_of_one_slurm_step_are_one_sweep(tmp_path, alone):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    common = ("--distributed", "--out", tmp_path / "out")
    children = [started(*common, **slurm(rank, port)) for rank in (0, 1)]
    told = [child.communicate(timeout=300) for child in children]
    assert [child.returncode for child in children] == [0, 0], told
    assert "student_aux" in told[0][0]
    assert "student_aux" not in told[1][0]
    ours = values(tmp_path / "out")
    xr.testing.assert_allclose(ours, values(alone), atol=0.02)
    summary = (tmp_path / "out" / "summary.json").read_text()
    assert '"devices": 2' in summary


def test_without_others_it_says_so():
    child = started("--distributed")
    _, told = child.communicate()
    assert child.returncode == 2
    assert told.startswith("error: distributed: no other processes were found")


@pytest.mark.parametrize("shard", ["0/2", "3/2", "1", "a/b", "-1/2", "1/2/3"])
def test_a_shard_is_two_numbers(shard):
    child = started("--shard", shard)
    _, told = child.communicate()
    assert child.returncode == 2
    assert f"shard must be k/n, with k from 1 to n; got {shard}" in told


needs_two_cores = pytest.mark.skipif(
    len(workers.usable_cores()) < 2, reason="a worker keeps to a core of its own"
)


@needs_two_cores
def test_workers_on_cores_of_their_own_end_in_the_bits_of_one_core(tmp_path):
    """However many workers there are, and whichever of them computed a model."""
    allowed = os.sched_getaffinity(0)
    children = [started("--out", tmp_path / "two", "--workers", 2)]
    try:
        os.sched_setaffinity(0, {min(allowed)})
        children.append(started("--out", tmp_path / "one"))
    finally:
        os.sched_setaffinity(0, allowed)
    told = [child.communicate() for child in children]
    assert [child.returncode for child in children] == [0, 0], told
    xr.testing.assert_identical(values(tmp_path / "two"), values(tmp_path / "one"))
    summary = json.loads((tmp_path / "two" / "summary.json").read_text())
    assert summary["provenance"]["threads"] == 1


@needs_two_cores
def test_to_compute_all_again_workers_still_share(tmp_path):
    """What they found before is not found, what they find now is."""
    found = []
    for options in ((), ("--force",)):
        child = started("--out", tmp_path / "out", "--workers", 2, *options)
        _, told = child.communicate()
        assert child.returncode == 0, told
        found.append(values(tmp_path / "out"))
    xr.testing.assert_identical(*found)
    provenance = json.loads((tmp_path / "out" / "summary.json").read_text())["provenance"]
    assert provenance["found"] == 0


@needs_two_cores
def test_a_helper_ends_with_the_command_that_it_helps(tmp_path):
    command = started("--out", tmp_path / "out", "--workers", 2, "--seeds", 10_000)
    told = Path(f"/proc/{command.pid}/task/{command.pid}/children")
    helpers = []
    while not helpers:
        assert command.poll() is None
        helpers = told.read_text().split()
    while not list((tmp_path / "out" / "chunks").glob("*/*.chunk")):
        assert command.poll() is None
    command.kill()
    command.communicate()
    while any(is_running(helper) for helper in helpers):
        pass


def is_running(pid):
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().split()[2] != "Z"


def test_more_workers_than_cores_are_refused():
    child = started("--workers", 100_000)
    _, told = child.communicate()
    assert child.returncode == 2
    assert re.match(r"error: workers must be at most \d+ here; got 100000", told)
