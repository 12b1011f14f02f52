"""Attention over short rows, fast on a CPU: sums written out, and a derivative that never transposes.

At this library's sizes attention is a tenth of a transformer's arithmetic and was half of its time:
XLA's CPU backend starts hundreds of small products one by one, and takes three times as long where
the first of the two must be transposed, as a derived gradient does. Here every product is one
loop or a product in place. Weights are (batch, heads, keys, queries): sums over keys vectorise.
"""

import re
from functools import partial

import jax
import jax.numpy as jnp

LONGEST = 64
"""An axis that is longer is not written out: the program would grow with it."""

plain = partial(jax.nn.dot_product_attention, is_causal=True)
"""`causal` as JAX has it, which has forward derivatives too."""


def summed(spec: str, a: jax.Array, b: jax.Array) -> jax.Array:
    """``jnp.einsum(spec, a, b)`` over one common axis; on a CPU a sum of that many outer products.

    Without carried sums or calls it is one loop, which XLA fuses with what is around it.

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
        return sum(laid(a, left, i) * laid(b, right, i) for i in range(n))

    product = partial(jnp.einsum, spec)
    if n > LONGEST:
        return product(a, b)
    return jax.lax.platform_dependent(a, b, cpu=written_out, default=product)


@jax.custom_vjp
def causal(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """What each token reads of itself and those before it: softmax(q k / sqrt(width)) v.

    Vaswani et al. 2017, section 3.2.1. Its gradient is written below, so that it has no forward
    derivative (``jax.jvp``): `plain` has.

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


def _across(left: jax.Array, right: jax.Array) -> jax.Array:
    """Products of all tokens of one with all of the other: (batch, heads, left's, right's)."""
    return left.transpose(0, 2, 1, 3) @ right.transpose(0, 2, 3, 1)


def _forward(query: jax.Array, key: jax.Array, value: jax.Array) -> tuple[jax.Array, tuple]:
    time, width = query.shape[1], query.shape[3]
    query = query / width**0.5
    unseen = jnp.where(jnp.tri(time, k=-1, dtype=bool), -jnp.inf, 0)
    weights = jax.nn.softmax(_across(key, query) + unseen, axis=2)
    return summed("bhji,bjhd->bihd", weights, value), (query, key, value, weights)


def _backward(saved: tuple, gradient: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    query, key, value, weights = saved
    slopes = _across(value, gradient)
    slopes = weights * (slopes - (weights * slopes).sum(2, keepdims=True))
    return (
        summed("bhji,bjhd->bihd", slopes, key) / query.shape[3] ** 0.5,
        summed("bhji,bihd->bjhd", slopes, query),
        summed("bhji,bihd->bjhd", weights, gradient),
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
    weights = jax.nn.softmax(jnp.where(seen[None, :, :, None], scores, -jnp.inf), axis=2)
    return summed("bijh,bjhd->bihd", weights, values)
