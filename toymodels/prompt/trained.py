"""A trained network, as the verbs return it."""

import functools
from dataclasses import dataclass
from typing import Any

import jax

from toymodels.networks.models import Params
from toymodels.prompt.images import ImageData
from toymodels.prompt.nets import Net


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=["init", "params", "curve"],
    meta_fields=["net", "data"],
)
@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network: a teacher, or a student, who may be the next one's teacher.

    It is a pytree: ``jax.vmap`` over a function that returns one gives one with a leading axis.
    """

    init: Params
    """The initialisation."""
    params: Params
    """The trained parameters."""
    curve: dict[str, Any]
    """``accuracy`` and ``loss`` on what the network was not trained on, before training and after
    each epoch, (epochs + 1,); and what else was observed."""
    net: Net
    """The network."""
    data: ImageData
    """The images on which accuracy is measured."""

    def __repr__(self) -> str:
        """Name and accuracy in place of arrays."""
        accuracy = self.curve.get("accuracy")
        text = f"Trained({self.net.name} on {self.data.name}"
        if isinstance(accuracy, jax.Array) and not isinstance(accuracy, jax.core.Tracer):
            text += f", accuracy {'' if accuracy.ndim == 1 else 'on average '}"
            text += f"{float(accuracy[..., 0].mean()):.3f} before training, "
            text += f"{float(accuracy[..., -1].mean()):.3f} after {accuracy.shape[-1] - 1} epochs"
        return text + ")"
