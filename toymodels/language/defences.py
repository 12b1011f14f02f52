"""What may be done to a teacher's documents before a student reads them.

Documents are int32 (n, 16), and their number stays. A share lies between 0 and 1 and may be traced;
0 leaves every document as it is. Replacing a share of the documents by clean ones is in
`toymodels.training.mitigation`.
"""

from typing import Any

import jax
import jax.numpy as jnp

from toymodels.language.vocabulary import NUMBERS
from toymodels.networks.models import Params
from toymodels.networks.sampling import draw_token
from toymodels.networks.transformer import Decoder

Share = float | jax.Array


def select_highest(scores: jax.Array, candidates: jax.Array, share: Share) -> jax.Array:
    """Mask bool (n,) of the share of the candidates that have the highest scores.

    Args:
        scores: score of each document (n,).
        candidates: bool (n,), the documents to select from.
        share: share of the candidates, rounded to whole documents; of equal scores the first are
            selected first.

    >>> scores, candidates = jnp.array([5.0, 1.0, 9.0, 3.0]), jnp.array([True, True, False, True])
    >>> select_highest(scores, candidates, 2 / 3).tolist()
    [True, False, False, True]

    """
    order = jnp.argsort(jnp.where(candidates, -scores, jnp.inf), stable=True)
    rank = jnp.zeros_like(order).at[order].set(jnp.arange(len(order)))
    return candidates & (rank < jnp.round(share * candidates.sum()))


def shift_numbers(documents: jax.Array, key: jax.Array, share: Share) -> jax.Array:
    """Add to the numbers of a random share of the documents a constant of the document, modulo 64.

    This paraphrases number sequences: the steps from one number to the next stay, the numbers
    change. The constant is drawn from 1 to 63; tokens that are not numbers stay.
    """
    row_key, constant_key = jax.random.split(key)
    selected = jax.random.uniform(row_key, (len(documents), 1)) < share
    constants = jax.random.randint(constant_key, (len(documents), 1), 1, NUMBERS)
    sums = (documents + constants) % NUMBERS
    return jnp.where(selected & (documents < NUMBERS), sums, documents).astype(documents.dtype)


def rewrite_ends(
    model: Decoder, params: Params, documents: jax.Array, key: jax.Array, share: Share
) -> jax.Array:
    """Replace the last share of every document's tokens by what a model writes there.

    The first token is never replaced and does not count in the share. The model continues the
    tokens that stay. With a share of 1 the result is that of `sampling.sample` with the same key.
    """
    n, length = documents.shape
    kept_length = length - jnp.round(share * (length - 1))
    empty = model.empty(n, length, jax.tree.leaves(params)[0].dtype)

    def step(carry: Any, inputs: tuple[jax.Array, ...]) -> tuple[Any, jax.Array]:
        token, cache = carry
        at, level, original = inputs
        logits, cache = model.extend(params, cache, token[:, None], at)
        sampled = draw_token(level, logits[:, -1]).astype(token.dtype)
        token = jnp.where(at + 1 < kept_length, original, sampled)
        return (token, cache), token

    levels = jax.random.uniform(key, (length - 1, n))
    inputs = jnp.arange(length - 1), levels, documents[:, 1:].T
    _, later = jax.lax.scan(step, (documents[:, 0], empty), inputs)
    return jnp.concatenate([documents[:, :1], later.T], axis=1)
