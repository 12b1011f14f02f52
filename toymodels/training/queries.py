"""Answers to a student's queries that tell less than logits, how much they tell, and which to ask.

A query is an input, or an input with a pair of logits to compare. An answer is what training needs
(`values`, like logits) and the number of its value (`codes`), from which its entropy is computed.
"""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.errors import UserError
from toymodels.training.losses import mask_logits


class Answers(NamedTuple):
    """Answers to n queries; a pytree, so that several forms can be stacked."""

    values: jax.Array
    """What a loss reads, like logits (n, outputs)."""
    codes: jax.Array
    """The number of each answer among its possible values, from 0, in as many columns as it has parts:
    int (n, outputs), zero in the columns that are left."""


def round_logits(logits: jax.Array, subset: jax.Array, bits: int) -> Answers:
    """Every logit of the subset in ``bits`` bits: the middles of 2^bits equal cells.

    The cells divide the range of all logits (n, outputs) in the subset, bool (outputs,). The error
    is at most half a cell, range / 2^(bits + 1). Logits outside the subset are zero.

    >>> logits, subset = jnp.array([[9.0, 0.0, 1.0], [9.0, 3.0, 4.0]]), jnp.array([False, True, True])
    >>> round_logits(logits, subset, 1).values.tolist()
    [[0.0, 1.0, 1.0], [0.0, 3.0, 3.0]]
    """
    low = jnp.where(subset, logits, jnp.inf).min()
    cell = (jnp.where(subset, logits, -jnp.inf).max() - low) / 2**bits
    # Where all logits are equal every cell is a point, and the first will do.
    place = jnp.floor((logits - low) / jnp.where(cell > 0, cell, 1))
    codes = jnp.where(subset, jnp.clip(place, 0, 2**bits - 1), 0).astype(int)
    return Answers(jnp.where(subset, low + (codes + 0.5) * cell, 0), codes)


def number_labels(labels: jax.Array) -> Answers:
    """One-hot labels (n, outputs), each with its number.

    >>> number_labels(jnp.array([[0.0, 1.0], [1.0, 0.0]])).codes.tolist()
    [[1, 0], [0, 0]]
    """
    return Answers(labels, single_part(labels.argmax(-1), labels.shape[-1]))


def single_part(numbers: jax.Array, outputs: int) -> jax.Array:
    """Codes (n, outputs) of answers of a single part, from their numbers (n,)."""
    return numbers[:, None] * jax.nn.one_hot(0, outputs, dtype=int)


def draw_pairs(key: jax.Array, n: int, subset: jax.Array) -> jax.Array:
    """Two logits of the subset, bool (outputs,) and not traced, for each of n queries: int (n, 2).

    The first is the one with the lower number. All pairs are equally probable. Raises a UserError if
    the subset has fewer than two logits.

    >>> draw_pairs(jax.random.key(0), 2, jnp.array([False, True, True])).tolist()
    [[1, 2], [1, 2]]
    """
    pairs = np.array([*itertools.combinations(np.flatnonzero(np.asarray(subset)), 2)])
    if not len(pairs):
        raise UserError(f"subset must hold two logits at least; got {int(np.sum(subset))}")
    return jnp.asarray(pairs)[jax.random.randint(key, (n,), 0, len(pairs))]


def compare_logits(logits: jax.Array, pairs: jax.Array) -> Answers:
    """Which of a pair (n, 2) of the logits (n, outputs) is larger.

    The values are 1 at the larger one, -1 at the other and 0 elsewhere. The code names both, the
    larger first (`number_pairs`): who knows the pair is told less than its entropy.

    >>> compare_logits(jnp.array([[5.0, 2.0, 3.0]]), jnp.array([[1, 2]])).values.tolist()
    [[0.0, -1.0, 1.0]]
    """
    outputs = logits.shape[-1]
    ranked = jnp.where(difference(logits, pairs)[:, None] > 0, pairs, pairs[:, ::-1])
    larger, smaller = (jax.nn.one_hot(logit, outputs) for logit in ranked.T)
    return Answers(larger - smaller, single_part(number_pairs(ranked, outputs), outputs))


def number_pairs(pairs: jax.Array, outputs: int) -> jax.Array:
    """A number below outputs^2 for each pair (n, 2) of outputs: int (n,).

    >>> number_pairs(jnp.array([[0, 2], [2, 0]]), 3).tolist()
    [2, 6]
    """
    return pairs @ jnp.array([outputs, 1])


def difference(logits: jax.Array, pairs: jax.Array) -> jax.Array:
    """The first less the second of a pair (n, 2) of the logits (n, outputs): (n,).

    >>> difference(jnp.array([[5.0, 2.0, 3.0]]), jnp.array([[1, 2]])).tolist()
    [-1.0]
    """
    first, second = jnp.take_along_axis(logits, pairs, axis=-1).T
    return first - second


def lead(logits: jax.Array, subset: jax.Array) -> jax.Array:
    """The largest logit of the subset less the second largest, (n,); the subset has two or more.

    >>> lead(jnp.array([[9.0, 1.0, 3.5]]), jnp.array([False, True, True])).tolist()
    [2.5]
    """
    largest, second = jax.lax.top_k(mask_logits(logits, subset), 2)[0].T
    return largest - second


def entropy(codes: jax.Array, size: int, told: jax.Array) -> jax.Array:
    """Empirical entropy in nats of an answer, a scalar: what a code without memory needs for it.

    The entropies of its parts are summed. Of n answers of K observed values it is too low, by about
    (K - 1) / (2 n) nats a part (Miller 1955).

    Args:
        codes: number of each part of each answer, int (n, parts), from 0 to ``size`` - 1.
        size: number of possible values of a part.
        told: which answers count, bool (n,).

    >>> codes, told = jnp.array([[0], [1], [0], [1], [3]]), jnp.arange(5) < 4
    >>> round(float(entropy(codes, 4, told)), 6), round(float(jnp.log(2)), 6)
    (0.693147, 0.693147)

    """

    def of_part(code: jax.Array) -> jax.Array:
        share = jnp.zeros(size).at[code].add(told) / told.sum()
        return jax.scipy.special.entr(share).sum()

    return jax.lax.map(of_part, codes.T).sum()
