"""Versions of jaxlib that add up wrongly on CPUs, and the refusal to compute on them.

XLA hands large sums on CPUs to another library (YNNPACK), from 0.10.2 on those over a broadcast
array, too. Until 0.12.0 that library's threads raced there, and 0.10.2 also sums squares of small
products wrongly, on one thread as on many. See docs/soundness.md.

Affected versions are listed and not found out at run time: a race shows itself in 70 % of calls or
in 0.3 % of them, as the machine is busy, so that a check of a few dozen calls would pass by chance.
The tests make hundreds of such calls on every version that this project is tested with.
"""

import functools
import re
from importlib import metadata

import jax
import jax.numpy as jnp

from toymodels.errors import UserError

PROTECTION = "--xla_cpu_experimental_ynn_fusion_type=-reduce"
"""A flag of XLA, for the variable XLA_FLAGS, that leaves all sums to XLA itself."""


def is_affected(version: str) -> bool:
    """Whether a version of jaxlib adds up wrongly on CPUs: 0.10.2 and all of 0.11.

    >>> [is_affected(version) for version in ("0.10.1", "0.10.2", "0.11.3", "0.12.0.1")]
    [False, True, True, False]
    """
    return (0, 10, 2) <= tuple(int(part) for part in re.findall(r"\d+", version)[:3]) < (0, 12)


@functools.cache
def is_protected() -> bool:
    """Whether XLA keeps sums of broadcast arrays to itself on this process's CPU.

    The compiled program is read, not the environment, which may have changed after JAX started.
    """
    column = jax.ShapeDtypeStruct((1024, 1), jnp.float32)
    with jax.default_device(jax.local_devices(backend="cpu")[0]):
        total = jax.jit(lambda a: jnp.broadcast_to(a, (2, 1024, 1024)).sum())
        return "ynn_fusion" not in str(total.lower(column).compile().as_text())


def refuse_wrong_sums(platform: str) -> None:
    """Refuse to compute on a platform ("cpu", "gpu", "tpu") where sums come out wrong.

    Raises:
        UserError: the platform is the CPU, jaxlib's version is affected, and XLA was started
            without `PROTECTION`.

    """
    version = metadata.version("jaxlib")
    if platform == "cpu" and is_affected(version) and not is_protected():
        raise UserError(
            f"jaxlib {version} computes wrong sums on CPUs: install jax and jaxlib "
            f"0.10.1, or 0.12 or newer, or set XLA_FLAGS={PROTECTION} before Python starts"
        )
