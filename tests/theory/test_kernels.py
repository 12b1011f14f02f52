import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toymodels.networks.models import CNN, MLP, functional
from toymodels.theory.kernels import Side, function, kernel, mlp_kernel, product

CLASSES, M = 4, 3
CLASS, AUX = slice(0, CLASSES), slice(CLASSES, CLASSES + M)
NETWORKS = {
    "mlp": lambda rngs: MLP((9, 8, 7, CLASSES + M), rngs=rngs),
    "split": lambda rngs: MLP((9, 8, CLASSES + M), split=CLASSES, activation=jnp.tanh, rngs=rngs),
    "cnn": lambda rngs: CNN(3, (2,), 6, CLASSES + M, rngs=rngs),
}
ACTIVATIONS = {"mlp": jax.nn.relu, "split": jnp.tanh}
pytestmark = pytest.mark.usefixtures("x64")


def setting(name):
    """A network, two settings of its parameters (biases too) and two sets of inputs."""
    network, draw = functional(NETWORKS[name]), np.random.default_rng(0)
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    params, second = (
        jax.tree.map(lambda a: jnp.asarray(draw.normal(0, 0.5, a.shape)), shapes) for _ in range(2)
    )
    return network, params, second, jnp.asarray(draw.normal(size=(3, 9))), draw.normal(size=(4, 9))


def jacobian(network, side):
    """Explicit: (n, outputs, parameters)."""
    leaves = jax.tree.leaves(jax.jacobian(function(network, side))(side.params))
    return jnp.concatenate([a.reshape(*a.shape[:2], -1) for a in leaves], axis=-1)


@pytest.mark.parametrize("name", NETWORKS)
def test_all_routes_equal_the_product_of_explicit_jacobians(name):
    network, params, second, x1, x2 = setting(name)
    left, right = Side(params, x1, CLASS), Side(second, x2, AUX)
    v = np.random.default_rng(1).normal(size=(len(x2), M))

    @jax.jit
    def routes():
        by_layers = ()
        if name in ACTIVATIONS:
            by_layers = (mlp_kernel(left, right, ACTIVATIONS[name], block=2),)
        explicit = jacobian(network, left), jacobian(network, right)
        whole = (kernel(network, left, right, block=3), *by_layers)
        return explicit, whole, product(network, left, right)(v)

    (here, there), kernels, times_v = routes()
    expected = np.einsum("iap,jbp->iajb", here, there)
    for got in kernels:
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(times_v, np.einsum("iajb,jb->ia", expected, v), rtol=1e-10)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_heads_share_in_the_kernel_where_an_output_meets_itself(name):
    network, params, second, x1, x2 = setting(name)
    left, right = Side(params, x1, [0, 5]), Side(second, x2, [5, 2, 0, 5])
    got, expected = jax.jit(
        lambda: (mlp_kernel(left, right, ACTIVATIONS[name]), kernel(network, left, right))
    )()
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


def test_a_kernel_with_itself_is_symmetric_and_positive_and_a_cross_kernel_turns_over():
    _, params, second, x1, x2 = setting("mlp")
    itself, there, back = jax.jit(
        lambda: (
            mlp_kernel(Side(params, x1), Side(params, x1)),
            mlp_kernel(Side(params, x1, CLASS), Side(second, x2, AUX)),
            mlp_kernel(Side(second, x2, AUX), Side(params, x1, CLASS)),
        )
    )()
    square = itself.reshape(3 * (CLASSES + M), -1)
    np.testing.assert_allclose(square, square.T, rtol=1e-12)
    values = np.linalg.eigvalsh(square)
    assert values.min() > -1e-12 * values.max()
    np.testing.assert_allclose(there, back.transpose(2, 3, 0, 1), rtol=1e-12)
