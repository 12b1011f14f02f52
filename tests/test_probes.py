import jax.numpy as jnp
import numpy as np

from toymodels import probes

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
