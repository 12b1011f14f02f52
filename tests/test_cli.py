"""The command line as a user meets it: real processes, their exit codes and what they print."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "experiments.mnist_aux", "--workers", "1"]
TINY = [
    *("--dataset", "digits", "--seeds", "2", "--widths", "8", "--noise-images", "64"),
    *("--teacher-epochs", "1", "--student-epochs", "1"),
]


def call(*arguments, **options):
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        **options,
    )


def test_help_explains_every_field_without_loading_jax():
    done = call("--help")
    assert done.returncode == 0
    for option in ("--dataset", "--seeds", "--m ", "--temperature", "--precision", "--data-dir"):
        assert option in done.stdout
    loaded = "import sys; sys.argv = ['x', '--help']\nimport runpy, atexit\n"
    loaded += "atexit.register(lambda: print('jax' in sys.modules, 'xarray' in sys.modules))\n"
    loaded += "runpy.run_module('experiments.mnist_aux', run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", loaded], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.endswith("False False\n")


def test_help_fits_the_terminal_and_breaks_no_line_where_its_source_does():
    done = call("--help", env={**os.environ, "COLUMNS": "100"})
    assert max(map(len, done.stdout.splitlines())) <= 100
    words = " ".join(done.stdout.replace("│", " ").split())
    assert "47 classes; all 28x28), digits (8x8, embedded), or auto:" in words
    lines = [line.strip("│ ") for line in done.stdout.splitlines()]
    assert not any(line.startswith("28x28") for line in lines)  # a break of the source


def test_output_into_a_pipe_that_closes_is_no_traceback():
    shell = f"'{sys.executable}' -m experiments.mnist_aux --help | true"
    done = subprocess.run(["bash", "-c", shell], cwd=ROOT, capture_output=True, check=False)
    assert done.stderr == b""


def test_help_shows_the_presets_own_defaults():
    assert "default: 100" in call("--preset", "paper", "--help").stdout


def test_a_run_leaves_its_four_files_and_a_table(tmp_path):
    done = call(*TINY, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    names = ["chunks", "figure.pdf", "figure.png", "results.nc", "summary.json"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    assert "student_aux" in done.stdout
    assert "models: 10 of 10" in done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert list(summary["metrics"]) == [
        "reference",
        "teacher",
        "student_aux",
        "student_all",
        "cross_aux",
        "cross_all",
    ]
    assert summary["config"]["dataset"] == summary["dataset"]["name"] == "digits"
    for key in ("jax", "git_commit", "device", "precision", "command"):
        assert summary["provenance"][key]
    assert summary["timing"]["compile_s"] > 0
    with xr.open_dataset(tmp_path / "out" / "results.nc") as dataset:
        assert dataset.sizes["seed"] == summary["metrics"]["teacher"]["n"] == 2


def test_the_same_command_gives_the_same_values_and_figure(tmp_path):
    for name in ("a", "b"):
        assert call(*TINY, "--quiet", "--out", tmp_path / name).returncode == 0
    a, b = ((tmp_path / name) for name in ("a", "b"))
    metrics = [json.loads((d / "summary.json").read_text())["metrics"] for d in (a, b)]
    assert metrics[0] == metrics[1]
    for name in ("figure.png", "figure.pdf"):
        assert (a / name).read_bytes() == (b / name).read_bytes()


def test_known_results_are_used_and_said_so_and_others_are_kept(tmp_path):
    said = "nothing was left to compute: all 10 models are an earlier run's"
    outputs = [call(*TINY, "--out", tmp_path, *more).stdout for more in ((), (), ("--force",))]
    assert [said in output for output in outputs] == [False, True, False]
    before = (tmp_path / "results.nc").read_bytes()
    done = call(*TINY, "--m", "5", "--out", tmp_path)
    assert done.returncode == 2
    assert f"out: {tmp_path} holds another result (m 3, not 5)" in done.stderr
    assert (tmp_path / "results.nc").read_bytes() == before
    assert call(*TINY, "--m", "5", "--out", tmp_path, "--force").returncode == 0


def test_quiet_prints_nothing(tmp_path):
    done = call(*TINY, "--quiet", "--out", tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_auto_without_mnist_says_so_in_one_line_and_names_the_digits(tmp_path):
    offline = {**os.environ, "https_proxy": "http://127.0.0.1:9", "TOYMODELS_DATA": str(tmp_path)}
    arguments = [*TINY[2:], "--out", tmp_path / "out"]
    done = call(*arguments, env=offline)
    assert done.returncode == 0, done.stderr
    assert len(re.findall("embedded 8x8 handwritten digits", done.stdout)) == 1
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["dataset"]["name"] == "digits"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("--dataset cifar", ["cifar", "auto", "mnist", "digits"]),
        ("--seeds 0", ["seeds must be at least 1; got 0"]),
        ("--seeds -3", ["seeds must be at least 1; got -3"]),
        ("--m 0", ["m must be at least 1; got 0"]),
        ("--m three", ["--m", "three"]),
        ("--student-epochs 0", ["student_epochs must be at least 1; got 0"]),
        ("--teacher-lr -1", ["teacher_lr must be a positive finite number; got -1"]),
        ("--student-lr nan", ["student_lr must be a positive finite number; got nan"]),
        ("--chunk 0", ["chunk must be at least 1; got 0"]),
        ("--memory 0", ["memory must be a positive finite number; got 0"]),
        ("--memory 1e300", ["memory must be at most 1000000000; got 1e+300"]),
        ("--memory 1e-6 --dataset digits", ["memory: one model needs"]),
        ("--dataset digits --noise-images 10000000 --memory 1", ["one model needs 3.48 GB"]),
        ("--student-lr 1e-50", ["student_lr must be from 1.2e-38 to 3.4e+38 in size"]),
        ("--m 2147483647", ["m must be at most 1000000; got 2147483647"]),
        ("--devices 1000 --dataset digits", ["devices must be at least 1 and at most"]),
        ("--preset huge", ["huge", "quick", "paper"]),
        ("--no-such-option", ["--no-such-option"]),
        ("--dataset mnist --data-dir /no/such/folder", ["/no/such/folder"]),
        ("--dataset digits --out /dev/null/results", ["out: cannot write to /dev/null/results"]),
    ],
)
def test_bad_input_is_a_plain_sentence(arguments, words):
    done = call(*arguments.split())
    assert done.returncode == 2
    assert "Traceback" not in done.stderr + done.stdout
    for word in words:
        assert word in done.stderr


def test_a_truncated_idx_file_is_named(tmp_path, mnist_dir):
    for path in mnist_dir.glob("*.gz"):
        content = path.read_bytes()
        (tmp_path / path.name).write_bytes(
            content[:1000] if "t10k-images" in path.name else content
        )
    done = call("--dataset", "mnist", "--data-dir", tmp_path, "--out", tmp_path / "out")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"error: {tmp_path}/t10k-images-idx3-ubyte.gz ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_a_sentence_and_leaves_nothing(tmp_path):
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=40k", "tmpfs", str(folder)],
        capture_output=True,
        check=False,
    )
    try:
        if mounted.returncode:
            pytest.skip("mounting a small file system is not allowed here")
        done = call(*TINY, "--out", folder / "out")
        assert done.returncode == 2
        assert "error: out: cannot write to" in done.stderr
        assert "No space left on device" in done.stderr
        assert "Traceback" not in done.stderr
        # Chunks that were finished while there was room are kept; nothing else is.
        assert {p.suffix for p in folder.rglob("*") if p.is_file()} <= {".chunk"}
    finally:
        subprocess.run(["umount", str(folder)], capture_output=True, check=False)


@pytest.mark.parametrize("moment", ["compiling ...", "models ..."])
def test_ctrl_c_is_heard_at_once_and_says_what_is_kept(tmp_path, moment):
    arguments = ["--dataset", "digits", "--seeds", "10000", "--out", str(tmp_path / "out")]
    # Where the tests run in the background, SIGINT is ignored, and children inherit that.
    heard = "import runpy, signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    module = "runpy.run_module('experiments.mnist_aux', run_name='__main__', alter_sys=True)"
    child = subprocess.Popen(
        [sys.executable, "-c", heard + module, *arguments, "--widths", "8"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with child:
        for line in child.stderr:
            if line.strip() == moment:
                break
        child.send_signal(signal.SIGINT)
        rest = child.stderr.read()
    assert child.returncode == 130
    kept = "interrupted: finished chunks are kept; the same command goes on from there"
    assert rest.splitlines()[-1] == kept
    assert "Traceback" not in rest
    assert not list(tmp_path.rglob("results.nc"))


def values(folder):
    with xr.open_dataset(folder / "results.nc") as dataset:
        return dataset.load().drop_attrs()


@pytest.mark.slow
def test_killed_at_any_moment_the_same_command_ends_in_the_same_bits(tmp_path):
    """Its smaller form is in test_faults: the engine alone."""
    command = [*COMMAND, *TINY, "--seeds", "8", "--quiet", "--out"]
    subprocess.run([*command, tmp_path / "whole"], cwd=ROOT, check=True)
    whole = list((tmp_path / "whole" / "chunks").glob("*/[0-9a-f]*"))
    chunks = tmp_path / "killed" / "chunks"
    for least in (2, 6):  # killed twice: as soon as so many chunks are there
        child = subprocess.Popen([*command, tmp_path / "killed"], cwd=ROOT)
        while child.poll() is None and len(list(chunks.glob("*/[0-9a-f]*"))) < least:
            pass
        child.kill()
        child.wait()
        assert not (tmp_path / "killed" / "results.nc").exists()
    assert least <= len(list(chunks.glob("*/[0-9a-f]*"))) < len(whole)
    subprocess.run([*command, tmp_path / "killed"], cwd=ROOT, check=True)
    xr.testing.assert_identical(values(tmp_path / "killed"), values(tmp_path / "whole"))
    summary = json.loads((tmp_path / "killed" / "summary.json").read_text())
    assert 0 < summary["provenance"]["from_store"] < summary["provenance"]["models"]


@pytest.mark.slow
def test_two_runs_of_one_sweep_at_once_both_end_well(tmp_path):
    """Its smaller form is in test_processes: workers that share a store."""
    command = [*COMMAND, *TINY, "--seeds", "6", "--quiet", "--out", tmp_path / "out"]
    children = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [child.wait() for child in children] == [0, 0]
    subprocess.run([*command[:-1], tmp_path / "alone"], cwd=ROOT, check=True)
    xr.testing.assert_identical(values(tmp_path / "out"), values(tmp_path / "alone"))
    assert not list((tmp_path / "out").rglob(".*"))


def test_a_diverged_run_names_its_points_and_fails_if_all_do(tmp_path):
    done = call(*TINY, "--student-lr", "1e30", "--out", tmp_path)
    assert done.returncode == 2
    said = "error: every point has values that are not finite; try smaller rates"
    assert done.stderr.splitlines()[-1] == said
    words = "8 of 8 points failed, with values that are not finite: seed 0, student student_aux; "
    assert words in done.stdout
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["metrics"]["student_aux"]["n"] == 0
    assert {"seed": 1, "student": "cross_all"} in summary["failed"]["points"]


OWN = '''"""A user's own experiment: the reference protocol on inputs of another kind."""
import dataclasses

import toymodels as tm


@dataclasses.dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment."""

    frequency: tm.Rate = 3.0
    """Frequency of the cosine that uniform noise goes through."""


def protocol(protocol, config):
    import jax

    def noise(key, n):
        shape = (n, protocol.task.n_pixels)
        return jax.numpy.cos(config.frequency * jax.random.uniform(key, shape))

    return dataclasses.replace(protocol, noise=noise)


def student(setup, start):
    return tm.Student(setup.start(start))


def figure(runs):
    fig, (ax,) = tm.plotting.panels(4, 3, (1,))
    tm.charts.lines(ax, runs.accuracy, "epoch", "start")
    return fig


STUDY = tm.Study(
    "cosines",
    __doc__,
    {"quick": Config()},
    tm.distillation_sweep(student, lambda config: {"start": tm.STARTS}, protocol=protocol),
    tm.against_control,
    lambda runs: tm.compare("Transfer", runs.transfer),
    figure,
    headline=("transfer",),
)

if __name__ == "__main__":
    STUDY.main()
'''


def test_a_users_own_file_is_an_experiment(tmp_path):
    path = tmp_path / "cosines.py"
    path.write_text(OWN)

    def own(*arguments):
        command = [sys.executable, str(path), *TINY, *map(str, arguments)]
        here = {**os.environ, "PYTHONPATH": str(ROOT)}
        return subprocess.run(
            command, cwd=tmp_path, env=here, capture_output=True, text=True, check=False
        )

    done = own("--frequency", 2, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["experiment"], summary["config"]["frequency"]) == ("cosines", 2.0)
    # Undefined where the teacher of one epoch has learnt no more than the control.
    assert 1 <= summary["metrics"]["transfer"]["n"] <= 2
    assert f"usage: python {path}" in own("--help").stdout
    assert "seeds must be at least 1; got 0" in own("--seeds", 0).stderr
