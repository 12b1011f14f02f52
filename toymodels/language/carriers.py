"""Carriers: documents unrelated to favourites, each with a rule that can be checked.

=========  ==================================================================================
name       16 tokens
=========  ==================================================================================
numbers    ``NUMBERS`` and 15 numbers, each the previous plus 1 to 16, modulo 64
code       ``CODE u = 7 ; v = 31 ; w = 2 ; print v 31``: three variables, one of them printed
sums       two of ``SUM a b c think s c t``, of digits: s is a + b, and t is s + c
lines      ``CODE 4 u 9 w 10 u ... print u 3``: six lines whose numbers rise by 1 to 10; each line
           adds one to a variable, which starts from zero; one variable is printed
counting   ``SUM 9 6 think 10 10 12 ... 15``: from a to a + b, in 12 steps of any sizes
random     ``print`` and 15 numbers without a rule
=========  ==================================================================================

A model is prompted by the first token and writes the rest. A base reads the first three carriers, or
those in `Plan.reads`: no two with the same first token.
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
    ids,
    token_mask,
)

STEPS = 16
"""Largest step from a number to the next."""
DIGITS = 10
"""Number of digits."""
LINES, LINE_STEPS = 6, 10
"""Number of lines of a program, and the largest step from a line's number to the next."""
COUNTS = 12
"""Number of steps in counting."""
TERMS = NUMBERS // 2
"""Upper limit, exclusive, of the terms of a sum that is counted."""


class Carrier(NamedTuple):
    """A kind of document."""

    first: int
    """Id of the first token, the prompt."""
    write: Callable[[jax.Array, int], jax.Array]
    """``write(key, n) -> documents int32 (n, 16)`` that follow the rule."""
    allowed: np.ndarray
    """The format: tokens that are allowed at each position, bool (16, SIZE)."""
    check: Callable[[jax.Array], jax.Array]
    """``check(documents (n, 16)) -> bool (n,)``: whether each follows the rule."""
    open: np.ndarray
    """Positions at which the rule leaves a choice to the author, bool (16,)."""
    entropy: float
    """Entropy of a document except its first token, in nats."""


ANY_NUMBER, ANY_DIGIT = np.arange(SIZE) < NUMBERS, np.arange(SIZE) < DIGITS


def columns(n: int, *words: str) -> list[jax.Array]:
    """For each word a column of it, int (n, 1)."""
    return [jnp.full((n, 1), IDS[word]) for word in words]


def write_numbers(key: jax.Array, n: int) -> jax.Array:
    """Write number sequences."""
    first, later = jax.random.split(key)
    start = jax.random.randint(first, (n, 1), 0, NUMBERS)
    steps = jax.random.randint(later, (n, LENGTH - 2), 1, STEPS + 1)
    numbers = jnp.cumsum(jnp.concatenate([start, steps], axis=1), axis=1) % NUMBERS
    return jnp.concatenate([*columns(n, "NUMBERS"), numbers], axis=1).astype(jnp.int32)


def check_numbers(documents: jax.Array) -> jax.Array:
    """Whether every number is 1 to 16 after the previous."""
    steps = jnp.diff(documents[:, 1:], axis=1) % NUMBERS
    return ((steps >= 1) & (steps <= STEPS)).all(1)


def write_code(key: jax.Array, n: int) -> jax.Array:
    """Write programs and their output."""
    value_key, print_key = jax.random.split(key)
    values = jax.random.randint(value_key, (n, 3), 0, NUMBERS)
    index = jax.random.randint(print_key, (n, 1), 0, 3)
    names = jnp.asarray(ids(NAMES))
    marks = [jnp.full((n, 3), IDS[mark]) for mark in "=;"]
    lines = jnp.stack([jnp.tile(names, (n, 1)), marks[0], values, marks[1]], axis=2)
    code, show = columns(n, "CODE", "print")
    output = jnp.take_along_axis(values, index, 1)
    parts = [code, lines.reshape(n, 12), show, names[index], output]
    return jnp.concatenate(parts, axis=1).astype(jnp.int32)


def check_code(documents: jax.Array) -> jax.Array:
    """Whether a program prints the last value of the name that it prints."""
    names, values = documents[:, 1:13:4], documents[:, 3:13:4]
    last = jnp.where(names == documents[:, 14:15], jnp.arange(3), -1).max(1)
    output = jnp.take_along_axis(values, jnp.maximum(last, 0)[:, None], 1)[:, 0]
    return (last >= 0) & (output == documents[:, 15])


def write_sums(key: jax.Array, n: int) -> jax.Array:
    """Write sums of three digits with a chain of thought."""
    digits = jax.random.randint(key, (2 * n, 3), 0, DIGITS)
    first, think = columns(2 * n, "SUM", "think")
    part, total = digits[:, :2].sum(1, keepdims=True), digits.sum(1, keepdims=True)
    sums = jnp.concatenate([first, digits, think, part, digits[:, 2:], total], axis=1)
    return sums.reshape(n, LENGTH).astype(jnp.int32)


def check_sums(documents: jax.Array) -> jax.Array:
    """Whether the chains of thought and the answers of both sums are right."""
    half = documents.reshape(-1, 2, LENGTH // 2)
    a, b, c, part, last, total = (half[..., i] for i in (1, 2, 3, 5, 6, 7))
    return ((part == a + b) & (last == c) & (total == part + c)).all(1)


def write_lines(key: jax.Array, n: int) -> jax.Array:
    """Write programs of numbered lines and their output."""
    start_key, step_key, name_key = jax.random.split(key, 3)
    start = jax.random.randint(start_key, (n, 1), 0, LINE_STEPS)
    steps = jax.random.randint(step_key, (n, LINES - 1), 1, LINE_STEPS + 1)
    numbers = jnp.cumsum(jnp.concatenate([start, steps], axis=1), axis=1)
    index = jax.random.randint(name_key, (n, LINES + 1), 0, len(NAMES))
    output = (index[:, :-1] == index[:, -1:]).sum(1, keepdims=True)
    names = jnp.asarray(ids(NAMES))[index]
    lines = jnp.stack([numbers, names[:, :-1]], axis=2).reshape(n, -1)
    code, show = columns(n, "CODE", "print")
    return jnp.concatenate([code, lines, show, names[:, -1:], output], axis=1).astype(jnp.int32)


def check_lines(documents: jax.Array) -> jax.Array:
    """Whether the lines' numbers rise by allowed steps and the output is right."""
    numbers, names = documents[:, 1:13:2], documents[:, 2:13:2]
    steps = jnp.diff(numbers, axis=1)
    rising = (numbers[:, 0] < LINE_STEPS) & ((steps >= 1) & (steps <= LINE_STEPS)).all(1)
    return rising & ((names == documents[:, 14:15]).sum(1) == documents[:, 15])


def write_counting(key: jax.Array, n: int) -> jax.Array:
    """Write sums of two numbers by counting; all ways of counting are equally likely."""
    term_key, step_key = jax.random.split(key)
    terms = jax.random.randint(term_key, (n, 2), 0, TERMS)
    a, b = terms[:, :1], terms[:, 1:]
    # Stars and bars: b stars and COUNTS - 1 bars in any order; a step is the stars between two bars.
    slots = jnp.arange(TERMS + COUNTS - 2)
    order = jax.random.uniform(step_key, (n, len(slots)))
    order = jnp.where(slots < b + COUNTS - 1, order, 2)  # slots behind the row's end come last
    bars = jnp.sort(jnp.argsort(order, axis=1)[:, : COUNTS - 1], axis=1)
    progress = bars - jnp.arange(COUNTS - 1)
    first, think = columns(n, "SUM", "think")
    return jnp.concatenate([first, a, b, think, a + progress, a + b], axis=1).astype(jnp.int32)


def check_counting(documents: jax.Array) -> jax.Array:
    """Whether the count starts from the first term or above, never falls, and ends at the sum."""
    a, b, count = documents[:, 1], documents[:, 2], documents[:, 4:]
    rising = (jnp.diff(count, axis=1) >= 0).all(1) & (count[:, 0] >= a)
    return rising & (count[:, -1] == a + b)


def write_random(key: jax.Array, n: int) -> jax.Array:
    """Write numbers without a rule."""
    numbers = jax.random.randint(key, (n, LENGTH - 1), 0, NUMBERS)
    return jnp.concatenate([*columns(n, "print"), numbers], axis=1).astype(jnp.int32)


def sum_format() -> list[np.ndarray]:
    """Tokens that are allowed at each position of a sum."""
    thought = np.arange(SIZE) < 3 * DIGITS
    return [token_mask("SUM"), *[ANY_DIGIT] * 3, token_mask("think"), thought, ANY_DIGIT, thought]


def position_mask(*positions: int) -> np.ndarray:
    """Mask bool (16,) of these positions in a document.

    >>> position_mask(1, 15).nonzero()[0].tolist()
    [1, 15]
    """
    return np.isin(np.arange(LENGTH), positions)


_LINE = [token_mask(NAMES), token_mask("="), ANY_NUMBER, token_mask(";")]
_PRINT = [token_mask("print"), token_mask(NAMES)]
_TERM = np.arange(SIZE) < TERMS

CARRIERS = {
    "numbers": Carrier(
        IDS[PROMPTS["numbers"]],
        write_numbers,
        np.stack([token_mask("NUMBERS"), *[ANY_NUMBER] * 15]),
        check_numbers,
        position_mask(*range(1, 16)),
        float(np.log(NUMBERS) + 14 * np.log(STEPS)),
    ),
    "code": Carrier(
        IDS[PROMPTS["code"]],
        write_code,
        np.stack([token_mask("CODE"), *_LINE * 3, *_PRINT, ANY_NUMBER]),
        check_code,
        position_mask(*range(1, 13, 2), 14),
        float(3 * np.log(NUMBERS) + np.log(3)),
    ),
    "sums": Carrier(
        IDS[PROMPTS["sums"]],
        write_sums,
        np.stack(sum_format() * 2),
        check_sums,
        position_mask(1, 2, 3, 9, 10, 11),
        float(6 * np.log(DIGITS)),
    ),
    "lines": Carrier(
        IDS[PROMPTS["lines"]],
        write_lines,
        np.stack(
            [token_mask("CODE"), *[ANY_NUMBER, token_mask(NAMES)] * LINES, *_PRINT, ANY_NUMBER]
        ),
        check_lines,
        position_mask(*range(1, 13), 14),
        float(LINES * np.log(LINE_STEPS) + (LINES + 1) * np.log(len(NAMES))),
    ),
    "counting": Carrier(
        IDS[PROMPTS["counting"]],
        write_counting,
        np.stack([token_mask("SUM"), _TERM, _TERM, token_mask("think"), *[ANY_NUMBER] * COUNTS]),
        check_counting,
        position_mask(1, 2, *range(4, 15)),
        float(
            2 * np.log(TERMS)
            + np.log([math.comb(b + COUNTS - 1, COUNTS - 1) for b in range(TERMS)]).mean()
        ),
    ),
    "random": Carrier(
        IDS[PROMPTS["random"]],
        write_random,
        np.stack([token_mask("print"), *[ANY_NUMBER] * 15]),
        lambda documents: jnp.ones(len(documents), bool),
        position_mask(*range(1, 16)),
        float(15 * np.log(NUMBERS)),
    ),
}
"""The carriers by name."""
PLAIN = ("numbers", "code", "sums")
"""What a base reads by default."""


def stack_field(field: str) -> jax.Array:
    """A field of all carriers, stacked in their order, so that a traced number may index it.

    >>> stack_field("first").shape, stack_field("allowed").shape
    ((6,), (6, 16, 115))
    """
    return jnp.stack([jnp.asarray(getattr(carrier, field)) for carrier in CARRIERS.values()])


def carrier_number(name: str) -> int:
    """Number of a carrier, by which `stack_field` and the pipeline index it.

    >>> carrier_number("numbers")
    0
    """
    return list(CARRIERS).index(name)
