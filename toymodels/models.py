"""Networks: Flax NNX modules, split once into a description and a pytree of parameters.

One model is written; the model axis (seeds, students) is added from outside by ``jax.vmap`` or
``jax.lax.map``.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from flax import nnx

Params = dict[str, Any]
"""Parameters as a plain nested dict: ``{"hidden1": {"kernel": ..., "bias": ...}, ...}``."""


class MLP(nnx.Module):
    """Multi-layer perceptron whose head holds class logits and auxiliary logits side by side.

    Weights are N(0, 1 / fan_in), biases zero (Cloud et al. 2026, MNIST experiment). Layers are
    named ``hidden1 ... hiddenL`` and ``head``.

    Args:
        sizes: input size, hidden widths, number of outputs.
        activation: applied after every hidden layer.
        rngs: source of the initial weights.

    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
        rngs: nnx.Rngs,
    ):
        hidden = [f"hidden{i}" for i in range(1, len(sizes) - 1)]
        self.names = (*hidden, "head")
        self.activation = activation
        # The untruncated normal: truncation would change the law of the init.
        kernel_init = jax.nn.initializers.variance_scaling(1.0, "fan_in", "normal")
        for name, fan_in, fan_out in zip(self.names, sizes[:-1], sizes[1:], strict=True):
            setattr(self, name, nnx.Linear(fan_in, fan_out, kernel_init=kernel_init, rngs=rngs))

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits (..., outputs) of inputs (..., pixels)."""
        for name in self.names[:-1]:
            x = self.activation(getattr(self, name)(x))
        return self.head(x)


class Network(NamedTuple):
    """A model as two pure functions."""

    init: Callable[[jax.Array], Params]
    """``init(key) -> params``."""
    apply: Callable[[Params, jax.Array], jax.Array]
    """``apply(params, x) -> logits``."""


def functional(make: Callable[[nnx.Rngs], nnx.Module]) -> Network:
    """Split a module into ``init`` and ``apply``, the form that goes through jit, vmap and scan.

    Any NNX module whose only state is its parameters will do.

    >>> network = functional(lambda rngs: MLP((4, 8, 3), rngs=rngs))
    >>> params = network.init(jax.random.key(0))
    >>> network.apply(params, jax.numpy.ones((5, 4))).shape
    (5, 3)
    """
    graphdef, _ = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))), nnx.Param)

    def init(key: jax.Array) -> Params:
        return nnx.to_pure_dict(nnx.state(make(nnx.Rngs(key)), nnx.Param))

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return nnx.merge(graphdef, nnx.State(params))(x)

    return Network(init, apply)
