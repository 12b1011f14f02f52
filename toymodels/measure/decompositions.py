"""Decompositions of matrices, one after the other however many stand side by side.

Of a batch jaxlib's own (0.10 to 0.12, on a CPU) queue the matrices in the pool of threads that they
run in, and wait there: as many of them at once as there are threads wait for each other for ever.
One matrix waits for nobody; and small ones are done sooner so. Not for reverse-mode gradients.
Fourier transforms have the same fault: ask for two in one call.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import sequential_vmap


def singly(decompose: Callable[..., Any], signature: str) -> Callable[..., Any]:
    """A function of matrices, by its signature, of any leading axes: one call for each of them."""
    return jnp.vectorize(sequential_vmap(decompose), signature=signature)


def eigh(a: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Eigenvalues (..., p), rising, and eigenvectors (..., p, p) of symmetric matrices.

    >>> eigh(jnp.array([[2.0, 0.0], [0.0, 1.0]]))[0].tolist()
    [1.0, 2.0]
    """
    values, vectors = singly(lambda a: tuple(jnp.linalg.eigh(a)), "(p,p)->(p),(p,p)")(a)
    return values, vectors


def left_vectors(a: jax.Array) -> jax.Array:
    """Left singular vectors (..., n, min(n, p)) of matrices (..., n, p), widest first."""
    vectors: jax.Array = singly(
        lambda a: jnp.linalg.svd(a, full_matrices=False)[0], "(n,p)->(n,k)"
    )(a)
    return vectors


def pinv(a: jax.Array, rtol: float | None = None) -> jax.Array:
    """Pseudoinverses (..., p, n) of matrices (..., n, p); ``rtol``: `jax.numpy.linalg.pinv`.

    >>> pinv(jnp.array([[2.0], [0.0]])).tolist()
    [[0.5, 0.0]]
    """
    inverse: jax.Array = singly(lambda a: jnp.linalg.pinv(a, rtol=rtol), "(n,p)->(p,n)")(a)
    return inverse


def orthonormal(a: jax.Array) -> jax.Array:
    """Orthonormal bases (..., n, p) of the columns of matrices (..., n, p), p <= n."""
    basis: jax.Array = singly(lambda a: jnp.linalg.qr(a)[0], "(n,p)->(n,p)")(a)
    return basis


def solve(a: jax.Array, b: jax.Array) -> jax.Array:
    """X (..., p, q) with A X = B, of matrices A (..., p, p) with an inverse and B (..., p, q)."""
    x: jax.Array = singly(jnp.linalg.solve, "(p,p),(p,q)->(p,q)")(a, b)
    return x
