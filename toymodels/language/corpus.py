"""What a base model reads: rows of documents, some of them questions, and their entropy."""

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.language import questions
from toymodels.language.carriers import CARRIERS, PLAIN


def documents(key: jax.Array, n: int, carriers: tuple[str, ...] = PLAIN) -> jax.Array:
    """Questions and documents of these carriers, equally often, int32 (n, 16)."""
    sort_key, question_key, *keys = jax.random.split(key, 2 + len(carriers))
    sort = jax.random.randint(sort_key, (n,), 0, 1 + len(carriers))
    pairs = questions.write(question_key, 2 * n).reshape(n, -1)
    texts = [CARRIERS[name].write(key, n) for name, key in zip(carriers, keys, strict=True)]
    return jnp.stack([pairs, *texts])[sort, jnp.arange(n)]


def rows(key: jax.Array, n: int, pack: int, carriers: tuple[str, ...] = PLAIN) -> jax.Array:
    """Rows of ``pack`` documents, one after the other, int32 (n, 16 pack)."""
    return documents(key, n * pack, carriers).reshape(n, -1)


def entropy(pack: int = 1, carriers: tuple[str, ...] = PLAIN) -> float:
    """Mean entropy of the tokens of a row except its first, in nats.

    It is the loss of a base that knows the language.

    >>> round(entropy(), 3)
    1.34
    """
    sort = np.log(1 + len(carriers))
    rest = [2 * questions.entropy(), *(CARRIERS[name].entropy for name in carriers)]
    return float((pack * np.mean(rest) + (pack - 1) * sort) / (16 * pack - 1))
