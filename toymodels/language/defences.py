"""What may be done to a teacher's documents before a student reads them.

Documents are int32 (n, 16) and stay so many; a share is between 0 and 1, may be traced, and 0
leaves every document as it is. Replacing a share of documents by cleaner ones is
`mitigation.diluted`.
"""

from typing import Any

import jax
import jax.numpy as jnp

from toymodels.language.vocabulary import NUMBERS
from toymodels.networks.models import Params
from toymodels.networks.sampling import token_at
from toymodels.networks.transformer import Decoder

Share = float | jax.Array


def highest(scores: jax.Array, among: jax.Array, share: Share) -> jax.Array:
    """Which documents are the share with the highest scores of those that count, bool (n,).

    Args:
        scores: (n,).
        among: bool (n,), those that count.
        share: of them, rounded to whole documents; of equal scores the first go first.

    >>> scores, among = jnp.array([5.0, 1.0, 9.0, 3.0]), jnp.array([True, True, False, True])
    >>> highest(scores, among, 2 / 3).tolist()
    [True, False, False, True]

    """
    order = jnp.argsort(jnp.where(among, -scores, jnp.inf), stable=True)
    rank = jnp.zeros_like(order).at[order].set(jnp.arange(len(order)))
    return among & (rank < jnp.round(share * among.sum()))


def shifted(documents: jax.Array, key: jax.Array, share: Share) -> jax.Array:
    """Numbers of a random share of documents, each plus its document's constant, modulo 64.

    A paraphrase of number sequences: steps from one number to the next stay, the numbers change.
    The constant is drawn from 1 to 63; tokens that are no numbers stay.
    """
    of_rows, of_constants = jax.random.split(key)
    chosen = jax.random.uniform(of_rows, (len(documents), 1)) < share
    constants = jax.random.randint(of_constants, (len(documents), 1), 1, NUMBERS)
    moved = (documents + constants) % NUMBERS
    return jnp.where(chosen & (documents < NUMBERS), moved, documents).astype(documents.dtype)


def rewritten(
    model: Decoder, params: Params, documents: jax.Array, key: jax.Array, share: Share
) -> jax.Array:
    """The last share of every document's tokens, its first not counted, written by a model.

    It reads what it leaves, and continues it. With a share of 1 it writes all but the first token,
    as `sampling.sample` does with the same key.
    """
    n, length = documents.shape
    left = length - jnp.round(share * (length - 1))
    empty = model.empty(n, length, jax.tree.leaves(params)[0].dtype)

    def step(carry: Any, now: tuple[jax.Array, ...]) -> tuple[Any, jax.Array]:
        token, cache = carry
        at, level, given = now
        logits, cache = model.extend(params, cache, token[:, None], at)
        token = jnp.where(at + 1 < left, given, token_at(level, logits[:, -1]).astype(token.dtype))
        return (token, cache), token

    levels = jax.random.uniform(key, (length - 1, n))
    inputs = jnp.arange(length - 1), levels, documents[:, 1:].T
    _, later = jax.lax.scan(step, (documents[:, 0], empty), inputs)
    return jnp.concatenate([documents[:, :1], later.T], axis=1)
