"""Many seeds of one experiment: compiled once, run in chunks of one fixed width.

A chunk has the same width every time (the last one is filled up by repeating a seed), because the
bits of a vmapped model depend on the width it runs in. Within a chunk the seeds run one after the
other on a CPU (``lax.map``: a fraction of the memory, the same speed, and exactly the bits of a
seed run alone) and side by side on an accelerator (``vmap``).
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.errors import UserError

Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``: told when a stage begins and whenever a chunk is done."""

SIDE_BY_SIDE = 10
"""Seeds side by side on an accelerator: enough to fill it, little enough for its memory."""


class Execution(NamedTuple):
    """How a result was computed: the same values here mean the same bits."""

    executor: str
    """"map" (one after the other) or "vmap" (side by side)."""
    width: int
    """Seeds in a chunk."""
    device: str
    precision: str
    compile_s: float
    run_s: float


def over_seeds(
    one_seed: Callable[[jax.Array, Any], Any],
    seeds: Sequence[int],
    data: Any,
    *,
    executor: Literal["map", "vmap"] | None = None,
    width: int | None = None,
    precision: str = "float32",
    progress: Progress | None = None,
) -> tuple[Any, Execution]:
    """Run ``one_seed(seed, data)`` for every seed; stack what it returns on a leading seed axis.

    Args:
        one_seed: pure function of a scalar int32 seed and the shared data to a pytree of arrays.
        seeds: any distinct non-negative integers; a seed's values depend on no other seed.
        data: arrays every seed reads; held once on the device.
        executor: "map", one seed after the other, or "vmap", side by side (default: "map" on a
            CPU, "vmap" on an accelerator); the two agree up to the rounding of float32.
        width: seeds in a chunk (default: 1 with "map", at most 10 with "vmap").
        precision: of float32 matrix products, explicit on every device.
        progress: told of every stage and every finished chunk.

    Returns:
        The pytree, with numpy leaves (seeds, ...), and how it was computed.

    Raises:
        UserError: a width below one.

    >>> values, how = over_seeds(lambda seed, data: seed * data, [3, 1, 2], 2.0, width=2)
    >>> values.tolist(), how.width
    ([6.0, 2.0, 4.0], 2)

    """
    device = jax.devices()[0]
    executor = executor or ("map" if device.platform == "cpu" else "vmap")
    if width is None:
        width = 1 if executor == "map" else min(SIDE_BY_SIDE, len(seeds))
    if width < 1:
        raise UserError(f"chunk must be at least 1; got {width}")

    def chunk(seeds: jax.Array, data: Any) -> Any:
        if executor == "map":
            return jax.lax.map(lambda seed: one_seed(seed, data), seeds)
        return jax.vmap(one_seed, in_axes=(0, None))(seeds, data)

    tell = progress or (lambda stage, done, total: None)
    tell("compiling", 0, len(seeds))
    start = time.perf_counter()
    data = jax.device_put(data, device)
    with jax.default_matmul_precision(precision):
        compiled = jax.jit(chunk).lower(jnp.zeros(width, jnp.int32), data).compile()
    compile_s = time.perf_counter() - start

    tell("seeds", 0, len(seeds))
    start = time.perf_counter()
    done = []
    for first in range(0, len(seeds), width):
        block = np.asarray(seeds[first : first + width], np.int32)
        filled = np.pad(block, (0, width - len(block)), mode="edge")
        values = wait(compiled(jnp.asarray(filled), data))
        done.append(jax.tree.map(np.asarray, values))
        tell("seeds", first + len(block), len(seeds))
    run_s = time.perf_counter() - start

    stacked = jax.tree.map(lambda *a: np.concatenate(a)[: len(seeds)], *done)
    kind = f"{device.platform} ({device.device_kind})"
    return stacked, Execution(executor, width, kind, precision, compile_s, run_s)


def wait(values: Any) -> Any:
    """Wait for arrays in steps of a blink, so that Ctrl-C is heard in the middle of a chunk."""
    while not all(leaf.is_ready() for leaf in jax.tree.leaves(values)):
        time.sleep(0.002)
    return values
