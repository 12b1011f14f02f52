"""A sweep over 21 overlaps and 5 seeds, beside three PyTorch peers and the matmul limit.

All do the same training of the same networks (see `peer_overlap_torch.py`) in the same run, each a
process of its own, timed and weighed from outside. See README.md here.
"""

import argparse
import itertools
import json
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from mnist_aux import (
    BATCH,
    HERE,
    IMAGES,
    SIZES,
    Run,
    experiment,
    matmul_peak,
    measured,
    step_flops,
    tell,
)

EPOCHS, TEST_IMAGES = 5, 10_000


def peer(*options: str) -> tuple[Run, dict[str, Any]]:
    """A PyTorch peer, and what it reports."""
    run = measured([sys.executable, str(HERE / "peer_overlap_torch.py"), *options])
    return run, json.loads(run.stdout)


def sweep_flops(seeds: int, students: int) -> float:
    """Of all matrix products: training, tests after every epoch, answers of the teachers."""
    forward = 2 * sum(a * b for a, b in itertools.pairwise(SIZES))
    models = seeds + students
    trained = models * EPOCHS * IMAGES * step_flops() / BATCH
    tested = models * (EPOCHS + 1) * TEST_IMAGES * forward
    return trained + tested + seeds * IMAGES * forward


def main() -> None:
    """Measure, print a table, and write everything as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", help="folder with MNIST's idx files (default: as toymodels)")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2, help="peers and ours in turn, this often")
    parser.add_argument("--many", type=int, default=2000, help="overlaps of the memory check")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    where = ["--data-dir", args.data_dir] if args.data_dir else []
    seeds = ["--seeds", str(args.seeds)]

    runs: dict[str, list[Run]] = {"ours": [], "bmm": [], "conv": [], "process": []}
    reports: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        out = Path(scratch)
        for i in range(args.rounds):
            for layers in ("bmm", "conv"):
                run, reports[layers] = peer("--way", "batched", "--layers", layers, *seeds, *where)
                runs[layers].append(run)
            run, reports["process"] = peer("--way", "process", "--rho", str(1 - i / 10), *where)
            runs["process"].append(run)
            run, ours = experiment(
                "init_overlap", out, "--preset", "paper", "--groups", "all", *seeds, *where
            )
            runs["ours"].append(run)
        small = "--dataset digits --groups all --width 16 --train-images 256 --noise-images 256"
        small += " --teacher-epochs 1 --student-epochs 1"
        rhos = [str(i / (args.many - 1)) for i in range(args.many)]
        few, many = (
            experiment("init_overlap", out, *small.split(), *seeds, "--rho", *chosen)
            for chosen in (["1", "0.5", "0"], rhos)
        )
    points = ours["provenance"]["models"] - args.seeds
    wall = {name: median(run.wall_s for run in those) for name, those in runs.items()}
    peak = matmul_peak()
    floor = sweep_flops(args.seeds, points) / peak
    transfer = [m["mean"] for name, m in ours["metrics"].items() if name.startswith("transfer")]
    report = {
        "points": points,
        **{f"{name}_wall_s": [run.wall_s for run in those] for name, those in runs.items()},
        **{
            f"{name}_peak_gb": max(r.peak_bytes for r in those) / 1e9
            for name, those in runs.items()
        },
        "ours_per_point_s": wall["ours"] / points,
        "ratio_bmm": wall["bmm"] / wall["ours"],
        "ratio_conv": wall["conv"] / wall["ours"],
        "ratio_process_per_point": wall["process"] * points / wall["ours"],
        "ours_compile_s": ours["timing"]["compile_s"],
        "ours_run_s": ours["timing"]["run_s"],
        "matmul_peak_gflops": peak / 1e9,
        "matmul_floor_s": floor,
        "run_over_floor": ours["timing"]["run_s"] / floor,
        "few_points_peak_gb": few[0].peak_bytes / 1e9,
        f"{args.many * args.seeds}_points_peak_gb": many[0].peak_bytes / 1e9,
        f"{args.many * args.seeds}_points_wall_s": many[0].wall_s,
        "transfer_at_1_ours": transfer[0],
        "accuracy_at_1_bmm": reports["bmm"]["accuracy"]["1.000000"]["mean"][-1],
    }
    tell(report, args.json)


if __name__ == "__main__":
    main()
