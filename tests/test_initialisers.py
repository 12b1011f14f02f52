"""Other laws of the initialisation: bounds and moments, orthonormal heads."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toymodels.errors import UserError
from toymodels.networks.models import CNN, MLP, functional
from toymodels.training.initialisers import draw_uniform_hidden, orthonormalise_heads

KEY = jax.random.key(4)
NETWORKS = {
    "joint": functional(lambda rngs: MLP((30, 40, 20, 13), rngs=rngs)),
    "split": functional(lambda rngs: MLP((30, 40, 20, 13), split=10, rngs=rngs)),
}


def join_heads(params):
    names = [name for name in ("head", "class_head", "aux_head") if name in params]
    return jnp.concatenate([params[name]["kernel"] for name in names], axis=1)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_vectors_of_all_logits_are_orthonormal_and_all_else_is_kept(name):
    network = NETWORKS[name]
    plain, made = network.init(KEY), orthonormalise_heads(network).init(KEY)
    basis, kernel = join_heads(made), join_heads(plain)
    np.testing.assert_allclose(basis.T @ basis, np.eye(13), atol=1e-6)
    # The decomposition kernel = basis @ R with a positive diagonal of R is unique.
    upper = np.asarray(basis.T @ kernel)
    np.testing.assert_allclose(np.tril(upper, -1), 0, atol=1e-6)
    assert (np.diag(upper) > 0).all()
    for layer, parameters in made.items():
        if layer.startswith("hidden"):
            jax.tree.map(np.testing.assert_array_equal, parameters, plain[layer])
        else:
            assert not parameters["bias"].any()
    assert jax.tree.map(jnp.shape, made) == jax.tree.map(jnp.shape, plain)


def test_many_initialisations_at_once_are_those_one_by_one():
    init = orthonormalise_heads(draw_uniform_hidden(NETWORKS["split"])).init
    keys = jax.random.split(KEY, 3)
    together = jax.jit(jax.vmap(init))(keys)
    for i in range(3):
        jax.tree.map(
            lambda a, b, i=i: np.testing.assert_allclose(a[i], b, atol=1e-6),
            together,
            init(keys[i]),
        )


def test_too_few_units_for_the_logits():
    network = functional(lambda rngs: MLP((4, 6, 7), rngs=rngs))
    with pytest.raises(UserError, match=r"^width of the last hidden layer .* 7 logits.*; got 6$"):
        orthonormalise_heads(network)
    square = functional(lambda rngs: MLP((4, 7, 7), rngs=rngs))
    kernel = orthonormalise_heads(square).init(KEY)["head"]["kernel"]
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(7), atol=1e-6)


def test_hidden_layers_are_uniform_within_one_over_the_root_of_the_fan_in():
    network = functional(lambda rngs: MLP((100, 400, 50, 5), rngs=rngs))
    plain, made = network.init(KEY), draw_uniform_hidden(network).init(KEY)
    for layer, fan_in in (("hidden1", 100), ("hidden2", 400)):
        for name, w in made[layer].items():
            scaled = np.asarray(w) * fan_in**0.5
            assert abs(scaled).max() <= 1
            assert scaled.std() == pytest.approx(3**-0.5, rel=0.02 if name == "kernel" else 0.3)
            assert scaled.mean() == pytest.approx(0, abs=0.02 if name == "kernel" else 0.3)
    jax.tree.map(np.testing.assert_array_equal, made["head"], plain["head"])
    # Kernel and bias, and layers, have random numbers of their own.
    flat = [
        np.asarray(w).ravel()[:50] * n**0.5
        for n, w in ((100, made["hidden1"]["kernel"]), (400, made["hidden2"]["kernel"]))
    ]
    assert abs(np.corrcoef(flat)[0, 1]) < 0.5


def test_the_fan_in_of_a_convolution_counts_its_whole_kernel():
    network = functional(lambda rngs: CNN(8, (4, 16), 20, 5, rngs=rngs))
    made = draw_uniform_hidden(network).init(KEY)
    bound = (3 * 3 * 4) ** -0.5
    largest = abs(made["hidden2"]["kernel"]).max()
    assert 0.9 * bound < largest <= bound
