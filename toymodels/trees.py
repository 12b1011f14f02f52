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


def stack_trees(*trees: Any) -> Any:
    """Pytrees of the same shapes as one, with a new leading axis.

    >>> stack_trees({"w": jnp.zeros(2)}, {"w": jnp.ones(2)})["w"].tolist()
    [[0.0, 0.0], [1.0, 1.0]]
    """
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *trees)


def concatenate_trees(*trees: Any) -> Any:
    """Pytrees of arrays, one behind the other along their leading axes.

    >>> concatenate_trees({"w": jnp.zeros(1)}, {"w": jnp.ones(2)})["w"].tolist()
    [0.0, 1.0, 1.0]
    """
    return jax.tree.map(lambda *leaves: jnp.concatenate(leaves), *trees)


def where(mask: Any, inside: Any, outside: Any) -> Any:
    """One pytree where a mask is true and another elsewhere.

    The leaves of the mask broadcast to those of the pytrees.

    >>> where({"w": jnp.array([True, False])}, {"w": jnp.ones(2)}, {"w": jnp.zeros(2)})["w"].tolist()
    [1.0, 0.0]
    """
    return jax.tree.map(jnp.where, mask, inside, outside)


def describe_difference(tree: Any, expected: Any) -> str:
    """The first difference in names or shapes between a pytree and the expected one; or nothing.

    >>> describe_difference({"head": {"bias": jnp.ones(2)}}, {"head": {"bias": jnp.ones(3)}})
    'head.bias has the shape (2,), not (3,)'
    >>> describe_difference({"a": jnp.ones(2)}, {"a": jnp.zeros(2)})
    ''
    """
    shapes, expected_shapes = (
        {
            jax.tree_util.keystr(path, simple=True, separator="."): jnp.shape(leaf)
            for path, leaf in jax.tree_util.tree_leaves_with_path(part)
        }
        for part in (tree, expected)
    )
    for name, shape in expected_shapes.items():
        if name not in shapes:
            return f"{name} is missing"
        if shapes[name] != shape:
            return f"{name} has the shape {shapes[name]}, not {shape}"
    extra = [name for name in shapes if name not in expected_shapes]
    return f"{extra[0]} is unknown" if extra else ""
