"""Results as tables of values and as LaTeX: what was exported reads back as what it was."""

import json
import re

import numpy as np
import pandas as pd
import pytest
import xarray as xr

import toymodels as tm
from toymodels.errors import UserError
from toymodels.stats.statistics import Interval
from toymodels.study import export
from toymodels.study.results import config_digest, to_json

CONFIG = {"m": 3, "widths": [8, 8]}


def result(findings=()):
    """A result with variables of different dimensions and types, some values not finite."""
    rng = np.random.default_rng(0)
    accuracy = rng.random((3, 2, 2)).astype(np.float32)
    accuracy[0, 1, 0] = np.nan
    accuracy[1, 0, 1] = np.inf
    return xr.Dataset(
        {
            "accuracy": (("seed", "rho", "start"), accuracy),
            "teacher": (("seed", "epoch"), rng.normal(size=(3, 4))),
            "failed": (("seed", "rho", "start"), ~np.isfinite(accuracy)),
            "steps": (("rho",), [10, 20]),
            "threshold": ((), 1 / 3),
            "optimiser": (("rho",), ["adam, sgd", 'a "word"']),
        },
        {
            "seed": [4, 2, 7],
            "rho": [0.1, 1.0],
            "start": ["shared", "other"],
            "epoch": [0, 1, 2, 3],
            "rate": ("rho", [1e-3, 0.3]),
        },
        {
            "experiment": "x_1",
            "config": to_json(CONFIG),
            "dataset": to_json({"name": "digits", "sha256": "ab"}),
            "provenance": to_json({"git_commit": "0" * 40, "jax": "0.10.1", "created": "2026"}),
            "findings_table": to_json([finding.row() for finding in findings]),
        },
    )


def read_back(table, dataset):
    """The variables that the rows of a table hold, with the dimensions and types of a dataset."""
    arrays = {}
    for name, array in dataset.reset_coords().data_vars.items():
        rows = table[table.variable == name]
        column = "value" if array.dtype.kind in "fiub" else "text"
        if array.dims:
            found = rows.set_index(list(array.dims))[column].to_xarray()
            arrays[name] = found.reindex({dim: array[dim] for dim in array.dims}).astype(
                array.dtype
            )
        else:
            arrays[name] = xr.DataArray(rows[column].item())
    return xr.Dataset(arrays)


def test_a_csv_file_reads_back_as_the_dataset(tmp_path):
    dataset = result()
    tm.export(dataset, tmp_path / "x.csv")
    table = pd.read_csv(tmp_path / "x.csv")
    whole = dataset.reset_coords()
    assert len(table) == sum(array.size for array in whole.data_vars.values())
    again = read_back(table, dataset)
    for name, array in whole.data_vars.items():
        xr.testing.assert_equal(again[name], array.drop_vars(set(array.coords) - set(array.dims)))
    assert list(tmp_path.iterdir()) == [tmp_path / "x.csv"]


def test_a_parquet_file_reads_back_as_the_same_table(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    tm.export(result(), str(tmp_path / "x.parquet"))
    found = parquet.read_table(tmp_path / "x.parquet").to_pydict()
    assert repr(found) == repr(export.tabulate(result()))  # nan is nan
    kinds = {name: {type(value) for value in column} for name, column in found.items()}
    assert kinds["seed"] == {int, type(None)}


def test_parquet_without_pyarrow_is_a_sentence_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(
        UserError, match=r'parquet needs pyarrow: pip install "toymodels\[parquet\]"'
    ):
        tm.export(result(), tmp_path / "x.parquet")
    assert list(tmp_path.iterdir()) == []


ROWS = [
    tm.Finding(
        "Share of 50 % & more", "a_b, rho = -0.5", Interval(-0.1234, -0.2, 0.1, 5), "neither"
    ),
    tm.Finding("Share of 50 % & more", r"\x{y}^2~$#<>|", Interval(1.0, None, None, 1), "unknown"),
    tm.Finding("Share", "a.b", Interval(None, None, None, 0)),
    tm.Finding("Share", "a b", Interval(0.5, 0.4, 0.6, 7)),
]


def test_a_table_for_latex(tmp_path):
    tm.export(result(ROWS), tmp_path / "x.tex")
    lines = (tmp_path / "x.tex").read_text().splitlines()
    assert lines[0] == f"% experiment x_1, config {config_digest(CONFIG)}, data digits, n = 3 seeds"
    assert lines[1] == f"% commit {'0' * 40}, created 2026"
    first, last = lines.index(r"\midrule"), lines.index(r"\bottomrule")
    assert lines[first + 1 : last] == [
        r"Share of 50 \% \& more & a\_b, rho = -0.5 & \ensuremath{-0.123} "
        r"& \ensuremath{-0.200} to 0.100 & 5 & neither \\",
        r" & \textbackslash{}x\{y\}\textasciicircum{}2\textasciitilde{}\$\#\textless{}\textgreater{}"
        r"\textbar{} & 1.000 & unknown & 1 & unknown \\",
        r"Share & a.b & unknown & unknown & 0 &  \\",
        r" & a b & 0.500 & 0.400 to 0.600 & 7 &  \\",
    ]


def test_commands_for_latex_have_names_of_letters_and_none_twice(tmp_path):
    tm.export(result(ROWS), tmp_path / "x.tex", "macros")
    lines = (tmp_path / "x.tex").read_text().splitlines()
    found = dict(
        re.fullmatch(r"\\newcommand\{\\([A-Za-z]+)\}\{(.*)\}", line).groups()
        for line in lines
        if not line.startswith("%")
    )
    assert len(found) == 3 * len(ROWS)
    name = "XOneShareOfFiveZeroPercentMoreABRhoMinusZeroPointFive"
    assert found[name] == r"\ensuremath{-0.123}"
    assert found[f"{name}Interval"] == r"\ensuremath{-0.200} to 0.100"
    assert found[f"{name}N"] == "5"
    assert (found["XOneShareAB"], found["XOneShareABTwo"]) == ("unknown", "0.500")
    assert "% Share, a b: 0.500 (0.400 to 0.600, n = 7)." in lines


def test_a_comment_stays_a_comment():
    """A line break in a name would end it, and LaTeX would read the rest."""
    row = tm.Finding("Share\n\\input{x}", "", Interval(0.5, 0.4, 0.6, 7))
    text = export.encode(result([row]), "macros").decode()
    assert all(line.startswith(("%", "\\newcommand")) for line in text.splitlines())
    dataset = result([row]).assign_attrs(experiment="x\ny")
    assert export.encode(dataset, "latex").decode().startswith(r"% experiment x\ny, config")


@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        ("x.txt", None, r"path must end in \.tex, \.parquet, \.csv; got"),
        ("x", None, "path must end in"),
        ("x.csv", "latex", r"path must end in \.tex; got"),
        ("x.csv", "excel", "kind must be one of csv, parquet, latex, macros; got excel"),
        ("no/x.csv", None, "path must be a file in a folder that exists; got"),
        ("folder.csv", None, "path must be a file in a folder that exists; got"),
        ("x.tex", None, "dataset must have a finding with an estimate; got one of x_1 without"),
    ],
)
def test_what_cannot_be_written_is_a_sentence(tmp_path, name, kind, words):
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UserError, match=words):
        tm.export(result(), tmp_path / name, kind)
    assert [path.name for path in tmp_path.iterdir()] == ["folder.csv"]


def test_a_dimension_called_like_a_column_is_refused():
    with pytest.raises(UserError, match="dimensions must not be called value"):
        export.tabulate(xr.Dataset({"x": ("value", [1.0])}))


def test_the_names_of_findings_survive_json():
    assert [
        tm.Finding.from_row(row) for row in json.loads(to_json([r.row() for r in ROWS]))
    ] == ROWS
