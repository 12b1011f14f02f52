"""Pytrees of arrays: as one vector, and filled with random numbers leaf by leaf."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp


def flatten(tree: Any) -> jax.Array:
    """All numbers of a pytree as one vector."""
    return jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])


def sample_leaves(sample: Callable[..., Any], key: jax.Array, tree: Any) -> Any:
    """Independent random numbers in the shape of a pytree."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        structure, [sample(k, w.shape, w.dtype) for k, w in zip(keys, leaves, strict=True)]
    )


def where(mask: Any, inside: Any, outside: Any) -> Any:
    """One pytree where a mask is true and another elsewhere.

    The leaves of the mask broadcast to those of the pytrees.

    >>> where({"w": jnp.array([True, False])}, {"w": jnp.ones(2)}, {"w": jnp.zeros(2)})["w"].tolist()
    [1.0, 0.0]
    """
    return jax.tree.map(jnp.where, mask, inside, outside)
