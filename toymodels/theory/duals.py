"""Dual activations: E phi(u) phi(v) and E phi'(u) phi'(v) over a pair of Gaussians.

(u, v) have mean zero, variances a and b and covariance c, arrays that broadcast. A wide
random layer maps the inner products of its inputs by these functions: Cho and Saul 2009 (ReLU),
Williams 1997 (erf); Daniely et al. 2016 (arXiv 1602.05897) for the name and the theory.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Dual = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""``dual(a, b, c)``: an average over Gaussians of variances a and b and covariance c."""


class Activation(NamedTuple):
    """An activation with its two averages."""

    function: Callable[[jax.Array], jax.Array]
    products: Dual
    """E phi(u) phi(v)."""
    slopes: Dual
    """E phi'(u) phi'(v)."""


def correlation(a: jax.Array, b: jax.Array, c: jax.Array) -> tuple[jax.Array, jax.Array]:
    """sqrt(a b), and the correlation c / sqrt(a b) within [-1, 1]; 0 where a or b is zero.

    A correlation that differs from 1 by rounding alone is set to 1, for the angle grows like the
    square root of the difference.
    """
    size = jnp.sqrt(a * b)
    r = jnp.where(size > 0, c / jnp.where(size > 0, size, 1.0), 0.0)
    ends = jnp.abs(r) > 1 - 8 * jnp.finfo(r.dtype).eps
    return size, jnp.where(ends, jnp.sign(r), r)


def _relu_products(a: jax.Array, b: jax.Array, c: jax.Array) -> jax.Array:
    """sqrt(a b) (sin t + (pi - t) cos t) / 2 pi, t the angle: Cho and Saul's J_1 over 2 pi."""
    size, r = correlation(a, b, c)
    return size * (jnp.sqrt(1 - r**2) + (jnp.pi - jnp.arccos(r)) * r) / (2 * jnp.pi)


def _relu_slopes(a: jax.Array, b: jax.Array, c: jax.Array) -> jax.Array:
    """(pi - t) / 2 pi, the probability that u and v are positive; 0 where u or v is always 0."""
    size, r = correlation(a, b, c)
    return jnp.where(size > 0, (jnp.pi - jnp.arccos(r)) / (2 * jnp.pi), 0.0)


def _erf_products(a: jax.Array, b: jax.Array, c: jax.Array) -> jax.Array:
    """(2 / pi) arcsin(2 c / sqrt((1 + 2 a)(1 + 2 b)))."""
    return 2 / jnp.pi * jnp.arcsin(2 * c / jnp.sqrt((1 + 2 * a) * (1 + 2 * b)))


def _erf_slopes(a: jax.Array, b: jax.Array, c: jax.Array) -> jax.Array:
    """(4 / pi) / sqrt((1 + 2 a)(1 + 2 b) - 4 c^2)."""
    return 4 / jnp.pi / jnp.sqrt((1 + 2 * a) * (1 + 2 * b) - 4 * c**2)


RELU = Activation(jax.nn.relu, _relu_products, _relu_slopes)
ERF = Activation(jax.scipy.special.erf, _erf_products, _erf_slopes)
"""erf(z) itself, without a factor in its argument."""


def hermite(function: Callable[[jax.Array], jax.Array], nodes: int = 100) -> Activation:
    """Any smooth activation, with averages by Gauss-Hermite quadrature of ``nodes`` along each axis.

    Exact for polynomials. For analytic functions it converges geometrically, more slowly the nearer
    the poles are (tanh); erf is exact to 1e-10 at variances up to 1 (tests). Where a function has a
    kink (ReLU) it converges like a low power of 1 / nodes, and should not be used.

    >>> cube = hermite(lambda z: z**3, nodes=8)
    >>> unit, half = jnp.ones(()), jnp.full((), 0.5)
    >>> round(float(cube.products(unit, unit, half)), 4)  # 9 c + 6 c^3
    5.25
    """
    at, weight = np.polynomial.hermite_e.hermegauss(nodes)
    grid, weights = np.meshgrid(at, at), np.outer(weight, weight) / (2 * np.pi)
    points = np.stack([grid[0].ravel(), grid[1].ravel(), weights.ravel()], axis=1)
    points = points[points[:, 2] > 1e-20]

    def average(of: Callable[[jax.Array], jax.Array]) -> Dual:
        def dual(a: jax.Array, b: jax.Array, c: jax.Array) -> jax.Array:
            a, b, c = jnp.broadcast_arrays(a, b, c)
            root = jnp.sqrt(a)
            along = jnp.where(root > 0, c / jnp.where(root > 0, root, 1.0), 0.0)
            across = jnp.sqrt(jnp.maximum(b - along**2, 0.0))

            def add(total: jax.Array, point: jax.Array) -> tuple[jax.Array, None]:
                x, y, w = point
                return total + w * of(root * x) * of(along * x + across * y), None

            return jax.lax.scan(add, jnp.zeros_like(a), jnp.asarray(points, a.dtype))[0]

        return dual

    slope = jnp.vectorize(jax.grad(lambda z: function(z)))
    return Activation(function, average(function), average(slope))
