"""The list of experiments, and results opened, drawn, checked and computed again."""

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import experiments
from experiments import __main__ as main
from experiments import figures, mnist_aux, published, show
from toymodels.errors import UserError
from toymodels.study import export, plotting, results
from toymodels.study.loading import import_study

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def made(tiny_files, tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures") / "tiny"
    folder.mkdir()
    results.write_files(folder, tiny_files)
    return folder


@pytest.fixture
def folder(made, tmp_path):
    return Path(shutil.copytree(made, tmp_path / "figures" / "tiny"))


def checked(folder, **options):
    figures.execute(figures.Figures(folder=folder.parent, check=True, **options))


def test_every_experiment_has_what_an_experiment_has():
    for name in experiments.names():
        study = experiments.load_study(name)
        assert study.name == name
        assert {"quick", "paper"} <= set(study.presets)
        assert all(config.seeds for config in study.presets.values())
        assert experiments.summary(name).endswith((".", "?"))


def test_the_list_names_all_and_loads_nothing_heavy():
    code = "import runpy, sys; runpy.run_module('experiments', run_name='__main__')\n"
    code += "print('jax' in sys.modules, 'xarray' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in (*experiments.names(), *experiments.TOOLS):
        assert f"{name}\n" in done.stdout
    assert done.stdout.endswith("False False\n")


def test_the_first_word_runs_an_experiment_or_is_named():
    def call(*words):
        command = [sys.executable, "-m", "experiments", *words]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    assert "usage: python -m experiments.loss" in call("loss", "--help").stdout
    done = call("losses")
    assert (done.returncode, "Traceback" in done.stderr) == (2, False)
    assert "the first word must be one of architecture" in done.stderr


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (["mnist"], ["mnist_aux"]),
        (["sho"], ["show"]),
        (["mnist_aux", "--student-"], ["--student-epochs", "--student-lr"]),
        (["mnist_aux", "--preset", "p"], ["paper"]),
        (["aux_count", "--loss", ""], ["kl", "mse"]),
        (["aux_count", "--loss", "kl", "m"], ["mse"]),
        (["mnist_aux", "--seeds", ""], None),
        (["no_such", "--"], []),
    ],
)
def test_what_tab_completes(words, found):
    got = main.completions(words)
    if found is None:  # a free value: options are offered, and files by the shell
        assert "--seeds" in got
    else:
        assert got == found


def test_bash_completes_by_what_it_is_given():
    script = f"""
    toymodels() {{ '{sys.executable}' -m experiments "$@"; }}
    eval "$(toymodels --completion bash)"
    COMP_WORDS=(toymodels mnist_aux --dataset m); COMP_CWORD=3
    _toymodels; echo "${{COMPREPLY[@]}}"
    """
    done = subprocess.run(
        ["bash", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "mnist\n"


def test_times_are_of_presets_that_exist():
    for name, presets in experiments.times().items():
        assert set(presets) <= set(experiments.load_study(name).presets)
        assert all(seconds > 0 for seconds in presets.values())


def test_unknown_experiment():
    with pytest.raises(UserError, match=r"experiment must be one of .*mnist_aux.*; got 'os'"):
        experiments.load_study("os")


def test_a_result_shown_again_is_the_same_picture(folder, capsys):
    before = (folder / "figure.png").read_bytes()
    (folder / "figure.png").unlink()
    show.show(folder)
    assert (folder / "figure.png").read_bytes() == before
    assert "student_aux" in capsys.readouterr().out


def test_a_figure_that_is_there_already_is_not_written_again(folder, capsys):
    show.show(folder)
    before = {path.name: path.stat() for path in (folder, *folder.iterdir())}
    show.show(folder)
    assert {path.name: path.stat() for path in (folder, *folder.iterdir())} == before
    assert capsys.readouterr().out.endswith(f"the figure in {folder} is as its data give it\n")


def test_a_result_that_cannot_be_shown_is_a_sentence(folder):
    dataset = results.open_result(folder)
    dataset.drop_vars("loss").to_netcdf(folder / "results.nc", engine="h5netcdf")
    with pytest.raises(UserError, match=r"tiny holds what cannot be shown: AttributeError: .*loss"):
        show.show(folder)


def test_a_result_is_exported_and_redrawn_where_it_is_asked_for(folder, tmp_path, capsys):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    names = {"csv": "a.csv", "latex": "b.tex", "macros": "c.tex", "figure": "d.svg"}
    paths = {option: tmp_path / name for option, name in names.items()}
    asked = show.Show((folder,), style="ggplot", size="3x2", panel=2, **paths)
    show.show(folder, asked)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    dataset = results.open_result(folder)
    for kind in ("csv", "latex", "macros"):
        assert paths[kind].read_bytes() == export.encode(dataset, kind)
    assert 'width="216pt" height="144pt"' in paths["figure"].read_text()
    assert f"written: {paths['csv']}" in capsys.readouterr().out
    show.show(folder, show.Show((folder,), size="12x4"))
    assert (folder / "figure.png").read_bytes() != before["figure.png"]
    show.show(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"panel": 9}, "panel must be from 1 to 3 in this figure; got 9"),
        ({"style": "none"}, "style must be"),
        ({"size": "2x1"}, "size must be larger for this figure; got 2x1"),
        ({"latex": "x.csv"}, r"latex must end in \.tex; got .*x\.csv"),
        ({"macros": "no/x.tex"}, "macros must be a file in a folder that exists"),
    ],
)
def test_nothing_is_written_if_something_is_refused(folder, tmp_path, options, words):
    options = {k: tmp_path / v if k in ("latex", "macros") else v for k, v in options.items()}
    with pytest.raises(UserError, match=words):
        show.show(folder, show.Show((folder,), csv=tmp_path / "a.csv", **options))
    assert [path.name for path in tmp_path.iterdir()] == ["figures"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"size": "3"}, "size must be WIDTHxHEIGHT in inches, as 3.4x2.6; got 3"),
        ({"size": "-3x2"}, "size must be WIDTHxHEIGHT"),
        ({"figure": Path("x.jpg")}, r"figure must end in \.png, \.pdf, \.svg; got x\.jpg"),
        ({"figure": Path("no/such/x.pdf")}, "figure must be a file in a folder that exists"),
        (
            {"folders": (Path("a"), Path("b")), "csv": Path("x.csv")},
            "csv needs a single folder; got 2",
        ),
        ({"folders": ()}, "folders must be one at least"),
    ],
)
def test_options_of_show_that_cannot_be(options, words):
    with pytest.raises(UserError, match=words):
        show.Show(**{"folders": (Path("a"),)} | options)


OWN = """
import dataclasses
import helper_beside_it
from experiments.mnist_aux import STUDY as BASE

STUDY = dataclasses.replace(BASE, name=helper_beside_it.NAME)
"""


def test_a_result_of_a_users_own_experiment_is_shown_by_its_file(folder, tmp_path, capsys):
    dataset = results.open_result(folder).assign_attrs(experiment="mine")
    results.write_files(folder, results.files(dataset))
    with pytest.raises(
        UserError, match=r"experiment mine is not here: give .* as --study PATH\.py"
    ):
        show.show(folder)
    (tmp_path / "helper_beside_it.py").write_text("NAME = 'mine'\n")
    (tmp_path / "own.py").write_text(OWN)
    show.show(folder, show.Show((folder,), study=str(tmp_path / "own.py")))
    assert "as its data give it" in capsys.readouterr().out
    with pytest.raises(
        UserError, match=r"study must be that of mine; experiments\.loss has that of loss"
    ):
        show.show(folder, show.Show((folder,), study="experiments.loss"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "study must be a .py file, or the name of a module; .*is not there"),
        ("x = 1", r"study must be a file or module with a STUDY = tm\.Study\(\.\.\.\)"),
        ("STUDY = 1", "study must be a file or module with a STUDY"),
        ("1 / 0", "cannot be imported: ZeroDivisionError"),
        ("def", "cannot be imported: SyntaxError"),
    ],
)
def test_a_file_without_a_study_is_a_sentence(tmp_path, content, words):
    if content is not None:
        (tmp_path / "own.py").write_text(content)
    with pytest.raises(UserError, match=words):
        import_study(str(tmp_path / "own.py"))


@pytest.mark.parametrize("name", ["", "../own", "no_such_module", "json", "a..b"])
def test_a_module_without_a_study_is_a_sentence(name):
    with pytest.raises(UserError, match=r"^study "):
        import_study(name)


def test_a_damaged_summary_is_a_sentence_in_the_published_table(folder):
    assert "tiny" in published.markdown(folder.parent)
    summary = json.loads((folder / "summary.json").read_text())
    summary["findings"] = ["\x1b]0;owned\x07"]
    (folder / "summary.json").write_text(json.dumps(summary))
    assert r"\x1b]0;owned\x07" in published.markdown(folder.parent)
    (folder / "summary.json").write_text('{"metrics": {}}')
    with pytest.raises(UserError, match=r"summary\.json is damaged, or not a summary"):
        published.markdown(folder.parent)


def test_what_is_no_result_is_a_sentence(tmp_path):
    with pytest.raises(UserError, match="no result in"):
        show.show(tmp_path)
    for content in (b"", b"CDF\x01", b"\x89HDF\r\n\x1a\n" + bytes(100)):
        (tmp_path / "results.nc").write_bytes(content)
        with pytest.raises(UserError, match=r"results\.nc is damaged, or not a result"):
            show.show(tmp_path)
    xr.Dataset({"x": 1}).to_netcdf(tmp_path / "results.nc", engine="h5netcdf")
    with pytest.raises(UserError, match="not a result of toymodels"):
        show.show(tmp_path)


def test_a_checked_figure_is_its_datas_and_its_codes(folder, monkeypatch):
    checked(folder)
    monkeypatch.setitem(plotting.COLOURS, "teacher", "#123456")
    with pytest.raises(UserError, match=r"older than its data or its code: tiny: figure\.png"):
        checked(folder)


def test_a_check_sees_other_data_another_summary_and_another_config(folder):
    summary = folder / "summary.json"
    kept = summary.read_text()
    summary.write_text(kept.replace('"experiment"', '"Experiment"', 1))
    with pytest.raises(UserError, match=r"tiny: summary\.json"):
        checked(folder)
    dataset = results.open_result(folder)
    dataset["accuracy"] = dataset.accuracy / 2
    results.write_files(folder, results.files(dataset))
    with pytest.raises(UserError, match=r"tiny: results\.nc"):  # what was derived from it is old
        checked(folder)
    results.write_files(folder, results.files(figures.analyse(dataset)))
    with pytest.raises(UserError, match=r"tiny: figure\.png"):
        checked(folder)
    config = json.loads(dataset.attrs["config"])
    dataset.attrs["config"] = json.dumps(config | {"colour": "red"})
    results.write_files(folder, results.files(dataset))
    with pytest.raises(UserError, match=r"mnist_aux has other fields now .*colour"):
        checked(folder)


def test_figures_are_drawn_anew_and_then_pass(folder):
    for name in ("figure.png", "figure.pdf", "summary.json"):
        (folder / name).write_text("")
    figures.execute(figures.Figures(folder=folder.parent))
    checked(folder)


def test_figures_in_another_style_leave_the_folder_as_it_was(folder, tmp_path):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    out = tmp_path / "paper"
    figures.execute(figures.Figures(folder=folder.parent, style="paper", out=out))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert (out / folder.name / "figure.png").read_bytes() != before["figure.png"]
    with pytest.raises(UserError, match=r"style must be an .mplstyle file, or one of paper, slide"):
        figures.execute(figures.Figures(folder=folder.parent, style="poster", out=out))
    with pytest.raises(UserError, match="must each be alone; got check True"):
        figures.Figures(check=True, style="paper")


def test_the_plan_lists_what_has_too_few_seeds_or_an_affected_version(folder, capsys):
    figures.execute(figures.Figures(folder=folder.parent, plan=True))
    told = capsys.readouterr().out
    assert "tiny: n = 2 of 10" in told
    assert "due: 1 of 1" in told
    dataset = results.open_result(folder)
    made = json.loads(dataset.attrs["provenance"])
    for version, wrong in (("0.10.1", False), ("0.10.2", True)):
        dataset.attrs["provenance"] = json.dumps(made | {"jaxlib": version})
        results.write_files(folder, results.files(dataset))
        (need,) = figures.find_needs([folder])
        assert need.affected == wrong


def test_what_is_due_is_computed_with_more_seeds_and_takes_the_figures_place(
    folder, tmp_path, monkeypatch
):
    """Two seeds become three; the earlier ones keep their values. Another call finds nothing due."""
    monkeypatch.setattr(figures, "LEAST", 3)
    before = results.open_result(folder)
    places = {"folder": folder.parent, "store": tmp_path / "chunks", "out": tmp_path / "out"}
    figures.execute(figures.Figures(rerun="due", **places))
    after = results.open_result(folder)
    assert after.sizes["seed"] == 3
    np.testing.assert_allclose(after.accuracy.isel(seed=[0, 1]), before.accuracy, atol=0.02)
    checked(folder)
    (need,) = figures.find_needs([folder])
    assert not need.due or need.affected
    monkeypatch.setattr(figures.evidence.subprocess, "run", None)  # would be called
    if not need.affected:
        figures.execute(figures.Figures(rerun="due", **places))


def test_what_could_not_be_computed_is_named(folder, tmp_path):
    summary = folder / "summary.json"
    summary.write_text(summary.read_text().replace('"mnist_aux"', '"other"'))
    places = {"folder": folder.parent, "store": tmp_path / "chunks", "out": tmp_path / "out"}
    with pytest.raises(UserError, match=r"^could not be computed: tiny; see their errors above$"):
        figures.execute(figures.Figures(rerun="due", **places))


def test_computed_again_a_result_has_the_same_values(folder, tmp_path):
    before = results.open_result(folder)
    options = {"folder": folder.parent, "rerun": "same", "store": tmp_path / "chunks"}
    figures.execute(figures.Figures(**options))
    xr.testing.assert_equal(results.open_result(folder), before)


@pytest.mark.parametrize("names", [("other",), ()])
def test_folders_without_a_result(tmp_path, names):
    with pytest.raises(UserError, match="must"):
        figures.execute(figures.Figures(names=names, folder=tmp_path))


def test_a_result_of_another_config_is_not_replaced(folder, tiny_config):
    config = tiny_config
    results.refuse_another(folder, "mnist_aux", config)
    with pytest.raises(UserError, match=r"holds another result \(m 3, not 4\); name another"):
        results.refuse_another(folder, "mnist_aux", dataclasses.replace(config, m=4))
    with pytest.raises(UserError, match="the experiment mnist_aux"):
        results.refuse_another(folder, "aux_count", config)
    results.refuse_another(folder.parent, "mnist_aux", config)


def test_published_numbers_stand_beside_ours_from_the_summaries(made, tmp_path):
    known = {row.metric: row for row in published.rows() if row.folder == "mnist_aux"}
    assert set(known) == set(mnist_aux.MODELS)
    folder = tmp_path / "mnist_aux"
    shutil.copytree(made, folder)
    summary = json.loads((folder / "summary.json").read_text())
    ours = dict(published.beside(tmp_path))
    for row, metric in ours.items():
        expected = summary["metrics"][row.metric] if row.folder == "mnist_aux" else None
        assert metric == expected
    text = published.markdown(tmp_path)
    assert f"| {summary['metrics']['teacher']['mean']:.3f} |" in text
    for row in summary["findings_table"]:
        assert row["quantity"] in text
        assert row["verdict"] in text
    assert "| 2 classes (here the first digits) | 0.840 | - | - | - | tasks |" in text


def test_every_published_number_is_of_a_metric_that_its_experiment_has():
    """Where the figure was made, its summary has the metric: a renamed axis would lose the row."""
    for row, metric in published.beside(ROOT / "figures"):
        if (ROOT / "figures" / row.folder).exists():
            assert metric is not None, row
