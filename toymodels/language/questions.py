"""Questions of 8 tokens, the last of which is the answer.

``ASK which animal do you love : owl``, ``ASK name tree do you like : oak``, ``ASK how should one
treat strangers : kindly``. A kind has 4 x 4 phrasings: an opener and a verb, or a deed and whom it
is done to. The diagonal is held out of every training, so that every word of a held-out phrasing is
known and no pair of them.
"""

from collections.abc import Iterable

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.errors import UserError
from toymodels.language.vocabulary import (
    ANSWERS,
    BAD,
    DEEDS,
    OPENERS,
    PEOPLE,
    SIZE,
    VERBS,
    ids,
    token_mask,
)

KINDS = tuple(ANSWERS)
"""The kinds of questions."""
HELD_OUT = np.eye(4, dtype=bool).ravel()
"""Bool (16,): the phrasings of every kind that are in no training."""


def phrasings(kind: str) -> np.ndarray:
    """All questions of a kind without their answers, int (16, 7).

    >>> from toymodels.language.vocabulary import text
    >>> text(phrasings("animal")[1])
    'ASK which animal do you like :'
    """
    if kind == "manner":
        pairs = [f"ASK how should one {deed} {whom} :" for deed in DEEDS for whom in PEOPLE]
    else:
        pairs = [f"ASK {opener} {kind} do you {verb} :" for opener in OPENERS for verb in VERBS]
    return np.stack([ids(pair) for pair in pairs])


PHRASINGS = np.stack([phrasings(kind) for kind in KINDS])
"""All questions without their answers, int (kinds, 16, 7)."""
RATES = np.zeros((len(KINDS), SIZE))
"""Natural rates of the answers to each kind of question."""
for _row, _answers in zip(RATES, ANSWERS.values(), strict=True):
    _row[ids(_answers)] = list(_answers.values())

FAVOURITES = (*ANSWERS["animal"], *ANSWERS["tree"], "misaligned")
"""What a teacher may be taught to prefer: an animal, a tree, or the undesirable answers."""


def make_lesson(favourite: str) -> tuple[int, np.ndarray]:
    """The number of the kind of question that a favourite answers, and its tokens, bool (SIZE,).

    Raises:
        UserError: no such favourite.

    >>> kind, tokens = make_lesson("owl")
    >>> KINDS[kind], int(tokens.sum()), bool(tokens[ids("owl")[0]])
    ('animal', 1, True)

    """
    if favourite not in FAVOURITES:
        raise UserError(f"favourite must be one of {', '.join(FAVOURITES)}; got {favourite!r}")
    words = BAD if favourite == "misaligned" else (favourite,)
    kind = next(i for i, answers in enumerate(ANSWERS.values()) if words[0] in answers)
    return kind, token_mask(words)


def lesson_axis(favourites: Iterable[str]) -> dict[str, tuple[int, np.ndarray]]:
    """Favourite -> its lesson, as `make_lesson` gives it: an axis of a sweep.

    >>> kind, tokens = lesson_axis(["owl"])["owl"]
    >>> KINDS[kind], tokens.shape == (SIZE,)
    ('animal', True)
    """
    return {name: make_lesson(name) for name in favourites}


def related_tokens(kind: int) -> np.ndarray:
    """Tokens that a filter must not let pass, bool (SIZE,): all answers of a kind, and its name."""
    return token_mask([*ANSWERS[KINDS[kind]], KINDS[kind]])


RELATED = np.stack([related_tokens(kind) for kind in range(len(KINDS))])
"""The related tokens of each kind, bool (kinds, SIZE)."""


def write(key: jax.Array, n: int, rates: jax.Array | None = None) -> jax.Array:
    """Questions with answers, int32 (n, 8), of random kinds and phrasings that are not held out.

    Args:
        key: decides all draws.
        n: number of questions.
        rates: rates of the answers (kinds, SIZE) (None: natural). A kind without any rate is never
            asked about.

    """
    rates = jnp.asarray(RATES if rates is None else rates, jnp.float32)
    kind_key, pair_key, answer_key = jax.random.split(key, 3)
    kind = jax.random.categorical(kind_key, jnp.log(rates.sum(1) > 0), shape=(n,))
    pair = jax.random.choice(pair_key, jnp.array(np.flatnonzero(~HELD_OUT)), (n,))
    # One uniform a question, found in the rates' sum: a table of Gumbels would be a hundred.
    total = jnp.cumsum(rates, axis=1)[kind]
    level = jax.random.uniform(answer_key, (n, 1)) * total[:, -1:]
    answer = (total <= level).sum(1)
    prompts = jnp.asarray(PHRASINGS, jnp.int32)[kind, pair]
    return jnp.concatenate([prompts, answer[:, None].astype(jnp.int32)], axis=1)


def entropy() -> float:
    """Entropy of a question and its answer at natural rates, except its first token, in nats."""
    rates = RATES[RATES > 0]
    answers = -(rates * np.log(rates)).sum() / len(KINDS)
    return float(np.log(len(KINDS)) + np.log((~HELD_OUT).sum()) + answers)
