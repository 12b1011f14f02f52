"""The one training loop: any loss, any source of batches, one model, compiled whole.

Teacher and student, and everything later, train here. The loop is pure: run it for many models
at once by ``jax.vmap`` or ``jax.lax.map`` over its arguments.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from toymodels.errors import UserError
from toymodels.networks.models import Params

Tree = Any
Observe = Callable[[Params], Tree]


class Source(NamedTuple):
    """Where batches come from.

    An epoch is drawn as light handles (row numbers, random keys); a batch is made from its handle
    only when its turn comes, so that no epoch ever lies in memory twice.
    """

    epoch: Callable[[jax.Array], tuple[jax.Array, jax.Array | None]]
    """``epoch(key) -> (handles of the full batches, handle of a short last one or None)``"""
    batch: Callable[[jax.Array], Tree]
    """``batch(handle) -> arrays with the batch axis first``."""
    drawn: tuple[jax.Array, jax.Array | None] | None = None
    """What ``epoch`` gives in each epoch of a training, stacked, if it was drawn before."""


def draw_epochs(source: Source, key: jax.Array, epochs: int) -> Source:
    """Draw all epochs of a training at once, for the many models that are trained on them.

    A permutation of 60,000 rows takes as long as two or three steps of a small network on a CPU.
    ``train`` with the same key, and at most as many epochs, then sees the same batches as before.
    """
    return source._replace(drawn=jax.lax.map(source.epoch, jax.random.split(key, epochs)))


def replay(source: Source, drawn: tuple[jax.Array, jax.Array | None] | None, epochs: int) -> Source:
    """The source with epochs drawn before, unless they are too few, or of another size than its own.

    >>> drawn = draw_epochs(reshuffle(jnp.ones(8), 4), jax.random.key(0), epochs=2).drawn
    >>> [replay(reshuffle(jnp.ones(8), n), drawn, 2).drawn is drawn for n in (4, 2)]
    [True, False]
    >>> replay(reshuffle(jnp.ones(8), 4), drawn, 3).drawn is None
    True

    """
    own = jax.eval_shape(source.epoch, jax.random.key(0))
    sizes = [a.shape for a in jax.tree.leaves(own)]
    fits = sizes == [a.shape[1:] for a in jax.tree.leaves(drawn)]
    enough = drawn is not None and epochs <= len(drawn[0])
    return source._replace(drawn=drawn) if fits and enough else source


def reshuffle(arrays: Tree, batch_size: int, only: jax.Array | None = None) -> Source:
    """The rows of ``arrays`` (leading axis n), each once an epoch, in a new random order.

    The last batch of an epoch is short where ``batch_size`` does not divide n. A batch larger than
    n is the whole set. With ``only``, which may be traced, an epoch is still n rows long, but made
    of the first ``only`` rows again and again.
    """
    n = jax.tree.leaves(arrays)[0].shape[0]
    size = min(batch_size, n)
    full = n // size

    def epoch(key: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        order = jax.random.permutation(key, n)
        if only is not None:
            order = order % only
        rows = order[: full * size].reshape(full, size)
        return rows, (order[full * size :] if n % size else None)

    def batch(rows: jax.Array) -> Tree:
        return jax.tree.map(lambda a: a[rows], arrays)

    return Source(epoch, batch)


def sample_fresh(sample: Callable[[jax.Array, int], Tree], n: int, batch_size: int) -> Source:
    """Batches that are never seen twice: ``sample(key, batch_size)``; an epoch is n rows.

    Only whole batches are drawn: an epoch is n // batch_size steps, at least one.
    """
    size = min(batch_size, n)

    def epoch(key: jax.Array) -> tuple[jax.Array, None]:
        return jax.random.split(key, n // size), None

    return Source(epoch, lambda key: sample(key, size))


def sample_rows(arrays: Tree, batch_size: int, steps: int) -> Source:
    """Batches of rows of ``arrays`` (leading axis n), each row drawn by itself, with replacement.

    An epoch is ``steps`` steps, however large the batch.
    """
    n = jax.tree.leaves(arrays)[0].shape[0]

    def epoch(key: jax.Array) -> tuple[jax.Array, None]:
        return jax.random.randint(key, (steps, batch_size), 0, n), None

    return Source(epoch, lambda rows: jax.tree.map(lambda a: a[rows], arrays))


def switch_order(source: Source, other: jax.Array, shared: jax.Array | int) -> Source:
    """A source that goes on as under another key from step ``shared`` of an epoch on.

    For trainings of one epoch: ``train(..., switch_order(source, other, 0), epochs=1, key=key)`` reads
    what ``train(..., source, epochs=1, key=other)`` reads. ``shared`` may be traced.
    """

    def epoch(key: jax.Array) -> tuple[jax.Array, jax.Array | None]:
        handles, short = source.epoch(key)
        later, last = source.epoch(jax.random.split(other, 1)[0])
        n = len(handles)
        before = jnp.arange(n).reshape(n, *[1] * (handles.ndim - 1)) < shared
        end = None if short is None or last is None else jnp.where(n < shared, short, last)
        return jnp.where(before, handles, later), end

    return Source(epoch, source.batch)


def train(
    loss: Callable[[Params, Tree], jax.Array],
    params: Params,
    source: Source,
    optimiser: optax.GradientTransformation,
    *,
    epochs: int,
    observe: Observe,
    key: jax.Array,
    record: Sequence[int] | None = None,
) -> tuple[Params, Tree]:
    """Train one model from ``params`` with a fresh optimiser state.

    Args:
        loss: ``loss(params, batch) -> scalar``.
        source: where the batches come from.
        optimiser: any optax transformation; its rates may be traced values.
        epochs: passes over the source; with 0 the parameters come back as they are.
        observe: ``observe(params) -> arrays``, taken before the first step and after each epoch.
        key: decides the order of the batches, unless the source has drawn them; more epochs keep
            the order of the earlier ones.
        record: the epochs, rising from 1 on, after which to observe (None: each of them).

    Returns:
        The trained parameters, and what was observed, stacked on a leading axis (epochs + 1,).

    Raises:
        UserError: the source has drawn fewer epochs.

    >>> params, losses = train(
    ...     lambda p, x: ((p["w"] - x) ** 2).mean(), {"w": jnp.zeros(())},
    ...     reshuffle(jnp.ones(8), batch_size=4), optax.sgd(0.5),
    ...     epochs=2, observe=lambda p: p["w"], key=jax.random.key(0))
    >>> losses.tolist()
    [0.0, 1.0, 1.0]

    """
    (trained, _), curve = train_with_state(
        loss, params, source, optimiser, epochs=epochs, observe=observe, key=key, record=record
    )
    return trained, curve


def train_with_state(
    loss: Callable[[Params, Tree], jax.Array],
    params: Params,
    source: Source,
    optimiser: optax.GradientTransformation,
    *,
    epochs: int,
    observe: Observe,
    key: jax.Array,
    record: Sequence[int] | None = None,
    state: Tree | None = None,
) -> tuple[tuple[Params, Tree], Tree]:
    """Train one model as `train` does, from a state of its optimiser (None: a fresh one).

    Returns:
        The trained parameters with the optimiser's last state, and what was observed.

    """

    def step(carry: tuple[Params, Tree], handle: jax.Array) -> tuple[tuple[Params, Tree], None]:
        params, state = carry
        gradient = jax.grad(loss)(params, source.batch(handle))
        updates, state = optimiser.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    if not epochs:
        state = optimiser.init(params) if state is None else state
        return (params, state), jax.tree.map(lambda a: jnp.asarray(a)[None], observe(params))
    turns: Tree = jax.random.split(key, epochs)  # each epoch's key, or what was drawn with it
    if source.drawn is not None:
        if len(source.drawn[0]) < epochs:
            raise UserError(
                f"epochs must be at most the {len(source.drawn[0])} that were drawn; got {epochs}"
            )
        turns = source.drawn

    def epoch(i: jax.Array, carry: tuple[Params, Tree]) -> tuple[Params, Tree]:
        turn = jax.tree.map(lambda a: a[i], turns)
        handles, short = source.epoch(turn) if source.drawn is None else turn
        carry, _ = jax.lax.scan(step, carry, handles)
        if short is not None:
            carry, _ = step(carry, short)
        return carry

    def until(
        carry: tuple[Params, Tree], span: tuple[jax.Array, jax.Array]
    ) -> tuple[tuple[Params, Tree], Tree]:
        carry = jax.lax.fori_loop(*span, epoch, carry)
        return carry, observe(carry[0])

    # The start is observed after a span of no epoch: `observe` is compiled once.
    ends = [0, *(range(1, epochs + 1) if record is None else record)]
    spans = jnp.array([0, *ends[:-1]]), jnp.array(ends)
    carry = params, optimiser.init(params) if state is None else state
    return jax.lax.scan(until, carry, spans)
