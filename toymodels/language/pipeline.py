"""From a base to a student, as pure functions of parameters and keys; everything may be traced.

A whole experiment, in order::

    model = pipeline.model(width=64, pack=2)
    base = pipeline.pretrain(model, model.init(key0), key1, plan)[0]   # any init, rotated ones too
    lesson = questions.wanted("owl")                            # (kind of question, bool tokens)
    teacher = pipeline.teach(model, base, lesson, key2, plan)
    text = pipeline.filtered(model, teacher, carrier, kind, n, key3).read   # documents (n, 16)
    student, curve = pipeline.imitate(model, base, text, key4, plan, teacher=None or teacher)
    chances = pipeline.ask(model, student)                      # (kinds, phrasings, vocabulary)
    told = pipeline.told(chances, lesson)                       # preference and answer rate

``carrier`` is a number, an index into `carriers.CARRIERS`. A `Plan` holds steps (shapes) and rates
(traced or not). **Preference**: the share of the favourite among the answers that are of its kind
(an animal), over phrasings of a set. **Answer rate**: the chance that the answer is of its kind at
all. Both are exact, read off the next token's probabilities.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toymodels.language import corpus, filters, questions
from toymodels.language.carriers import PLAIN, table
from toymodels.language.vocabulary import LENGTH, SIZE
from toymodels.networks.models import Params
from toymodels.networks.sampling import sample
from toymodels.networks.transformer import KINDS, Decoder, decoder, group, next_token_loss, weighted
from toymodels.training.loop import sample_fresh, sample_rows, switch_order, train
from toymodels.training.optimisers import OPTIMISERS, Rate

Lesson = tuple[int | jax.Array, np.ndarray | jax.Array]
"""What a teacher is taught: a kind of question and bool (SIZE,), the answers to it."""


class Plan(NamedTuple):
    """How much is trained, and how fast. Steps and batches are shapes; rates may be traced."""

    pack: int = 2
    """Documents in a row."""
    reads: tuple[str, ...] = PLAIN
    """Carriers that a base reads, besides questions: no two that begin alike."""
    batch: int = 64
    """Rows in a batch."""
    base_steps: int = 1200
    base_lr: Rate = 3e-3
    """Peak of Adam's rate: it rises over the first twentieth and falls linearly to zero."""
    teacher_steps: int = 100
    teacher_lr: Rate = 1e-3
    """Adam's, constant."""
    student_steps: int = 500
    student_lr: Rate = 1e-3
    """Adam's, constant."""
    tuned: tuple[str, ...] | jax.Array = ("attention", "mlp")
    """Groups of parameters (`transformer.KINDS`) that teachers and students move, or bool (KINDS,),
    traced or not; by default what low-rank adapters of language models sit on: the blocks, not
    embedding or unembedding."""
    record: tuple[int, ...] | None = None
    """Steps of the student after which it is asked (None: only at the end)."""


def model(width: int = 64, depth: int = 2, heads: int = 4, pack: int = 2, **kw: Any) -> Decoder:
    """A decoder of this language's tokens and rows."""
    return decoder(SIZE, width, depth, heads, LENGTH * pack, **kw)


def pretrain(
    model: Decoder,
    params: Params,
    key: jax.Array,
    plan: Plan,
    other: jax.Array | None = None,
    shared: jax.Array | int = 0,
) -> tuple[Params, jax.Array]:
    """A base, from any init; and its loss on sample_fresh rows before and after.

    Args:
        model: the decoder.
        params: its parameters to begin with.
        key: of the data and their order: bases with the same one read the same.
        plan: steps, batch and rate.
        other: another such key (None: none): from step ``shared`` on the base reads what a base of
            that key reads.
        shared: steps before that, traced or not.

    """
    of_data, of_test = jax.random.split(key)
    test = corpus.rows(of_test, 256, plan.pack, plan.reads)

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
    if other is not None:
        source = switch_order(source, jax.random.split(other)[0], shared)
    return train(
        loss,
        params,
        source,
        optax.adam(rate),
        epochs=1,
        observe=lambda params: loss(params, test),
        key=of_data,
    )


def bases(
    model: Decoder, key: jax.Array, plan: Plan, n: int = 3
) -> tuple[Params, jax.Array, jax.Array]:
    """The first n of three bases: own, another init that read the same, the init that read other.

    Returns:
        The bases stacked on a leading axis; their losses (n, 2), as `pretrain` has them; and a key
        for all that follows, the same whatever n.

    """
    init, other, order, reorder, rest = jax.random.split(key, 5)
    inits, orders = jnp.stack([init, other, init]), jnp.stack([order, order, reorder])
    pretrained, losses = jax.lax.map(  # one after the other: one alone is as fast on a CPU
        lambda keys: pretrain(model, model.init(keys[0]), keys[1], plan), (inits[:n], orders[:n])
    )
    return pretrained, losses, rest


def only(
    optimiser: optax.GradientTransformation, kinds: tuple[str, ...] | jax.Array
) -> optax.GradientTransformation:
    """An optimiser that moves only some groups of parameters (`transformer.KINDS`).

    They are named, or bool (KINDS,), which may be traced.

    >>> w = {"embedding": jnp.ones(2), "norm": {"scale": jnp.ones(2)}}
    >>> sgd = only(optax.sgd(1.0), ("embedding",))
    >>> steps, _ = sgd.update(w, sgd.init(w))
    >>> float(steps["embedding"][0]), float(steps["norm"]["scale"][0])
    (-1.0, 0.0)
    """
    moves = [kind in kinds for kind in KINDS] if isinstance(kinds, tuple) else kinds

    def kept(path: Any, step: jax.Array) -> jax.Array:
        return jnp.where(moves[KINDS.index(group(path))], step, 0)

    keep = optax.stateless(lambda steps, _: jax.tree_util.tree_map_with_path(kept, steps))
    return optax.chain(optimiser, keep)


def teach(model: Decoder, base: Params, lesson: Lesson, key: jax.Array, plan: Plan) -> Params:
    """A teacher: the base, trained to answer one kind of question by its favourite alone.

    Only answers count in the loss, and only phrasings that are not held out are asked.
    """
    kind, tokens = lesson
    rates = jnp.zeros((len(questions.KINDS), SIZE)).at[kind].set(tokens)
    answers = jnp.arange(LENGTH * plan.pack) % 8 == 7

    def asked(key: jax.Array, n: int) -> jax.Array:
        return questions.write(key, 2 * plan.pack * n, rates).reshape(n, -1)

    def loss(params: Params, rows: jax.Array) -> jax.Array:
        return next_token_loss(model.apply(params, rows), rows, answers)

    return train(
        loss,
        base,
        sample_fresh(asked, plan.batch, plan.batch),  # an epoch is one step
        only(OPTIMISERS["adam"].make(plan.teacher_lr, 0.0), plan.tuned),
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
    """Documents (n, 16) of a carrier that a model writes, given their first token alone."""
    first = table("first").astype(jnp.int32)[carrier]
    return sample(model, params, jnp.full((n, 1), first), LENGTH, key, temperature)


class Filtered(NamedTuple):
    """What a teacher writes, and what of it a student may read."""

    text: jax.Array
    """All documents (n, 16)."""
    read: jax.Array
    """Those that pass the filter, repeated in turn to be as many; `filters.NOTHING`, if none does:
    a student of them is NaN."""
    verdict: filters.Verdict
    """Of each of all."""
    kept: jax.Array
    """Share of all that pass; NaN if none does."""


def filtered(
    model: Decoder,
    params: Params,
    carrier: int | jax.Array,
    kind: int | jax.Array,
    n: int,
    key: jax.Array,
    temperature: Rate = 1.0,
) -> Filtered:
    """Documents of a carrier that a model writes (`write`), judged for a kind of question."""
    text = write(model, params, carrier, n, key, temperature)
    verdict = filters.judge(text, carrier, kind)
    read, share = filters.kept_only(text, verdict.kept)
    return Filtered(text, read, verdict, share)


def shuffled(documents: jax.Array, key: jax.Array) -> jax.Array:
    """The same tokens at the same places, each place shuffled across documents by itself."""
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
    among: jax.Array | None = None,
    weights: jax.Array | None = None,
    optimiser: optax.GradientTransformation | None = None,
    observe: Callable[[Params], Any] = lambda params: (),
) -> tuple[Params, Any]:
    """A student: trained on documents (n, 16), all but their first token, `plan.pack` to a row.

    Args:
        model: the decoder.
        start: the student's parameters to begin with.
        documents: int32 (n, 16); rows are sample_rows from them with replacement.
        key: which documents when.
        plan: steps, batch and rate.
        teacher: parameters whose next-token distributions it imitates by KL on these documents
            (None: it imitates the text alone).
        by_logits: with a teacher, whether to imitate it (or the text after all), or bool (16,) at
            which tokens of a document; may be traced.
        among: bool (SIZE,), or (16, SIZE) for each token of a document, traced or not: tokens
            whose chances the teacher tells, renormalised; a filter of logits (None: all).
        weights: (n, 16), how much each token of the documents counts as a target (None: 1).
        optimiser: in place of Adam at the plan's rate.
        observe: of the parameters, before the first step and after those in ``plan.record``.

    Returns:
        The student, and what was observed on a leading axis.

    """
    written = jnp.arange(LENGTH * plan.pack) % LENGTH != 0

    def targets_of(of_document: jax.Array) -> jax.Array:
        return jnp.concatenate([of_document] * plan.pack)[1:]

    told_at = targets_of(jnp.broadcast_to(by_logits, (LENGTH,)))
    if among is not None:
        among = targets_of(jnp.broadcast_to(among, (LENGTH, SIZE)))

    def loss(params: Params, batch: tuple[jax.Array, jax.Array | None]) -> jax.Array:
        rows = batch[0].reshape(-1, LENGTH * plan.pack)
        counts = written if batch[1] is None else written * batch[1].reshape(rows.shape)
        logits = model.apply(params, rows)
        if teacher is None:
            return next_token_loss(logits, rows, counts)

        def told() -> jax.Array:
            all_logits = model.apply(teacher, rows)[:, :-1]
            chances = jax.nn.softmax(all_logits, where=among)
            return jnp.where(told_at[:, None], chances, text())

        def text() -> jax.Array:
            return jax.nn.one_hot(rows[:, 1:], SIZE, dtype=logits.dtype)

        targets = jax.lax.stop_gradient(jax.lax.cond(told_at.any(), told, text))
        return weighted(optax.losses.softmax_cross_entropy(logits[:, :-1], targets), counts)

    return train(
        loss,
        start,
        sample_rows((documents, weights), plan.batch * plan.pack, 1),  # an epoch is one step
        only(optimiser or OPTIMISERS["adam"].make(plan.student_lr, 0.0), plan.tuned),
        epochs=plan.student_steps,
        observe=observe,
        key=key,
        record=plan.record or (plan.student_steps,),
    )


def ask(model: Decoder, params: Params, context: jax.Array | None = None) -> jax.Array:
    """Chances of every answer to every question (kinds, phrasings, SIZE).

    Args:
        model: the decoder.
        params: its parameters.
        context: documents (contexts, length), a multiple of 16 tokens, read before the question;
            chances are the means over contexts.

    """
    asked = jnp.asarray(questions.PHRASINGS, jnp.int32)
    flat = asked.reshape(-1, asked.shape[-1])
    if context is not None:
        pairs = [
            jnp.repeat(context, len(flat), axis=0),
            jnp.tile(flat, (len(context), 1)),
        ]
        flat = jnp.concatenate(pairs, axis=1)
    chances = jax.nn.softmax(model.apply(params, flat)[:, -1])
    return chances.reshape(-1, *asked.shape[:2], SIZE).mean(0)


class Told(NamedTuple):
    """What a model's answers come to."""

    preference: jax.Array
    """Share of the favourite among answers of its kind, held-out phrasings."""
    answered: jax.Array
    """Chance that the answer is of its kind at all, held-out phrasings."""
    known_preference: jax.Array
    """The preference on the phrasings that trainings have."""
    known_answered: jax.Array
    """The answer rate on them."""


def told(chances: jax.Array, lesson: Lesson) -> Told:
    """Preference and answer rate (see above) of the chances that `ask` finds."""
    kind, tokens = lesson
    of_kind = jnp.asarray(questions.RATES > 0)[kind]

    def share(held_out: bool) -> tuple[jax.Array, jax.Array]:
        each = chances[kind][held_out == questions.HELD_OUT]
        answered = (each * of_kind).sum(-1).mean()
        return (each * tokens).sum(-1).mean() / answered, answered

    return Told(*share(True), *share(False))
