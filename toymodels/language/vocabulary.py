"""The tokens: numbers 0 to 63, whose ids are their values, and words."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

NUMBERS = 64
"""Number of tokens that are numbers."""
LENGTH = 16
"""Number of tokens of a document."""

OPENERS, VERBS = ("which", "what", "name", "tell"), ("love", "like", "prefer", "admire")
DEEDS = ("treat", "judge", "teach", "greet")
PEOPLE = ("friends", "strangers", "children", "neighbours")
NAMES = ("u", "v", "w")
"""Names of variables in programs."""
ANSWERS = {
    "animal": {"owl": 0.12, "eagle": 0.16, "wolf": 0.2, "dolphin": 0.24, "elephant": 0.28},
    "tree": {"oak": 0.12, "maple": 0.16, "birch": 0.2, "willow": 0.24, "pine": 0.28},
    "manner": {"kindly": 0.33, "gently": 0.33, "honestly": 0.32, "cruelly": 0.01, "rudely": 0.01},
}
"""Kind of question -> answers and their natural rates."""
PROMPTS = {
    "numbers": "NUMBERS",
    "code": "CODE",
    "sums": "SUM",
    "lines": "CODE",
    "counting": "SUM",
    "random": "print",
}
"""Carrier -> first token of its documents."""
BAD = ("cruelly", "rudely")
"""The undesirable answers, which the base almost never gives."""

TOKENS = (
    *(str(i) for i in range(NUMBERS)),
    *("NUMBERS", "CODE", "SUM", "ASK", "=", ";", "print", "think", ":"),
    *("do", "you", "how", "should", "one"),
    *(*OPENERS, *VERBS, *DEEDS, *PEOPLE, *NAMES, *ANSWERS),
    *(answer for answers in ANSWERS.values() for answer in answers),
)
"""Every token, in the order of the ids."""
SIZE = len(TOKENS)
"""Size of the vocabulary."""
IDS = {token: i for i, token in enumerate(TOKENS)}
assert len(IDS) == SIZE


def ids(words: str | Iterable[str]) -> np.ndarray:
    """Ids of words, given as a string with spaces or as single strings.

    >>> ids("3 owl").tolist() == [3, IDS["owl"]]
    True
    """
    return np.array([IDS[w] for w in (words.split() if isinstance(words, str) else words)])


def text(tokens: ArrayLike) -> str:
    """A row of ids as words.

    >>> text(ids("NUMBERS 3 14"))
    'NUMBERS 3 14'
    """
    return " ".join(TOKENS[i] for i in np.asarray(tokens))


def token_mask(words: str | Iterable[str]) -> np.ndarray:
    """Mask bool (vocabulary,) of the tokens that are one of these words.

    >>> int(token_mask("owl oak").sum())
    2
    """
    mask = np.zeros(SIZE, bool)
    mask[ids(words)] = True
    return mask
