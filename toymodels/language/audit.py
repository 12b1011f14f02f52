"""What documents alone tell of who wrote them, by their likelihood under models at hand.

The tests are likelihood ratios: with the two authors' own models no other test of the same false
alarms finds more (Neyman and Pearson 1933). Several documents of one author are a bag; their log
likelihoods add up.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from toymodels.networks.models import Params
from toymodels.networks.transformer import Decoder

AT_ONCE = 1024
"""Documents in memory at a time, with all their logits."""


def log_likelihood(model: Decoder, params: Params, documents: jax.Array) -> jax.Array:
    """Log probability in nats of each document (n, length) given its first token, (n,)."""

    def one(document: jax.Array) -> jax.Array:
        logits = model.apply(params, document[None])[0, :-1]
        each = jax.nn.log_softmax(logits)
        return jnp.take_along_axis(each, document[1:, None], axis=1).sum()

    return jax.lax.map(one, documents, batch_size=min(AT_ONCE, len(documents)))


def bags(scores: jax.Array, key: jax.Array, sizes: Sequence[int], count: int) -> jax.Array:
    """Sums of scores over random bags of documents, drawn with replacement.

    Args:
        scores: (..., n) of n documents; leading axes are of the same documents.
        key: which documents; the same key, the same bags.
        sizes: documents in a bag. A larger bag holds the smaller ones.
        count: bags of each size.

    Returns:
        (..., count, sizes).

    """
    rows = jax.random.randint(key, (count, max(sizes)), 0, scores.shape[-1])
    return jnp.cumsum(scores[..., rows], axis=-1)[..., jnp.array(sizes) - 1]


def trials(
    model: Decoder,
    judges: Params,
    texts: jax.Array,
    key: jax.Array,
    sizes: Sequence[int],
    count: int,
) -> list[jax.Array]:
    """Log likelihoods under each judge of `bags` of each author's documents.

    Args:
        model: the decoder.
        judges: parameters of several, stacked.
        texts: documents (authors, n, length).
        key: which documents lie in which bag; each author's are drawn by themselves.
        sizes: documents in a bag.
        count: bags of each size and author.

    Returns:
        For each author (judges, count, sizes).

    """
    authors, _, length = texts.shape
    table = jax.lax.map(
        lambda params: log_likelihood(model, params, texts.reshape(-1, length)), judges
    )
    parts = zip(jnp.split(table, authors, axis=1), jax.random.split(key, authors), strict=True)
    return [bags(scores, key, sizes, count) for scores, key in parts]


def named(totals: jax.Array, source: int | jax.Array) -> jax.Array:
    """Share of bags whose likeliest candidate is the source, (...); a tie of k counts 1 / k.

    Args:
        totals: (candidates, bags, ...), each bag's log likelihood under each candidate.
        source: number of the candidate that it came from.

    >>> named(jnp.array([[2.0, 1.0, 1.0], [1.0, 2.0, 1.0]]), 0).item()
    0.5

    """
    top = totals == totals.max(axis=0)
    return (top[source] / top.sum(axis=0)).mean(axis=0)


def detected(guilty: jax.Array, innocent: jax.Array) -> jax.Array:
    """Area under the ROC curve of scores, (bags, ...) each: a guilty one's is the higher, (...).

    NaN where a score is.

    >>> detected(jnp.array([3.0, 1.0]), jnp.array([0.0, 1.0])).item()
    0.875
    """
    above = guilty[:, None] > innocent
    area = (above + 0.5 * (guilty[:, None] == innocent)).mean(axis=(0, 1))
    unknown = jnp.isnan(guilty).any(axis=0) | jnp.isnan(innocent).any(axis=0)
    return jnp.where(unknown, jnp.nan, area)
