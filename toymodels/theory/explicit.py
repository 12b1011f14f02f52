"""Students made one by one, by training or by solving for where it ends: what theory averages.

Numbers of rows (auxiliary logits m, inputs n) may be traced: arrays hold the most there can be, and
the rows behind are zero. A program may have one matrix decomposition: two that do not wait for each
other, each batched over models, can wait for each other's threads for ever (jaxlib 0.10 on a CPU).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from toymodels.measure.decompositions import eigh, pinv
from toymodels.networks.models import Network, Params
from toymodels.training import losses
from toymodels.training.distillation import distil, fixed_inputs
from toymodels.training.loop import Tree

RANK = 1e-5
"""Singular values, and eigenvalues, below this share of the largest count as zero in float32."""


def rows(key: jax.Array, most: int, columns: int, number: jax.Array | int) -> jax.Array:
    """The first ``number`` of ``most`` rows of independent N(0, 1 / columns) entries; then zero."""
    drawn = jax.random.normal(key, (most, columns)) / jnp.sqrt(columns)
    return jnp.where(jnp.arange(most)[:, None] < number, drawn, 0.0)


def change(key: jax.Array, *shape: int) -> jax.Array:
    """A change of the latent (d, p) that prefers no direction, of energy 1."""
    drawn = jax.random.normal(key, shape)
    return drawn / jnp.linalg.norm(drawn)


def solved(seen: jax.Array, answers: jax.Array) -> jax.Array:
    """The smallest X with seen X = answers, or as near as can be: where descent from zero ends."""
    return pinv(seen, rtol=RANK) @ answers


def spectra(grams: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Eigenvalues, eigenvectors, and which are not zero, of matrices X^T X (..., p, p)."""
    values, vectors = eigh(grams)
    return values, vectors, values > RANK * values[..., -1:]


def descended(
    network: Network,
    start: Params,
    teacher: Params,
    x: jax.Array,
    k: int,
    m: jax.Array,
    record: Sequence[int],
) -> Tree:
    """Parameters after so many steps of full-batch descent on ``m`` auxiliary logits behind ``k``.

    Squared error, step m / 16: a factor 1 - a^2 / 8 a step for modes of white inputs. ``record``
    rises from 1 on; what is returned has a leading axis (1 + steps recorded,), the start first.
    """
    outputs = network.apply(start, x).shape[-1]
    i = jnp.arange(outputs)
    return distil(
        network,
        start,
        fixed_inputs(network, teacher, x, len(x)),
        losses.mse(),
        (i >= k) & (i < k + m),
        optax.sgd(m / 16),
        epochs=record[-1],
        observe=lambda params: params,
        key=jax.random.key(0),
        record=record,
    )[1]


def white(p: int) -> jax.Array:
    """Inputs (p, p) whose second moments are exactly those of white noise: X^T X / p = 1."""
    return jnp.sqrt(p) * jnp.eye(p)


def logistic_weights(z: jax.Array, penalty: float, steps: int = 20) -> jax.Array:
    """Weights (d,) that minimise sum_i log(1 + exp(-z_i.w)) + penalty |w|^2 / 2, z (n, d).

    Newton's method by conjugate gradients; of a few lengths of each step the one that lowers the
    loss most. Rows of zeros change nothing.
    """
    lengths = jnp.array([1.0, 0.5, 0.2, 0.05, 0.0])

    def loss(w: jax.Array) -> jax.Array:
        return jax.nn.softplus(-z @ w).sum() + penalty * w @ w / 2

    def step(_: int, w: jax.Array) -> jax.Array:
        miss = jax.nn.sigmoid(-z @ w)
        stiff = miss * (1 - miss)
        towards, _ = jax.scipy.sparse.linalg.cg(
            lambda v: (stiff * (z @ v)) @ z + penalty * v, miss @ z - penalty * w, maxiter=100
        )
        tried = w + lengths[:, None] * towards
        return tried[jnp.argmin(jax.vmap(loss)(tried))]

    return jax.lax.fori_loop(0, steps, step, jnp.zeros(z.shape[1]))
