"""What the literature reports, with ours beside it, read from the summaries below a folder.

A row is a published number and the metric of a summary.json that stands for it, at the same
protocol but for what the row says. The values are those that experiments draw in their figures.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from toymodels.errors import plain
from toymodels.stats.findings import Finding
from toymodels.study import cli
from toymodels.study.display import write_rate

from . import (
    aux_count,
    input_distribution,
    loss,
    mnist_aux,
    no_results,
    optimisation,
    overlap_modes,
    tasks,
)

RERUN = "Cloud et al., script re-run"
REPLICA = "replications of Cloud et al."


class Row(NamedTuple):
    """A published mean."""

    source: str
    what: str
    value: float
    half_width: float | None
    """Half of its 95 % interval, where it is given."""
    folder: str
    """Folder of the figure."""
    metric: str
    """Its name in summary.json."""


def rows() -> Iterator[Row]:
    """All published numbers that an experiment here measures too: test accuracies on MNIST."""
    for source, (means, halves) in mnist_aux.PUBLISHED.items():
        name = {"paper": "Cloud et al., Nature 2026", "re-run": RERUN}[source]
        for model, mean, half in zip(mnist_aux.MODELS, means, halves, strict=True):
            yield Row(name, model, mean, half, "mnist_aux", model)
    for m, mean in aux_count.PUBLISHED.items():
        at = f"final_accuracy[noise=fixed, imitation=kl, m={m}, start=shared]"
        yield Row(RERUN, f"m = {m}", mean, None, "aux_count", at)
    for way, mean in loss.PUBLISHED.items():
        at = f"final_accuracy[way={way}, start=shared]"
        yield Row(REPLICA, f"{way}, 50,000 images (here 60,000)", mean, None, "loss", at)
    for rate, mean in optimisation.PUBLISHED["rate"].items():
        at = f"final_accuracy[optimiser=adam, rate={rate}, start=shared]"
        what = f"learning rate {3e-4 * rate:.0e}"
        yield Row(REPLICA, what, mean, None, "optimisation", at)
    for epochs, mean in optimisation.PUBLISHED["teacher_epochs"].items():
        at = f"final_accuracy[teacher_epochs={epochs}, start=shared]"
        yield Row(REPLICA, f"teacher epochs: {epochs}", mean, None, "optimisation_teacher", at)
    levels = overlap_modes.AMOUNTS["relative_noise"]
    for amount, mean in overlap_modes.PUBLISHED.items():
        at = f"final_accuracy[relation=relative_noise, level={levels.index(amount)}]"
        what = f"noise of {amount:g} std on the init"
        yield Row(REPLICA, what, mean, None, "overlap_modes", at)
    for inputs, mean in input_distribution.PUBLISHED.items():
        at = f"final_accuracy[inputs={inputs}, start=shared]"
        yield Row(REPLICA, f"inputs: {inputs}", mean, None, "input_distribution", at)
    for k, mean in tasks.PUBLISHED.items():
        at = f"final_accuracy[task={k} classes, start=shared]"
        what = f"{k} classes (here the first digits)" if k < 10 else f"{k} classes"
        yield Row(REPLICA, what, mean, None, "tasks", at)


def below(folder: Path) -> list[Path]:
    """The summaries in the folders below a folder.

    Raises:
        UserError: there is none.

    """
    if not (found := sorted(folder.glob("*/summary.json"))):
        raise no_results(folder)
    return found


def beside(folder: Path) -> list[tuple[Row, dict[str, Any] | None]]:
    """Every row with our metric: its mean, interval, n and values; None where it was not run."""
    from toymodels.study.saved import read_summary

    summaries = {path.parent.name: read_summary(path.parent) for path in below(folder)}
    nothing: dict[str, Any] = {"metrics": {}}
    return [(row, summaries.get(row.folder, nothing)["metrics"].get(row.metric)) for row in rows()]


def markdown(folder: Path) -> str:
    """The table, and under it what every experiment found."""
    from toymodels.study.saved import read_summary

    lines = [
        "| source | what | published | here | 95 % interval | n | figure |",
        "|---|---|---|---|---|---|---|",
    ]
    for row, ours in beside(folder):
        known = f"{row.value:.3f}" + (f" ± {row.half_width:.3f}" if row.half_width else "")
        cells = ["-", "-", "-"]
        if ours and ours["ci_low"] is not None:
            interval = f"{ours['ci_low']:.3f} to {ours['ci_high']:.3f}"
            cells = [f"{ours['mean']:.3f}", interval, str(ours["n"])]
        lines.append(f"| {' | '.join([row.source, row.what, known, *cells, row.folder])} |")
    for path in below(folder):
        summary = read_summary(path.parent)
        config, data = summary["config"], summary["dataset"]["name"]
        lines += ["", f"## {path.parent.name}", "", f"{data}, {config.get('seeds')} seeds.", ""]
        lines += tabulate_findings(summary)
    return "\n".join(map(plain, lines)) + "\n"


def tabulate_findings(summary: dict[str, Any]) -> list[str]:
    """The findings of a summary: a table of those with an estimate, then the sentences."""
    rows = [Finding.from_row(row) for row in summary.get("findings_table", [])]
    lines = []
    if rows:
        lines += [
            "| quantity | at | mean and 95 % interval | verdict | q | detectable |",
            "|---|---|---|---|---|---|",
        ]
        for row in rows:
            least = "" if row.detectable is None else f"{row.detectable:.3f}"
            cells = row.quantity, row.at, str(row.estimate), row.verdict, write_rate(row.q), least
            lines.append(f"| {' | '.join(cells)} |".replace("  ", " "))
        lines.append("")
    lines_of_rows = {str(row) for row in rows}
    return lines + [f"- {line}" for line in summary["findings"] if line not in lines_of_rows]


@dataclass(frozen=True)
class Published:
    """Where ours are."""

    folder: Path = Path("figures")
    """Folder of the figures, each with its summary.json."""


if __name__ == "__main__":
    with cli.plain_errors():
        print(markdown(cli.arguments(Published, __doc__).folder), end="")
