import jax.numpy as jnp
import numpy as np

from toymodels.measure import probes

A = {
    "head": {"kernel": jnp.array([[3.0, 0.0]])},
    "hidden1": {"kernel": jnp.array([1.0]), "bias": jnp.array([2.0])},
}
B = {
    "head": {"kernel": jnp.array([[0.0, 4.0]])},
    "hidden1": {"kernel": jnp.array([2.0]), "bias": jnp.array([4.0])},
}


def test_layers_come_in_the_order_of_the_network():
    np.testing.assert_allclose(probes.layer_distances(A, B), [np.sqrt(5), 5], rtol=1e-6)
    np.testing.assert_allclose(probes.layer_cosines(A, B), [1, 0], atol=1e-6)


def test_cosine_of_a_zero_vector_is_zero_not_nan():
    assert probes.cosine(jnp.zeros(3), jnp.ones(3)) == 0


def test_accuracy_ignores_the_auxiliary_logits():
    logits = jnp.array([[1.0, 0.0, 9.0], [0.0, 1.0, 9.0], [1.0, 0.0, 9.0], [1.0, 0.0, 9.0]])
    assert probes.accuracy(logits, jnp.array([0, 1, 1, 0]), 2) == 0.75


RNG = np.random.default_rng(0)


def related(p=4, q=6, n=50):
    """Representations of the same inputs that have something in common, off their origin."""
    a = RNG.normal(size=(n, p))
    b = np.tanh(a @ RNG.normal(size=(p, q))) + RNG.normal(size=(n, q))
    return jnp.asarray(a + 2), jnp.asarray(b - 1)


def test_cka_is_the_cosine_of_centred_gram_matrices(x64):
    a, b = related()
    centre = np.eye(50) - 1 / 50
    k, m = (centre @ np.asarray(z @ z.T) @ centre for z in (a, b))
    expected = (k * m).sum() / np.sqrt((k * k).sum() * (m * m).sum())
    assert 0.1 < expected < 0.9
    np.testing.assert_allclose(probes.cka(a, b), expected, rtol=1e-12)
    np.testing.assert_allclose(probes.cka(b, a), expected, rtol=1e-12)


def test_cka_sees_neither_rotation_nor_scale_nor_origin(x64):
    a, b = related()
    turn, _ = np.linalg.qr(RNG.normal(size=(6, 6)))
    np.testing.assert_allclose(probes.cka(a, 0.01 * b @ turn + 5), probes.cka(a, b), rtol=1e-12)
    np.testing.assert_allclose(probes.cka(b, -7 * b @ turn), 1, rtol=1e-12)
    stretched = b * jnp.array([10.0, 1, 1, 1, 1, 1])
    assert abs(probes.cka(a, stretched) - probes.cka(a, b)) > 1e-3


def test_cka_of_what_has_nothing_in_common_or_is_constant_is_zero():
    signs = jnp.array([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])
    assert probes.cka(signs[:, 1:2], signs[:, 2:]) == 0
    assert probes.cka(jnp.ones((4, 3)), signs) == 0
