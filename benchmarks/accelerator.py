"""What an accelerator does: the paper protocol at 100 seeds by precision, 10,000 overlaps, the owl.

Each run is a process of its own with nothing stored, as a user starts it. Differences are of final
test accuracy, seed by seed: from float32, and from a result of another device (``--beside``).
Options that are not named here go to the first two. See README.md here.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mnist_aux import BATCH, IMAGES, experiment, matmul_peak, step_flops, tell

from toymodels.stats.statistics import mean_interval

OVERLAPS = 21  # of the preset "paper"
PRECISIONS = ("float32", "tensorfloat32", "bfloat16")
Summary = dict[str, Any]
Finals = Mapping[str, Sequence[float]]
"""Model -> final test accuracy of each seed."""


def ran(name: str, *options: str) -> tuple[dict[str, float], Summary]:
    """An experiment's seconds, and its summary."""
    with tempfile.TemporaryDirectory() as out:
        run, summary = experiment(name, Path(out), *options)
    return {"wall_s": run.wall_s, **summary["timing"]}, summary


def timed(
    name: str, teachers: int, students: int, *options: str
) -> tuple[dict[str, float], Summary]:
    """The same, with TFLOP/s of its trainings over the run without compilation."""
    took, summary = ran(name, *options)
    config = summary["config"]
    rows = teachers * config["teacher_epochs"] * (config["train_images"] or IMAGES)
    rows += teachers * students * config["student_epochs"] * config["noise_images"]
    return took | {"tflops": rows * step_flops() / BATCH / took["run_s"] / 1e12}, summary


def finals(summary: Summary) -> Finals:
    """Final accuracies in a summary of `mnist_aux`."""
    return {model: metric["values"] for model, metric in summary["metrics"].items()}


def apart(one: Finals, other: Finals) -> dict[str, Any]:
    """By model of ``one``: mean difference over the seeds, its interval, the largest."""
    told = {}
    for model, values in one.items():
        difference = np.subtract(values, other[model])
        mean, low, high, n = mean_interval(difference)
        largest = float(np.abs(difference).max())
        told[model] = {"mean": mean, "low": low, "high": high, "n": n, "largest": largest}
    return told


def main() -> None:
    """Measure, print a table, and write everything as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seeds", type=int, default=100, help="of the protocol, four students each"
    )
    parser.add_argument("--overlaps", type=int, default=477 * OVERLAPS, help="points of the sweep")
    parser.add_argument("--owls", type=int, default=10, help="seeds of owl_numbers")
    parser.add_argument("--matmul", type=int, default=8192, help="size of the peak's matrices")
    parser.add_argument("--beside", type=Path, help="summary.json of the protocol elsewhere")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args, rest = parser.parse_known_args()
    paper = ["--preset", "paper", *rest]

    report: dict[str, Any] = {}
    ends: dict[str, Finals] = {}
    for precision in PRECISIONS:
        options = [*paper, "--seeds", str(args.seeds), "--precision", precision]
        report[precision], summary = timed("mnist_aux", args.seeds, 4, *options)
        ends[precision] = finals(summary)
        if precision != "float32":
            report[f"{precision}_apart"] = apart(ends[precision], ends["float32"])
    if args.beside:
        elsewhere = finals(json.loads(args.beside.read_text()))
        report["beside"] = apart(ends["float32"], elsewhere)
    seeds = -(-args.overlaps // OVERLAPS)
    options = [*paper, "--groups", "all", "--seeds", str(seeds)]
    report["overlaps"], _ = timed("init_overlap", seeds, OVERLAPS, *options)
    report["owl"], _ = ran("owl_numbers", "--preset", "paper", "--seeds", str(args.owls))
    # Last: this process takes the device's memory from here on.
    report["matmul_peak_tflops"] = matmul_peak(args.matmul) / 1e12
    report["fraction_of_peak"] = report["float32"]["tflops"] / report["matmul_peak_tflops"]
    tell(report, args.json)


if __name__ == "__main__":
    main()
