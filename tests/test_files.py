"""Files that appear whole or not at all, whatever kills the process that writes them."""

import contextlib
import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from toymodels import files
from toymodels.errors import UserError

ROOT = Path(__file__).parents[1]

# A child is killed at its first, second, ... step on the file system, until one comes to its end.
KILLED = """
import os, signal, sys
from pathlib import Path
from toymodels import files

def content(folder):
    return {p.name: p.read_text() for p in folder.iterdir() if p.is_file()}

old = {"results.nc": "old", "summary.json": "old", "figure.png": "old", "other": "theirs"}
new = {"results.nc": "new", "summary.json": "new", "other": "theirs"}
folder, kills, outcomes = Path(sys.argv[1]), 0, []
while True:
    for path in folder.iterdir():
        path.unlink()
    for name, text in old.items():
        (folder / name).write_text(text)
    child = os.fork()
    if child == 0:
        steps = 0
        def step(event, arguments):
            global steps
            if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.scandir"):
                steps += 1
                if steps > kills:
                    os.kill(os.getpid(), signal.SIGKILL)
        sys.addaudithook(step)
        files.write_files(folder, {"results.nc": b"new", "summary.json": b"new"}, ["figure.png"])
        os._exit(0)
    ended = os.waitpid(child, 0)[1] == 0
    files.recover(folder)
    there = content(folder)
    assert there in (old, new), (kills, there)
    outcomes.append(there == new)
    files.clean(folder)
    assert content(folder) == there
    assert [p.name for p in folder.iterdir() if not p.is_file()] == [], kills
    if ended:
        break
    kills += 1
assert outcomes == sorted(outcomes) and not outcomes[0] and outcomes[-1]
print(kills, outcomes.count(False))
"""


def run(code, *arguments):
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_killed_at_any_step_files_are_all_old_or_all_new(tmp_path):
    kills, old = map(int, run(KILLED, tmp_path).split())
    assert kills > 10
    assert 3 < old < kills  # kills before the step that decides, and after it


@pytest.mark.parametrize("failing", [1, 2, 3])
def test_a_move_that_fails_is_told_and_made_good_by_the_next_reader(tmp_path, monkeypatch, failing):
    files.write_files(tmp_path, {"a": b"old", "b": b"old"})
    calls = []

    def full(*places):
        calls.append(places)
        if len(calls) == failing:
            raise OSError(errno.EIO, "Input/output error")
        return genuine(*places)

    genuine = os.replace
    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(UserError, match=r"out: cannot write to .*: Input/output error"):
        files.write_files(tmp_path, {"a": b"new", "b": b"new"})
    files.recover(tmp_path)
    expected = b"old" if failing == 1 else b"new"
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == {"a": expected, "b": expected}


def test_a_writer_finishes_what_a_killed_one_had_begun(tmp_path):
    complete = tmp_path / files.COMPLETE
    complete.mkdir()
    (complete / "a").write_text("first")
    (complete / "b").write_text("first")
    files.write_files(tmp_path, {"a": b"second"})
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a": "second", "b": "first"}


def test_what_dead_processes_left_is_deleted_and_what_the_living_write_is_not(tmp_path):
    left = tmp_path / f"{files.PARTIAL}x"
    left.mkdir()
    (left / "a").write_text("half")
    with files.is_locked(tmp_path) as alone:
        assert alone
        cleaning = threading.Thread(target=files.clean, args=[tmp_path])
        cleaning.start()
        cleaning.join(0.2)
        assert cleaning.is_alive()  # it waits until the writer has ended
        assert left.exists()
    cleaning.join()
    assert list(tmp_path.iterdir()) == []


def test_without_locks_files_are_written_and_nothing_is_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "fcntl", None)
    left = tmp_path / f"{files.PARTIAL}x"
    left.mkdir()
    files.clean(tmp_path)
    with files.claim_folder(tmp_path, "a", ""), files.claim_folder(tmp_path, "b", ""):
        files.write_files(tmp_path, {"a": b"1", "b": b"2"})
    assert {p.name for p in tmp_path.iterdir()} == {"a", "b", left.name}


def test_a_link_in_the_place_of_complete_files_is_left_alone(tmp_path):
    theirs, folder = tmp_path / "theirs", tmp_path / "folder"
    for path in (theirs, folder):
        path.mkdir()
    (theirs / "letter").write_text("dear")
    (folder / files.COMPLETE).symlink_to(theirs)
    files.recover(folder)
    assert (theirs / "letter").read_text() == "dear"


CLAIM = """
import sys, time
from pathlib import Path
from toymodels import files
with files.claim_folder(Path(sys.argv[1]), sys.argv[2], "the command, process 7"):
    print("claimed", flush=True)
    time.sleep(600)
"""


@contextlib.contextmanager
def claimed_elsewhere(folder, name):
    command = [sys.executable, "-c", CLAIM, str(folder), name]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout.readline() == b"claimed\n"
            yield
        finally:
            child.kill()


def test_a_folder_is_shared_by_runs_of_one_config_and_refused_to_others(tmp_path):
    with claimed_elsewhere(tmp_path, "a"):
        with files.claim_folder(tmp_path, "a", "me"):
            pass
        refused = pytest.raises(UserError, match=r"another run's, .*\(the command, process 7\)")
        with refused, files.claim_folder(tmp_path, "b", "me"):
            pytest.fail("must not begin")
    # The lock of a killed process is free, and its file is gone.
    with files.claim_folder(tmp_path, "b", "me"):
        assert [p.name for p in tmp_path.iterdir()] == [f"{files.RUNNING}b"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "loop", "large", "absent"])
def test_what_is_no_ordinary_file_is_not_read(tmp_path, kind):
    path = tmp_path / "x"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "large":
        path.write_bytes(bytes(11))
    error = FileNotFoundError if kind == "absent" else UserError
    with pytest.raises(error, match=str(path)):
        files.read_regular(path, most=10)
    path = tmp_path / "ordinary"
    path.write_bytes(bytes(10))
    assert files.read_regular(path, most=10) == bytes(10)
