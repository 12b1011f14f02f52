"""Probes of representations (n inputs, p features): shared subspaces, and what a linear map reads.

Linear CKA is in `toymodels.measure.probes`.
"""

import jax
import jax.numpy as jnp

from toymodels.measure.decompositions import left_vectors, solve


def principal_subspace(a: jax.Array, k: int) -> jax.Array:
    """Orthonormal basis (n, k) of the k widest directions of centred representations (n, p).

    These are directions among the n inputs, the left singular vectors: networks whose features have
    nothing to do with each other are compared there. k is at most min(n, p).
    """
    return left_vectors(a - a.mean(axis=0))[:, :k]


def subspace_overlap(u: jax.Array, v: jax.Array) -> jax.Array:
    """Mean squared cosine of the principal angles between the spans of orthonormal (n, k) bases.

    >>> line, turned = jnp.array([[1.0], [0.0]]), jnp.array([[0.6], [0.8]])
    >>> round(float(subspace_overlap(line, turned)), 6)
    0.36
    """
    return ((u.T @ v) ** 2).sum() / u.shape[1]


def subspace_cka(a: jax.Array, b: jax.Array, k: int) -> jax.Array:
    """CKA of the top-k principal subspaces of (n, p) and (n, q), all directions counted alike.

    1 for one subspace whatever the basis and scales in it, 0 for orthogonal ones, about k / n for
    random ones: it sees narrow directions that `probes.cka` drowns in wide ones. The projectors
    take the place of the Gram matrices of Kornblith et al. 2019 (arXiv 1905.00414), section 3;
    with k = p = q it is their mean squared canonical correlation (section 4).

    >>> a = jax.random.normal(jax.random.key(0), (100, 3))
    >>> round(float(subspace_cka(a, a * jnp.array([100.0, 1.0, 0.01]), 3)), 4)
    1.0
    """
    return subspace_overlap(principal_subspace(a, k), principal_subspace(b, k))


def linear_probe(
    train: tuple[jax.Array, jax.Array],
    test: tuple[jax.Array, jax.Array],
    n_classes: int,
    ridge: float = 1e-3,
) -> jax.Array:
    """Test accuracy of a linear classifier on representations: how readable the labels are there.

    Ridge regression to one-hot labels in closed form, features centred on the training rows and
    the bias free; the penalty is ``ridge`` times the mean variance of a feature, so that the scale
    of the features means nothing. Only the training rows are fitted. Alain & Bengio 2016 (arXiv
    1610.01644) probe so, by gradient descent.

    Args:
        train, test: representations (n, p), and labels (n,).
        n_classes: number of labels.
        ridge: the penalty.

    >>> x, labels = jnp.array([[-1.0], [-2.0], [1.0], [3.0]]), jnp.array([0, 0, 1, 1])
    >>> float(linear_probe((x, labels), (jnp.array([[-9.0], [5.0]]), jnp.array([0, 0])), 2))
    0.5

    """
    (x, labels), (unseen, answers) = train, test
    centre = x.mean(axis=0)
    x, targets = x - centre, jax.nn.one_hot(labels, n_classes, dtype=x.dtype)
    offset = targets.mean(axis=0)
    gram = x.T @ x
    penalty = ridge * jnp.trace(gram) / len(gram)
    # A unit that is never active has no variance and no weight; all of them: any number will do.
    penalty = jnp.where(penalty > 0, penalty, 1.0) * jnp.eye(len(gram), dtype=x.dtype)
    weights = solve(gram + penalty, x.T @ (targets - offset))
    return (jnp.argmax((unseen - centre) @ weights + offset, axis=-1) == answers).mean()
