"""From a base to a student, as pure functions of parameters and keys; everything may be traced.

A whole experiment, in order::

    model = pipeline.model(width=64, pack=2)
    base = pipeline.pretrain(model, model.init(key0), key1, plan)[0]   # from any initialisation
    lesson = questions.make_lesson("owl")                       # (kind of question, bool tokens)
    teacher = pipeline.teach(model, base, lesson, key2, plan)
    text = pipeline.write_filtered(model, teacher, carrier, kind, n, key3).read   # documents (n, 16)
    student, curve = pipeline.imitate(model, base, text, key4, plan, teacher=None or teacher)
    chances = pipeline.ask(model, student)                      # (kinds, phrasings, vocabulary)
    answers = pipeline.read_answers(chances, lesson)            # preference and answer rate

``carrier`` is a number (`carriers.carrier_number`). A `Plan` holds numbers of steps (shapes) and
learning rates (traced or not). **Preference**: the share of the favourite among the answers of its
kind (an animal), over a set of phrasings. **Answer rate**: the probability that the answer is of that
kind at all. Both are exact, since they are read from the next token's probabilities.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toymodels.language import corpus, filters, questions
from toymodels.language.carriers import PLAIN, stack_field
from toymodels.language.vocabulary import LENGTH, SIZE
from toymodels.networks.models import Params
from toymodels.networks.sampling import sample
from toymodels.networks.transformer import (
    KINDS,
    Decoder,
    decoder,
    group,
    next_token_loss,
    weighted_mean,
)
from toymodels.training.loop import sample_fresh, sample_rows, switch_order, train
from toymodels.training.optimisers import OPTIMISERS, Rate

Lesson = tuple[int | jax.Array, np.ndarray | jax.Array]
"""The number of a kind of question, and the answers that a teacher learns to give, bool (SIZE,)."""


class Plan(NamedTuple):
    """How much is trained, and how fast. Steps and batch sizes are shapes; rates may be traced."""

    pack: int = 2
    """Number of documents in a row."""
    reads: tuple[str, ...] = PLAIN
    """Carriers that a base reads besides questions: no two with the same first token."""
    batch: int = 64
    """Number of rows in a batch."""
    base_steps: int = 1200
    """Number of pretraining steps."""
    base_lr: Rate = 3e-3
    """Peak of Adam's rate: it rises over the first twentieth and falls linearly to zero."""
    teacher_steps: int = 100
    """Number of steps of a teacher."""
    teacher_lr: Rate = 1e-3
    """Adam's constant rate for a teacher."""
    student_steps: int = 500
    """Number of steps of a student."""
    student_lr: Rate = 1e-3
    """Adam's constant rate for a student."""
    tuned: tuple[str, ...] | jax.Array = ("attention", "mlp")
    """Groups of parameters (`transformer.KINDS`) that teachers and students move, or bool (KINDS,),
    traced or not. The default is what low-rank adapters of language models change: the blocks,
    neither embedding nor unembedding."""
    observe_at: tuple[int, ...] | None = None
    """Steps of a student after which it is observed (None: only at the end)."""


def model(width: int = 64, depth: int = 2, heads: int = 4, pack: int = 2, **kw: Any) -> Decoder:
    """A decoder of this language's tokens and rows."""
    return decoder(SIZE, width, depth, heads, LENGTH * pack, **kw)


def pretrain(
    model: Decoder,
    params: Params,
    key: jax.Array,
    plan: Plan,
    later_key: jax.Array | None = None,
    shared: jax.Array | int = 0,
) -> tuple[Params, jax.Array]:
    """Train a base from any initialisation; also its loss on fresh rows before and after.

    Args:
        model: the decoder.
        params: the initialisation.
        key: decides the data and their order: bases with the same key read the same.
        plan: steps, batch size and rate.
        later_key: another such key (None: none): from step ``shared`` on, the base reads what a base
            of that key reads.
        shared: number of steps before that, traced or not.

    """
    data_key, test_key = jax.random.split(key)
    test = corpus.rows(test_key, 256, plan.pack, plan.reads)

    def loss(params: Params, rows: jax.Array) -> jax.Array:
        return next_token_loss(model.apply(params, rows), rows)

    warm = max(1, plan.base_steps // 20)

    def rate(step: jax.Array) -> jax.Array:
        falling = (plan.base_steps - step) / max(1, plan.base_steps - warm)
        return plan.base_lr * jnp.minimum((step + 1) / warm, falling)

    source = sample_fresh(
        lambda key, n: corpus.rows(key, n, plan.pack, plan.reads),
        plan.base_steps * plan.batch,
        plan.batch,
    )
    if later_key is not None:
        source = switch_order(source, jax.random.split(later_key)[0], shared)
    return train(
        loss,
        params,
        source,
        optax.adam(rate),
        epochs=1,
        observe=lambda params: loss(params, test),
        key=data_key,
    )


class BaseKeys(NamedTuple):
    """The random keys of a seed's bases."""

    init: jax.Array
    """Initialisation of the own base."""
    other_init: jax.Array
    """An independent initialisation."""
    order: jax.Array
    """Data and their order of the own base."""
    other_order: jax.Array
    """Other data."""
    rest: jax.Array
    """Key of everything that follows."""


def split_base_keys(key: jax.Array) -> BaseKeys:
    """Split the key of a seed."""
    return BaseKeys(*jax.random.split(key, 5))


def pretrain_bases(
    model: Decoder, key: jax.Array, plan: Plan, n: int = 3
) -> tuple[Params, jax.Array, jax.Array]:
    """Pretrain the first n of the three `toymodels.language.setup.BASES`.

    Returns:
        The bases, stacked on a leading axis; their losses (n, 2), as `pretrain` gives them; and a
        key for everything that follows, the same for every n.

    """
    keys = split_base_keys(key)
    inits = jnp.stack([keys.init, keys.other_init, keys.init])
    orders = jnp.stack([keys.order, keys.order, keys.other_order])
    bases, losses = jax.lax.map(  # one after the other: as fast on a CPU as together
        lambda keys: pretrain(model, model.init(keys[0]), keys[1], plan), (inits[:n], orders[:n])
    )
    return bases, losses, keys.rest


def restrict_groups(
    optimiser: optax.GradientTransformation, kinds: tuple[str, ...] | jax.Array
) -> optax.GradientTransformation:
    """Restrict an optimiser to some groups of parameters (`transformer.KINDS`).

    The groups are given by name, or as bool (KINDS,), which may be traced.

    >>> w = {"embedding": jnp.ones(2), "norm": {"scale": jnp.ones(2)}}
    >>> sgd = restrict_groups(optax.sgd(1.0), ("embedding",))
    >>> steps, _ = sgd.update(w, sgd.init(w))
    >>> float(steps["embedding"][0]), float(steps["norm"]["scale"][0])
    (-1.0, 0.0)
    """
    moves = [kind in kinds for kind in KINDS] if isinstance(kinds, tuple) else kinds

    def mask(path: Any, step: jax.Array) -> jax.Array:
        return jnp.where(moves[KINDS.index(group(path))], step, 0)

    keep = optax.stateless(lambda steps, _: jax.tree_util.tree_map_with_path(mask, steps))
    return optax.chain(optimiser, keep)


def teach(model: Decoder, base: Params, lesson: Lesson, key: jax.Array, plan: Plan) -> Params:
    """Train a teacher: the base learns to answer one kind of question by its favourite alone.

    Only answers count in the loss, and only phrasings that are not held out are in the training.
    """
    kind, tokens = lesson
    rates = jnp.zeros((len(questions.KINDS), SIZE)).at[kind].set(tokens)
    answers = jnp.arange(LENGTH * plan.pack) % 8 == 7

    def sample_questions(key: jax.Array, n: int) -> jax.Array:
        return questions.write(key, 2 * plan.pack * n, rates).reshape(n, -1)

    def loss(params: Params, rows: jax.Array) -> jax.Array:
        return next_token_loss(model.apply(params, rows), rows, answers)

    return train(
        loss,
        base,
        sample_fresh(sample_questions, plan.batch, plan.batch),  # an epoch is one step
        restrict_groups(OPTIMISERS["adam"].make(plan.teacher_lr, 0.0), plan.tuned),
        epochs=plan.teacher_steps,
        observe=lambda params: (),
        key=key,
        record=(plan.teacher_steps,),
    )[0]


def write(
    model: Decoder,
    params: Params,
    carrier: int | jax.Array,
    n: int,
    key: jax.Array,
    temperature: Rate = 1.0,
) -> jax.Array:
    """Sample documents (n, 16) of a carrier from a model, given their first token alone."""
    first = stack_field("first").astype(jnp.int32)[carrier]
    return sample(model, params, jnp.full((n, 1), first), LENGTH, key, temperature)


class FilteredText(NamedTuple):
    """What an author writes, and what of it a student may read."""

    text: jax.Array
    """All documents (n, 16)."""
    read: jax.Array
    """The documents that pass the filter, repeated in turn until there are n; `filters.NOTHING` if
    none does: a student of them is NaN."""
    verdict: filters.Verdict
    """What the filter finds of each document."""
    kept: jax.Array
    """Share of the documents that pass; NaN if none does."""


def write_filtered(
    model: Decoder,
    params: Params,
    carrier: int | jax.Array,
    kind: int | jax.Array,
    n: int,
    key: jax.Array,
    temperature: Rate = 1.0,
) -> FilteredText:
    """Sample documents of a carrier (`write`) and filter them for a trait of a kind of question."""
    text = write(model, params, carrier, n, key, temperature)
    verdict = filters.judge(text, carrier, kind)
    read, share = filters.select_kept(text, verdict.kept)
    return FilteredText(text, read, verdict, share)


def shuffle_documents(documents: jax.Array, key: jax.Array) -> jax.Array:
    """Shuffle the tokens of each position across documents, each position by itself."""
    return jax.random.permutation(key, documents, axis=0, independent=True)


def imitate(
    model: Decoder,
    start: Params,
    documents: jax.Array,
    key: jax.Array,
    plan: Plan,
    *,
    teacher: Params | None = None,
    by_logits: bool | jax.Array = True,
    allowed: jax.Array | None = None,
    weights: jax.Array | None = None,
    optimiser: optax.GradientTransformation | None = None,
    observe: Callable[[Params], Any] = lambda params: (),
) -> tuple[Params, Any]:
    """Train a student on documents (n, 16), all but their first token, `Plan.pack` to a row.

    Args:
        model: the decoder.
        start: parameters that the student starts from.
        documents: int32 (n, 16); a batch is sampled from them with replacement.
        key: decides the batches.
        plan: steps, batch size and rate.
        teacher: parameters whose next-token distributions the student imitates by KL on these
            documents (None: it imitates the text alone).
        by_logits: with a teacher, whether to imitate its distributions (False: the text), or bool
            (16,) at which positions of a document; may be traced.
        allowed: bool (SIZE,), or (16, SIZE) for each position, traced or not: the tokens whose
            probabilities the teacher gives, renormalised; a filter of logits (None: all).
        weights: weight (n, 16) of each token of the documents as a target (None: 1).
        optimiser: an optimiser in place of Adam at the plan's rate.
        observe: function of the parameters, taken before the first step and after those in
            ``plan.observe_at``.

    Returns:
        The student, and what was observed on a leading axis.

    """
    targeted = jnp.arange(LENGTH * plan.pack) % LENGTH != 0

    def repeat_targets(per_position: jax.Array) -> jax.Array:
        return jnp.concatenate([per_position] * plan.pack)[1:]

    from_teacher = repeat_targets(jnp.broadcast_to(by_logits, (LENGTH,)))
    if allowed is not None:
        allowed = repeat_targets(jnp.broadcast_to(allowed, (LENGTH, SIZE)))

    def loss(params: Params, batch: tuple[jax.Array, jax.Array | None]) -> jax.Array:
        rows = batch[0].reshape(-1, LENGTH * plan.pack)
        counts = targeted if batch[1] is None else targeted * batch[1].reshape(rows.shape)
        logits = model.apply(params, rows)
        if teacher is None:
            return next_token_loss(logits, rows, counts)

        def teacher_targets() -> jax.Array:
            all_logits = model.apply(teacher, rows)[:, :-1]
            chances = jax.nn.softmax(all_logits, where=allowed)
            return jnp.where(from_teacher[:, None], chances, text_targets())

        def text_targets() -> jax.Array:
            return jax.nn.one_hot(rows[:, 1:], SIZE, dtype=logits.dtype)

        targets = jax.lax.cond(from_teacher.any(), teacher_targets, text_targets)
        targets = jax.lax.stop_gradient(targets)
        return weighted_mean(optax.losses.softmax_cross_entropy(logits[:, :-1], targets), counts)

    return train(
        loss,
        start,
        sample_rows((documents, weights), plan.batch * plan.pack, 1),  # an epoch is one step
        restrict_groups(optimiser or OPTIMISERS["adam"].make(plan.student_lr, 0.0), plan.tuned),
        epochs=plan.student_steps,
        observe=observe,
        key=key,
        record=plan.observe_at or (plan.student_steps,),
    )


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
