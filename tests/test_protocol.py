"""Parts that an experiment may replace."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toymodels import losses, protocol
from toymodels.config import CLOUD, OneNetwork, follows
from toymodels.distillation import auxiliary_logits
from toymodels.models import MLP, functional

CONFIG = OneNetwork(
    dataset="digits", widths=(8,), noise_images=128, teacher_epochs=1, student_epochs=1
)
AUX = auxiliary_logits(10, 3)


@pytest.fixture(scope="module")
def begun():
    config, task, data = protocol.load(CONFIG, None)
    network = functional(lambda rngs: MLP((64, 8, 13), rngs=rngs))
    parts = protocol.parts(config, task, network)
    return parts, data, jax.jit(parts.begin)(data, 0)[0]


def test_a_start_is_the_reference_itself_or_an_init_unrelated_to_it(begun):
    parts, _, seed = begun
    for own, got in zip(
        jax.tree.leaves(seed.reference), jax.tree.leaves(parts.start(seed, 0)), strict=True
    ):
        np.testing.assert_array_equal(own, got)
    kernels = [np.ravel(p["hidden1"]["kernel"]) for p in (seed.reference, parts.start(seed, True))]
    assert abs(np.corrcoef(*kernels)[0, 1]) < 4 / np.sqrt(64 * 8)


def test_what_is_replaced_is_what_trains(begun):
    """One step of plain descent on squared error, by hand."""
    parts, _, seed = begun
    one = dataclasses.replace(
        parts,
        config=parts.config.at(batch=128),
        imitation=losses.mse(),
        student_optimiser=optax.sgd(0.1),
    )
    start = one.start(seed, True)
    trained, _ = one.distil(start, seed, AUX, lambda params: ())
    x, answers = seed.lesson.answered
    gradient = jax.grad(lambda p: ((parts.network.apply(p, x) - answers)[:, 10:] ** 2).mean())(
        start
    )
    by_hand = jax.tree.map(lambda p, g: p - 0.1 * g, start, gradient)
    for got, expected in zip(jax.tree.leaves(trained), jax.tree.leaves(by_hand), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_another_trait_is_what_the_teacher_learns(begun):
    parts, data, _ = begun
    pull = protocol.Trait(
        loss=lambda params, batch: sum(jnp.sum(p**2) for p in jax.tree.leaves(params)),
        score=lambda params, images: jnp.float32(0.5),
    )
    one = dataclasses.replace(parts, trait=pull, teacher_optimiser=optax.sgd(0.5))
    seed, curve = jax.jit(one.begin)(data, 0)
    assert all(not np.any(p) for p in jax.tree.leaves(seed.lesson.teacher))
    assert curve["teacher_accuracy"].tolist() == [0.5, 0.5]
    assert curve["teacher_loss"][-1] == 0


def test_a_config_follows_a_protocol_where_it_has_its_values():
    cloud = dataclasses.asdict(OneNetwork(**CLOUD))
    assert follows(cloud)
    assert not follows(cloud | {"batch": 64})
    assert follows(cloud | {"batch": [64, 1024]})
    assert not follows(cloud | {"batch": [64, 128]})
