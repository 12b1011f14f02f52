import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import subspace_angles

from toymodels.measure import probes, representations

RNG = np.random.default_rng(0)


def test_subspace_cka_is_the_mean_squared_cosine_of_principal_angles(x64):
    a, b = RNG.normal(size=(40, 6)) + 3, RNG.normal(size=(40, 9)) - 1
    tops = [np.linalg.svd(z - z.mean(0))[0][:, :4] for z in (a, b)]
    expected = (np.cos(subspace_angles(*tops)) ** 2).mean()
    got = representations.subspace_cka(jnp.array(a), jnp.array(b), 4)
    np.testing.assert_allclose(got, expected, rtol=1e-10)


def test_equal_subspaces_whatever_the_basis_and_scale(x64):
    a = RNG.normal(size=(30, 4))
    mixed = a @ RNG.normal(size=(4, 4)) * 7 + 2
    same = representations.subspace_cka(jnp.array(a), jnp.array(mixed), 4)
    np.testing.assert_allclose(same, 1, rtol=1e-10)
    assert probes.cka(jnp.array(a), jnp.array(mixed)) < 0.95


def test_orthogonal_subspaces_and_two_lines_at_an_angle(x64):
    signs = np.array([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    _, u, v, w = jnp.array(signs.T[:, :, None])
    apart = representations.subspace_cka(jnp.hstack([u, 2 * v]), w, 1)
    np.testing.assert_allclose(apart, 0, atol=1e-12)
    turned = np.cos(0.3) * u + np.sin(0.3) * v
    got = representations.subspace_cka(u, -5 * turned, 1)
    np.testing.assert_allclose(got, np.cos(0.3) ** 2, rtol=1e-12)


def test_linear_probe_is_the_least_squares_classifier(x64):
    x, labels = RNG.normal(size=(60, 5)) + 1, RNG.integers(0, 3, 60)
    unseen, answers = RNG.normal(size=(200, 5)) + 1, RNG.integers(0, 3, 200)
    with_bias = [np.hstack([z, np.ones((len(z), 1))]) for z in (x, unseen)]
    weights = np.linalg.lstsq(with_bias[0], np.eye(3)[labels], rcond=None)[0]
    said = (with_bias[1] @ weights).argmax(1)
    arrays = (jnp.array(x), jnp.array(labels)), jnp.array(unseen)
    for told in (said, answers):
        got = representations.linear_probe(arrays[0], (arrays[1], jnp.array(told)), 3, 1e-12)
        assert got == pytest.approx((said == told).mean())


def test_linear_probe_never_reads_the_test_labels_nor_the_scale():
    x = jnp.array(RNG.normal(size=(50, 4)))
    labels = (x[:, 0] > 0).astype(int)
    unseen = jnp.array(RNG.normal(size=(500, 4)))
    right = (unseen[:, 0] > 0).astype(int)
    accuracy = representations.linear_probe((x, labels), (unseen, right), 2)
    assert accuracy > 0.85
    inverted = representations.linear_probe((x, labels), (unseen, 1 - right), 2)
    assert accuracy + inverted == pytest.approx(1)
    scaled = representations.linear_probe((99 * x, labels), (99 * unseen, right), 2)
    assert scaled == pytest.approx(accuracy)
    silent = jnp.zeros((50, 4))
    assert jnp.isfinite(representations.linear_probe((silent, labels), (silent, labels), 2))
