"""Relations in which a student has a part of its teacher's numbers: signs, magnitudes, entries.

Each is a relation of `toymodels.inits.relations`, which lists them all: W the teacher's init, W' an
independent one of the same law.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from toymodels.inits.mixing import Draw, Relation, mix
from toymodels.networks.models import Params
from toymodels.trees import sample_leaves


def entries(draw: Draw) -> Relation:
    """W in a random share of all entries, W' in the others; a larger share keeps the smaller."""

    def relation(init: Params, key: jax.Array, share: jax.Array) -> Params:
        other_key, order_key = jax.random.split(key)
        ranks = sample_leaves(jax.random.uniform, order_key, init)
        return jax.tree.map(
            lambda w, v, u: jnp.where(u < share, w, v), init, draw(other_key), ranks
        )

    return relation


def keep_largest(init: Params, other: Params, score: Params, share: float | jax.Array) -> Params:
    """Take the entries of the largest scores from one init, and all others from another.

    The share is that of each tensor, rounded to whole entries; entries of equal score are kept
    together. With the magnitudes of a trained teacher as the score, the mask is that of a lottery
    ticket (Frankle & Carbin 2019, arXiv 1803.03635).

    Args:
        init: the init whose entries of the largest scores are kept.
        other: the init that has the others.
        score: a number for every entry.
        share: the share of the entries of each tensor that is kept; may be traced.

    >>> init, other = {"w": jnp.array([1.0, 2.0, 3.0, 4.0])}, {"w": jnp.zeros(4)}
    >>> keep_largest(init, other, {"w": jnp.array([9.0, 1.0, 8.0, 2.0])}, 0.5)["w"].tolist()
    [1.0, 0.0, 3.0, 0.0]

    """

    def keep(w: jax.Array, v: jax.Array, scores: jax.Array) -> jax.Array:
        falling = jnp.sort(scores.ravel(), descending=True)
        kept = jnp.round(share * w.size).astype(int)
        least = jnp.where(kept > 0, falling[jnp.maximum(kept - 1, 0)], jnp.inf)
        return jnp.where(scores >= least, w, v)

    return jax.tree.map(keep, init, other, score)


def largest(draw: Draw) -> Relation:
    """W in the share of the entries of each tensor where it is largest, W' in the others."""

    def relation(init: Params, key: jax.Array, share: jax.Array) -> Params:
        return keep_largest(init, draw(key), jax.tree.map(jnp.abs, init), share)

    return relation


def signs(draw: Draw) -> Relation:
    """Signs of W, magnitudes of the sum rho W + sqrt(1 - rho^2) W': at rho = 0 W's signs alone.

    The magnitudes are those of the law of W, so that for a Gaussian one the overlap of all weights
    falls to 2 / pi, and no lower.
    """
    return combine(draw, lambda w, turned: jnp.copysign(turned, w))


def magnitudes(draw: Draw) -> Relation:
    """Magnitudes of W, signs of the sum rho W + sqrt(1 - rho^2) W'; at rho = 0 W's magnitudes alone."""
    return combine(draw, jnp.copysign)


def combine(draw: Draw, choose: Callable[[jax.Array, jax.Array], jax.Array]) -> Relation:
    """The entries ``choose(w, t)`` of W and of its rotation by arccos(rho) towards W'."""
    turn = mix(draw, lambda rho: (rho, jnp.sqrt(1 - jnp.square(rho))))

    def relation(init: Params, key: jax.Array, rho: jax.Array) -> Params:
        return jax.tree.map(choose, init, turn(init, key, rho))

    return relation


def orthogonal(draw: Draw) -> Relation:
    """The sum rho W + sqrt(1 - rho^2) K W, K an orthogonal matrix with K^T = -K.

    The sum is W rotated as a whole: the inputs of a layer are paired at random, and the weights of
    each pair turn by the angle arccos(rho) in their plane. Every kernel keeps its singular values,
    and its overlap with W is rho (of an odd number of inputs one does not turn). Biases are W's.
    """

    def turn(w: jax.Array, key: jax.Array, rho: jax.Array) -> jax.Array:
        if w.ndim < 2:
            return w
        rows = w.reshape(-1, w.shape[-1])
        a, b = jax.random.permutation(key, len(rows))[: len(rows) // 2 * 2].reshape(2, -1)
        others = jnp.sqrt(1 - jnp.square(rho))
        turned = rows.at[a].set(rho * rows[a] + others * rows[b])
        return turned.at[b].set(rho * rows[b] - others * rows[a]).reshape(w.shape)

    def relation(init: Params, key: jax.Array, rho: jax.Array) -> Params:
        leaves, tree = jax.tree.flatten(init)
        keys = jax.random.split(key, len(leaves))
        return jax.tree.unflatten(
            tree, [turn(w, k, rho) for w, k in zip(leaves, keys, strict=True)]
        )

    return relation
