"""Teachers told apart by a number: one at several of its epochs, and those of several references."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp

from toymodels.networks.models import Params
from toymodels.training.loop import Tree, draw_epochs
from toymodels.training.protocol import Lesson, Protocol, refuse_misfit, seed_keys
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


def prepare_references(
    protocol: Protocol, data: Data, seed: jax.Array, references: Params, epochs: Sequence[int]
) -> tuple[Lesson, dict[str, Tree]]:
    """As `prepare_checkpoints`, for a teacher of each of several references.

    Args:
        protocol: the protocol.
        data: the images that all teachers learn, in the same order.
        seed: gives order and distillation inputs; the inputs are the same for all.
        references: the initialisations of the teachers, with a leading axis (references,).
        epochs: epochs of a teacher's checkpoints.

    Returns:
        The lesson, where the references have the leading axis (references,), teachers and answers the
        leading axes (references, epochs): `select_reference` and then `select_checkpoint` pick one.
        The teachers' curves (references, ...).

    """
    refuse_misfit(protocol, data)
    keys, network = seed_keys(seed), protocol.network

    def teach(reference: Params) -> tuple[Params, dict[str, Tree]]:
        def observe(params: Params) -> dict[str, Tree]:
            return {"state": params, **protocol.watch_teacher(params, data)}

        _, curve = protocol.teach(reference, data, keys.teacher, observe)
        return jax.tree.map(lambda a: a[jnp.array(epochs)], curve.pop("state")), curve

    teachers, curves = jax.lax.map(teach, references)

    def answer(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        def apply(states: Params) -> jax.Array:
            return jax.lax.map(lambda teacher: network.apply(teacher, x), states)

        return x, jax.lax.map(apply, teachers)

    lesson = Lesson(references, teachers, None, answer(protocol.noise(keys.probe, 1000)), keys)
    if protocol.config.noise == "fresh":
        return lesson, curves
    x = protocol.noise(keys.noise, protocol.config.noise_images)
    lesson = lesson._replace(answered=answer(x))
    source = draw_epochs(protocol.batches(lesson), keys.student, protocol.config.student_epochs)
    return lesson._replace(order=source.drawn), curves


def select_reference(lesson: Lesson, i: int | jax.Array) -> Lesson:
    """The lesson of the i-th reference, with all checkpoints of its teacher; i may be traced."""
    reference = jax.tree.map(lambda a: a[i], lesson.reference)
    return select_checkpoint(lesson, i)._replace(reference=reference)
