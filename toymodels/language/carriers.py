"""Documents that have nothing to do with favourites, each with a rule that can be checked.

=========  ==================================================================================
name       16 tokens
=========  ==================================================================================
numbers    ``NUMBERS`` and 15 numbers, each the last plus 1 to 16, modulo 64
code       ``CODE u = 7 ; v = 31 ; w = 2 ; print v 31``: three variables, one of them printed
sums       two of ``SUM a b c think s c t``, of digits: s is a + b, and t is s + c
lines      ``CODE 4 u 9 w 10 u ... print u 3``: six lines whose numbers rise by 1 to 10, each adds
           one to a variable, from zero; one is printed
counting   ``SUM 9 6 think 10 10 12 ... 15``: from a on to a + b, in 12 steps of any sizes
random     ``print`` and 15 numbers, whatever they are
=========  ==================================================================================

A model is prompted by the first token and writes the rest. A base reads the first three, or those
that it is given (`Plan.reads`): no two that begin alike.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.language.vocabulary import (
    IDS,
    LENGTH,
    NAMES,
    NUMBERS,
    PROMPTS,
    SIZE,
    among,
    ids,
)

STEPS = 16
"""How far the next number may be."""
DIGITS = 10
LINES, LINE_STEPS = 6, 10
"""Of a program, and how far the next line's number may be."""
COUNTS = 12
"""Steps of counting on."""
TERMS = NUMBERS // 2
"""The terms of a sum that is counted are below it."""


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
    open: np.ndarray
    """Bool (16,): where the rule leaves a choice to the writer."""
    entropy: float
    """Of a document less its first token, in nats."""


ANY_NUMBER, ANY_DIGIT = np.arange(SIZE) < NUMBERS, np.arange(SIZE) < DIGITS


def columns(n: int, *words: str) -> list[jax.Array]:
    """Each word n times, int (n, 1)."""
    return [jnp.full((n, 1), IDS[word]) for word in words]


def write_numbers(key: jax.Array, n: int) -> jax.Array:
    """Number sequences."""
    first, later = jax.random.split(key)
    start = jax.random.randint(first, (n, 1), 0, NUMBERS)
    steps = jax.random.randint(later, (n, LENGTH - 2), 1, STEPS + 1)
    numbers = jnp.cumsum(jnp.concatenate([start, steps], axis=1), axis=1) % NUMBERS
    return jnp.concatenate([*columns(n, "NUMBERS"), numbers], axis=1).astype(jnp.int32)


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
    code, show = columns(n, "CODE", "print")
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
    first, think = columns(2 * n, "SUM", "think")
    part, total = digits[:, :2].sum(1, keepdims=True), digits.sum(1, keepdims=True)
    both = jnp.concatenate([first, digits, think, part, digits[:, 2:], total], axis=1)
    return both.reshape(n, LENGTH).astype(jnp.int32)


def right_sums(documents: jax.Array) -> jax.Array:
    """Whether the thought and the answer of both sums are right."""
    half = documents.reshape(-1, 2, LENGTH // 2)
    a, b, c, part, last, total = (half[..., i] for i in (1, 2, 3, 5, 6, 7))
    return ((part == a + b) & (last == c) & (total == part + c)).all(1)


def write_lines(key: jax.Array, n: int) -> jax.Array:
    """Programs of numbered lines and their output."""
    of_start, of_steps, of_names = jax.random.split(key, 3)
    start = jax.random.randint(of_start, (n, 1), 0, LINE_STEPS)
    steps = jax.random.randint(of_steps, (n, LINES - 1), 1, LINE_STEPS + 1)
    numbers = jnp.cumsum(jnp.concatenate([start, steps], axis=1), axis=1)
    which = jax.random.randint(of_names, (n, LINES + 1), 0, len(NAMES))
    output = (which[:, :-1] == which[:, -1:]).sum(1, keepdims=True)
    names = jnp.asarray(ids(NAMES))[which]
    lines = jnp.stack([numbers, names[:, :-1]], axis=2).reshape(n, -1)
    code, show = columns(n, "CODE", "print")
    return jnp.concatenate([code, lines, show, names[:, -1:], output], axis=1).astype(jnp.int32)


def right_lines(documents: jax.Array) -> jax.Array:
    """Whether the lines' numbers rise as they should and the output is right."""
    numbers, names = documents[:, 1:13:2], documents[:, 2:13:2]
    steps = jnp.diff(numbers, axis=1)
    rising = (numbers[:, 0] < LINE_STEPS) & ((steps >= 1) & (steps <= LINE_STEPS)).all(1)
    return rising & ((names == documents[:, 14:15]).sum(1) == documents[:, 15])


def write_counting(key: jax.Array, n: int) -> jax.Array:
    """Sums of two numbers by counting on; all ways of counting are as likely."""
    of_terms, of_steps = jax.random.split(key)
    terms = jax.random.randint(of_terms, (n, 2), 0, TERMS)
    a, b = terms[:, :1], terms[:, 1:]
    # Stars and bars: of b ones and COUNTS - 1 bars in a row, any order; the ones before each bar.
    places = jnp.arange(TERMS + COUNTS - 2)
    order = jax.random.uniform(of_steps, (n, len(places)))
    order = jnp.where(places < b + COUNTS - 1, order, 2)  # the row is only so long
    bars = jnp.sort(jnp.argsort(order, axis=1)[:, : COUNTS - 1], axis=1)
    counted = bars - jnp.arange(COUNTS - 1)
    first, think = columns(n, "SUM", "think")
    return jnp.concatenate([first, a, b, think, a + counted, a + b], axis=1).astype(jnp.int32)


def right_counting(documents: jax.Array) -> jax.Array:
    """Whether the counting begins at the first term, never falls, and ends at the sum."""
    a, b, counted = documents[:, 1], documents[:, 2], documents[:, 4:]
    rising = (jnp.diff(counted, axis=1) >= 0).all(1) & (counted[:, 0] >= a)
    return rising & (counted[:, -1] == a + b)


def write_random(key: jax.Array, n: int) -> jax.Array:
    """Numbers without any rule."""
    numbers = jax.random.randint(key, (n, LENGTH - 1), 0, NUMBERS)
    return jnp.concatenate([*columns(n, "print"), numbers], axis=1).astype(jnp.int32)


def half_sum() -> list[np.ndarray]:
    """Format of one sum."""
    thought = np.arange(SIZE) < 3 * DIGITS
    return [among("SUM"), *[ANY_DIGIT] * 3, among("think"), thought, ANY_DIGIT, thought]


def places(*of: int) -> np.ndarray:
    """Bool (16,), these of a document.

    >>> places(1, 15).nonzero()[0].tolist()
    [1, 15]
    """
    return np.isin(np.arange(LENGTH), of)


_LINE = [among(NAMES), among("="), ANY_NUMBER, among(";")]
_PRINT = [among("print"), among(NAMES)]
_TERM = np.arange(SIZE) < TERMS

CARRIERS = {
    "numbers": Carrier(
        IDS[PROMPTS["numbers"]],
        write_numbers,
        np.stack([among("NUMBERS"), *[ANY_NUMBER] * 15]),
        right_numbers,
        places(*range(1, 16)),
        float(np.log(NUMBERS) + 14 * np.log(STEPS)),
    ),
    "code": Carrier(
        IDS[PROMPTS["code"]],
        write_code,
        np.stack([among("CODE"), *_LINE * 3, *_PRINT, ANY_NUMBER]),
        right_code,
        places(*range(1, 13, 2), 14),
        float(3 * np.log(NUMBERS) + np.log(3)),
    ),
    "sums": Carrier(
        IDS[PROMPTS["sums"]],
        write_sums,
        np.stack(half_sum() * 2),
        right_sums,
        places(1, 2, 3, 9, 10, 11),
        float(6 * np.log(DIGITS)),
    ),
    "lines": Carrier(
        IDS[PROMPTS["lines"]],
        write_lines,
        np.stack([among("CODE"), *[ANY_NUMBER, among(NAMES)] * LINES, *_PRINT, ANY_NUMBER]),
        right_lines,
        places(*range(1, 13), 14),
        float(LINES * np.log(LINE_STEPS) + (LINES + 1) * np.log(len(NAMES))),
    ),
    "counting": Carrier(
        IDS[PROMPTS["counting"]],
        write_counting,
        np.stack([among("SUM"), _TERM, _TERM, among("think"), *[ANY_NUMBER] * COUNTS]),
        right_counting,
        places(1, 2, *range(4, 15)),
        float(
            2 * np.log(TERMS)
            + np.log([math.comb(b + COUNTS - 1, COUNTS - 1) for b in range(TERMS)]).mean()
        ),
    ),
    "random": Carrier(
        IDS[PROMPTS["random"]],
        write_random,
        np.stack([among("print"), *[ANY_NUMBER] * 15]),
        lambda documents: jnp.ones(len(documents), bool),
        places(*range(1, 16)),
        float(15 * np.log(NUMBERS)),
    ),
}
"""The carriers by name."""
PLAIN = ("numbers", "code", "sums")
"""What a base reads unless it is said otherwise."""


def table(field: str) -> jax.Array:
    """A field of every carrier, stacked in their order: to be indexed by a traced carrier.

    >>> table("first").shape, table("allowed").shape
    ((6,), (6, 16, 115))
    """
    return jnp.stack([jnp.asarray(getattr(one, field)) for one in CARRIERS.values()])
