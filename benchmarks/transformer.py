"""Tokens per second of the small transformer, trained and sampled from, beside a PyTorch peer.

Both begin with the same weights and read the same rows; ours and the peer run in turn, each in a
process of its own, and the best of all rounds counts. Many models are trained one after the other,
side by side, and both with a process on every core. Compilation is not counted. See README.md.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from mnist_aux import HERE, matmul_peak, measured, seconds, tell

DEPTH, HEADS, PACK, BATCH = 2, 4, 2, 64
LENGTH, VOCABULARY = 16, 115


def forward_flops(width: int, time: int) -> int:
    """Of a token's matrix products in a row of so many: kernels, and attention as computed."""
    kernels = DEPTH * 12 * width**2 + width * VOCABULARY
    return 2 * kernels + DEPTH * 4 * time * width


def best(call: Callable[[], Any], repeats: int) -> float:
    """Least seconds of several calls, after one that does not count."""
    import jax

    return min(seconds(lambda: jax.block_until_ready(call()), repeats + 1)[1:])


def prepare(folder: Path, width: int) -> None:
    """Write the weights and rows that both begin with."""
    import jax
    import numpy as np

    from toymodels.language import corpus, pipeline, vocabulary

    assert (vocabulary.SIZE, vocabulary.LENGTH) == (VOCABULARY, LENGTH)
    params = jax.jit(pipeline.model(width, DEPTH, HEADS, PACK).init)(jax.random.key(0))
    leaves = jax.tree_util.tree_leaves_with_path(params)
    named = {"/".join(part.key for part in path): np.asarray(leaf) for path, leaf in leaves}
    np.savez(folder / "weights.npz", **named)  # type: ignore[arg-type]  # names of arrays alone
    np.save(folder / "rows.npy", np.asarray(corpus.rows(jax.random.key(1), 4096, PACK)))


def ours(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Tokens per second of every way, and the loss before and after training."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from toymodels.language import pipeline
    from toymodels.networks.sampling import sample
    from toymodels.networks.transformer import next_token_loss
    from toymodels.training.loop import sample_rows, train

    model = pipeline.model(args.width, DEPTH, HEADS, PACK)
    first: dict[str, Any] = {}
    for name, leaf in np.load(folder / "weights.npz").items():
        *outer, last = name.split("/")
        inside = first
        for part in outer:
            inside = inside.setdefault(part, {})
        inside[last] = jnp.asarray(leaf)
    rows = jnp.asarray(np.load(folder / "rows.npy"))

    def loss(params: Any, rows: jax.Array) -> jax.Array:
        return next_token_loss(model.apply(params, rows), rows)

    def trained(params: Any, key: jax.Array) -> Any:
        source, adam = sample_rows(rows, BATCH, args.steps), optax.adam(1e-3)
        return train(loss, params, source, adam, epochs=1, observe=lambda _: (), key=key)[0]

    def written(params: Any, key: jax.Array) -> jax.Array:
        prompts = jnp.zeros((args.samples, 1), jnp.int32)
        return sample(model, params, prompts, LENGTH, key)

    stacked = jax.tree.map(lambda p: jnp.stack([p] * args.models), first)
    keys = jax.random.split(jax.random.key(2), args.models)
    trains, writes = args.steps * BATCH * LENGTH * PACK, args.samples * (LENGTH - 1)
    rates: dict[str, float] = {}
    with jax.default_matmul_precision("float32"):
        for name, one, n in (("train", trained, trains), ("sample", written, writes)):
            single = jax.jit(one)
            apart = jax.jit(lambda p, k, one=one: jax.lax.map(lambda each: one(*each), (p, k)))
            together = jax.jit(jax.vmap(one))
            calls: dict[str, tuple[int, Callable[[], Any]]] = {
                f"{name}_one": (n, partial(single, first, keys[0])),
                f"{name}_many_apart": (n * args.models, partial(apart, stacked, keys)),
                f"{name}_many_together": (n * args.models, partial(together, stacked, keys)),
            }
            rates |= {way: m / best(call, args.repeats) for way, (m, call) in calls.items()}
        last = jax.jit(trained)(first, keys[0])
        losses = [float(jax.jit(loss)(params, rows[:256])) for params in (first, last)]
    return {"rates": rates, "loss": losses}


def on_every_core(command: list[str], models: int) -> dict[str, float]:
    """Tokens per second of many models in all, a process with its share on every core at once."""
    cores = sorted(os.sched_getaffinity(0))
    command = [sys.executable, *command, "--models", str(models // len(cores))]

    def pinned(core: int) -> dict[str, float]:
        run = measured(["taskset", "-c", str(core), *command], OMP_NUM_THREADS="1")
        return json.loads(run.stdout)["rates"]

    with ThreadPoolExecutor() as pool:
        each = list(pool.map(pinned, cores))
    ways = [way for way in each[0] if "many" in way]
    return {f"{way}_on_every_core": sum(rates[way] for rates in each) for way in ways}


def main() -> None:
    """Measure, print a table, and write everything as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--width", type=int, default=64, help="of the residual stream")
    parser.add_argument("--models", type=int, default=10, help="of the many")
    parser.add_argument("--steps", type=int, default=50, help="of a training")
    parser.add_argument("--samples", type=int, default=1024, help="texts that a model writes")
    parser.add_argument("--rounds", type=int, default=3, help="peer and ours in turn, this often")
    parser.add_argument("--repeats", type=int, default=3, help="in a round; the best counts")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--ours", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.ours:
        print(json.dumps(ours(args.ours, args)))
        return
    names = ("models", "steps", "samples", "repeats")
    common = [part for name in names for part in (f"--{name}", str(getattr(args, name)))]
    wide = ["--width", str(args.width)]
    sizes = ["--heads", str(HEADS), "--batch", str(BATCH), "--length", str(LENGTH)]
    runs: dict[str, list[dict[str, Any]]] = {"ours": [], "peer": []}
    peaks, loads = [], []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder, args.width)
        files = ["--weights", str(folder / "weights.npz"), "--rows", str(folder / "rows.npy")]
        commands = {
            "peer": [str(HERE / "peer_transformer_torch.py"), *files, *sizes, *common],
            "ours": [str(HERE / "transformer.py"), "--ours", scratch, *wide, *common],
        }
        for _ in range(args.rounds):
            for who, command in commands.items():
                runs[who].append(json.loads(measured([sys.executable, *command]).stdout))
                runs[who][-1]["rates"] |= on_every_core(command, args.models)
            peaks.append(matmul_peak(1024))
            loads.append(os.getloadavg()[0])
    report: dict[str, Any] = {"load": loads, "cores": len(os.sched_getaffinity(0))}
    tops: dict[str, dict[str, float]] = {who: {} for who in runs}
    for who, those in runs.items():
        for way in those[0]["rates"]:
            report[f"{who}_{way}"] = [run["rates"][way] for run in those]
            tops[who][way] = max(report[f"{who}_{way}"])
        report[f"{who}_loss"] = those[-1]["loss"]
    peak = max(peaks)
    report["matmul_peak_gflops"] = peak / 1e9
    width = report["width"] = args.width
    work = {"train": 3 * forward_flops(width, LENGTH * PACK)}
    work["sample"] = forward_flops(width, LENGTH)
    for name, flops in work.items():
        for kind in ("one", "many"):
            begins = f"{name}_{kind}"
            mine, its = (
                max(r for w, r in tops[who].items() if w.startswith(begins)) for who in tops
            )
            report[f"{name}_{kind}_ratio"] = mine / its
            report[f"{name}_{kind}_fraction_of_peak"] = mine * flops / peak
    report["torch"] = runs["peer"][-1]["torch"]
    tell(report, args.json)


if __name__ == "__main__":
    main()
