"""Other laws of an initialisation than that of `toymodels.networks.models`, as changes of a network."""

import math

import jax
import jax.numpy as jnp

from toymodels.errors import UserError
from toymodels.measure.decompositions import orthonormal
from toymodels.networks.layers import HEADS, layers
from toymodels.networks.models import Network, Params
from toymodels.trees import sample_leaves


def draw_uniform_hidden(network: Network) -> Network:
    """A network whose hidden layers start as PyTorch draws them unless it is told otherwise.

    Weights and biases of a layer are U(-b, b) with b = 1 / sqrt(fan_in), so that the variance of a
    weight is 1 / (3 fan_in); the fan-in is that of the layer's kernel. Heads stay as they are.

    >>> import toymodels as tm
    >>> network = tm.functional(lambda rngs: tm.MLP((4, 8, 3), rngs=rngs))
    >>> hidden = draw_uniform_hidden(network).init(jax.random.key(0))["hidden1"]
    >>> all(bool((abs(w) <= 0.5).all() and w.any()) for w in hidden.values())
    True

    """

    def init(key: jax.Array) -> Params:
        params = network.init(key)
        hidden = [name for name in layers(params) if name not in HEADS]
        for name, own in zip(hidden, jax.random.split(key, len(hidden)), strict=True):
            bound = math.prod(params[name]["kernel"].shape[:-1]) ** -0.5
            params[name] = sample_leaves(
                lambda key, shape, dtype, bound=bound: jax.random.uniform(
                    key, shape, dtype, -bound, bound
                ),
                own,
                params[name],
            )
        return params

    return network._replace(init=init)


def orthonormalise_heads(network: Network) -> Network:
    """A network whose output weights start as orthonormal vectors, one for each logit; no biases.

    The vectors of all logits are orthogonal, be they in one head or in two. From independent normal
    weights they are uniform among all orthonormal ones: the QR decomposition of the weights has the
    signs that make the diagonal of R positive (Mezzadri 2007, Notices of the AMS 54, 592). Biases of
    the heads are zero.

    Raises:
        UserError: the last hidden layer has fewer units than there are logits.

    >>> import toymodels as tm
    >>> network = tm.functional(lambda rngs: tm.MLP((4, 8, 3), rngs=rngs))
    >>> kernel = orthonormalise_heads(network).init(jax.random.key(0))["head"]["kernel"]
    >>> bool(jnp.allclose(kernel.T @ kernel, jnp.eye(3), atol=1e-6))
    True

    """
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    heads = [name for name in layers(shapes) if name in HEADS]
    widths = [shapes[name]["kernel"].shape[-1] for name in heads]
    units = shapes[heads[0]]["kernel"].shape[0]
    if sum(widths) > units:
        raise UserError(
            f"width of the last hidden layer must be at least the {sum(widths)} logits, whose weights "
            f"are to be orthonormal; got {units}"
        )

    def init(key: jax.Array) -> Params:
        params = network.init(key)
        kernel = jnp.concatenate([params[name]["kernel"] for name in heads], axis=1)
        basis = orthonormal(kernel)
        basis = basis * jnp.sign((basis * kernel).sum(axis=0))
        ends = [sum(widths[: i + 1]) for i in range(len(widths) - 1)]
        for name, part in zip(heads, jnp.split(basis, ends, axis=1), strict=True):
            rest = jax.tree.map(jnp.zeros_like, params[name])
            params[name] = {**rest, "kernel": part}
        return params

    return network._replace(init=init)
