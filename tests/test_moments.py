"""Adam from given moments is optax's Adam, from fresh ones and from those of a state."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toymodels.measure.alignment import measure_drift
from toymodels.training.loop import reshuffle, train, train_with_state
from toymodels.training.moments import adam_from, match_scale, read_moments, transplant
from toymodels.training.optimisers import one_of

DATA = jax.random.normal(jax.random.key(0), (32, 5))
START = {"w": jax.random.normal(jax.random.key(1), (5,)), "unread": jnp.ones(2)}
ALL = {"w": jnp.ones(5, bool), "unread": jnp.ones(2, bool)}


def loss(params, x):
    return ((x @ params["w"] - x.sum(-1)) ** 2).mean()


def follow(optimiser, params=START, state=None, seed=2):
    return train_with_state(
        *(loss, params, reshuffle(DATA, 8), optimiser),
        epochs=3,
        observe=lambda p: p["w"],
        key=jax.random.key(seed),
        state=state,
    )


@pytest.fixture(scope="module")
def taught():
    """A training by optax's Adam: its parameters and its last state."""
    return follow(optax.adam(0.05))[0]


def test_fresh_moments_are_optax_adam(taught):
    state = optax.adam(0.05).init(START)
    (params, moments), _ = follow(adam_from(read_moments(state), 0.05))
    np.testing.assert_allclose(params["w"], taught[0]["w"], rtol=1e-5)
    np.testing.assert_array_equal(params["unread"], START["unread"])
    np.testing.assert_allclose(moments.second["w"], read_moments(taught[1]).second["w"], rtol=1e-5)


def test_both_moments_go_on_as_optax_adam_goes_on(taught):
    params, state = taught
    (known, _), _ = follow(optax.adam(0.05), params, state, seed=3)
    moments = transplant(read_moments(state), True, True, ALL)
    (ours, _), _ = follow(adam_from(moments, 0.05), params, seed=3)
    np.testing.assert_allclose(ours["w"], known["w"], rtol=1e-5)


def test_what_is_not_transplanted_is_fresh(taught):
    moments = read_moments(taught[1])
    fresh = transplant(moments, False, False, ALL)
    assert not any(leaf.any() for leaf in jax.tree.leaves(fresh))
    part = transplant(moments, True, False, {"w": jnp.zeros(5, bool), "unread": jnp.ones(2, bool)})
    assert not part.first["w"].any()
    assert (part.first_age, part.second_age) == (moments.first_age, 0)


def test_a_transplanted_first_moment_is_a_push_along_it(taught):
    """The first step from a first moment M and no gradient since: M b1 over its share, over eps."""
    moments = transplant(read_moments(taught[1]), True, False, ALL)
    gradient = {"w": jnp.full(5, 0.3), "unread": jnp.zeros(2)}
    adam = adam_from(moments, 1.0)
    steps, _ = adam.update(gradient, adam.init(START))
    age = float(moments.first_age)
    mean = (0.9 * moments.first["w"] + 0.1 * 0.3) / (1 - 0.9 ** (age + 1))
    np.testing.assert_allclose(steps["w"], -mean / 0.3, rtol=1e-4)


def test_adam_with_scaled_moments_is_adam_of_a_scaled_loss(taught):
    """Adam is blind to the scale of all gradients, past ones included, but for its epsilon."""
    moments, read = read_moments(taught[1]), {"w": True, "unread": False}
    size = jnp.sqrt((moments.second["w"] / (1 - 0.999**moments.second_age)).sum())
    large = {"w": 7 * size * jnp.eye(5)[0], "unread": jnp.zeros(2)}
    scaled = match_scale(moments, large, read)
    np.testing.assert_allclose(scaled.first["w"], 7 * moments.first["w"], rtol=1e-5)
    np.testing.assert_allclose(scaled.second["w"], 49 * moments.second["w"], rtol=1e-5)
    gradient = {"w": jnp.arange(5.0), "unread": jnp.zeros(2)}
    sevenfold = jax.tree.map(lambda g: 7 * g, gradient)
    steps, _ = adam_from(moments, 0.1).update(gradient, moments)
    same, _ = adam_from(scaled, 0.1).update(sevenfold, scaled)
    np.testing.assert_allclose(same["w"], steps["w"], rtol=1e-4)


def test_a_training_with_its_state_is_the_training():
    plain, curve = train(
        *(loss, START, reshuffle(DATA, 8), optax.adam(0.05)),
        epochs=3,
        observe=lambda p: p["w"],
        key=jax.random.key(2),
    )
    (params, _), same = follow(optax.adam(0.05))
    np.testing.assert_array_equal(plain["w"], params["w"])
    np.testing.assert_array_equal(curve, same)


@pytest.mark.parametrize("i", [0, 1])
def test_one_of_several_optimisers_is_that_optimiser(i):
    optimisers = [optax.adam(0.05), optax.sgd(0.1, momentum=0.9)]
    (chosen, _), _ = jax.jit(lambda i: follow(one_of(optimisers, i)))(i)
    (known, _), _ = follow(optimisers[i])
    np.testing.assert_allclose(chosen["w"], known["w"], rtol=1e-5)


def test_drift_is_the_first_singular_value_of_the_increments():
    path = jax.random.normal(jax.random.key(4), (6, 40)).cumsum(0)
    energies = np.linalg.svd(np.diff(np.asarray(path, np.float64), axis=0), compute_uv=False) ** 2
    split = {"a": path[:, :10].reshape(6, 2, 5), "b": path[:, 10:]}
    np.testing.assert_allclose(measure_drift(split), energies[0] / energies.sum(), rtol=1e-4)
    assert measure_drift({"w": jnp.ones((4, 3))}) == 0
