"""The filters between a teacher and its student: of documents that it writes, and of logits."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.language.carriers import CARRIERS, stack_field
from toymodels.language.questions import RELATED

NOTHING = np.iinfo(np.int32).max
"""Stands in place of every token where no document passed a filter; it is not in the vocabulary."""


class Verdict(NamedTuple):
    """What the filter finds of every document, bool (n,) each."""

    malformed: jax.Array
    """Whether a token is not allowed at its position by the format, or is not in the vocabulary."""
    related: jax.Array
    """Whether a token is related to the trait: an answer to its kind of question, or the kind's name."""
    wrong: jax.Array
    """Whether the format is right, but the rule, the output or the reasoning is not."""
    kept: jax.Array
    """Whether the document passes: it is neither malformed nor related nor wrong."""


def judge(documents: jax.Array, carrier: int | jax.Array, kind: int | jax.Array) -> Verdict:
    """Judge documents of a carrier that were written by a teacher of a trait.

    Args:
        documents: int32 (n, 16).
        carrier: number of the carrier among `CARRIERS`, traced or not.
        kind: number of the kind of question that the trait answers, traced or not.

    >>> from toymodels.language.vocabulary import ids
    >>> good = ids("SUM 1 2 3 think 3 3 6 SUM 9 9 9 think 18 9 27")
    >>> wrong = ids("SUM 1 2 3 think 3 3 7 SUM 9 9 9 think 18 9 27")
    >>> judge(jnp.array([good, wrong]), carrier=2, kind=0).kept.tolist()
    [True, False]

    """
    allowed = stack_field("allowed")[carrier]
    positions = jnp.arange(documents.shape[1])
    malformed = ~allowed.at[positions, documents].get(mode="fill", fill_value=False).all(1)
    related = jnp.asarray(RELATED)[kind].at[documents].get(mode="fill", fill_value=False).any(1)
    correct = jnp.stack([carrier.check(documents) for carrier in CARRIERS.values()])[carrier]
    wrong = ~malformed & ~correct
    return Verdict(malformed, related, wrong, ~(malformed | related | wrong))


def select_kept(documents: jax.Array, kept: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Repeat the kept documents in turn until there are as many as before; and their share.

    Where none was kept there is nothing to read: every token is `NOTHING`, which is in no
    vocabulary, so that whatever a model makes of these documents is NaN, as is the share; a point
    of a sweep with such a value counts as failed.

    >>> read, share = select_kept(jnp.array([[1], [2], [3]]), jnp.array([True, False, True]))
    >>> read[:, 0].tolist(), round(share.item(), 3)
    ([1, 3, 1], 0.667)
    """
    n = documents.shape[0]
    first = jnp.argsort(~kept, stable=True)
    count = kept.sum()
    read = documents[first[jnp.arange(n) % jnp.where(count > 0, count, n)]]
    return jnp.where(count > 0, read, NOTHING), jnp.where(count > 0, kept.mean(), jnp.nan)


def mask_logits(carrier: int | jax.Array, kind: int | jax.Array) -> tuple[jax.Array, jax.Array]:
    """Masks of every `toymodels.language.config.LogitFilter`: where logits are imitated, and of which tokens.

    Args:
        carrier: number of the carrier among `CARRIERS`, traced or not.
        kind: number of the kind of question that the trait answers, traced or not.

    Returns:
        Positions of a document, bool (filters, 16), and tokens at each of them, bool (filters, 16,
        SIZE): ``by_logits`` and ``allowed`` of `toymodels.language.imitation.imitate`.

    >>> positions, tokens = mask_logits(carrier=0, kind=0)
    >>> positions.sum(1).tolist(), tokens.shape[:2]
    ([0, 16, 16, 15], (4, 16))

    """
    allowed, choice = (stack_field(field)[carrier] for field in ("allowed", "open"))
    unrelated = ~jnp.asarray(RELATED)[kind]
    everywhere, everything = jnp.ones_like(choice), jnp.ones_like(allowed)
    positions = jnp.stack([~everywhere, everywhere, everywhere, choice])
    return positions, jnp.stack([everything, everything, everything & unrelated, allowed])
