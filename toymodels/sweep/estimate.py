"""What a sweep needs at least, by the shapes of its traced programs: known before they compile."""

import math
from typing import Any

import jax

from toymodels.errors import UserError
from toymodels.sweep import memory
from toymodels.sweep.programs import Traced


def refuse_too_large(traced: Traced, shared: int, points: int, budget: int) -> None:
    """Refuse what can't fit, before a compiler works on it.

    Args:
        traced: the programs.
        shared: number of combinations of the shared axes.
        points: number of points of each.
        budget: bytes that may be used on a device.

    Raises:
        UserError: what is prepared for one combination is larger than ``budget``, or the records
            of all points are larger than what is free of the main memory.

    """
    prepared, first = traced.prepare.out_info
    blocks = traced.block[0], traced.block[0] * traced.block[1]
    model = nbytes(prepared) // blocks[0]
    if model > budget:
        raise UserError(
            f"memory: one model needs {gigabytes(model)} at least, of {gigabytes(budget)} allowed; "
            "lower the widths, m or the number of images"
        )
    second = traced.point.out_info
    records = shared * (nbytes(first) // blocks[0] + points * nbytes(second) // blocks[1])
    if records > (free := memory.free_on_host()):
        raise UserError(
            f"memory: the records of {shared * (1 + points)} models need {gigabytes(records)}, of "
            f"{gigabytes(free)} that are free; lower the number of seeds, points or epochs"
        )


def nbytes(tree: Any) -> int:
    """Size of all arrays of a pytree, or of shapes and types that stand for them."""
    return sum(math.prod(leaf.shape) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def gigabytes(size: int) -> str:
    """A size as a sentence gives it."""
    return f"{size / 1e9:.2f} GB"
