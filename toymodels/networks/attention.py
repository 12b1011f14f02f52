"""Attention over short rows, fast on a CPU: unrolled sums, and a gradient written by hand.

At this library's sizes attention is a tenth of a transformer's arithmetic, but took half of its
time: XLA's CPU backend starts hundreds of small products one after the other, and is three times
slower where the first factor must be transposed, as in an automatic gradient. Weights are (batch,
heads, keys, queries), so that sums over keys run along vectors.
"""

import re
from collections.abc import Callable
from functools import partial, reduce
from operator import add

import jax
import jax.numpy as jnp

Attend = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""Attention of queries, keys and values (batch, time, heads, width)."""

LONGEST = 64
"""Largest number of terms of a sum that is unrolled: the program grows with it."""

Saved = tuple[jax.Array, ...]
"""What the gradient needs: query, key, value, weights and result."""


def contract(spec: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """``jnp.einsum(spec, a, b)`` over one axis; on a CPU an unrolled sum, which XLA fuses.

    >>> a, b = jnp.ones((2, 3)), jnp.ones((3, 5))
    >>> bool((contract("ij,jk->ik", a, b) == a @ b).all())
    True

    """
    left, right, out = re.split(",|->", spec)
    (over,) = set(left) & set(right) - set(out)
    n = a.shape[left.index(over)]

    def align_term(x: jax.Array, letters: str, at: int) -> jax.Array:
        """One entry of the axis, with the remaining axes in the order of the result."""
        x = jax.lax.index_in_dim(x, at, letters.index(over), keepdims=False)
        letters = letters.replace(over, "")
        x = x.transpose([letters.index(c) for c in out if c in letters])
        return jnp.expand_dims(x, [i for i, c in enumerate(out) if c not in letters])

    def unroll(a: jax.Array, b: jax.Array) -> jax.Array:
        return reduce(add, (align_term(a, left, i) * align_term(b, right, i) for i in range(n)))

    product = partial(jnp.einsum, spec)
    if n > LONGEST:
        return product(a, b)
    return jax.lax.platform_dependent(a, b, cpu=unroll, default=product)


def attention_weights(query: jax.Array, key: jax.Array) -> jax.Array:
    """Weight of each token for each query, 0 for later tokens: (batch, heads, keys, queries)."""
    time, width = query.shape[1], query.shape[3]
    later = jnp.where(jnp.tri(time, k=-1, dtype=bool), -jnp.inf, 0)
    scores = jnp.einsum("bjhd,bihd->bhji", key, query / width**0.5)
    return jax.nn.softmax(scores + later, axis=2)


def plain(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """`causal` with JAX's automatic derivatives, including forward ones (``jax.jvp``)."""
    return jnp.einsum("bhji,bjhd->bihd", attention_weights(query, key), value)


@jax.custom_vjp
def causal(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """Causal attention: softmax(q k / sqrt(width)) v over each token and those before it.

    Vaswani et al. 2017, section 3.2.1. Its gradient is written by hand below; it has no
    forward derivatives.

    Args:
        query: (batch, time, heads, width).
        key: of the same shape.
        value: of the same shape.

    Returns:
        (batch, time, heads, width).

    >>> q, k, v = jax.random.normal(jax.random.key(0), (3, 2, 5, 4, 8))
    >>> bool(jnp.allclose(causal(q, k, v), plain(q, k, v), atol=1e-5))
    True

    """
    return _forward(query, key, value)[0]


def _forward(query: jax.Array, key: jax.Array, value: jax.Array) -> tuple[jax.Array, Saved]:
    weights = attention_weights(query, key)
    result = contract("bhji,bjhd->bihd", weights, value)
    return result, (query, key, value, weights, result)


def _backward(saved: Saved, gradient: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    query, key, value, weights, result = saved
    slopes = jnp.einsum("bjhd,bihd->bhji", value, gradient)
    # Mean of a query's slopes by its weights: Dao et al. 2022, appendix B.2.
    average = (gradient * result).sum(3).transpose(0, 2, 1)
    slopes = weights * (slopes - average[:, :, None]) / query.shape[3] ** 0.5
    return (
        contract("bhji,bjhd->bihd", slopes, key),
        contract("bhji,bihd->bjhd", slopes, query),
        contract("bhji,bihd->bjhd", weights, gradient),
    )


causal.defvjp(_forward, _backward)


def attend_cache(
    query: jax.Array, keys: jax.Array, values: jax.Array, visible: jax.Array
) -> jax.Array:
    """Attention of a few tokens to a cache.

    Args:
        query: (batch, tokens, heads, width).
        keys: (batch, positions, heads, width).
        values: of the same shape.
        visible: bool (tokens, positions), the part of the cache that each token reads.

    Returns:
        (batch, tokens, heads, width).

    """
    scores = contract("bihd,bjhd->bijh", query, keys) / query.shape[3] ** 0.5
    weights = jax.nn.softmax(jnp.where(visible[None, :, :, None], scores, -jnp.inf), axis=2)
    return contract("bijh,bjhd->bihd", weights, values)
