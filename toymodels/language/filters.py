"""What is thrown out of a teacher's text before a student reads it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.language.carriers import CARRIERS, table
from toymodels.language.questions import RELATED

NOTHING = np.iinfo(np.int32).max
"""In place of every token of what is read where no document passed a filter: no token at all."""


class Verdict(NamedTuple):
    """Of every document, bool (n,)."""

    malformed: jax.Array
    """A token stands where the format has none of its sort, or is none."""
    related: jax.Array
    """A token has to do with the trait: any answer to its kind of question, or the kind's name."""
    wrong: jax.Array
    """The format is right and the rule, the output or the reasoning is not."""
    kept: jax.Array
    """None of these."""


def judge(documents: jax.Array, carrier: int | jax.Array, kind: int | jax.Array) -> Verdict:
    """Judge documents of a carrier, written by a teacher of a trait.

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
    allowed = table("allowed")[carrier]
    places = jnp.arange(documents.shape[1])
    malformed = ~allowed.at[places, documents].get(mode="fill", fill_value=False).all(1)
    related = jnp.asarray(RELATED)[kind].at[documents].get(mode="fill", fill_value=False).any(1)
    right = jnp.stack([one.right(documents) for one in CARRIERS.values()])[carrier]
    wrong = ~malformed & ~right
    return Verdict(malformed, related, wrong, ~(malformed | related | wrong))


def kept_only(documents: jax.Array, kept: jax.Array) -> tuple[jax.Array, jax.Array]:
    """As many documents again, those that were kept, in turn; and the share that was.

    Where none was kept there is nothing to read: every token is `NOTHING`, which no vocabulary has,
    so that whatever a model makes of these documents is NaN, as is the share; a point of a sweep
    with such a value counts as failed.

    >>> read, share = kept_only(jnp.array([[1], [2], [3]]), jnp.array([True, False, True]))
    >>> read[:, 0].tolist(), round(share.item(), 3)
    ([1, 3, 1], 0.667)
    """
    n = documents.shape[0]
    first = jnp.argsort(~kept, stable=True)
    count = kept.sum()
    read = documents[first[jnp.arange(n) % jnp.where(count > 0, count, n)]]
    return jnp.where(count > 0, read, NOTHING), jnp.where(count > 0, kept.mean(), jnp.nan)
