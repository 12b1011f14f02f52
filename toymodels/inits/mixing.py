"""What relations of initialisations are made of: sums of two of one law, and what all of a law share."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from toymodels.networks.models import Params

Relation = Callable[[Params, jax.Array, jax.Array], Params]
"""``relation(init, key, amount) -> params``; the amount a scalar, traced or not."""

Draw = Callable[[jax.Array], Params]
"""``draw(key) -> params``: an independent initialisation."""


def mix(
    draw: Draw, weights: Callable[[jax.Array], tuple[jax.Array | float, jax.Array | float]]
) -> Relation:
    """A sum of W and W' with ``weights(amount)``; W where every init has the same (`common`)."""

    def relation(init: Params, key: jax.Array, amount: jax.Array) -> Params:
        (own, others), other = weights(amount), draw(key)

        def mix(same: jax.Array | bool, w: jax.Array, v: jax.Array) -> jax.Array:
            return jnp.where(same, w, own * w + others * v)

        return jax.tree.map(mix, common(draw, other), init, other)

    return relation


def common(draw: Draw, drawn: Params) -> Params:
    """Where all inits of a law have the same number, and not zero: bools, leaf by leaf.

    Such are the scales of norms. Zeros do not count: a sum of them is zero, and so is its overlap.
    A parameter is the same in all inits if its tensor does not depend on the key, which is found by
    tracing. A draw that ignores its key altogether is a single network, and has no such parameters.

    Args:
        draw: the law.
        drawn: an init of that law.

    >>> def draw(key):
    ...     return {"kernel": jax.random.normal(key, (2,)), "scale": jnp.ones(2)}
    >>> common(draw, draw(jax.random.key(0)))["scale"].tolist()
    [True, True]

    """
    random = set[int]()

    def watched(i: int, leaf: jax.Array) -> jax.Array:
        @custom_vmap
        def same(leaf: jax.Array) -> jax.Array:
            return leaf

        @same.def_vmap
        def _(size: int, batched: list[bool], leaf: jax.Array) -> tuple[jax.Array, bool]:
            random.add(i)  # only what differs from key to key has an axis of keys
            return leaf, True

        return same(leaf)

    def watch(key: jax.Array) -> list[jax.Array]:
        return [watched(i, leaf) for i, leaf in enumerate(jax.tree.leaves(draw(key)))]

    jax.eval_shape(jax.vmap(watch), jax.random.split(jax.random.key(0), 2))
    leaves, tree = jax.tree.flatten(drawn)
    return jax.tree.unflatten(
        tree, [bool(random) and i not in random and leaf != 0 for i, leaf in enumerate(leaves)]
    )
