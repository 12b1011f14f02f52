"""Empirical tangent kernels: inner products of the gradients of a network's outputs.

    Theta[i, a, j, b] = <J_a(x1_i), J_b(x2_j)>,

J_a(x) the gradient of output a on input x with respect to all parameters, as one vector. The two
sides may differ in inputs, in outputs and in parameters: with two settings of the same network this
is the cross kernel J(theta_1) J(theta_2)^T, which need be neither symmetric nor positive; with one,
one set of inputs and one of outputs, it is both. Jacot et al. 2018 (arXiv 1806.07572), section 4.

Three routes to the same numbers. `kernel` contracts Jacobians, of any network, and is plain; an
input costs outputs x parameters of memory. `product` multiplies the kernel by a vector, of any
network, at the cost of one gradient and one directional derivative, and forms nothing. `mlp_kernel`
knows how a multi-layer perceptron is built and is faster by orders of magnitude.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.networks.layers import HEADS, layers
from toymodels.networks.models import Network, Params

Outputs = slice | Sequence[int]
"""Which outputs, by number: ``slice(10, 13)``, ``[0, 2]``; known when a program is traced."""


class Side(NamedTuple):
    """One side of a kernel: gradients of some outputs on some inputs at some parameters."""

    params: Params
    x: jax.Array
    """Inputs (n, ...)."""
    outputs: Outputs = slice(None)


def function(network: Network, side: Side) -> Callable[[Params], jax.Array]:
    """A side's outputs (n, outputs) as a function of the parameters."""
    index = side.outputs if isinstance(side.outputs, slice) else np.asarray(side.outputs)
    return lambda params: network.apply(params, side.x)[..., index]


def kernel(network: Network, left: Side, right: Side, block: int = 16) -> jax.Array:
    """The kernel (n1, outputs1, n2, outputs2) of any network, by contraction of Jacobians.

    Only the Jacobians of ``block`` inputs of either side are in memory at a time; those of the
    right side are computed anew for every block of the left.

    >>> linear = Network(lambda key: {}, lambda p, x: x @ p["w"], lambda p, x: x)
    >>> at = Side({"w": jnp.zeros((2, 1))}, jnp.array([[1.0, 0.0], [3.0, 4.0]]))
    >>> kernel(linear, at, at)[:, 0, :, 0].tolist()
    [[1.0, 3.0], [3.0, 25.0]]
    """

    def gradients(side: Side, x: jax.Array) -> list[jax.Array]:
        """The gradients on one input, for every array of parameters: (outputs, size)."""
        outputs = function(network, side._replace(x=x[None]))
        rows = jax.jacrev(lambda params: outputs(params)[0])(side.params)
        return [leaf.reshape(leaf.shape[0], -1) for leaf in jax.tree.leaves(rows)]

    def row(x1: jax.Array) -> jax.Array:
        left_rows = gradients(left, x1)

        def entry(x2: jax.Array) -> jax.Array:
            right_rows = gradients(right, x2)
            return sum((g @ h.T for g, h in zip(left_rows, right_rows, strict=True)), jnp.zeros(()))

        return jax.lax.map(entry, right.x, batch_size=block).transpose(1, 0, 2)

    return jax.lax.map(row, left.x, batch_size=block)


def product(network: Network, left: Side, right: Side) -> Callable[[jax.Array], jax.Array]:
    """The kernel as a linear map: v (n2, outputs2) -> Theta v (n1, outputs1), never formed.

    J_1 (J_2^T v): a gradient, then a directional derivative. Both sides' activations are computed
    here, once, and kept.

    >>> linear = Network(lambda key: {}, lambda p, x: x @ p["w"], lambda p, x: x)
    >>> at = Side({"w": jnp.zeros((2, 1))}, jnp.array([[1.0, 0.0], [3.0, 4.0]]))
    >>> product(linear, at, at)(jnp.array([[1.0], [1.0]])).tolist()
    [[4.0], [28.0]]
    """
    _, pull = jax.vjp(function(network, right), right.params)
    _, push = jax.linearize(function(network, left), left.params)
    return lambda v: push(*pull(v))


def mlp_kernel(
    left: Side,
    right: Side,
    activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
    block: int = 64,
) -> jax.Array:
    """The kernel (n1, outputs1, n2, outputs2) of a `toymodels.networks.models.MLP`, layer by layer.

    A gradient with respect to a layer's weights is the outer product of what the layer reads, a,
    and of the gradient with respect to what it passes on, delta. So

        Theta = sum_l (1 + a_l . a_l') (delta_l . delta_l'),

    the 1 from the biases, and no gradient is ever formed. Beside the result, memory holds a and
    delta of the right side, and some blocks of (block, outputs1, n2, outputs2).

    Args:
        left, right: parameters as `toymodels.networks.models.MLP` names them; heads may be split.
        activation: that of the network.
        block: inputs of the left side at a time.

    """
    outputs = sum(right.params[name]["bias"].size for name in right.params if name in HEADS)
    left_index, right_index = (np.arange(outputs)[side.outputs] for side in (left, right))
    equal = left_index[:, None] == right_index  # a head's delta is 1 at its own output, else 0

    def signals(side: Side, index: np.ndarray, x: jax.Array) -> tuple[Any, Any, jax.Array]:
        """On one input, by hidden layer, delta (outputs, width) and a (size,); and the heads' input."""
        hidden = [name for name in layers(side.params) if name not in HEADS]

        def forward(shifts: dict[str, jax.Array]) -> tuple[jax.Array, Any]:
            read, activations = {}, x
            for name in hidden:
                read[name], layer = activations, side.params[name]
                activations = activation(
                    activations @ layer["kernel"] + layer["bias"] + shifts[name]
                )
            heads = [side.params[name] for name in layers(side.params) if name in HEADS]
            logits = [activations @ head["kernel"] + head["bias"] for head in heads]
            return jnp.concatenate(logits)[index], (read, activations)

        shifts = {name: jnp.zeros_like(side.params[name]["bias"]) for name in hidden}
        delta, (read, last) = jax.jacrev(forward, has_aux=True)(shifts)
        return delta, read, last

    deltas, reads, lasts = jax.vmap(lambda x: signals(right, right_index, x))(right.x)

    def row(x1: jax.Array) -> jax.Array:
        delta, read, last = signals(left, left_index, x1)
        total = jnp.zeros(())
        if equal.any():
            total = (1 + lasts @ last)[:, None] * equal[:, None]
        for name in delta:
            passed = jnp.einsum("ak,jbk->ajb", delta[name], deltas[name])
            total = total + (1 + reads[name] @ read[name])[:, None] * passed
        return total

    return jax.lax.map(row, left.x, batch_size=block)
