"""A teacher at several of its epochs: trained once, its checkpoints told apart by a number."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from toymodels.training.loop import Tree
from toymodels.training.protocol import Lesson, Protocol
from toymodels.training.tasks import Data


def prepare_checkpoints(
    protocol: Protocol, data: Data, seed: jax.Array, epochs: Sequence[int]
) -> tuple[Lesson, dict[str, Tree]]:
    """As `Protocol.prepare`, with the teacher and its answers as they were after each of ``epochs``.

    Both have a leading axis (epochs,); the inputs are held once. `select_checkpoint` picks one.
    """
    lesson, curve = protocol.prepare(data, seed, lambda params: {"state": params})
    states = jax.tree.map(lambda a: a[jnp.array(epochs)], curve.pop("state"))

    def answer(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return x, jax.lax.map(lambda teacher: protocol.network.apply(teacher, x), states)

    answered = None if lesson.answered is None else answer(lesson.answered[0])
    held_out = answer(lesson.held_out[0])
    return lesson._replace(teacher=states, answered=answered, held_out=held_out), curve


def select_checkpoint(lesson: Lesson, i: int | jax.Array) -> Lesson:
    """The lesson of the i-th checkpoint; i may be traced."""
    answered = None if lesson.answered is None else (lesson.answered[0], lesson.answered[1][i])
    held_out = lesson.held_out[0], lesson.held_out[1][i]
    teacher = jax.tree.map(lambda a: a[i], lesson.teacher)
    return lesson._replace(teacher=teacher, answered=answered, held_out=held_out)
