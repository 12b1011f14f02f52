"""What a person at a terminal sees of a sweep: its progress, and tables of results."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import json
import math
import shutil
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from toymodels.errors import plain

if TYPE_CHECKING:
    import xarray as xr
    from rich.table import Table

    from toymodels.stats.findings import Finding
    from toymodels.study.comparison import Row
    from toymodels.study.configs import Difference
    from toymodels.sweep import Progress


WIDE = 110
"""Columns of a terminal from which on a table of findings has all its columns."""


@contextlib.contextmanager
def progress_display(quiet: bool) -> Iterator[Progress]:
    """On stderr: a bar with a time estimate on a terminal, a dozen plain lines elsewhere."""
    if quiet:
        yield lambda stage, done, total, left_s: None
    elif sys.stderr.isatty():
        from rich import progress as bars
        from rich.console import Console

        columns = (
            bars.TextColumn("{task.description:>9}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("{task.fields[left]}"),
        )
        with bars.Progress(*columns, console=Console(stderr=True), transient=True) as display:
            task = display.add_task("starting", total=None, left="")

            def show(stage: str, done: int, total: int, left_s: float | None) -> None:
                left = "" if left_s is None else f"about {duration(left_s)} left"
                display.update(task, description=stage, completed=done, total=total, left=left)

            yield show
    else:
        yield PlainLines()


class PlainLines:
    """Progress as lines: each stage as it begins, then every tenth of it."""

    def __call__(self, stage: str, done: int, total: int, left_s: float | None) -> None:
        """Print a line if a stage begins or another tenth is done."""
        if done == 0:
            self.start, self.tenth = time.perf_counter(), 0
            print(f"{stage} ...", file=sys.stderr, flush=True)
        elif (tenth := 10 * done // total) > self.tenth and left_s is not None:
            self.tenth = tenth
            elapsed = duration(time.perf_counter() - self.start)
            line = f"{stage}: {done} of {total}, {elapsed}, about {duration(left_s)} left"
            print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds, or hours, minutes and seconds."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return str(datetime.timedelta(seconds=round(seconds)))


def print_table(dataset: xr.Dataset) -> None:
    """The metrics with their intervals, beside what the literature reports where it can."""
    from rich.console import Console
    from rich.table import Table

    from toymodels.stats import statistics
    from toymodels.stats.findings import read_table
    from toymodels.stats.points import remarks
    from toymodels.study import plotting

    name = dataset.attrs["headline"].split()[0]
    headline = statistics.succeeded(dataset)[name]
    headline = headline.where(abs(headline) < math.inf)  # as the metrics count them
    dims = [str(dim) for dim in headline.dims if dim != "seed"]
    table = Table()
    for dim in dims:
        table.add_column(plain(dim))
    for column in ("mean", "95 % interval", "n"):
        table.add_column(column, justify="right")
    sources = dataset.source.values if "published" in dataset else []
    for source in sources:
        table.add_column(plain(str(source)), justify="right")
    for at in itertools.product(*(headline[dim].values for dim in dims)):
        place = dict(zip(dims, at, strict=True))
        mean, low, high, n = statistics.mean_interval(headline.sel(place).values)
        interval = "-" if low is None else f"{number(low)} to {number(high)}"
        row = [*(plain(str(label)) for label in at), number(mean), interval, str(n)]
        for source in sources:
            known = dataset.sel({"source": source, **place})
            half = float(known.published_half_width)
            row.append(number(float(known.published)) + (f" ± {number(half)}" if half > 0 else ""))
        table.add_row(*row)
    about = headline.attrs.get("description", name)
    print(plain(f"{about.capitalize()}: {plotting.caption(dataset)}"))
    Console(markup=False, emoji=False, highlight=False).print(table)  # labels, and no commands
    if rows := read_table(dataset):
        Console(markup=False, emoji=False, highlight=False).print(findings_table(rows))
    lines_of_rows = {str(row) for row in rows}
    findings = json.loads(dataset.attrs["findings"])
    lines = [line for line in findings if line not in lines_of_rows]
    for line in (*lines, *remarks(dataset)):
        print(fitted(plain(line)))


def findings_table(rows: Sequence[Finding]) -> Table:
    """Findings as a table; a quantity stands in the first of its rows.

    A narrow terminal has no room for `Finding.q` and `Finding.detectable`.
    """
    from rich.table import Table

    table = Table()
    for column in ("quantity", "at"):
        table.add_column(column)
    for column in ("mean", "95 % interval", "n"):
        table.add_column(column, justify="right")
    table.add_column("verdict")
    wide = shutil.get_terminal_size().columns >= WIDE
    for column in ("q", "detectable") if wide else ():
        table.add_column(column, justify="right")
    before = None
    for row in rows:
        mean, low, high, n = row.estimate
        table.add_row(
            plain(row.quantity) if row.quantity != before else "",
            plain(row.at),
            number(mean),
            "-" if low is None else f"{number(low)} to {number(high)}",
            str(n),
            plain(row.verdict),
            *((write_rate(row.q), write_rate(row.detectable)) if wide else ()),
        )
        before = row.quantity
    return table


def write_rate(value: float | None) -> str:
    """A number with two digits, or nothing.

    >>> write_rate(0.00234), write_rate(None)
    ('0.0023', '')
    """
    return "" if value is None else f"{value:.2g}"


def config_table(differences: Sequence[Difference]) -> Table:
    """The fields in which two configs differ."""
    from rich.table import Table

    from toymodels.study.configs import write_value

    table = Table(title="config", title_justify="left")
    for column in ("field", "A", "B"):
        table.add_column(column, overflow="fold")
    for name, first, second in differences:
        table.add_row(*map(plain, (name, write_value(first), write_value(second))))
    return table


def metric_table(metric: str, rows: Sequence[Row]) -> Table:
    """A metric of two results at every point, and its differences."""
    from rich.table import Table

    table = Table(title=plain(metric), title_justify="left")
    table.add_column("at", overflow="fold")
    for column in ("A", "B", "B - A", "95 % interval", "n"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("B is")
    for row in rows:
        mean, low, high, n = row.difference
        interval = "-" if low is None else f"{number(low)} to {number(high)}"
        numbers = (number(row.first), number(row.second), number(mean), interval, str(n))
        table.add_row(plain(row.at), *numbers, row.verdict)
    return table


def fitted(line: str) -> str:
    """A line cut between words where a terminal would cut it inside one; elsewhere as it is."""
    if not sys.stdout.isatty():
        return line
    width = shutil.get_terminal_size().columns
    return textwrap.fill(line, width, break_long_words=False, break_on_hyphens=False)


def number(x: float | None) -> str:
    """Three decimals, or a dash for what is not known."""
    return "-" if x is None else f"{x:.3f}"
