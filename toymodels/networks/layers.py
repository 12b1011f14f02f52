"""The layers of a network by name: which are heads, and which outputs are class logits."""

import jax

from toymodels.errors import UserError
from toymodels.networks.models import Params

HEADS = ("head", "class_head", "aux_head")
"""Names of output layers; all other layers are hidden."""


def layers(params: Params) -> list[str]:
    """Names of the layers, in a fixed order (hidden1, hidden2, ..., then the heads).

    >>> layers({"head": {}, "hidden10": {}, "hidden2": {}})
    ['hidden2', 'hidden10', 'head']
    >>> layers({"aux_head": {}, "class_head": {}, "hidden1": {}})
    ['hidden1', 'class_head', 'aux_head']
    """
    return sorted(params, key=lambda name: (name in HEADS, name == HEADS[-1], len(name), name))


def class_logits(logits: jax.Array, n_classes: int) -> jax.Array:
    """The first n_classes of logits (..., outputs).

    Raises:
        UserError: there are fewer outputs.

    """
    if logits.shape[-1] < n_classes:
        raise UserError(
            f"outputs of the network must be at least the {n_classes} class logits; "
            f"got {logits.shape[-1]}"
        )
    return logits[..., :n_classes]
