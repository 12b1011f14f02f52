"""What an accelerator does: compilation, the paper protocol by precision, 10,000 overlaps, the owl.

Each run is a process of its own with nothing stored, as a user starts it. Differences are of final
test accuracy, seed by seed: from float32, and from a result of another device (``--beside``).
Options that are not named here go to the protocol and to the overlaps. See README.md here.

The parts run in the order of their weight. All of them take about nine minutes on an H200. Figures are
written after every part; a part that is not finished when ``--limit`` is reached is named in ``missing``.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mnist_aux import BATCH, HERE, IMAGES, matmul_peak, step_flops, tell

from toymodels.stats.statistics import mean_interval

OVERLAPS = 21  # of the preset "paper"
PRECISIONS = ("float32", "tensorfloat32", "bfloat16")
COMPILATIONS = {
    "without_autotuning": "--xla_gpu_autotune_level=0",
    "with_triton": "--xla_gpu_enable_triton_gemm=true",
}
"""Flags of XLA under which the protocol is compiled."""
Summary = dict[str, Any]
Finals = Mapping[str, Sequence[float]]
"""Model -> final test accuracy of each seed."""


class Runs:
    """Experiments as processes of their own, until the time is over."""

    def __init__(self, limit_s: float) -> None:
        """Begin to count."""
        self.end = time.monotonic() + limit_s

    def run(self, name: str, *options: str, **env: str) -> tuple[dict[str, float], Summary]:
        """An experiment's seconds, and its summary.

        Raises:
            subprocess.SubprocessError: it failed, or the time is over.

        """
        with tempfile.TemporaryDirectory() as out:
            command = [
                sys.executable,
                "-m",
                f"toymodels.experiments.{name}",
                "--quiet",
                "--out",
                out,
            ]
            # No program that an earlier run has compiled.
            env = {"TOYMODELS_COMPILED": "", **env}
            start = time.monotonic()
            subprocess.run(
                [*command, *options],
                cwd=HERE.parent,
                env={**os.environ, **env},
                check=True,
                timeout=max(1.0, self.end - start),
            )
            summary = json.loads(Path(out, "summary.json").read_text())
        return {"wall_s": time.monotonic() - start, **summary["timing"]}, summary

    def time(
        self, name: str, teachers: int, students: int, *options: str
    ) -> tuple[dict[str, float], Summary]:
        """The same, with TFLOP/s of its trainings over the run without compilation."""
        took, summary = self.run(name, *options)
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
    """Measure part by part, print a table, and write everything as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seeds", type=int, default=100, help="of the protocol, four students each"
    )
    parser.add_argument("--overlaps", type=int, default=477 * OVERLAPS, help="points of the sweep")
    parser.add_argument("--owls", type=int, default=10, help="seeds of owl_numbers")
    parser.add_argument("--matmul", type=int, default=8192, help="size of the peak's matrices")
    parser.add_argument("--beside", type=Path, help="summary.json of the protocol elsewhere")
    parser.add_argument("--limit", type=float, default=570.0, help="seconds that all may take")
    parser.add_argument(
        "--json",
        type=Path,
        default=HERE / "accelerator_run.json",
        help="file of all figures (default: accelerator_run.json beside this script)",
    )
    args, rest = parser.parse_known_args()
    paper, runs = ["--preset", "paper", *rest], Runs(args.limit)
    report: dict[str, Any] = {"compile_s": {}}
    ends: dict[str, Finals] = {}

    def train(precision: str) -> None:
        options = [*paper, "--seeds", str(args.seeds), "--precision", precision]
        report[precision], summary = runs.time("mnist_aux", args.seeds, 4, *options)
        report["provenance"] = summary["provenance"]
        ends[precision] = finals(summary)
        if precision != "float32":
            report[f"{precision}_apart"] = apart(ends[precision], ends["float32"])
        elif args.beside:
            elsewhere = finals(json.loads(args.beside.read_text()))
            report["beside"] = apart(ends["float32"], elsewhere)

    def compile_with(flags: str) -> None:
        own = f"{os.environ.get('XLA_FLAGS', '')} {COMPILATIONS[flags]}".strip()
        took, _ = runs.run("mnist_aux", *paper, "--seeds", "1", XLA_FLAGS=own)
        report["compile_s"][flags] = took["compile_s"]

    def find_compiled() -> None:
        with tempfile.TemporaryDirectory() as folder:
            for name in ("kept", "found"):
                took, _ = runs.run(
                    "mnist_aux", *paper, "--seeds", "1", TOYMODELS_COMPILED=f"{folder}/compiled"
                )
                report["compile_s"][name] = took["compile_s"]

    def sweep_overlaps() -> None:
        seeds = -(-args.overlaps // OVERLAPS)
        options = [*paper, "--groups", "all", "--seeds", str(seeds)]
        report["overlaps"], _ = runs.time("init_overlap", seeds, OVERLAPS, *options)

    def train_owls() -> None:
        report["owl"], _ = runs.run("owl_numbers", "--preset", "paper", "--seeds", str(args.owls))

    parts: dict[str, Callable[[], None]] = {
        "float32": lambda: train("float32"),
        "found": find_compiled,
        "overlaps": sweep_overlaps,
        "owl": train_owls,
        "tensorfloat32": lambda: train("tensorfloat32"),
        "bfloat16": lambda: train("bfloat16"),
        "without_autotuning": lambda: compile_with("without_autotuning"),
        "with_triton": lambda: compile_with("with_triton"),
    }
    report["missing"] = list(parts)
    for name, part in parts.items():
        try:
            part()
            report["missing"].remove(name)
        except (subprocess.SubprocessError, KeyError) as error:
            print(f"{name}: {error}", file=sys.stderr)
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    # Last: this process takes the device's memory from here on.
    report["matmul_peak_tflops"] = matmul_peak(args.matmul) / 1e12
    if "float32" in report:
        report["fraction_of_peak"] = report["float32"]["tflops"] / report["matmul_peak_tflops"]
    tell(report, args.json)


if __name__ == "__main__":
    main()
