"""What is read off a trained network: accuracy, and where its weights lie relative to another's."""

from typing import Any

import jax
import jax.numpy as jnp

from toymodels.networks.layers import class_logits, layers
from toymodels.networks.models import Params
from toymodels.trees import flatten


def accuracy(logits: jax.Array, labels: jax.Array, n_classes: int) -> jax.Array:
    """Share of rows of logits (n, outputs) whose largest class logit is the label (n,).

    NaN if a label is no class. Raises a UserError if there are fewer outputs than classes.

    >>> logits = jnp.array([[2.0, 1.0], [0.0, 3.0]])
    >>> accuracy(logits, jnp.array([0, 0]), 2).item(), accuracy(logits, jnp.array([0, 2]), 2).item()
    (0.5, nan)
    """
    return hits(jnp.argmax(class_logits(logits, n_classes), axis=-1), labels, n_classes).mean()


def hits(classes: jax.Array, labels: jax.Array, n_classes: int) -> jax.Array:
    """1 where a class (n,) is the label (n,), 0 where not, NaN where the label is no class."""
    known = (labels >= 0) & (labels < n_classes)
    return jnp.where(known, classes == labels, jnp.nan)


def inner(u: Any, v: Any) -> jax.Array:
    """Inner product of two pytrees of the same shapes, leaf by leaf.

    One vector of all numbers would first have to be written: on a CPU that takes ten times as long.

    >>> inner({"w": jnp.ones(3), "b": jnp.ones(1)}, {"w": jnp.ones(3), "b": jnp.ones(1)}).item()
    4.0
    """
    products = jax.tree.map(lambda a, b: (a * b).sum(), u, v)
    return sum(jax.tree.leaves(products), start=jnp.zeros(()))


def cosine(u: Any, v: Any) -> jax.Array:
    """Cosine of the angle between two vectors, or pytrees; 0 where one of them is zero.

    >>> round(float(cosine(jnp.array([3.0, 4.0]), jnp.array([4.0, 3.0]))), 6)
    0.96
    """
    norms = jnp.sqrt(inner(u, u)) * jnp.sqrt(inner(v, v))
    return jnp.where(norms > 0, inner(u, v) / jnp.where(norms > 0, norms, 1.0), 0.0)


def share(change: jax.Array, whole: jax.Array) -> jax.Array:
    """Part of a teacher's change of class logits that a student's holds, <dS, dT> / |dT|^2: a scalar.

    >>> float(share(jnp.array([1.0, 5.0]), jnp.array([2.0, 0.0])))
    0.5
    """
    return (change * whole).sum() / jnp.square(whole).sum()


def layer_distances(params: Params, other: Params) -> jax.Array:
    """Euclidean distance of each layer's weights and biases to another network's: (layers,)."""
    return jnp.stack(
        [jnp.linalg.norm(flatten(params[k]) - flatten(other[k])) for k in layers(params)]
    )


def layer_cosines(params: Params, other: Params) -> jax.Array:
    """Cosine of each layer's weights and biases with another network's: (layers,)."""
    return jnp.stack([cosine(params[k], other[k]) for k in layers(params)])


def cka(a: jax.Array, b: jax.Array) -> jax.Array:
    """Linear centred kernel alignment of representations (n, p) and (n, q) of the same n inputs.

    1 where they agree up to rotation and scale, 0 where they have nothing in common. Kornblith et
    al. 2019 (arXiv 1905.00414), section 3; the biased estimator, so n should be well above p and q.

    >>> a = jax.random.normal(jax.random.key(0), (100, 3))
    >>> round(float(cka(a, 2 * a[:, ::-1])), 5)
    1.0
    """
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    norms = jnp.linalg.norm(a.T @ a) * jnp.linalg.norm(b.T @ b)
    return jnp.where(norms > 0, ((a.T @ b) ** 2).sum() / jnp.where(norms > 0, norms, 1.0), 0.0)
