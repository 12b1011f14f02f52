"""Wall time, memory and fraction of the matmul peak of the main experiment, beside a PyTorch peer.

Both do the same work in the same run: N teachers, 4 N students, 60,000 images, 5 + 5 epochs, batch
1024, fp32. Each is a process of its own, timed and weighed from outside. See README.md here.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
SIZES, BATCH, IMAGES = (784, 256, 256, 13), 1024, 60_000


class Run(NamedTuple):
    """A finished process: seconds, peak resident bytes, and what it wrote to stdout."""

    wall_s: float
    peak_bytes: int
    stdout: str


def measured(command: list[str], **env: str) -> Run:
    """Run a command to its end; its memory is read from its own rusage."""
    start = time.perf_counter()
    with tempfile.TemporaryFile("w+") as out:
        child = subprocess.Popen(command, stdout=out, cwd=HERE.parent, env={**os.environ, **env})
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        wall = time.perf_counter() - start
        if child.returncode:
            sys.exit(f"{' '.join(command)} failed with exit status {child.returncode}")
        out.seek(0)
        return Run(wall, usage.ru_maxrss * 1024, out.read())


def experiment(name: str, out: Path, *options: str, **env: str) -> tuple[Run, dict[str, Any]]:
    """An experiment as a user runs it, with nothing stored or compiled, and its summary.json."""
    with tempfile.TemporaryDirectory() as store:
        command = [sys.executable, "-m", f"toymodels.experiments.{name}", "--quiet"]
        command += ["--out", str(out), "--store", store, *options]
        run = measured(command, **{"TOYMODELS_COMPILED": "", **env})
    return run, json.loads((out / "summary.json").read_text())


def matmul_peak(n: int = 2048, repeats: int = 20) -> float:
    """FLOP/s of the best of several fp32 products of two n x n matrices on the default device."""
    import jax

    a = jax.random.normal(jax.random.key(0), (n, n))
    product = jax.jit(lambda a: a @ a)
    with jax.default_matmul_precision("float32"):
        product(a).block_until_ready()
        return 2 * n**3 / min(seconds(lambda: product(a).block_until_ready(), repeats))


def seconds(call: Any, repeats: int) -> list[float]:
    """Wall times of repeated calls."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def step_flops() -> int:
    """Of a step's matrix products: forward, gradients of weights, gradients of hidden units."""
    products = [a * b for a, b in itertools.pairwise(SIZES)]
    return 2 * BATCH * (2 * sum(products) + sum(products[1:]))


def training_steps(repeats: int = 5) -> float:
    """FLOP/s inside the training steps alone: four students side by side, one epoch, no probes."""
    import jax
    import jax.numpy as jnp
    import optax

    from toymodels.data.inputs import uniform_noise
    from toymodels.networks.models import MLP, functional
    from toymodels.training import losses
    from toymodels.training.distillation import all_logits, auxiliary_logits, distil
    from toymodels.training.loop import reshuffle

    network = functional(lambda rngs: MLP(SIZES, rngs=rngs))
    steps = IMAGES // BATCH
    n = steps * BATCH
    subsets = jnp.stack([auxiliary_logits(10, 3), all_logits(10, 3)] * 2)
    inits = jax.vmap(network.init)(jax.random.split(jax.random.key(0), 4))
    x = uniform_noise(jax.random.key(1), n, SIZES[0])
    answers = network.apply(network.init(jax.random.key(2)), x)

    @jax.jit
    def train(inits: Any, x: Any, answers: Any) -> Any:
        def student(init: Any, subset: Any) -> Any:
            source = reshuffle((x, answers), BATCH)
            adam, key = optax.adam(3e-4), jax.random.key(3)
            return distil(
                network,
                init,
                source,
                losses.kl(),
                subset,
                adam,
                epochs=1,
                observe=lambda _: (),
                key=key,
            )[0]

        return jax.vmap(student)(inits, subsets)

    with jax.default_matmul_precision("float32"):
        jax.block_until_ready(train(inits, x, answers))
        times = seconds(lambda: jax.block_until_ready(train(inits, x, answers)), repeats)
    return 4 * steps * step_flops() / sorted(times)[repeats // 2]


def tell(report: dict[str, Any], path: Path | None) -> None:
    """Print all figures, and write them as JSON if asked."""
    for name, value in report.items():
        row = value if isinstance(value, list) else [value]
        print(f"{name:28}", *(f"{v:.3f}" if isinstance(v, float) else v for v in row))
    if path:
        path.write_text(json.dumps(report, indent=2) + "\n")


def main() -> None:
    """Measure, print a table, and write everything as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", type=int, default=10, help="teachers; each has four students")
    parser.add_argument("--data-dir", help="folder with MNIST's idx files (default: as toymodels)")
    parser.add_argument("--rounds", type=int, default=3, help="peer and ours in turn, this often")
    parser.add_argument("--many", type=int, default=1000, help="seeds of the memory check")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    where = ["--data-dir", args.data_dir] if args.data_dir else []
    paper = ["--preset", "paper", *where]

    peers, ours, report = [], [], {}
    with tempfile.TemporaryDirectory() as scratch:
        out, cache = Path(scratch, "out"), str(Path(scratch, "cache"))
        for _ in range(args.rounds):
            peer = [sys.executable, str(HERE / "peer_torch.py"), "--models", str(args.models)]
            peers.append(measured([*peer, *where]))
            ours.append(experiment("mnist_aux", out, *paper, "--seeds", str(args.models)))
        cold, warm = (
            experiment("mnist_aux", out, *paper, "--seeds", "1", TOYMODELS_COMPILED=cache)[1][
                "timing"
            ]
            for _ in range(2)
        )
        small = "--train-images 1024 --noise-images 1024 --teacher-epochs 1 --student-epochs 1"
        few, many = (
            experiment(
                "mnist_aux", out, *paper, *small.split(), "--batch", "1024", "--seeds", str(n)
            )[0]
            for n in (10, args.many)
        )
    peak, training = matmul_peak(), training_steps()
    own = [json.loads(run.stdout) for run in peers]
    report = {
        "models": args.models,
        "peer_wall_s": [run.wall_s for run in peers],
        "ours_wall_s": [run.wall_s for run, _ in ours],
        "ratio_wall": [p.wall_s / o.wall_s for p, (o, _) in zip(peers, ours, strict=True)],
        "peer_work_s": [r["wall_s"] for r in own],
        "ours_work_s": [s["timing"]["compile_s"] + s["timing"]["run_s"] for _, s in ours],
        "ours_compile_s": [s["timing"]["compile_s"] for _, s in ours],
        "compile_cold_s": cold["compile_s"],
        "compile_cached_s": warm["compile_s"],
        "peer_peak_gb": [run.peak_bytes / 1e9 for run in peers],
        "ours_peak_gb": [run.peak_bytes / 1e9 for run, _ in ours],
        "few_seeds_peak_gb": few.peak_bytes / 1e9,
        f"{args.many}_seeds_peak_gb": many.peak_bytes / 1e9,
        "matmul_peak_gflops": peak / 1e9,
        "training_steps_gflops": training / 1e9,
        "training_fraction_of_peak": training / peak,
        "accuracy_peer": {k: v["mean"] for k, v in own[-1]["accuracy"].items()},
        "accuracy_ours": {k: v["mean"] for k, v in ours[-1][1]["metrics"].items()},
    }
    tell(report, args.json)


if __name__ == "__main__":
    main()
