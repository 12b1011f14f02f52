"""Results as files for other programs: tables of all values, and findings for LaTeX."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

from toymodels.errors import UserError, plain
from toymodels.files import write_files
from toymodels.stats.findings import Finding, read_table
from toymodels.study.results import config_digest

if TYPE_CHECKING:
    import xarray as xr

Kind = Literal["csv", "parquet", "latex", "macros"]
SUFFIXES: dict[Kind, str] = {
    "csv": ".csv",
    "parquet": ".parquet",
    "latex": ".tex",
    "macros": ".tex",
}


def export(dataset: xr.Dataset, path: Path | str, kind: Kind | None = None) -> None:
    r"""Write a result to a file for another program; the file appears whole or not at all.

    - ``csv`` and ``parquet`` hold every value once. A row has the name of the variable, the labels of
      its dimensions (empty for dimensions that it does not have) and the value: a number, where
      True is 1, or a text in a column of its own.
    - ``latex`` holds the table of the findings, for the package booktabs.
    - ``macros`` holds ``\newcommand`` for the estimate, the interval and the n of every finding.

    Args:
        dataset: a result, as ``STUDY.run`` or `toymodels.study.results.open_result` returns it.
        path: the file, in a folder that exists.
        kind: what to write (None: what the ending of the path says: .csv, .parquet, or .tex for
            ``latex``).

    Raises:
        UserError: another ending, no such folder, or a disk that is full; parquet without pyarrow;
            LaTeX of a result that has no finding with an estimate.

    >>> import tempfile
    >>> import xarray as xr
    >>> dataset = xr.Dataset({"score": ("seed", [0.5, 0.25])}, {"seed": [0, 1]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "score.csv")
    ...     export(dataset, path)
    ...     print(path.read_text())
    variable,seed,value
    score,0,0.5
    score,1,0.25
    <BLANKLINE>

    """
    path = Path(path)
    write_files(path.parent, {path.name: encode(dataset, find_kind(path, kind))})


def encode(dataset: xr.Dataset, kind: Kind) -> bytes:
    """The content of a file that `export` writes.

    Raises:
        UserError: parquet without pyarrow; LaTeX without a finding.

    """
    if kind == "csv":
        return write_csv(tabulate(dataset))
    if kind == "parquet":
        return write_parquet(tabulate(dataset))
    rows = read_findings(dataset)
    lines = tabulate_latex(rows) if kind == "latex" else define_macros(dataset, rows)
    return "\n".join([*describe_provenance(dataset), *lines, ""]).encode()


def find_kind(path: Path, kind: Kind | None, field: str = "path") -> Kind:
    """What to write to a path, known before anything is.

    Raises:
        UserError: another ending than the kind has, no such folder, or a folder in its place.

    """
    if kind is None:
        known = {suffix: kind for kind, suffix in reversed(SUFFIXES.items())}
        if path.suffix not in known:
            raise UserError(f"{field} must end in {', '.join(known)}; got {path}")
        kind = known[path.suffix]
    if kind not in get_args(Kind):
        raise UserError(f"kind must be one of {', '.join(get_args(Kind))}; got {kind}")
    if path.suffix != SUFFIXES[kind]:
        raise UserError(f"{field} must end in {SUFFIXES[kind]}; got {path}")
    if not path.parent.is_dir() or path.is_dir():
        raise UserError(f"{field} must be a file in a folder that exists; got {path}")
    return kind


def tabulate(dataset: xr.Dataset) -> dict[str, list[Any]]:
    """Every value of a dataset in a row of its own, as columns.

    Coordinates that are no labels of a dimension (a rate that was chosen for each point) are
    variables, too.

    Raises:
        UserError: a dimension has the name of another column.

    """
    arrays = dataset.reset_coords().data_vars
    dims = [str(dim) for dim in dataset.dims]
    if taken := {"variable", "value", "text"} & {*dims}:
        raise UserError(f"dimensions must not be called {taken.pop()}, as a column of the table is")
    texts = any(array.dtype.kind not in "fiub" for array in arrays.values())
    columns: dict[str, list[Any]] = {
        name: [] for name in ("variable", *dims, "value", *["text"] * texts)
    }
    for name, array in arrays.items():
        nothing: list[Any] = [None] * array.size
        columns["variable"] += [str(name)] * array.size
        for dim in dims:
            columns[dim] += list_labels(array, dim) if dim in array.dims else nothing
        is_number = array.dtype.kind in "fiub"
        columns["value"] += array.values.astype(float).ravel().tolist() if is_number else nothing
        if texts:
            columns["text"] += nothing if is_number else list(map(str, array.values.ravel()))
    return columns


def list_labels(array: xr.DataArray, dim: str) -> list[Any]:
    """The label along a dimension of every value of an array."""
    shape = [-1 if other == dim else 1 for other in array.dims]
    return np.broadcast_to(array[dim].values.reshape(shape), array.shape).ravel().tolist()


def write_csv(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """Columns as a CSV file, in which every number reads back as the same float64."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    return buffer.getvalue().encode()


def write_parquet(columns: Mapping[str, Sequence[Any]]) -> bytes:
    """Columns as a Parquet file.

    Raises:
        UserError: pyarrow is not installed.

    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise UserError('parquet needs pyarrow: pip install "toymodels[parquet]"') from error
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(dict(columns)), buffer)
    return buffer.getvalue()


def read_findings(dataset: xr.Dataset) -> list[Finding]:
    """The findings of a result that have an estimate.

    Raises:
        UserError: there is none.

    """
    if not (rows := read_table(dataset)):
        name = dataset.attrs.get("experiment", "no experiment")
        raise UserError(f"dataset must have a finding with an estimate; got one of {name} without")
    return rows


def describe_provenance(dataset: xr.Dataset) -> Iterator[str]:
    """Comments that say where the numbers are from."""
    made = json.loads(dataset.attrs["provenance"])
    digest = config_digest(json.loads(dataset.attrs["config"]))
    data = json.loads(dataset.attrs["dataset"])["name"]
    versions = ("toymodels", "python", "jax", "jaxlib", "numpy")
    lines = [
        f"experiment {dataset.attrs['experiment']}, config {digest}, data {data}, "
        f"n = {dataset.sizes['seed']} seeds",
        f"commit {made.get('git_commit', 'unknown')}, created {made.get('created', 'unknown')}",
        ", ".join(f"{name} {made.get(name, 'unknown')}" for name in versions),
    ]
    if "parts" in dataset.attrs:
        parts = json.loads(dataset.attrs["parts"])
        lines.append("parts: " + ", ".join(f"{name} {part}" for name, part in parts.items()))
    yield from (f"% {plain(line)}" for line in lines)


def tabulate_latex(rows: Sequence[Finding]) -> Iterator[str]:
    """The lines of a table of findings; a quantity stands in the first of its rows."""
    yield r"% \usepackage{booktabs}"
    yield r"\begin{tabular}{llrrrl}"
    yield r"\toprule"
    yield r"quantity & at & mean & 95\,\% interval & $n$ & verdict \\"
    yield r"\midrule"
    before = None
    for row in rows:
        quantity = escape(row.quantity) if row.quantity != before else ""
        cells = [quantity, escape(row.at), *write_estimate(row), escape(row.verdict)]
        yield " & ".join(cells) + r" \\"
        before = row.quantity
    yield r"\bottomrule"
    yield r"\end{tabular}"


def define_macros(dataset: xr.Dataset, rows: Sequence[Finding]) -> Iterator[str]:
    """Three commands for every finding, below a comment with the finding."""
    used: set[str] = set()
    for row in rows:
        base = spell(f"{dataset.attrs['experiment']} {row.quantity} {row.at}")
        name, number = base, 1
        while {name, f"{name}Interval", f"{name}N"} & used:
            number += 1
            name = base + spell(str(number))
        used |= {name, f"{name}Interval", f"{name}N"}
        yield f"% {plain(str(row))}"
        for ending, text in zip(("", "Interval", "N"), write_estimate(row), strict=True):
            yield rf"\newcommand{{\{name}{ending}}}{{{text}}}"


def write_estimate(row: Finding) -> tuple[str, str, str]:
    """The mean of a finding, its interval and its n in LaTeX."""
    mean, low, high, n = row.estimate
    interval = "unknown" if low is None else f"{write_number(low)} to {write_number(high)}"
    return write_number(mean), interval, str(n)


def write_number(number: float | None) -> str:
    r"""A number with three decimals, in text or in a formula.

    >>> write_number(0.5), write_number(-0.05), write_number(None)
    ('0.500', '\\ensuremath{-0.050}', 'unknown')
    """
    if number is None:
        return "unknown"
    text = f"{number:.3f}"
    return rf"\ensuremath{{{text}}}" if text.startswith("-") else text


SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "''",
    **{character: f"\\{character}" for character in "&%$#_{}"},
}
"""What stands in LaTeX for the characters that mean something else there."""


def escape(text: str) -> str:
    r"""A text as LaTeX prints it.

    >>> print(escape(r"student_aux at 50 % of {x^2} \ y"))
    student\_aux at 50 \% of \{x\textasciicircum{}2\} \textbackslash{} y
    """
    return "".join(SPECIAL.get(character, character) for character in plain(text))


DIGITS = ("Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine")


def spell(text: str) -> str:
    r"""A text as the name of a command of LaTeX, which consists of letters.

    >>> spell("mnist_aux Transfer, m = 3, rho = -0.5")
    'MnistAuxTransferMThreeRhoMinusZeroPointFive'
    """
    text = re.sub(r"-(?=\d)", " minus ", text)
    text = re.sub(r"(?<=\d)\.(?=\d)", " point ", text).replace("%", " percent ")
    words = re.findall(r"[A-Za-z]+|[0-9]", text)
    return "".join(
        DIGITS[int(word)] if word.isdigit() else word[0].upper() + word[1:] for word in words
    )
