"""From a base to the documents of a teacher, as pure functions of parameters and keys.

A whole experiment, in order; `imitation` and `answers` are the modules beside this one::

    model = pipeline.model(width=64, pack=2)
    base = pipeline.pretrain(model, model.init(key0), key1, plan)[0]   # from any initialisation
    lesson = questions.make_lesson("owl")                       # (kind of question, bool tokens)
    teacher = pipeline.teach(model, base, lesson, key2, plan)
    text = pipeline.write_filtered(model, teacher, carrier, kind, n, key3).read   # documents (n, 16)
    student, curve = imitation.imitate(model, base, text, key4, plan, teacher=None or teacher)
    chances = answers.ask(model, student)                       # (kinds, phrasings, vocabulary)
    preference = answers.read_answers(chances, lesson).preference

``carrier`` is a number (`carriers.carrier_number`). A `Plan` holds numbers of steps (shapes) and
learning rates (traced or not). Everything else may be traced.
"""

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
from toymodels.networks.transformer import KINDS, Decoder, decoder, group, next_token_loss
from toymodels.training.loop import sample_fresh, switch_order, train
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
