"""What a command leaves when something behind its numbers goes wrong, and what it tells."""

import dataclasses
import json
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr

from toymodels import files
from toymodels.errors import UserError
from toymodels.stats import points
from toymodels.study import cli, plotting, results
from toymodels.study.options import Options
from toymodels.sweep import Execution
from toymodels.sweep.axes import Grid, label_arrays

ROOT = Path(__file__).parents[1]
EXECUTION = Execution("cpu", "float32", 1, 2, 6, 0, 1.0, 2.0)
TASK = SimpleNamespace(name="digits", sha256="ab12")
VARIABLES = {
    "accuracy": (("epoch",), "1", "test accuracy"),
    "loss": (("epoch",), "1", "distillation loss"),
    "final": ((), "1", "final test accuracy"),
}


@dataclasses.dataclass(frozen=True)
class Config:
    m: int = 3


def sweep(losses=(1.0, 0.5, 0.2), failing=()):
    """Three seeds and two students, each with the same curve of the loss."""
    loss = np.tile(np.float32(losses), (3, 2, 1))
    accuracy = np.float32(0.5) + 0 * loss
    for seed, student in failing:
        loss[seed, student] = np.nan
    recorded = {"accuracy": accuracy, "loss": loss, "final": accuracy[..., -1]}
    shared, students = Grid.of({"seed": [4, 5, 6]}), Grid.of({"student": {"aux": 0, "all": 1}})
    return label_arrays({}, recorded, shared, students, VARIABLES, {"epoch": [0, 1, 2]})


def describe_result(dataset, findings=()):
    return results.describe_result(dataset, "test", "final", Config(), TASK, EXECUTION, findings)


def plot(dataset):
    fig, (ax,) = plotting.panels(2, 2, (1,))
    plotting.curves(ax, dataset.epoch.values, {"aux": dataset.loss.sel(student="aux").values})
    return fig


def execute(folder, dataset=None, findings=("a finding",), plot=plot, config=None, **options):
    def run(config, *, data_dir, options):
        return describe_result(sweep() if dataset is None else dataset, findings)

    options = Options(out=folder, **options)
    study = SimpleNamespace(name="test", run=run, figure=plot, parts={})
    with cli.plain_errors():
        cli.execute(study, config or Config(), options)


def fault(*args):
    raise ValueError("shapes (1,) and (2,)\ndo not match")


def names(folder):
    return sorted(path.name for path in folder.iterdir())


NUMBERS = ["results.nc", "summary.json"]
FIGURES = ["figure.pdf", "figure.png"]


def test_a_figure_that_cannot_be_drawn_costs_itself_alone(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        execute(tmp_path, plot=fault)
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert "a finding" in out
    line = err.splitlines()[-1]
    assert line.startswith("error: the figure could not be drawn: ValueError: shapes (1,) and (2,)")
    assert line.endswith("; results.nc and summary.json are complete")
    assert f"{Path(__file__)}, line" in line
    assert "Traceback" not in err
    assert names(tmp_path) == NUMBERS
    xr.testing.assert_equal(results.open_result(tmp_path), describe_result(sweep()))


def test_findings_that_cannot_be_made_cost_themselves_alone(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        execute(tmp_path, findings=fault)
    assert ended.value.code == 1
    assert "error: the findings could not be made: ValueError" in capsys.readouterr().err
    assert names(tmp_path) == FIGURES + NUMBERS
    assert results.read_summary(tmp_path)["findings"] == []


def test_a_table_that_cannot_be_printed_costs_itself_alone(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(plotting, "caption", fault)
    with pytest.raises(SystemExit) as ended:
        execute(tmp_path)
    assert ended.value.code == 1
    assert "error: the table could not be printed: ValueError" in capsys.readouterr().err
    assert names(tmp_path) == FIGURES + NUMBERS


def test_numbers_are_on_disk_before_the_figure_is_begun(tmp_path):
    seen = []

    def interrupted(dataset):
        seen.append((names(tmp_path), results.open_result(tmp_path).attrs["created"]))
        raise KeyboardInterrupt

    (tmp_path / "figure.png").write_bytes(b"of earlier numbers")
    dataset = describe_result(sweep()).assign_attrs(created="now")
    with pytest.raises(KeyboardInterrupt):
        cli.save(tmp_path, dataset, interrupted)
    assert seen == [(NUMBERS, "now")]


def test_infinite_values_are_in_no_mean_and_cost_nothing(tmp_path):
    dataset = sweep()
    dataset["final"][0, 0] = np.inf
    execute(tmp_path, dataset)
    metric = results.read_summary(tmp_path)["metrics"]["aux"]
    assert (metric["n"], metric["mean"]) == (2, 0.5)
    assert names(tmp_path) == FIGURES + NUMBERS


def test_without_a_finding_a_function_or_sentences_are_the_same():
    made = describe_result(sweep(), lambda dataset: [str(dataset.sizes["seed"])])
    assert json.loads(made.attrs["findings"]) == ["3"]
    with pytest.warns(results.ResultWarning, match="the findings could not be made: ValueError"):
        describe_result(sweep(), fault)


@pytest.mark.parametrize("losses", [(0.5, 0.5, 0.5), (0.0, 0.0, 0.0), (0.5, 0.5000001, 0.5)])
def test_students_that_did_not_move_are_told_and_kept(tmp_path, capsys, losses):
    words = "6 of 6 points did not move: their loss never changed, but for rounding: seed 4, stud"
    with pytest.warns(results.ResultWarning, match=words):
        describe_result(sweep(losses))
    execute(tmp_path, sweep(losses))
    assert words in capsys.readouterr().out
    unmoved = results.read_summary(tmp_path)["failed"]["unmoved"]
    assert len(unmoved) == 6
    assert unmoved[0] == {"seed": 4, "student": "aux"}


def test_students_that_moved_are_not_told(tmp_path, capsys):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        describe_result(sweep((0.5, 0.5, 0.499)))
    execute(tmp_path)
    assert "did not move" not in capsys.readouterr().out
    assert "unmoved" not in results.read_summary(tmp_path)["failed"]
    better = sweep((0.5, 0.5, 0.5))
    better["accuracy"][:, :, -1] = 0.6  # the loss alone does not say it
    assert points.unmoved_points(better) == []
    assert points.unmoved_points(better.drop_vars("loss")) == []


def test_points_that_failed_are_told_from_python():
    words = "1 of 6 points failed, with values that are not finite: seed 5, student all"
    with pytest.warns(results.ResultWarning, match=words):
        describe_result(sweep(failing=[(1, 1)]))


@pytest.mark.parametrize(("first", "advice"), [(1.0, "; try smaller rates"), (np.nan, "")])
def test_smaller_rates_are_advised_only_where_training_broke_what_was_finite(
    tmp_path, capsys, first, advice
):
    with pytest.raises(SystemExit) as ended:
        execute(tmp_path, sweep((first, np.nan, np.nan)))
    assert ended.value.code == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said == f"error: every point has values that are not finite{advice}"
    assert set(names(tmp_path)) >= set(NUMBERS)


def test_where_all_points_failed_and_no_figure_can_be_drawn_both_are_told(tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        execute(tmp_path, sweep((1.0, np.nan, np.nan)), fault, fault)
    assert ended.value.code == 2
    told = [line.split(":")[1] for line in capsys.readouterr().err.splitlines()[-3:]]
    assert told[:2] == [" the findings could not be made", " the figure could not be drawn"]
    assert told[2].startswith(" every point has values that are not finite")
    assert names(tmp_path) == NUMBERS


# A run of one config that is at work while another begins.
RUN = """
import sys, time
sys.path.insert(0, "tests")
import test_execute as t
from pathlib import Path

def plot(dataset):
    print("at work", flush=True)
    time.sleep(600)  # until it is killed

t.execute(Path(sys.argv[1]), plot=plot)
"""


def test_a_second_config_is_refused_while_a_first_is_at_work_in_the_same_folder(tmp_path, capsys):
    command = [sys.executable, "-c", RUN, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as child:
        try:
            assert child.stdout.readline() == b"at work\n"
            before = (tmp_path / "results.nc").read_bytes()
            for force in (False, True):
                with pytest.raises(SystemExit) as ended:
                    execute(tmp_path, config=Config(m=4), force=force)
                assert ended.value.code == 2
                said = capsys.readouterr().err
                assert f"error: out: {tmp_path} is another run's, which is still at work" in said
                assert f"process {child.pid} of" in said
            execute(tmp_path)  # the same config may share the work
            assert results.open_result(tmp_path).attrs["experiment"] == "test"
            assert (tmp_path / "results.nc").read_bytes()[:8] == before[:8]
        finally:
            child.kill()
    execute(tmp_path, config=Config(m=4), force=True)
    assert names(tmp_path) == FIGURES + NUMBERS


def test_what_a_killed_run_left_is_gone_after_the_next(tmp_path):
    left = [tmp_path / f"{files.PARTIAL}x", tmp_path / "chunks" / "ab12" / f"{files.PARTIAL}y"]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "results.nc").write_bytes(b"half")
    (tmp_path / f"{files.RUNNING}test-0123").write_text("a dead run")
    execute(tmp_path)
    assert [path.name for path in tmp_path.rglob(".*")] == []


def test_a_full_disk_behind_standard_output_is_a_sentence():
    code = "from toymodels.study import cli\nwith cli.plain_errors():\n    print('x')"
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "error: cannot write to standard output: No space left on device\n"


def test_a_name_too_long_or_a_file_in_the_place_of_a_folder_is_a_sentence(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for path in (tmp_path / ("x" * 300), tmp_path / "file" / "below"):
        with pytest.raises(SystemExit) as ended:
            execute(path)
        assert ended.value.code == 2
        assert str(path) in capsys.readouterr().err


def test_nothing_of_a_results_strings_reaches_a_terminal_as_a_command(tmp_path, capsys):
    dataset = sweep().assign_coords(student=["\x1b]0;owned\x07", "[bold]:owl:[/bold]"])
    execute(tmp_path, dataset, ["\x1b[31mred"], plot=fault_free)
    out = capsys.readouterr().out
    assert not {"\x1b", "\x07"} & set(out)
    assert r"\x1b[31mred" in out
    assert "[bold]:owl:[/bold]" in out


def fault_free(dataset):
    return plotting.panels(2, 2, (1,))[0]


def test_user_errors_show_control_characters(capsys):
    with pytest.raises(SystemExit), cli.plain_errors():
        raise UserError("got \x1b[2J")
    assert capsys.readouterr().err == "error: got \\x1b[2J\n"
