"""A teacher at several of its epochs: trained once, its students told apart by a number."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from toymodels.networks.models import Params
from toymodels.training.loop import Tree
from toymodels.training.protocol import Begun, Data, Lesson, Parts


def begin(
    parts: Parts, data: Data, seed: jax.Array, epochs: Sequence[int]
) -> tuple[Begun, dict[str, Tree]]:
    """As `Parts.begin`, with the teacher and its answers as they were after each of ``epochs``.

    Both have a leading axis (epochs,); the inputs are held once. `at` tells the teachers apart.
    """
    begun, curve = parts.begin(data, seed, also=lambda params: {"state": params})
    states = jax.tree.map(lambda a: a[jnp.array(epochs)], curve.pop("state"))

    def answered(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        def answer(teacher: Params) -> jax.Array:
            return parts.network.apply(teacher, x)

        return x, jax.lax.map(answer, states)

    fixed = begun.lesson.answered
    lesson = Lesson(states, None if fixed is None else answered(fixed[0]))
    return begun._replace(lesson=lesson, held_out=answered(begun.held_out[0])), curve


def at(begun: Begun, i: int | jax.Array) -> Begun:
    """What the students of the i-th teacher are given; i may be traced."""

    def one(pair: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        return pair[0], pair[1][i]

    teacher, fixed = begun.lesson
    lesson = Lesson(jax.tree.map(lambda a: a[i], teacher), None if fixed is None else one(fixed))
    return begun._replace(lesson=lesson, held_out=one(begun.held_out))
