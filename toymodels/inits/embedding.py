"""How a student of another shape can share its teacher's initialisation."""

import math
from collections.abc import Container

import jax

from toymodels.networks.models import Params


def fitted(init: Params, fresh: Params, names: Container[str] | None = None) -> Params:
    """``fresh``, with what fits of ``init``: in each tensor that both have, the leading block.

    The block is as large as both tensors allow, whatever their sizes; ``fresh`` stays outside it,
    in layers that ``init`` lacks, and in tensors of another rank (a convolution's kernel has no
    counterpart in a dense layer). Of equal shapes the result is ``init`` itself.

    Where the fan-in differs, a kernel's block is multiplied by sqrt(fan_in / own fan_in): entries
    of law N(0, 1 / fan_in) get the law N(0, 1 / own fan_in) of the rest of their tensor, so that
    what is shared is the only thing that varies. Scaled so, the block is the teacher's in direction
    and not in size. Biases are copied as they are.

    Args:
        init: the teacher's initialisation.
        fresh: an independent initialisation of the student's shape.
        names: the layers to take from ``init`` (None: all).

    >>> import jax.numpy as jnp
    >>> init, wider = ({"head": {"kernel": jnp.full(*of)}} for of in (((1, 2), 1), ((4, 3), 0.0)))
    >>> fitted(init, wider)["head"]["kernel"][:2].tolist()
    [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]

    """

    def block(w: jax.Array, own: jax.Array) -> jax.Array:
        if w.ndim != own.ndim:
            return own
        common = tuple(slice(min(pair)) for pair in zip(w.shape, own.shape, strict=True))
        scale = math.sqrt(math.prod(w.shape[:-1]) / math.prod(own.shape[:-1]))
        return own.at[common].set(scale * w[common])

    return {
        name: jax.tree.map(block, init[name], layer)
        if name in init and (names is None or name in names)
        else layer
        for name, layer in fresh.items()
    }
