"""Networks of sequences of tokens, with one answer a sequence."""

import jax

from toymodels.networks.derived import map_functions
from toymodels.networks.models import Network


def answer_last(network: Network) -> Network:
    """A network of sequences, such as a decoder, read at the last position alone.

    Latent and logits then have the shape (n, ...) where the network's own are (n, positions, ...).

    >>> import jax.numpy as jnp
    >>> own = Network(lambda key: {}, lambda p, x: x[..., None], lambda p, x: x[..., None])
    >>> answer_last(own).apply({}, jnp.array([[1, 2], [3, 4]])).tolist()
    [[2], [4]]
    """
    return map_functions(network, lambda f: lambda params, x: f(params, x)[:, -1], network.name)


def read_one_hot(network: Network, size: int) -> Network:
    """A network of rows (n, positions * size), given tokens (n, positions) of a vocabulary.

    >>> import jax.numpy as jnp
    >>> rows = Network(lambda key: {}, lambda p, x: x, lambda p, x: x)
    >>> read_one_hot(rows, 2).apply({}, jnp.array([[0, 1]])).tolist()
    [[1.0, 0.0, 0.0, 1.0]]
    """

    def one_hot(x: jax.Array) -> jax.Array:
        return jax.nn.one_hot(x, size).reshape(len(x), -1)

    return map_functions(network, lambda f: lambda params, x: f(params, one_hot(x)), network.name)
