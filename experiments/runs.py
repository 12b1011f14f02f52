"""List finished runs, compare two of them, or remove some.

    python -m experiments.runs [FOLDER]              lists every finished run below FOLDER
    python -m experiments.runs compare A B           tells how the runs in A and B differ
    python -m experiments.runs remove A [...] --yes  removes the files of runs

Each of the three commands has a --help of its own; "runs list --help" explains the first. Of each run the
list tells its folder, experiment, data, number of seeds, time, version and commit; the options by
which the nearest preset becomes its config; and its first finding. A folder that is called like a
command is given as ./compare.
"""

from __future__ import annotations

import datetime
import itertools
import shutil
import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from toymodels.errors import UserError, plain
from toymodels.study import cli, configs

COMMANDS = ("list", "compare", "remove")
FILES = ("results.nc", "summary.json", "figure.png", "figure.pdf")
"""What a finished run leaves in its folder."""


@dataclass(frozen=True)
class List:
    """List finished runs, the newest last."""

    folder: Positional[Path] = Path("results")
    """Folder below which runs are looked for."""
    experiment: str | None = None
    """Name of an experiment: only its runs are listed."""
    differs: str | None = None
    """Name of a config field: only runs are listed in which it differs from the nearest preset."""


@dataclass(frozen=True)
class Compare:
    """Compare two finished runs: their configs, and their metrics, paired over the seeds."""

    first: Positional[Path]
    """Folder of the first run."""
    second: Positional[Path]
    """Folder of the second run, from which the first is subtracted."""


@dataclass(frozen=True)
class Remove:
    """Remove the files of finished runs. Other files in their folders stay, and so do chunks."""

    folders: Positional[tuple[Path, ...]]
    """Folders of finished runs."""
    yes: bool = False
    """Really remove them. Without this option the command only tells what it would remove."""

    def __post_init__(self) -> None:
        if not self.folders:
            raise UserError("folders must be one at least; got none")


@dataclass(frozen=True)
class Run:
    """A finished run, as its summary tells it."""

    folder: Path
    summary: dict[str, Any]

    @property
    def experiment(self) -> str:
        """Name of its experiment."""
        return str(self.summary["experiment"])

    @property
    def created(self) -> datetime.datetime:
        """When it ended; the beginning of time where its summary does not tell."""
        try:
            created = datetime.datetime.fromisoformat(self.summary["provenance"]["created"])
            return created.astimezone(datetime.UTC)
        except (KeyError, TypeError, ValueError, OverflowError):
            return datetime.datetime.min.replace(tzinfo=datetime.UTC)

    def find_preset(self) -> tuple[str, list[configs.Difference]] | None:
        """The preset that is nearest to its config, and what differs; None: a user's experiment."""
        from . import load_study, names

        if self.experiment not in names():
            return None
        return configs.find_preset(load_study(self.experiment).presets, self.summary["config"])


def list_runs(folder: Path) -> tuple[list[Run], list[str]]:
    """The finished runs below a folder, by time, and a sentence on each that cannot be read."""
    from toymodels.study.saved import find_results, read_summary

    runs, faults = [], []
    for path in find_results(folder):
        try:
            runs.append(Run(path, read_summary(path)))
        except UserError as error:
            faults.append(str(error))
    return sorted(runs, key=lambda run: run.created), faults


def select(runs: Sequence[Run], experiment: str | None, differs: str | None) -> list[Run]:
    """The runs of an experiment that differ from their presets in a field; None: of any.

    Raises:
        UserError: no run is of this experiment, or none of them has such a field.

    """
    known = sorted({run.experiment for run in runs})
    if experiment and experiment not in known:
        raise UserError(f"experiment must be one of {', '.join(known)}; got {experiment}")
    runs = [run for run in runs if experiment in (None, run.experiment)]
    if differs is None:
        return runs
    field = differs.replace("-", "_")
    fields = {name for run in runs for name in run.summary["config"]}
    if field not in fields:
        raise UserError(f"differs must be one of {', '.join(sorted(fields))}; got {differs}")
    found = [(run, run.find_preset()) for run in runs]
    return [run for run, near in found if near and field in {pair.field for pair in near[1]}]


def describe(run: Run) -> str:
    """A run in a few lines: its folder, what it is, how it differs from a preset, what it found."""
    made, config = run.summary.get("provenance", {}), run.summary["config"]
    seeds = config.get("seeds", max((m["n"] for m in run.summary["metrics"].values()), default=0))
    commit = str(made.get("git_commit", "unknown")).removesuffix("-dirty")[:8]
    changed = " (changed)" if str(made.get("git_commit")).endswith("-dirty") else ""
    about = (
        f"{run.experiment} on {run.summary['dataset']['name']}, n = {seeds} "
        f"seed{'s' if seeds != 1 else ''}, {run.created:%Y-%m-%d %H:%M} UTC, "
        f"toymodels {made.get('toymodels', 'unknown')} at {commit}{changed}"
    )
    near = run.find_preset()
    options = f"--preset {near[0]} {configs.write_options(near[1])}" if near else "no preset known"
    parts = ", ".join(f"{name} {part}" for name, part in run.summary.get("parts", {}).items())
    lines = [about, options.strip(), *([f"parts: {parts}"] if parts else []), headline(run.summary)]
    return "\n".join([plain(str(run.folder)), *(indent(plain(line)) for line in lines)])


def headline(summary: dict[str, Any]) -> str:
    """The first finding with an interval; else the first finding, or the first metric."""
    from toymodels.stats.findings import Finding
    from toymodels.stats.statistics import Interval

    for row in summary.get("findings_table", []):
        if row["ci_low"] is not None:
            return str(Finding.from_row(row))
    if summary["findings"]:
        return str(summary["findings"][0])
    for name, metric in summary["metrics"].items():
        numbers = (metric[key] for key in ("mean", "ci_low", "ci_high", "n"))
        return str(Finding(name, "", Interval(*numbers)))
    return "no metric"


def indent(line: str) -> str:
    """A line below another, as wide as the terminal."""
    width, margin = shutil.get_terminal_size().columns, "    "
    return textwrap.fill(
        line,
        max(width, 40),
        initial_indent=margin,
        subsequent_indent=margin,
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_comparison(a: Path, b: Path) -> None:
    """Print how the configs and the metrics of two runs differ.

    Raises:
        UserError: one of them is no finished run, or they have no metric in common.

    """
    from rich.console import Console

    from toymodels.study.comparison import compare_results
    from toymodels.study.display import config_table, metric_table
    from toymodels.study.saved import open_result, read_summary

    summaries = [read_summary(folder) for folder in (a, b)]
    comparison = compare_results(open_result(a), open_result(b))
    for name, folder in (("A", a), ("B", b)):
        print(plain(f"{name}: {folder}"))
    about: list[dict[str, Any]] = [
        {
            "experiment": s["experiment"],
            "data": s["dataset"]["name"],
            **s.get("parts", {}),
            **s["config"],
        }
        for s in summaries
    ]
    differences = configs.compare_configs(*about)
    console = Console(markup=False, emoji=False, highlight=False)
    if differences:
        console.print(config_table(differences))
    else:
        print("The configs are the same.")
    for line in comparison.remarks:
        print(plain(line))
    for metric, rows in itertools.groupby(comparison.rows, key=lambda row: row.metric):
        console.print(metric_table(metric, list(rows)))


def remove(folders: Sequence[Path], yes: bool) -> None:
    """Remove the files of results, and their folders where nothing else is in them.

    All folders are looked at before the first is touched.

    Raises:
        UserError: a folder does not hold a result, or a run is at work in it.

    """
    from toymodels import files
    from toymodels.study.saved import read_summary

    for folder in folders:
        if folder.is_symlink() or not folder.is_dir():
            raise UserError(f"folders must be folders of finished runs; {folder} is no folder")
        read_summary(folder)
        if not (folder / "results.nc").is_file():
            raise UserError(f"folders must be folders of finished runs; {folder} has no results.nc")
    for folder in dict.fromkeys(folders):
        names = [name for name in FILES if (folder / name).is_file()]
        others = sorted(
            path.name
            for path in folder.iterdir()
            if path.name not in FILES and not path.name.startswith(files.RUNNING)
        )
        kept = f"; kept there: {', '.join(others)}" if others else ", and the folder"
        words = plain(f"{folder}: {', '.join(names)}{kept}")
        if not yes:
            print(f"would remove from {words}")
            continue
        with files.claim_folder(folder, "removal", "it is being removed"):
            files.write_files(folder, {}, remove=names)
        if not others:
            folder.rmdir()
        print(f"removed from {words}")
    if not yes:
        print("nothing was removed; the option --yes removes it")


def execute(command: List | Compare | Remove) -> None:
    """Do what the command line says.

    Raises:
        UserError: a folder holds no finished run.

    """
    if isinstance(command, Compare):
        return print_comparison(command.first, command.second)
    if isinstance(command, Remove):
        return remove(command.folders, command.yes)
    runs, faults = list_runs(command.folder)
    if not runs and not faults:
        raise UserError(f"folder must hold finished runs; got {command.folder} without one")
    found = select(runs, command.experiment, command.differs)
    for run in found:
        print(describe(run))
    if not found:
        print(f"no run differs from its preset in {command.differs}")
    for fault in faults:
        print(f"error: {plain(fault)}", file=sys.stderr)
    if faults:
        sys.exit(1)


def read_words(words: Sequence[str]) -> list[str]:
    """The command line with the command that it means where it names none.

    >>> read_words(["results"]), read_words(["compare", "a", "b"])
    (['list', 'results'], ['compare', 'a', 'b'])
    """
    named = bool(words) and words[0] in (*COMMANDS, "-h", "--help")
    return [*words] if named else ["list", *words]


if __name__ == "__main__":
    with cli.plain_errors():
        words = read_words(sys.argv[1:])
        execute(cli.arguments(List | Compare | Remove, __doc__, words, default=List()))
