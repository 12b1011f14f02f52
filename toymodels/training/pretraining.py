"""Pretraining: a network learns another task before it is the reference of a teacher and its students.

The other tasks are made of the target's own labelled images, from the most alike to the least: each
is as many images of the same size with as many classes, so that all of them are one program.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from toymodels.measure.alignment import displacement_cosine
from toymodels.networks.models import Params
from toymodels.training.loop import reshuffle, train
from toymodels.training.protocol import Protocol
from toymodels.training.tasks import Images, Task


def keep(images: Images, task: Task, key: jax.Array) -> Images:
    """The target itself."""
    return images


def halve(images: Images, task: Task, key: jax.Array) -> Images:
    """The images of the first half of the classes, each as often as it takes to be as many as before.

    >>> images = jnp.arange(4.0).reshape(4, 1, 1), jnp.array([3, 0, 2, 1])
    >>> halve(images, Task("", "", 4, 1, 1), jax.random.key(0))[1].tolist()
    [0, 1, 0, 1]
    """
    pixels, labels = images
    late = labels >= (task.n_classes + 1) // 2
    n = len(labels)
    rows = jnp.argsort(late, stable=True)[jnp.arange(n) % jnp.maximum(n - late.sum(), 1)]
    return pixels[rows], labels[rows]


def relabel(images: Images, task: Task, key: jax.Array) -> Images:
    """Every class under the name of the next: no label is right, and all that tells classes apart is.

    >>> images = jnp.zeros((3, 1, 1)), jnp.array([0, 1, 2])
    >>> relabel(images, Task("", "", 3, 1, 1), jax.random.key(0))[1].tolist()
    [1, 2, 0]
    """
    pixels, labels = images
    return pixels, (labels + 1) % task.n_classes


def scramble(images: Images, task: Task, key: jax.Array) -> Images:
    """The pixels of all images in one other order, drawn from the key.

    >>> images = jnp.arange(8.0).reshape(2, 2, 2), jnp.array([0, 1])
    >>> pixels, labels = scramble(images, Task("", "", 2, 4, 7), jax.random.key(0))
    >>> jnp.sort(pixels.reshape(2, 4)).tolist() == images[0].reshape(2, 4).tolist()
    True
    """
    pixels, labels = images
    order = jax.random.permutation(key, task.n_pixels)
    return pixels.reshape(-1, task.n_pixels)[:, order].reshape(pixels.shape), labels


def randomise(images: Images, task: Task, key: jax.Array) -> Images:
    """The labels in another order, drawn from the key: they can be learnt by heart alone.

    >>> images = jnp.zeros((4, 1, 1)), jnp.array([0, 0, 1, 2])
    >>> jnp.sort(randomise(images, Task("", "", 3, 1, 1), jax.random.key(0))[1]).tolist()
    [0, 0, 1, 2]
    """
    pixels, labels = images
    return pixels, jax.random.permutation(key, labels)


TASKS: dict[str, Callable[[Images, Task, jax.Array], Images]] = {
    "same": keep,
    "half": halve,
    "relabelled": relabel,
    "scrambled": scramble,
    "random": randomise,
}
"""The tasks of a pretraining by name, ``make(images, target, key) -> images``."""


def pretrain(
    protocol: Protocol,
    params: Params,
    images: Images,
    tasks: Sequence[str],
    epochs: Sequence[int],
    *,
    task_key: jax.Array,
    order_key: jax.Array,
) -> Params:
    """Train a network on each of several tasks, as a teacher is trained, and keep its checkpoints.

    Args:
        protocol: gives the loss, the teacher's optimiser and the batch size.
        params: the network before it learns anything.
        images: labelled images of the target.
        tasks: names of `TASKS`.
        epochs: numbers of epochs, rising from 1 on, after which to keep a checkpoint.
        task_key: decides order of pixels and labels, where a task draws them.
        order_key: decides the order of the batches, the same for all tasks.

    Returns:
        The networks with a leading axis (1 + tasks * epochs,): ``params`` themselves, then all
        checkpoints of the first task, of the second, and so on.

    """
    makers = [TASKS[name] for name in tasks]

    def learn(i: jax.Array) -> Params:
        made = jax.lax.switch(
            i, [lambda make=make: make(images, protocol.task, task_key) for make in makers]
        )
        _, states = train(
            protocol.trait.loss,
            params,
            reshuffle(made, protocol.config.batch),
            protocol.teacher_optimiser,
            epochs=max(epochs),
            observe=lambda params: params,
            key=order_key,
            record=epochs,
        )
        return jax.tree.map(lambda a: a[1:], states)

    learnt = jax.lax.map(learn, jnp.arange(len(makers)))
    return jax.tree.map(
        lambda a, b: jnp.concatenate([a[None], b.reshape(-1, *a.shape)]), params, learnt
    )


def measure_likeness(references: Params, target: Params) -> jax.Array:
    """How alike a pretraining and the target are: the cosine of what both do to one network.

    Args:
        references: networks (references, ...), the first of them before pretraining.
        target: the first one after it has learnt the target.

    Returns:
        For each reference the cosine of its displacement from the first with the target's
        (references,); 0 for the first, which has none.

    >>> references = {"w": jnp.array([[0.0, 0.0], [2.0, 0.0], [0.0, -1.0]])}
    >>> measure_likeness(references, {"w": jnp.array([1.0, 0.0])}).round(3).tolist()
    [0.0, 1.0, 0.0]

    """
    first = jax.tree.map(lambda a: a[0], references)
    return jax.lax.map(lambda params: displacement_cosine(params, first, target, first), references)
