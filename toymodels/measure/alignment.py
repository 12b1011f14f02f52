"""How a student moves relative to its teacher: gradients, displacements, what lies between."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from toymodels.measure.decompositions import eigh
from toymodels.measure.probes import cosine, inner
from toymodels.networks.models import Params

Loss = Callable[[Params], jax.Array]
"""``loss(params) -> scalar``."""


def gradient_cosine(a: Loss, b: Loss, params: Params) -> jax.Array:
    """Cosine of the gradients of two losses at the same parameters.

    Above 0: a small step of gradient descent on the one lowers the other (Kitkana & Arora, arXiv
    2604.25779).

    >>> float(gradient_cosine(lambda p: p["x"], lambda p: -2 * p["x"], {"x": jnp.array(1.0)}))
    -1.0
    """
    return cosine(jax.grad(a)(params), jax.grad(b)(params))


def displacement_cosine(
    params: Params, start: Params, teacher: Params, reference: Params
) -> jax.Array:
    """Cosine of a student's displacement from its start with the teacher's from its own.

    0 where one of them has not moved.

    >>> zero, one, two = ({"x": jnp.full(3, v)} for v in (0.0, 1.0, 2.0))
    >>> round(float(displacement_cosine(one, zero, two, zero)), 6)
    1.0
    """
    moved = (jax.tree.map(jnp.subtract, *pair) for pair in ((params, start), (teacher, reference)))
    return cosine(*moved)


def relative_distance(params: Params, start: Params) -> jax.Array:
    """How far parameters have moved: their distance from a start, over the norm of the start.

    >>> start, end = {"x": jnp.array([3.0, 4.0])}, {"x": jnp.array([3.0, 5.0])}
    >>> round(float(relative_distance(end, start)), 6)
    0.2
    """
    moved = jax.tree.map(jnp.subtract, params, start)
    return jnp.sqrt(inner(moved, moved) / inner(start, start))


def measure_drift(path: Params) -> jax.Array:
    """The share of a training's squared increments that lies along their principal direction.

    1 where parameters move along a line, at whatever pace; about 1 / k where k increments are
    orthogonal and of equal length. 0 where nothing moves.

    Args:
        path: parameters (k + 1, ...) at equally spaced times of a training, with the start.

    >>> line, square = jnp.array([[0.0], [1.0], [3.0]]), jnp.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])
    >>> [round(float(measure_drift({"w": points})), 6) for points in (line, square)]
    [1.0, 0.5]

    """
    increments = [
        jnp.diff(leaf, axis=0).reshape(len(leaf) - 1, -1) for leaf in jax.tree.leaves(path)
    ]
    products = jnp.stack([steps @ steps.T for steps in increments])
    energies = eigh(products.sum(axis=0))[0]
    return jnp.where(energies.sum() > 0, energies[-1] / energies.sum(), 0.0)


def loss_barrier(loss: Loss, a: Params, b: Params, points: int = 11) -> jax.Array:
    """Height of the loss on the straight segment from a to b above the line between its ends.

    max_t of L(a + t (b - a)) - (1 - t) L(a) - t L(b), over ``points`` equally spaced t from 0 to 1;
    0 where the loss is convex along the segment (Frankle et al. 2020, arXiv 1912.05671; the line in
    place of the mean as Entezari et al. 2022, arXiv 2110.06296, section 2).

    >>> bump = lambda p: 1 - p["x"] ** 2
    >>> float(loss_barrier(bump, {"x": jnp.array(-1.0)}, {"x": jnp.array(1.0)}))
    1.0
    """
    t = jnp.linspace(0.0, 1.0, points)
    # One point after another: a barrier costs no more memory than a loss.
    along = jax.lax.map(lambda s: loss(jax.tree.map(lambda u, v: u + s * (v - u), a, b)), t)
    return jnp.max(along - ((1 - t) * along[0] + t * along[-1]))
