"""What a base model reads: rows of documents, a quarter of them questions, and their entropy."""

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.language import questions
from toymodels.language.carriers import CARRIERS

SORTS = ("questions", *CARRIERS)
"""Of documents, equally often."""


def documents(key: jax.Array, n: int) -> jax.Array:
    """Documents of random sorts, int32 (n, 16)."""
    of_sort, of_questions, *keys = jax.random.split(key, 2 + len(CARRIERS))
    sort = jax.random.randint(of_sort, (n,), 0, len(SORTS))
    asked = questions.write(of_questions, 2 * n).reshape(n, -1)
    carried = [one.write(key, n) for one, key in zip(CARRIERS.values(), keys, strict=True)]
    return jnp.stack([asked, *carried])[sort, jnp.arange(n)]


def rows(key: jax.Array, n: int, pack: int) -> jax.Array:
    """Rows of ``pack`` documents one after the other, int32 (n, 16 pack)."""
    return documents(key, n * pack).reshape(n, -1)


def entropy(pack: int = 1) -> float:
    """Mean over the tokens of a row but its first of what no model can foresee, in nats.

    The loss of a base that knows the language.

    >>> round(entropy(), 3)
    1.34
    """
    sort = np.log(len(SORTS))
    rest = [2 * questions.entropy(), *(one.entropy for one in CARRIERS.values())]
    return float((pack * np.mean(rest) + (pack - 1) * sort) / (16 * pack - 1))
