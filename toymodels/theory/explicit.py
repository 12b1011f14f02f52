"""Single students, by training or by solving for its end: the simulation beside the closed forms.

Numbers of rows (auxiliary logits m, inputs n) may be traced: arrays have the largest number of rows,
and the rows beyond the number are zero. A program may hold one matrix decomposition alone: two
independent ones, each batched over models, can wait for each other's threads for ever (jaxlib 0.10
on a CPU).
"""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from toymodels.measure.decompositions import eigh, pinv
from toymodels.networks.models import Network, Params
from toymodels.training import losses
from toymodels.training.distillation import answer_inputs, distil
from toymodels.training.loop import Tree

RANK = 1e-5
"""Singular values, and eigenvalues, below this share of the largest count as zero in float32."""


def gaussian_rows(key: jax.Array, size: int, columns: int, number: jax.Array | int) -> jax.Array:
    """Rows (size, columns): ``number`` of independent N(0, 1 / columns) entries, the others zero."""
    entries = jax.random.normal(key, (size, columns)) / jnp.sqrt(columns)
    return jnp.where(jnp.arange(size)[:, None] < number, entries, 0.0)


def random_change(key: jax.Array, *shape: int) -> jax.Array:
    """A random change of the latent (d, p), isotropic and of energy 1."""
    entries = jax.random.normal(key, shape)
    return entries / jnp.linalg.norm(entries)


def solve(rows: jax.Array, answers: jax.Array) -> jax.Array:
    """The X of least norm that minimises |rows X - answers|: where descent from zero ends."""
    return pinv(rows, rtol=RANK) @ answers


def spectra(grams: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Eigenvalues of matrices X^T X (..., p, p), eigenvectors, and which eigenvalues are not zero."""
    values, vectors = eigh(grams)
    return values, vectors, values > RANK * values[..., -1:]


def descend(
    network: Network,
    start: Params,
    teacher: Params,
    x: jax.Array,
    k: int,
    m: jax.Array,
    record: Sequence[int],
) -> Tree:
    """Parameters during full-batch descent on ``m`` auxiliary logits behind ``k`` class logits.

    The loss is the squared error, the learning rate m / 16: with white inputs each step multiplies
    a mode by 1 - a^2 / 8. ``record`` lists the steps to return, rising from 1 on; the result has a
    leading axis (1 + number of steps,), the start first.
    """
    outputs = network.apply(start, x).shape[-1]
    i = jnp.arange(outputs)
    return distil(
        network,
        start,
        answer_inputs(network, teacher, x, len(x)),
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

    Newton's method by conjugate gradients; each step has that of several lengths which lowers the
    loss most. Rows of zeros change nothing.
    """
    lengths = jnp.array([1.0, 0.5, 0.2, 0.05, 0.0])

    def loss(w: jax.Array) -> jax.Array:
        return jax.nn.softplus(-z @ w).sum() + penalty * w @ w / 2

    def step(_: int, w: jax.Array) -> jax.Array:
        miss = jax.nn.sigmoid(-z @ w)
        stiff = miss * (1 - miss)
        direction, _ = jax.scipy.sparse.linalg.cg(
            lambda v: (stiff * (z @ v)) @ z + penalty * v, miss @ z - penalty * w, maxiter=100
        )
        candidates = w + lengths[:, None] * direction
        return candidates[jnp.argmin(jax.vmap(loss)(candidates))]

    return jax.lax.fori_loop(0, steps, step, jnp.zeros(z.shape[1]))
