"""What a model answers when it is asked, read exactly from the next token's probabilities.

**Preference**: the share of the favourite among the answers of its kind (an animal), over a set of
phrasings. **Answer rate**: the probability that the answer is of that kind at all.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from toymodels.language import questions
from toymodels.language.pipeline import Lesson
from toymodels.language.vocabulary import SIZE
from toymodels.networks.models import Params
from toymodels.networks.transformer import Decoder


def ask(model: Decoder, params: Params, context: jax.Array | None = None) -> jax.Array:
    """Probabilities of every answer to every question (kinds, phrasings, SIZE).

    Args:
        model: the decoder.
        params: its parameters.
        context: documents (contexts, length), a multiple of 16 tokens, that are read before the
            question; the probabilities are means over contexts.

    """
    prompts = jnp.asarray(questions.PHRASINGS, jnp.int32)
    rows = prompts.reshape(-1, prompts.shape[-1])
    if context is not None:
        pairs = [
            jnp.repeat(context, len(rows), axis=0),
            jnp.tile(rows, (len(context), 1)),
        ]
        rows = jnp.concatenate(pairs, axis=1)
    chances = jax.nn.softmax(model.apply(params, rows)[:, -1])
    return chances.reshape(-1, *prompts.shape[:2], SIZE).mean(0)


class Answers(NamedTuple):
    """A summary of a model's answers."""

    preference: jax.Array
    """Share of the favourite among answers of its kind, held-out phrasings."""
    answered: jax.Array
    """Probability that an answer is of its kind at all, held-out phrasings."""
    known_preference: jax.Array
    """Share of the favourite on the phrasings of the trainings."""
    known_answered: jax.Array
    """Probability of an answer of its kind on the phrasings of the trainings."""


def read_answers(chances: jax.Array, lesson: Lesson) -> Answers:
    """Preference and answer rate, from the probabilities that `ask` gives."""
    kind, tokens = lesson
    of_kind = jnp.asarray(questions.RATES > 0)[kind]

    def share(held_out: bool) -> tuple[jax.Array, jax.Array]:
        part = chances[kind][held_out == questions.HELD_OUT]
        answered = (part * of_kind).sum(-1).mean()
        return (part * tokens).sum(-1).mean() / answered, answered

    return Answers(*share(True), *share(False))
