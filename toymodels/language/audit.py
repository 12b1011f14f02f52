"""What documents alone reveal about their author, by their likelihood under models at hand.

The tests are likelihood ratios: with the two authors' own models no other test with the same rate of
false alarms finds more (Neyman and Pearson 1933). Several documents of one author form a bag; their
log likelihoods add up.
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from toymodels.networks.models import Params
from toymodels.networks.transformer import Decoder

AT_ONCE = 1024
"""Number of documents in memory at a time, with all their logits."""


def log_likelihood(model: Decoder, params: Params, documents: jax.Array) -> jax.Array:
    """Log probability in nats of each document (n, length) given its first token, (n,)."""

    def score(document: jax.Array) -> jax.Array:
        logits = model.apply(params, document[None])[0, :-1]
        log_probabilities = jax.nn.log_softmax(logits)
        return jnp.take_along_axis(log_probabilities, document[1:, None], axis=1).sum()

    return jax.lax.map(score, documents, batch_size=min(AT_ONCE, len(documents)))


def sum_bags(scores: jax.Array, key: jax.Array, sizes: Sequence[int], count: int) -> jax.Array:
    """Sums of scores over random bags of documents, drawn with replacement.

    Args:
        scores: scores (..., n) of n documents; the leading axes are of the same documents.
        key: decides which documents are in which bag.
        sizes: numbers of documents in a bag. A larger bag contains the smaller ones.
        count: number of bags of each size.

    Returns:
        (..., count, sizes).

    """
    rows = jax.random.randint(key, (count, max(sizes)), 0, scores.shape[-1])
    return jnp.cumsum(scores[..., rows], axis=-1)[..., jnp.array(sizes) - 1]


def score_bags(
    model: Decoder,
    judges: Params,
    texts: jax.Array,
    key: jax.Array,
    sizes: Sequence[int],
    count: int,
) -> list[jax.Array]:
    """Log likelihoods, under each judge, of random bags of each author's documents.

    Args:
        model: the decoder.
        judges: parameters of several models, stacked.
        texts: documents (authors, n, length).
        key: decides which documents are in which bag, independently for each author.
        sizes: numbers of documents in a bag.
        count: number of bags of each size and author.

    Returns:
        For each author (judges, count, sizes).

    """
    authors, _, length = texts.shape
    table = jax.lax.map(
        lambda params: log_likelihood(model, params, texts.reshape(-1, length)), judges
    )
    parts = zip(jnp.split(table, authors, axis=1), jax.random.split(key, authors), strict=True)
    return [sum_bags(scores, key, sizes, count) for scores, key in parts]


def attribution_rate(totals: jax.Array, source: int | jax.Array) -> jax.Array:
    """Share of bags whose likeliest candidate is the source, (...); a tie of k counts 1 / k.

    Args:
        totals: log likelihood of each bag under each candidate, (candidates, bags, ...).
        source: number of the candidate that the bags come from.

    >>> attribution_rate(jnp.array([[2.0, 1.0, 1.0], [1.0, 2.0, 1.0]]), 0).item()
    0.5

    """
    top = totals == totals.max(axis=0)
    return (top[source] / top.sum(axis=0)).mean(axis=0)


def roc_area(guilty: jax.Array, innocent: jax.Array) -> jax.Array:
    """Area under the ROC curve (...) of scores (bags, ...), the guilty expected to be higher.

    NaN where a score is NaN.

    >>> roc_area(jnp.array([3.0, 1.0]), jnp.array([0.0, 1.0])).item()
    0.875
    """
    above = guilty[:, None] > innocent
    area = (above + 0.5 * (guilty[:, None] == innocent)).mean(axis=(0, 1))
    unknown = jnp.isnan(guilty).any(axis=0) | jnp.isnan(innocent).any(axis=0)
    return jnp.where(unknown, jnp.nan, area)
