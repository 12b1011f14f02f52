"""Finished runs: listed, compared, removed, and computed again from their configs."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import xarray as xr

from experiments import mnist_aux, runs
from toymodels import files
from toymodels.errors import UserError
from toymodels.study import configs, parsing, results

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tiny_files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("results") / "mnist_aux" / "1a2b3c4d"
    folder.mkdir(parents=True)
    results.write_files(folder, tiny_files)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "results" / "mnist_aux" / "1a2b3c4d"))


def change(folder, **changes):
    """Replace parts of a summary."""
    path = folder / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def call(*words):
    command = [sys.executable, "-m", "experiments.runs", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_the_list_tells_what_a_run_is_and_opens_no_array(folder):
    (folder / "results.nc").unlink()
    words = ["experiments.runs", str(folder.parents[1])]
    code = f"import runpy, sys; sys.argv = {words}\n"
    code += "runpy.run_module('experiments.runs', run_name='__main__', alter_sys=True)\n"
    code += "print('jax' in sys.modules, 'h5netcdf' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    text = " ".join(done.stdout.split())
    assert text.startswith(f"{folder} mnist_aux on digits, n = 2 seeds, 20")
    assert "--preset quick --seeds 2 --noise-images 64 " in text
    assert all(f" --{name} 1 " in text for name in ("teacher-epochs", "student-epochs"))
    assert " --widths 8 " in text
    summary = json.loads((folder / "summary.json").read_text())
    first = summary["findings_table"][0]
    assert f"{first['quantity']}, {first['at']}: {first['mean']:.3f}".replace(", :", ":") in text
    assert text.endswith("False False")


def test_runs_are_listed_by_time_and_chosen_by_experiment_and_field(folder):
    later = Path(shutil.copytree(folder, folder.parent / "0later"))
    made = json.loads((folder / "summary.json").read_text())
    config = made["config"] | {"temperature": 3.0}
    created = made["provenance"] | {"created": "2999-01-01T00:00:00+02:00"}
    change(later, experiment="own", config=config, provenance=created)
    found, faults = runs.list_runs(folder.parents[1])
    assert ([run.folder for run in found], faults) == ([folder, later], [])
    assert "2998-12-31 22:00 UTC" in " ".join(runs.describe(found[1]).split())
    assert "no preset known" in runs.describe(found[1])
    assert runs.select(found, "own", None) == [found[1]]
    assert runs.select(found, None, "noise-images") == [found[0]]
    assert runs.select(found, "mnist_aux", "temperature") == []
    with pytest.raises(UserError, match="experiment must be one of mnist_aux, own; got loss"):
        runs.select(found, "loss", None)
    with pytest.raises(UserError, match=r"differs must be one of batch, .*widths; got colour"):
        runs.select(found, None, "colour")


def test_chunks_are_not_searched_and_a_damaged_summary_is_told_at_the_end(folder):
    store = folder.parent / "chunks" / ("0" * 64)
    store.mkdir(parents=True)
    (store / "summary.json").write_text("{}")
    (folder.parent / "damaged").mkdir()
    (folder.parent / "damaged" / "summary.json").write_text("{}")
    done = call(folder.parents[1])
    assert done.returncode == 1
    assert done.stdout.startswith(f"{folder}\n")
    assert done.stderr.count("\n") == 1
    assert "damaged/summary.json is damaged, or not a summary" in done.stderr


def test_a_config_and_values_compared(folder):
    other = Path(shutil.copytree(folder, folder.parent / "other"))
    config = json.loads((folder / "summary.json").read_text())["config"]
    assert "The configs are the same." in call("compare", folder, other).stdout
    change(other, config=config | {"batch": 7})
    done = call("compare", folder, other)
    assert done.returncode == 0
    cells = [cell.split() for cell in done.stdout.replace("│", "\n").splitlines()]
    assert cells.index(["batch"]) + 2 == cells.index(["7"])
    assert done.stdout.count("0.000 to 0.000") == len(mnist_aux.MODELS)


def test_only_the_files_of_results_are_removed_and_only_if_asked_for(folder, capsys):
    (folder / "notes.txt").write_text("mine")
    bare = Path(shutil.copytree(folder, folder.parent / "bare"))
    (bare / "notes.txt").unlink()
    before = sorted(folder.iterdir())
    runs.remove([folder, bare], yes=False)
    assert sorted(folder.iterdir()) == before
    assert "nothing was removed" in capsys.readouterr().out
    runs.remove([folder, bare, bare], yes=True)
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert not bare.exists()
    names = "results.nc, summary.json, figure.png, figure.pdf"
    assert capsys.readouterr().out.splitlines() == [
        f"removed from {folder}: {names}; kept there: notes.txt",
        f"removed from {bare}: {names}, and the folder",
    ]


def test_what_is_no_result_is_not_removed_and_nor_is_what_is_named_beside_it(folder, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(folder)
    (tmp_path / "file").write_text("")
    half = Path(shutil.copytree(folder, tmp_path / "half"))
    (half / "results.nc").unlink()
    for other in (tmp_path, tmp_path / "nothing", tmp_path / "file", link, half):
        with pytest.raises(UserError):
            runs.remove([folder, other], yes=True)
        assert len(list(folder.iterdir())) == 4
        assert other == tmp_path / "nothing" or other.exists()


def test_a_run_at_work_keeps_its_folder(folder):
    with (
        files.claim_folder(folder, "mnist_aux-1", "a run"),
        pytest.raises(UserError, match="still at work"),
    ):
        runs.remove([folder], yes=True)
    assert (folder / "results.nc").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["/no/such/folder"], "folder must hold finished runs; got /no/such/folder without one"),
        (["compare", "/no/such", "/no/such"], "no result in /no/such"),
        (["remove"], "folders"),
        (["remove", "/no/such", "--yes"], "folders must be folders of finished runs; /no/such is"),
        (["compare", "one"], "second run"),
        (["list", "--colour"], "--colour"),
    ],
)
def test_bad_input_is_a_sentence(words, said):
    done = call(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_help_names_the_three_commands():
    done = call("--help")
    assert all(f"• {name}" in done.stdout for name in runs.COMMANDS)
    assert "python -m experiments.runs compare A B" in done.stdout


def run(*words):
    command = [sys.executable, "-m", "experiments.mnist_aux", "--workers", "1", "--quiet"]
    return subprocess.run(
        [*command, *map(str, words)], cwd=ROOT, capture_output=True, text=True, check=False
    )


def test_a_config_run_again_has_the_same_bits_and_given_options_win(tmp_path):
    small = ("--dataset", "digits", "--seeds", 2, "--widths", 8, "--noise-images", 64)
    small = (*small, "--teacher-epochs", 1, "--student-epochs", 1, "--student-lr", 0.003)
    assert run(*small, "--chunk", 2, "--out", tmp_path / "a").returncode == 0
    file = tmp_path / "a" / "summary.json"
    done = run("--config", file, "--out", tmp_path / "b", "--seeds", 3)
    assert (done.returncode, done.stderr) == (0, "")
    assert run("--config", tmp_path / "a", "--out", tmp_path / "c").returncode == 0
    a, b, c = (results.open_result(tmp_path / name) for name in "abc")
    xr.testing.assert_equal(c, a)
    xr.testing.assert_equal(b.isel(seed=slice(2)), a)
    assert b.sizes["seed"] == 3
    summaries = [json.loads((tmp_path / name / "summary.json").read_text()) for name in "abc"]
    assert summaries[0]["config"] == summaries[2]["config"]
    assert summaries[0]["config"] | {"seeds": 3} == summaries[1]["config"]
    assert [summary["provenance"]["width"] for summary in summaries] == [2, 2, 2]


@pytest.mark.parametrize(
    ("changes", "words", "said"),
    [
        ({"experiment": "loss"}, [], "config must be of a result of mnist_aux; {} is of loss"),
        ({"config": 3}, [], "config must be the summary.json of a result; {} is none"),
        (
            {"config": {"colour": 1}},
            [],
            "config {}: mnist_aux has other fields now than this result's",
        ),
        ({"config": {"seeds": 0}}, [], "config {}: seeds must be at least 1; got 0"),
        (
            {"config": {"seeds": 2}},
            [],
            "config {} has no value of the field first_seed; give it as --fi",
        ),
        (
            {},
            ["--preset", "paper"],
            "preset paper contradicts config {}: seeds is 100 in the preset and",
        ),
        ({}, ["--seeds", "0"], "seeds must be at least 1; got 0"),
    ],
)
def test_a_config_that_cannot_be_run_is_a_sentence(folder, monkeypatch, changes, words, said):
    change(folder, **changes)
    path = folder / "summary.json"
    monkeypatch.setattr(sys, "argv", ["mnist_aux", "--config", str(path), *words])
    with pytest.raises(UserError) as caught:
        parsing.parse(mnist_aux.STUDY)
    assert str(caught.value).startswith(said.format(path))


def test_a_missing_field_may_be_given_and_a_preset_may_agree(folder, monkeypatch, tiny_config):
    path = folder / "summary.json"
    config = json.loads(path.read_text())["config"]

    def parse(*words):
        monkeypatch.setattr(sys, "argv", ["mnist_aux", "--config", str(path), *words])
        return parsing.parse(mnist_aux.STUDY)

    expected = tiny_config
    assert parse()[0] == expected
    paper = mnist_aux.STUDY.presets["paper"]
    change(folder, config={name: value for name, value in config.items() if name != "batch"})
    assert parse("--batch=32")[0] == dataclasses.replace(expected, batch=32)
    change(folder, config=configs.keep_fields(paper))
    assert parse("--preset", "paper", "--student_epochs", "7")[0].student_epochs == 7


@pytest.mark.parametrize("content", [None, "", "[]", "{}", "nonsense", '{"config": {}}'])
def test_a_file_that_is_no_summary_is_a_sentence(tmp_path, monkeypatch, content):
    path = tmp_path / "x.json"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(sys, "argv", ["mnist_aux", "--config", str(path)])
    with pytest.raises(
        UserError, match=r"config must be the summary\.json of a result; .*x\.json is"
    ):
        parsing.parse(mnist_aux.STUDY)


def test_the_help_shows_the_defaults_of_a_config(folder):
    done = run("--config", folder / "summary.json", "--help")
    assert "(default: 64)" in done.stdout
    assert "--config" in done.stdout
