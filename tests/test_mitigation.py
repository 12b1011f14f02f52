"""Countermeasures: strength 0 changes nothing, strength 1 has the full effect."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toymodels.networks.models import MLP, functional
from toymodels.training import losses, mitigation
from toymodels.training.loop import reshuffle, train
from toymodels.trees import flatten

KEY = jax.random.key(0)
NETWORK = functional(lambda rngs: MLP((6, 8, 5), rngs=rngs))
INIT = NETWORK.init(KEY)
X = jax.random.normal(jax.random.key(1), (32, 6))
LABELS = jnp.arange(32) % 3
ANSWERS = NETWORK.apply(NETWORK.init(jax.random.key(2)), X)
SUBSET = jnp.array([False, False, False, True, True])


def trait(params, batch):
    return losses.class_cross_entropy(NETWORK.apply(params, batch[0]), batch[1], 3)


def imitate(params, batch):
    return losses.mse()(NETWORK.apply(params, batch[0]), batch[1], SUBSET)


LABELLED = mitigation.draw_batches((X, LABELS), 8, jax.random.key(3))


def guard(gradient_fraction, step_fraction, optimiser):
    return mitigation.project_updates(optimiser, trait, LABELLED, gradient_fraction, step_fraction)


def fit(optimiser):
    source = reshuffle((X, ANSWERS), 8)
    return train(imitate, INIT, source, optimiser, epochs=3, observe=lambda p: p, key=KEY)[1]


def test_neutral_guards_train_the_same_student():
    """Equal up to the rounding of a different program: XLA fuses other sums."""
    pull = mitigation.add_gradient(lambda p, batch: 0.0 * trait(p, batch), LABELLED, 12)
    neutral = optax.chain(pull, guard(0.0, 0.0, optax.adam(1e-2)))
    got, plain = fit(neutral), fit(optax.adam(1e-2))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), got, plain)


@pytest.mark.parametrize("behind", [False, True])
def test_with_share_one_gradient_or_step_is_orthogonal_to_the_trait(x64, behind):
    """At every step, on the batch of that step; a smaller fraction leaves part of the component."""
    remaining = {}
    for share in (0.0, 0.25, 1.0):
        inner = optax.adam(1e-2) if behind else optax.identity()
        optimiser = guard(share * (not behind), share * behind, inner)
        params = jax.tree.map(lambda w: w.astype(float), INIT)
        state, plain = optimiser.init(params), inner.init(params)
        for step in range(3):
            gradient = jax.grad(imitate)(params, (X, ANSWERS))
            updates, state = optimiser.update(gradient, state, params)
            unguarded, plain = inner.update(gradient, plain, params)
            towards = flatten(jax.grad(trait)(params, LABELLED(jnp.int32(step))))
            along, whole = (flatten(u) @ towards for u in (updates, unguarded))
            np.testing.assert_allclose(along, (1 - share) * whole, atol=1e-12 * abs(whole))
            params = optax.apply_updates(params, updates)
        remaining[share] = abs(along)
    assert remaining[1.0] < 1e-10 < remaining[0.25] < remaining[0.0]


def test_a_projected_step_leaves_the_trait_alone_to_first_order(x64):
    """Projection after Adam changes the trait's loss to second order; before Adam, to first."""

    def change(rate, **shares):
        optimiser = guard(optimiser=optax.adam(rate), **shares)
        params = jax.tree.map(lambda w: w.astype(float), INIT)
        gradient = jax.grad(imitate)(params, (X, ANSWERS))
        updates, _ = optimiser.update(gradient, optimiser.init(params), params)
        batch = LABELLED(jnp.int32(0))
        return abs(trait(optax.apply_updates(params, updates), batch) - trait(params, batch))

    step, gradient = (
        {"gradient_fraction": 0, "step_fraction": 1},
        {"gradient_fraction": 1, "step_fraction": 0},
    )
    assert 50 < change(1e-4, **step) / change(1e-5, **step) < 200
    assert 5 < change(1e-4, **gradient) / change(1e-5, **gradient) < 20


def test_the_pull_is_a_gradient_that_ends_at_zero(x64):
    params = jax.tree.map(lambda w: w.astype(float), INIT)
    pull, nothing = (
        mitigation.add_gradient(trait, LABELLED, 4),
        jax.tree.map(jnp.zeros_like, params),
    )
    state = pull.init(params)
    for step, weight in enumerate((1, 2 / 3, 1 / 3, 0)):
        got, state = pull.update(nothing, state, params)
        expected = jax.grad(trait)(params, LABELLED(jnp.int32(step)))
        np.testing.assert_allclose(flatten(got), weight * flatten(expected), rtol=1e-6, atol=1e-12)


def test_modified_answers():
    answers = jax.random.normal(KEY, (4000, 2)) * jnp.array([1.0, 10.0]) + 3
    deviation = answers.std(axis=0)
    for unchanged in (
        mitigation.add_noise(answers, KEY, 0.0),
        mitigation.round_answers(answers, 0.0),
        mitigation.dilute(answers, -answers, KEY, 0.0),
    ):
        np.testing.assert_array_equal(unchanged, answers)
    np.testing.assert_array_equal(mitigation.dilute(answers, -answers, KEY, 1.0), -answers)
    noise = mitigation.add_noise(answers, jax.random.key(1), 0.5) - answers
    np.testing.assert_allclose(noise.std(axis=0) / deviation, 0.5, rtol=0.05)

    def error(step):
        return mitigation.round_answers(answers, step) - answers

    np.testing.assert_allclose(error(1e-6), 0, atol=1e-4)
    assert (abs(error(0.5)) <= 0.2501 * deviation).all()
    # Uniform within a cell of the grid: its width over the root of 12.
    np.testing.assert_allclose(error(0.5).std(axis=0) / deviation, 0.5 / 12**0.5, rtol=0.05)
    small, large = ((mitigation.dilute(answers, -answers, KEY, s) != answers) for s in (0.2, 0.6))
    assert (large | ~small).all()
    np.testing.assert_array_equal(large[:, 0], large[:, 1])
    assert abs(float(large.mean()) - 0.6) < 0.03
