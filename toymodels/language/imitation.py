"""A student: it reads documents, or imitates the next-token distributions of their author."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from toymodels.language.pipeline import Plan, restrict_groups
from toymodels.language.vocabulary import LENGTH, SIZE
from toymodels.networks.models import Params
from toymodels.networks.transformer import Decoder, next_token_loss, weighted_mean
from toymodels.training.loop import sample_rows, train
from toymodels.training.optimisers import OPTIMISERS


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
