"""Attacks and distances to the boundary: closed forms of linear networks, bounds, and ranks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from toymodels.measure import attacks
from toymodels.networks.models import MLP, functional

RNG = np.random.default_rng(0)


def linear(classes, pixels=12):
    """Weights (pixels, classes) and the network that they are."""
    weights = jnp.asarray(RNG.normal(size=(pixels, classes)))
    return weights, lambda x: x @ weights


@pytest.fixture(scope="module")
def relu():
    """A ReLU network, as a function of images, and some images with labels."""
    network = functional(lambda rngs: MLP((12, 16, 5), rngs=rngs))
    params = network.init(jax.random.key(0))
    x = jnp.asarray(RNG.uniform(-1, 1, (40, 12)), jnp.float32)
    return lambda x: network.apply(params, x), x, jnp.asarray(RNG.integers(0, 5, 40))


@pytest.mark.parametrize("steps", [1, 3, 10])
def test_an_attack_on_two_linear_classes_is_the_sign_of_the_weights_difference(x64, steps):
    weights, read = linear(2)
    x, labels = jnp.asarray(RNG.uniform(-1, 1, (30, 12))), jnp.asarray(RNG.integers(0, 2, 30))
    towards = jnp.sign(weights[:, 1 - labels] - weights[:, labels]).T
    expected = jnp.clip(x + 0.3 * towards, -1, 1)
    got = attacks.project_gradient(read, x, labels, 0.3, steps)
    np.testing.assert_allclose(got, expected, atol=1e-12)
    assert (got != x + 0.3 * towards).any()  # some pixels reach black or white


@pytest.mark.parametrize("steps", [1, 7])
def test_an_attack_of_size_zero_changes_nothing(relu, steps):
    read, x, labels = relu
    attack = jax.jit(lambda eps: attacks.project_gradient(read, x, labels, eps, steps))
    np.testing.assert_array_equal(attack(0.0), x)
    assert (attack(0.1) != x).mean() > 0.9
    np.testing.assert_array_equal(attacks.random_signs(jax.random.key(0), x, 0.0), x)


@pytest.mark.parametrize("eps", [0.01, 0.3, 1.5])
def test_no_attack_exceeds_its_size_or_leaves_the_range_of_pixels(relu, eps):
    read, x, labels = relu
    made = attacks.project_gradient(read, x, labels, eps, 7)
    for attacked in (made, attacks.random_signs(jax.random.key(1), x, eps)):
        assert jnp.abs(attacked).max() <= 1
        assert jnp.abs(attacked - x).max() <= eps + 2e-7
        assert jnp.abs(attacked - x).max() > 0.9 * eps


def test_random_signs_have_the_full_size_wherever_the_range_allows():
    x = jnp.zeros((50, 40))
    change = attacks.random_signs(jax.random.key(2), x, 0.2)
    np.testing.assert_allclose(jnp.abs(change), 0.2, rtol=1e-6)
    assert abs(float(change.mean())) < 0.02


def test_an_attack_raises_the_loss_and_more_steps_raise_it_more(relu):
    read, x, labels = relu

    def loss(x):
        return -jnp.take_along_axis(jax.nn.log_softmax(read(x)), labels[:, None], 1).mean()

    single, many = (attacks.project_gradient(read, x, labels, 0.3, n) for n in (1, 20))
    random = attacks.random_signs(jax.random.key(0), x, 0.3)
    assert loss(x) < loss(single) < loss(many)
    assert loss(random) < loss(single)


def test_no_image_has_a_part_in_the_attack_on_another(relu):
    read, x, labels = relu
    together = attacks.project_gradient(read, x, labels, 0.2, 5)
    alone = attacks.project_gradient(read, x[:3], labels[:3], 0.2, 5)
    np.testing.assert_allclose(together[:3], alone, atol=1e-6)


def test_one_program_serves_all_sizes(relu):
    read, x, labels = relu
    traces = []

    @jax.jit
    def attack(eps):
        traces.append(eps)
        return attacks.project_gradient(read, x, labels, eps, 3)

    small, large = attack(0.1), attack(0.2)
    assert len(traces) == 1
    assert jnp.abs(small - x).max() < jnp.abs(large - x).max()


def test_the_distance_of_a_linear_network_is_that_of_the_nearest_class(x64):
    weights, read = linear(4)
    x = jnp.asarray(RNG.uniform(-1, 1, (30, 12)))
    labels = read(x).argmax(axis=1)
    w, logits = np.asarray(weights), np.asarray(read(x))
    expected = [
        min(
            (logits[i, y] - logits[i, k]) / np.abs(w[:, y] - w[:, k]).sum()
            for k in range(4)
            if k != y
        )
        for i, y in enumerate(np.asarray(labels))
    ]
    got = attacks.boundary_distances(read, x, labels)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    # The best change of that size, without the bounds of pixels, is just too small or just enough.
    for factor, changes in ((0.99, False), (1.01, True)):
        signs = np.sign(w[:, None, :] - w[:, np.asarray(labels), None])  # (pixels, images, classes)
        moved = np.asarray(x).T[:, :, None] + factor * np.asarray(got)[None, :, None] * signs
        classes = np.einsum("pik,pc->ikc", moved, w).argmax(axis=2)
        assert ((classes != np.asarray(labels)[:, None]).any(axis=1) == changes).all()


def test_a_misread_image_has_a_negative_distance_and_a_flat_network_the_whole_range(x64):
    _, read = linear(3)
    x = jnp.asarray(RNG.uniform(-1, 1, (20, 12)))
    wrong = (read(x).argmax(axis=1) + 1) % 3
    assert (attacks.boundary_distances(read, x, wrong) < 0).all()

    def flat(x):
        return jnp.array([1.0, 0.0, 0.0]) + 0 * x[:, :3]

    label, other = jnp.zeros(20, int), jnp.ones(20, int)
    assert (attacks.boundary_distances(flat, x, label) == 2).all()
    assert (attacks.boundary_distances(flat, x, other) == -2).all()


def test_ranks_are_those_of_scipy_among_what_counts():
    a, b = RNG.integers(0, 9, 60).astype(np.float32), RNG.normal(size=60).astype(np.float32)
    b += 0.3 * a
    counted = RNG.random(60) < 0.5
    expected = stats.spearmanr(a[counted], b[counted]).statistic
    got = attacks.rank_correlation(jnp.asarray(a), jnp.asarray(b), jnp.asarray(counted))
    assert abs(expected) > 0.2
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    for few in (counted & False, np.arange(60) == 3):
        assert attacks.rank_correlation(a, b, few) == 0
    assert attacks.rank_correlation(0 * a, b, counted) == 0
