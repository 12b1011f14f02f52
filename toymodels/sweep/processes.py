"""Several processes that run one sweep, each with devices of its own: who writes, what all know.

Every process runs the same program on the same config and sees all values; the first alone touches
files and the terminal. With one process, which is the rule, everything here does nothing.
"""

from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from toymodels.errors import UserError

Tree = Any


def initialise() -> None:
    """Join the other processes: JAX finds them by SLURM, MPI, or what a TPU pod or Kubernetes says.

    Raises:
        UserError: nothing here says that there are others.

    """
    try:
        jax.distributed.initialize()
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise UserError(
            f"distributed: no other processes were found, by SLURM, MPI or a TPU pod ({reason})"
        ) from error


def first() -> bool:
    """Whether this is the process that writes."""
    return jax.process_index() == 0


def several() -> bool:
    """Whether there are others."""
    return jax.process_count() > 1


def agree(value: int) -> int:
    """The first process's value, up to 2**62."""
    if not several():
        return value
    halves = np.array(divmod(value, 2**31), np.int32)
    high, low = multihost_utils.broadcast_one_to_all(halves).tolist()
    return int(high) * 2**31 + int(low)


def agree_bytes(content: bytes | None) -> bytes | None:
    """The first process's bytes, or None if it has none."""
    if not several():
        return content
    if (size := agree(-1 if content is None else len(content))) < 0:
        return None
    own = np.frombuffer(content or b"", np.uint8) if first() else np.zeros(size, np.uint8)
    return bytes(multihost_utils.broadcast_one_to_all(own))


def gather(arrays: Tree) -> Tree:
    """Arrays spread over the devices of all processes, as NumPy's."""
    if several():
        return multihost_utils.process_allgather(arrays, tiled=True)
    return jax.tree.map(np.asarray, arrays)


def check_agreement(digest: str) -> None:
    """Stop if processes differ in a digest (64 hexadecimal digits).

    Raises:
        UserError: a process differs from the first.

    """
    if several():
        theirs = agree_bytes(digest.encode())
        differ = gather(jax.numpy.array([theirs != digest.encode()]))
        if differ.any():
            raise UserError("distributed: processes differ in their data, versions or devices")
