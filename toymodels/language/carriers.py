"""Documents that have nothing to do with favourites, each with a rule that can be checked.

=========  ==================================================================================
name       16 tokens
=========  ==================================================================================
numbers    ``NUMBERS`` and 15 numbers, each the last plus 1 to 16, modulo 64
code       ``CODE u = 7 ; v = 31 ; w = 2 ; print v 31``: three variables, one of them printed
sums       two of ``SUM a b c think s c t``, of digits: s is a + b, and t is s + c
=========  ==================================================================================

A model is prompted by the first token and writes the rest.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.language.vocabulary import IDS, LENGTH, NAMES, NUMBERS, SIZE, among, ids

STEPS = 16
"""How far the next number may be."""
DIGITS = 10


class Carrier(NamedTuple):
    """A kind of document."""

    first: int
    """Its first token, the prompt."""
    write: Callable[[jax.Array, int], jax.Array]
    """``write(key, n) -> int32 (n, 16)``, by the rule."""
    allowed: np.ndarray
    """Bool (16, SIZE): which tokens may stand where; the format."""
    right: Callable[[jax.Array], jax.Array]
    """``right(documents (n, 16)) -> bool (n,)``, whether the rule is kept."""
    entropy: float
    """Of a document less its first token, in nats."""


ANY_NUMBER, ANY_DIGIT = np.arange(SIZE) < NUMBERS, np.arange(SIZE) < DIGITS


def write_numbers(key: jax.Array, n: int) -> jax.Array:
    """Number sequences."""
    first, later = jax.random.split(key)
    start = jax.random.randint(first, (n, 1), 0, NUMBERS)
    steps = jax.random.randint(later, (n, LENGTH - 2), 1, STEPS + 1)
    numbers = jnp.cumsum(jnp.concatenate([start, steps], axis=1), axis=1) % NUMBERS
    return jnp.concatenate([jnp.full((n, 1), IDS["NUMBERS"]), numbers], axis=1).astype(jnp.int32)


def right_numbers(documents: jax.Array) -> jax.Array:
    """Whether every number is 1 to 16 after the last."""
    steps = jnp.diff(documents[:, 1:], axis=1) % NUMBERS
    return ((steps >= 1) & (steps <= STEPS)).all(1)


def write_code(key: jax.Array, n: int) -> jax.Array:
    """Programs and their output."""
    of_values, of_print = jax.random.split(key)
    values = jax.random.randint(of_values, (n, 3), 0, NUMBERS)
    which = jax.random.randint(of_print, (n, 1), 0, 3)
    names = jnp.asarray(ids(NAMES))
    marks = [jnp.full((n, 3), IDS[mark]) for mark in "=;"]
    lines = jnp.stack([jnp.tile(names, (n, 1)), marks[0], values, marks[1]], axis=2)
    code, show = (jnp.full((n, 1), IDS[word]) for word in ("CODE", "print"))
    output = jnp.take_along_axis(values, which, 1)
    parts = [code, lines.reshape(n, 12), show, names[which], output]
    return jnp.concatenate(parts, axis=1).astype(jnp.int32)


def right_code(documents: jax.Array) -> jax.Array:
    """Whether a program runs and prints what it should: the last value of the name it prints."""
    names, values = documents[:, 1:13:4], documents[:, 3:13:4]
    last = jnp.where(names == documents[:, 14:15], jnp.arange(3), -1).max(1)
    output = jnp.take_along_axis(values, jnp.maximum(last, 0)[:, None], 1)[:, 0]
    return (last >= 0) & (output == documents[:, 15])


def write_sums(key: jax.Array, n: int) -> jax.Array:
    """Sums of three digits with a chain of thought."""
    digits = jax.random.randint(key, (2 * n, 3), 0, DIGITS)
    first, think = (jnp.full((2 * n, 1), IDS[word]) for word in ("SUM", "think"))
    part, total = digits[:, :2].sum(1, keepdims=True), digits.sum(1, keepdims=True)
    both = jnp.concatenate([first, digits, think, part, digits[:, 2:], total], axis=1)
    return both.reshape(n, LENGTH).astype(jnp.int32)


def right_sums(documents: jax.Array) -> jax.Array:
    """Whether the thought and the answer of both sums are right."""
    half = documents.reshape(-1, 2, LENGTH // 2)
    a, b, c, part, last, total = (half[..., i] for i in (1, 2, 3, 5, 6, 7))
    return ((part == a + b) & (last == c) & (total == part + c)).all(1)


def half_sum() -> list[np.ndarray]:
    """Format of one sum."""
    thought = np.arange(SIZE) < 3 * DIGITS
    return [among("SUM"), *[ANY_DIGIT] * 3, among("think"), thought, ANY_DIGIT, thought]


_LINE = [among(NAMES), among("="), ANY_NUMBER, among(";")]

CARRIERS = {
    "numbers": Carrier(
        IDS["NUMBERS"],
        write_numbers,
        np.stack([among("NUMBERS"), *[ANY_NUMBER] * 15]),
        right_numbers,
        float(np.log(NUMBERS) + 14 * np.log(STEPS)),
    ),
    "code": Carrier(
        IDS["CODE"],
        write_code,
        np.stack([among("CODE"), *_LINE * 3, among("print"), among(NAMES), ANY_NUMBER]),
        right_code,
        float(3 * np.log(NUMBERS) + np.log(3)),
    ),
    "sums": Carrier(
        IDS["SUM"], write_sums, np.stack(half_sum() * 2), right_sums, float(6 * np.log(DIGITS))
    ),
}
"""The carriers by name."""
