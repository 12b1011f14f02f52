"""Decompositions: numpy's own, of any number of matrices, and never of a batch inside."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toymodels.measure import decompositions as own

CASES = {
    "eigh": (own.eigh, lambda a: np.linalg.eigh(a + np.swapaxes(a, -1, -2)), (5, 5)),
    "left_vectors": (own.left_vectors, lambda a: np.linalg.svd(a, full_matrices=False)[0], (7, 5)),
    "pinv": (own.pinv, np.linalg.pinv, (7, 5)),
    "orthonormal": (own.orthonormal, lambda a: np.linalg.qr(a)[0], (7, 5)),
    "solve": (lambda a: own.solve(a, a[:, :2]), lambda a: np.linalg.solve(a, a[..., :2]), (5, 5)),
}


def given(name, shape):
    a = np.random.default_rng(0).normal(size=shape)
    return a + np.swapaxes(a, -1, -2) if name == "eigh" else a


@pytest.mark.parametrize("name", CASES)
def test_side_by_side_they_are_numpys(name, x64):
    decompose, known, shape = CASES[name]
    a = given(name, (2, 3, *shape))
    ours = jax.jit(jax.vmap(jax.vmap(decompose)))(a)
    theirs = known(a / 2 if name == "eigh" else a)
    # Vectors are known but for their sign.
    for got, expected in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(abs(got), abs(expected), rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("name", CASES)
def test_no_batch_is_handed_to_lapack(name):
    """A batch is queued in the pool of threads that waits for it: on a busy pool, for ever."""
    decompose, _, shape = CASES[name]
    a = jnp.asarray(given(name, (16, *shape)), jnp.float32)
    calls = re.findall(r"custom_call @lapack.*", jax.jit(jax.vmap(decompose)).lower(a).as_text())
    assert calls
    assert not any("tensor<16x" in call for call in calls)


def test_leading_axes_are_matrices_side_by_side():
    a = given("pinv", (2, 3, 4, 3))
    np.testing.assert_allclose(own.pinv(a)[1, 2], own.pinv(a[1, 2]), atol=1e-6)
    squares = np.swapaxes(a, -1, -2) @ a
    values, vectors = own.eigh(squares)
    np.testing.assert_allclose(
        (vectors * values[..., None, :]) @ np.swapaxes(vectors, -1, -2), squares, atol=1e-4
    )
    low = own.pinv(np.diag([1.0, 1e-3]), rtol=1e-2)
    np.testing.assert_allclose(low, np.diag([1.0, 0.0]), atol=1e-6)
