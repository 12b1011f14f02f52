"""Attention over short rows, fast on a CPU: sums that are written out, and a gradient of its own.

At this library's sizes attention is a tenth of a transformer's arithmetic and took half of its
time: XLA's CPU backend starts hundreds of small products one by one, and is three times as slow
where the first factor must be transposed, as in a derived gradient. Weights are (batch, heads,
keys, queries), so that sums over keys run along vectors.
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
"""A sum of more terms is not written out: the program would grow with it."""

Saved = tuple[jax.Array, ...]
"""What the gradient needs: query, key, value, weights and result."""


def summed(spec: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """``jnp.einsum(spec, a, b)`` over one axis; on a CPU as many terms, which XLA makes one loop.

    >>> a, b = jnp.ones((2, 3)), jnp.ones((3, 5))
    >>> bool((summed("ij,jk->ik", a, b) == a @ b).all())
    True

    """
    left, right, out = re.split(",|->", spec)
    (over,) = set(left) & set(right) - set(out)
    n = a.shape[left.index(over)]

    def laid(x: jax.Array, letters: str, at: int) -> jax.Array:
        """One entry of the axis, its other axes where they stand in the sum."""
        x = jax.lax.index_in_dim(x, at, letters.index(over), keepdims=False)
        letters = letters.replace(over, "")
        x = x.transpose([letters.index(c) for c in out if c in letters])
        return jnp.expand_dims(x, [i for i, c in enumerate(out) if c not in letters])

    def written_out(a: jax.Array, b: jax.Array) -> jax.Array:
        return reduce(add, (laid(a, left, i) * laid(b, right, i) for i in range(n)))

    product = partial(jnp.einsum, spec)
    if n > LONGEST:
        return product(a, b)
    return jax.lax.platform_dependent(a, b, cpu=written_out, default=product)


def weights(query: jax.Array, key: jax.Array) -> jax.Array:
    """How much a query takes of each token, 0 of a later one: (batch, heads, keys, queries)."""
    time, width = query.shape[1], query.shape[3]
    later = jnp.where(jnp.tri(time, k=-1, dtype=bool), -jnp.inf, 0)
    scores = jnp.einsum("bjhd,bihd->bhji", key, query / width**0.5)
    return jax.nn.softmax(scores + later, axis=2)


def plain(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """`causal` with JAX's own derivatives: forward ones (``jax.jvp``) too."""
    return jnp.einsum("bhji,bjhd->bihd", weights(query, key), value)


@jax.custom_vjp
def causal(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """What each token reads of itself and those before it: softmax(q k / sqrt(width)) v.

    Vaswani et al. 2017, section 3.2.1. Its gradient is written below, and forward derivatives it
    has none.

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
    each = weights(query, key)
    mixed = summed("bhji,bjhd->bihd", each, value)
    return mixed, (query, key, value, each, mixed)


def _backward(saved: Saved, gradient: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    query, key, value, each, mixed = saved
    slopes = jnp.einsum("bjhd,bihd->bhji", value, gradient)
    # What a query's slopes are on average, by its weights: Dao et al. 2022, appendix B.2.
    average = (gradient * mixed).sum(3).transpose(0, 2, 1)
    slopes = each * (slopes - average[:, :, None]) / query.shape[3] ** 0.5
    return (
        summed("bhji,bjhd->bihd", slopes, key),
        summed("bhji,bihd->bjhd", slopes, query),
        summed("bhji,bihd->bjhd", each, gradient),
    )


causal.defvjp(_forward, _backward)


def cached(query: jax.Array, keys: jax.Array, values: jax.Array, seen: jax.Array) -> jax.Array:
    """What a few tokens read of a cache.

    Args:
        query: (batch, tokens, heads, width).
        keys: (batch, positions, heads, width).
        values: of the same shape.
        seen: bool (tokens, positions), which of the cache each token sees.

    Returns:
        (batch, tokens, heads, width).

    """
    scores = summed("bihd,bjhd->bijh", query, keys) / query.shape[3] ** 0.5
    each = jax.nn.softmax(jnp.where(seen[None, :, :, None], scores, -jnp.inf), axis=2)
    return summed("bijh,bjhd->bihd", each, values)
