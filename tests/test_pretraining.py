"""Pretraining: other tasks made of the target's images, and teachers of several references."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toymodels.networks.models import MLP, functional
from toymodels.training import checkpoints, pretraining, protocol, tasks
from toymodels.training.config import NetworkConfig

CONFIG = NetworkConfig(
    dataset="digits",
    widths=(8,),
    train_images=256,
    noise_images=64,
    teacher_epochs=2,
    student_epochs=1,
)
KEY = jax.random.key(3)


@pytest.fixture(scope="module")
def begun():
    config, task, data = tasks.load(CONFIG, None)
    network = functional(lambda rngs: MLP((64, 8, 13), rngs=rngs))
    return protocol.reference_protocol(config, task, network), jax.tree.map(jnp.asarray, data)


def at(tree, *place):
    return jax.tree.map(lambda a: np.asarray(a[place]), tree)


def same(one, other):
    jax.tree.map(np.testing.assert_array_equal, one, other)


def close(one, other):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), one, other)


def test_every_task_is_as_many_images_of_the_same_kind(begun):
    parts, data = begun
    for make in pretraining.TASKS.values():
        made = make(data.train, parts.task, KEY)
        shapes = [[(a.shape, a.dtype) for a in images] for images in (made, data.train)]
        assert shapes[0] == shapes[1]
        assert 0 <= made[1].min() <= made[1].max() < parts.task.n_classes


def test_half_of_the_classes_shows_each_of_their_images_equally_often(begun):
    parts, (train, _) = begun
    pixels, labels = pretraining.halve(train, parts.task, KEY)
    assert set(np.unique(labels)) == {0, 1, 2, 3, 4}
    kept = np.asarray(train[1]) < 5
    known = {image.tobytes() for image in np.asarray(train[0])[kept]}
    rows = np.asarray(pixels).reshape(len(labels), -1)
    images, counts = np.unique(rows, axis=0, return_counts=True)
    assert {image.tobytes() for image in images} == known
    assert len(images) == kept.sum()
    assert counts.max() - counts.min() <= 1


def test_relabelling_is_a_derangement_that_comes_back_after_all_classes(begun):
    parts, (train, _) = begun
    images = train
    for _ in range(parts.task.n_classes - 1):
        images = pretraining.relabel(images, parts.task, KEY)
        assert (images[1] != train[1]).all()
    same(pretraining.relabel(images, parts.task, KEY), train)


def test_scrambling_is_one_order_for_all_images_that_can_be_undone(begun):
    parts, (train, _) = begun
    places = jnp.arange(64).reshape(1, 8, 8), jnp.zeros(1, int)
    order = np.asarray(pretraining.scramble(places, parts.task, KEY)[0]).ravel()
    assert sorted(order) == list(range(64))
    assert (order != np.arange(64)).any()
    pixels, labels = pretraining.scramble(train, parts.task, KEY)
    undone = np.asarray(pixels).reshape(-1, 64)[:, np.argsort(order)]
    same((undone.reshape(-1, 8, 8), labels), train)


def test_random_labels_are_the_same_labels_among_the_same_images(begun):
    parts, (train, _) = begun
    pixels, labels = pretraining.randomise(train, parts.task, KEY)
    same(pixels, train[0])
    same(np.sort(labels), np.sort(train[1]))
    agreement = float((labels == train[1]).mean())
    assert agreement == pytest.approx(0.1, abs=4 * (0.09 / len(labels)) ** 0.5)


def test_pretraining_on_the_target_is_the_training_of_a_teacher(begun):
    parts, data = begun
    start, order = parts.network.init(KEY), jax.random.key(5)

    @jax.jit
    def run():
        learnt = pretraining.pretrain(
            parts,
            start,
            data.train,
            ("random", "same"),
            (1, 2),
            task_key=KEY,
            order_key=order,
        )
        return learnt, parts.teach(start, data, order, lambda params: params)[1]

    learnt, teacher = run()
    same(at(learnt, 0), at(teacher, 0))
    for epochs in (1, 2):
        close(at(learnt, 2 + epochs), at(teacher, epochs))
    moved = jax.tree.map(lambda a: (a[1:] != a[:1]).any(), learnt)
    assert all(jax.tree.leaves(moved))


def test_the_teacher_of_the_seeds_own_init_is_that_of_the_protocol(begun):
    parts, data = begun
    own, other = (parts.network.init(key) for key in (protocol.seed_keys(0).init, KEY))
    references = jax.tree.map(lambda *a: jnp.stack(a), other, own)
    lesson, curves = jax.jit(
        lambda: checkpoints.prepare_references(parts, data, 0, references, (2, 1))
    )()
    known, curve = jax.jit(lambda: checkpoints.prepare_checkpoints(parts, data, 0, (2, 1)))()
    picked = checkpoints.select_reference(lesson, 1)
    same(picked.reference, own)
    same((picked.answered[0], picked.held_out[0]), (known.answered[0], known.held_out[0]))
    same(picked.order, known.order)
    close(picked.teacher, known.teacher)
    close((picked.answered[1], picked.held_out[1]), (known.answered[1], known.held_out[1]))
    close(at(curves, 1), curve)
    # The other teacher has learnt from its own reference.
    assert (at(curves, 0)["teacher_loss"] != curve["teacher_loss"]).all()
    once = checkpoints.select_checkpoint(picked, 1)
    answers = parts.network.apply(once.teacher, once.answered[0])
    close(once.answered[1], answers)


def test_fresh_noise_is_not_answered_beforehand(begun):
    parts, data = begun
    fresh = dataclasses.replace(parts, config=dataclasses.replace(parts.config, noise="fresh"))
    references = jax.tree.map(lambda a: a[None], parts.network.init(KEY))
    lesson, _ = jax.eval_shape(
        lambda: checkpoints.prepare_references(fresh, data, 0, references, (1,))
    )
    assert lesson.answered is None
    assert lesson.order is None
