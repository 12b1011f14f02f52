"""What float32 does to the main experiment: teacher and auxiliary student again in float64.

From the same draws, cast: same init, noise and order of batches. Prints test accuracies less those
of a float32 result of the same seeds. See README.md here.
"""

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from accelerator import apart, finals
from toymodels.experiments.mnist_aux import PAPER

from toymodels.data.inputs import sample_images
from toymodels.networks.models import MLP, functional
from toymodels.training import protocol, tasks
from toymodels.training.distillation import auxiliary_logits


def noise(key: jax.Array, n: int) -> jax.Array:
    """`uniform_noise` as float32 draws it."""
    low, high = jnp.float32(-1), jnp.float32(1)
    return sample_images(lambda k, _: jax.random.uniform(k, (784,), jnp.float32, low, high), key, n)


def accuracies(seeds: int, data_dir: Path | None) -> dict[str, list[float]]:
    """Final test accuracies of teachers and students, by model."""
    config, task, data = tasks.load(PAPER, data_dir)
    drawn = functional(lambda rngs: MLP((784, *PAPER.widths, 10 + PAPER.m), rngs=rngs))
    wide = drawn._replace(
        init=lambda key: jax.tree.map(lambda a: a.astype(jnp.float64), drawn.init(key))
    )
    parts = dataclasses.replace(protocol.reference_protocol(config, task, wide), noise=noise)
    subset = auxiliary_logits(10, PAPER.m)

    @jax.jit
    def one(data: Any, seed: jax.Array) -> tuple[jax.Array, jax.Array]:
        begun, curve = parts.prepare(data, seed)
        watch = parts.watch(data, begun, subset)
        _, mine = parts.distil(begun.reference, begun, subset, watch)
        return curve["teacher_accuracy"][-1], mine["accuracy"][-1]

    data = jax.device_put(data)
    ends = [[float(a) for a in one(data, jnp.int32(seed))] for seed in range(seeds)]
    return {name: [end[i] for end in ends] for i, name in enumerate(("teacher", "student_aux"))}


def main() -> None:
    """Run, and print the differences and the float64 values as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--beside", type=Path, default=Path("figures/mnist_aux/summary.json"))
    args = parser.parse_args()
    known = finals(json.loads(args.beside.read_text()))
    with jax.enable_x64(True):
        exact = accuracies(args.seeds, args.data_dir)
    single = {name: known[name][: args.seeds] for name in exact}
    print(json.dumps({"float32_less_float64": apart(single, exact), "float64": exact}))


if __name__ == "__main__":
    main()
