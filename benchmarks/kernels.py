"""The empirical tangent kernel of a 784-256-256-13 ReLU network, by layers and by Jacobians.

Ours (`toymodels.theory.kernels.mlp_kernel`) at 2,000 x 2,000 inputs and all outputs, in blocks;
beside it, at few inputs, the direct contraction of every input's Jacobian, what `jax.jacrev` gives
by default, and this library's way for any network. Each is a process of its own, weighed from
outside; compilation is not counted. See README.md here.
"""

import argparse
import itertools
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mnist_aux import HERE, SIZES, matmul_peak, measured, seconds, tell

OUTPUTS, BLOCK = SIZES[-1], 40
PARAMETERS = sum((a + 1) * b for a, b in itertools.pairwise(SIZES))


def layered_flops(n: int) -> float:
    """Of the products alone: activations with activations, signals with signals, by layer."""
    return 2.0 * n**2 * (sum(SIZES[:-1]) + OUTPUTS**2 * sum(SIZES[1:-1]))


def contraction_flops(n: int) -> float:
    """Of Jacobians with Jacobians."""
    return 2.0 * (n * OUTPUTS) ** 2 * PARAMETERS


def ways() -> dict[str, Callable[[Any, Any], Any]]:
    """The kernel (n1, outputs, n2, outputs) of inputs with inputs, of one network, four ways."""
    import jax
    import jax.numpy as jnp

    from toymodels.networks.models import MLP, functional
    from toymodels.theory.kernels import Side, kernel, mlp_kernel

    network = functional(lambda rngs: MLP(SIZES, rngs=rngs))
    params = jax.jit(network.init)(jax.random.key(0))

    def flattened(tree: Any, n: int) -> Any:
        return jnp.concatenate([a.reshape(n * OUTPUTS, -1) for a in jax.tree.leaves(tree)], 1)

    def contracted(rows: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
        def whole(x1: Any, x2: Any) -> Any:
            left, right = (flattened(rows(x), len(x)) for x in (x1, x2))
            return (left @ right.T).reshape(len(x1), OUTPUTS, len(x2), OUTPUTS)

        return whole

    def each(x: Any) -> Any:
        return jax.vmap(lambda one: jax.jacrev(lambda p: network.apply(p, one))(params))(x)

    return {
        "layered": lambda x1, x2: mlp_kernel(Side(params, x1), Side(params, x2), block=BLOCK),
        "general": lambda x1, x2: kernel(network, Side(params, x1), Side(params, x2)),
        "contraction": contracted(each),
        "jacrev": contracted(lambda x: jax.jacrev(lambda p: network.apply(p, x))(params)),
    }


def one(way: str, n: int, repeats: int) -> dict[str, Any]:
    """Seconds of one way at n x n inputs, in blocks of the left side, each summed as it comes."""
    import jax
    import jax.numpy as jnp

    x = jax.random.uniform(jax.random.key(1), (n, SIZES[0]), minval=-1.0)
    block = min(n, BLOCK)
    with jax.default_matmul_precision("float32"):
        summed = jax.jit(lambda x1, x2: jnp.square(ways()[way](x1, x2)).sum())
        summed(x[:block], x).block_until_ready()

        def whole() -> float:
            return sum(float(summed(x[i : i + block], x)) for i in range(0, n, block))

        times = seconds(whole, repeats)
    return {"seconds": times, "square_sum": whole()}


def main() -> None:
    """Measure, print a table, and write everything as JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--way", help="one way alone, in this process")
    parser.add_argument("--inputs", type=int, default=2000, help="ours; a multiple of the block")
    parser.add_argument("--few", type=int, default=40, help="inputs of the comparison")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    args = parser.parse_args()
    if args.way:
        print(json.dumps(one(args.way, args.inputs, args.repeats)))
        return

    def child(way: str, n: int) -> dict[str, Any]:
        command = [sys.executable, str(HERE / "kernels.py"), "--way", way, "--inputs", str(n)]
        run = measured([*command, "--repeats", str(args.repeats)])
        return {**json.loads(run.stdout), "peak_gb": run.peak_bytes / 1e9}

    load = os.getloadavg()[0]
    peak = matmul_peak()
    large = child("layered", args.inputs)
    few = {way: child(way, args.few) for way in ("layered", "general", "contraction", "jacrev")}
    best = {way: min(found["seconds"]) for way, found in few.items()}
    floor = layered_flops(args.inputs) / peak
    report = {
        "load_before": load,
        "matmul_peak_gflops": peak / 1e9,
        "inputs": args.inputs,
        "layered_s": large["seconds"],
        "layered_peak_gb": large["peak_gb"],
        "layered_gflop": layered_flops(args.inputs) / 1e9,
        "layered_floor_s": floor,
        "layered_over_floor": min(large["seconds"]) / floor,
        "contraction_gflop": contraction_flops(args.inputs) / 1e9,
        "contraction_floor_s": contraction_flops(args.inputs) / peak,
        "contraction_floor_over_layered": contraction_flops(args.inputs)
        / peak
        / min(large["seconds"]),
        "few_inputs": args.few,
        **{f"few_{way}_s": found["seconds"] for way, found in few.items()},
        **{f"few_{way}_peak_gb": found["peak_gb"] for way, found in few.items()},
        **{f"few_{way}_over_layered": best[way] / best["layered"] for way in best},
        "largest_relative_difference": max(
            abs(found["square_sum"] / few["contraction"]["square_sum"] - 1)
            for found in few.values()
        ),
    }
    tell(report, args.json)


if __name__ == "__main__":
    main()
