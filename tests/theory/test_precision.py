"""Float32, in which experiments run, against float64 on every path of the theory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toymodels.networks.models import MLP, functional
from toymodels.theory import explicit, infinite_width, kernels, linear_network, linearised, one_step
from toymodels.training import losses

RNG = np.random.default_rng(0)
NETWORK = functional(lambda rngs: MLP((5, 16, 4), rngs=rngs))
X, OTHERS, ANSWERS = RNG.normal(size=(6, 5)), RNG.normal(size=(3, 5)), RNG.normal(size=(6, 2))
AUX = slice(2, 4)
START, TARGET = RNG.normal(size=(2, 8, 6))
ROWS, GRAM = RNG.normal(size=(3, 8)) / 3, np.cov(RNG.normal(size=(6, 50)))
# One network for both precisions: its float32 init.
INIT, OTHER = (jax.tree.map(np.asarray, NETWORK.init(jax.random.key(key))) for key in (0, 1))


def side(init, x, dtype, outputs=AUX):
    return kernels.Side(
        jax.tree.map(lambda a: jnp.asarray(a, dtype), init), x.astype(dtype), outputs
    )


def predict_outputs(dtype, krylov=None):
    times = jnp.array([0.5, 50.0], dtype)
    return linearised.predict(
        NETWORK, side(INIT, X, dtype), ANSWERS.astype(dtype), OTHERS.astype(dtype), times, krylov
    )


def integrate_kl(dtype):
    at = side(INIT, X, dtype)
    moved = linearised.integrate(
        NETWORK, at, ANSWERS.astype(dtype), losses.kl(), jnp.asarray(5.0, dtype), 50
    )
    return NETWORK.apply(moved, OTHERS.astype(dtype))


def first_step(dtype):
    at = side(INIT, X, dtype)
    change = jax.tree.map(lambda a: 1e-2 * jnp.asarray(a, dtype), OTHER)
    subset = jnp.array([False, False, True, True])
    step = one_step.first_step(NETWORK, at.params, at.params, change, at.x, losses.mse(), subset)
    return jnp.stack([step.cosine, step.inner_theory])


def relaxations(dtype):
    arrays = [jnp.asarray(a, dtype) for a in (START, TARGET, ROWS, GRAM)]
    return jnp.stack(
        [
            linear_network.gradient_flow(*arrays, 3.0),
            linear_network.gradient_descent(*arrays, 0.1, 40),
        ]
    )


PATHS = {
    "kernel": lambda d: kernels.kernel(NETWORK, side(INIT, X, d), side(OTHER, OTHERS, d)),
    "mlp_kernel": lambda d: kernels.mlp_kernel(side(INIT, X, d), side(OTHER, OTHERS, d)),
    "product": lambda d: kernels.product(NETWORK, side(INIT, X, d), side(INIT, X, d))(
        jnp.asarray(ANSWERS, d)
    ),
    "linearised": predict_outputs,
    "linearised, Lanczos": lambda d: predict_outputs(d, krylov=12),
    "linearised, KL": integrate_kl,
    "one_step": first_step,
    "infinite_width": lambda d: infinite_width.cross_kernels(
        infinite_width.Init((5, 64, 64)), jnp.asarray(X, d), jnp.asarray(OTHERS, d), rho=0.7
    ).ntk(),
    "linear_network": relaxations,
    "one_layer": lambda d: linear_network.single_layer_flow(
        *(jnp.asarray(a, d) for a in (START, TARGET)), jnp.arange(8) < 3, jnp.asarray(GRAM, d), 2.0
    ),
    "explicit": lambda d: explicit.logistic_weights(jnp.asarray(X, d), 0.1),
}


@pytest.mark.parametrize("path", PATHS)
def test_single_precision_is_within_its_rounding(path):
    rough = PATHS[path](jnp.float32)
    with jax.enable_x64(True):
        exact = PATHS[path](jnp.float64)
    assert rough.dtype == jnp.float32
    assert exact.dtype == jnp.float64
    assert not np.array_equal(rough, exact)
    scale = np.abs(exact).max()
    np.testing.assert_allclose(rough, exact, rtol=0, atol=1e-4 * scale)
