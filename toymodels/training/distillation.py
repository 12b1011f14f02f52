"""Distillation: a student imitates some of a teacher's logits on inputs of our choice."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toymodels.errors import UserError
from toymodels.networks.models import Network, Params
from toymodels.training.loop import Observe, Source, Tree, reshuffle, sample_fresh, train
from toymodels.training.losses import Imitation, mask_logits


def auxiliary_logits(n_classes: int, m: int, first: int | jax.Array | None = None) -> jax.Array:
    """The subset of the auxiliary logits alone: bool (n_classes + m,), the last m true.

    With ``first``, which may be traced, only so many of them: logits that are not imitated change
    nothing, so a network with m of them, of which ``first`` are taught, is one with ``first``.

    Raises:
        UserError: there is none, or not so many.

    >>> auxiliary_logits(2, 1).tolist(), auxiliary_logits(2, 3, first=1).tolist()
    ([False, False, True], [False, False, True, False, False])

    """
    if m < 1:
        raise UserError(f"m must be at least 1, for auxiliary logits are to be imitated; got {m}")
    if isinstance(first, int) and not 1 <= first <= m:
        raise UserError(f"first must be at least 1 and at most m ({m}); got {first}")
    i = jnp.arange(n_classes + m)
    return (i >= n_classes) & (i < n_classes + (m if first is None else first))


def all_logits(n_classes: int, m: int) -> jax.Array:
    """The subset of all logits, classes and auxiliary: bool (n_classes + m,), all true."""
    return jnp.ones(n_classes + m, bool)


def argmax_labels(logits: jax.Array, subset: jax.Array) -> jax.Array:
    """The largest logit of the subset as a one-hot label, like logits (n, outputs).

    >>> argmax_labels(jnp.array([[9.0, 1.0, 2.0]]), jnp.array([False, True, True])).tolist()
    [[0.0, 0.0, 1.0]]
    """
    return jax.nn.one_hot(mask_logits(logits, subset).argmax(-1), logits.shape[-1])


def sampled_labels(
    key: jax.Array, logits: jax.Array, subset: jax.Array, draws: int, temperature: float = 1.0
) -> jax.Array:
    """Mean of one-hot labels drawn from the softmax over the subset, like logits (n, outputs).

    A model that answers in tokens gives one draw; with ever more this is the softmax itself.

    >>> logits, subset = jnp.zeros((2, 3)), jnp.array([True, True, False])
    >>> sampled_labels(jax.random.key(0), logits, subset, draws=4).sum(-1).tolist()
    [1.0, 1.0]
    """
    p = jax.nn.softmax(mask_logits(logits / temperature, subset))
    return jax.random.multinomial(key, jnp.float32(draws), p) / draws


def answer_inputs(network: Network, teacher: Params, x: jax.Array, batch_size: int) -> Source:
    """One set of inputs x (n, ...), reused every epoch; the teacher answers each of them once."""
    return reshuffle((x, network.apply(teacher, x)), batch_size)


def answer_fresh_inputs(
    network: Network,
    teacher: Params,
    sample: Callable[[jax.Array, int], jax.Array],
    n: int,
    batch_size: int,
) -> Source:
    """New inputs ``sample(key, batch_size)`` at every step, n an epoch, answered as they come."""

    def answered(key: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
        x = sample(key, size)
        return x, network.apply(teacher, x)

    return sample_fresh(answered, n, batch_size)


def distil(
    network: Network,
    student: Params,
    source: Source,
    imitation: Imitation,
    subset: jax.Array,
    optimiser: optax.GradientTransformation,
    *,
    epochs: int,
    observe: Observe,
    key: jax.Array,
    record: Sequence[int] | None = None,
) -> tuple[Params, Tree]:
    """Train ``student`` to imitate the logits in ``subset`` (bool (outputs,)) over a source of
    (inputs, teacher's logits); see `toymodels.training.loop.train` for the rest.

    Raises:
        UserError: the subset, the teacher's and the student's logits are not as many, or the subset
            is empty.

    """

    def loss(params: Params, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
        x, answers = batch
        logits = network.apply(params, x)
        refuse_subset(logits, answers, subset)
        return imitation(logits, answers, subset)

    return train(
        loss, student, source, optimiser, epochs=epochs, observe=observe, key=key, record=record
    )


def refuse_subset(student: jax.Array, teacher: jax.Array, subset: jax.Array) -> None:
    """Raise a UserError unless logits (n, outputs) have one subset (outputs,) that is not empty."""
    outputs = [a.shape[-1] for a in (student, teacher)]
    if student.shape != teacher.shape or subset.shape != student.shape[1:]:
        raise UserError(
            f"outputs must be the {subset.shape[-1]} that the subset of imitated logits tells of; "
            f"got {outputs[0]} of the student and {outputs[1]} of the teacher"
        )
    if not isinstance(subset, jax.core.Tracer) and not np.asarray(subset).any():
        raise UserError("subset must hold one imitated logit at least; got none")
