"""Perturbations of images that change the class that a network reads, and how large they have to be.

Images are rows (n, pixels) in [-1, 1], and stay there. A perturbation of size eps changes no pixel by
more than eps, where black and white are 2 apart: eps = 0.2 here is 0.1 where pixels lie in [0, 1].
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from toymodels.measure.probes import cosine

Read = Callable[[jax.Array], jax.Array]
"""``read(images) -> class logits (n, classes)``: a network with its parameters."""


def perturb(x: jax.Array, change: jax.Array, eps: float | jax.Array) -> jax.Array:
    """Images with a change (n, pixels) of at most eps added to each pixel, cut off at black and white.

    >>> perturb(jnp.array([[0.0, -1.0]]), jnp.array([[3.0, -3.0]]), 0.5).tolist()
    [[0.5, -1.0]]
    """
    return jnp.clip(x + jnp.clip(change, -eps, eps), -1.0, 1.0)


def project_gradient(
    read: Read, x: jax.Array, labels: jax.Array, eps: float | jax.Array, steps: int = 10
) -> jax.Array:
    """Images perturbed so that the cross-entropy with their labels rises: projected gradient ascent.

    Each step adds 2.5 eps / steps times the sign of the gradient to every pixel, and goes back to
    the nearest image that `perturb` allows. The first step starts from the image itself, so that
    nothing is random. Madry et al. 2018 (arXiv 1706.06083), section 2.1.

    Args:
        read: the network that is attacked.
        x: images (n, pixels).
        labels: their classes (n,).
        eps: largest change of a pixel; it may be traced.
        steps: number of steps.

    Returns:
        The perturbed images (n, pixels).

    >>> weights = jnp.array([[1.0, -1.0], [-2.0, 2.0]])
    >>> x, label = jnp.array([[0.5, 0.0]]), jnp.array([0])
    >>> project_gradient(lambda x: x @ weights, x, label, 0.25).tolist()
    [[0.25, 0.25]]

    """

    def loss(x: jax.Array) -> jax.Array:
        # The sum: no image has a part in the gradient of another.
        return optax.losses.softmax_cross_entropy_with_integer_labels(read(x), labels).sum()

    def step(_: int, attacked: jax.Array) -> jax.Array:
        uphill = jnp.sign(jax.grad(loss)(attacked))
        return perturb(x, attacked - x + 2.5 * eps / steps * uphill, eps)

    return jax.lax.fori_loop(0, steps, step, x)


def random_signs(key: jax.Array, x: jax.Array, eps: float | jax.Array) -> jax.Array:
    """Images with eps added to or subtracted from every pixel at random: no network's attack.

    >>> x = jnp.zeros((1, 4))
    >>> jnp.abs(random_signs(jax.random.key(0), x, 0.5)).tolist()
    [[0.5, 0.5, 0.5, 0.5]]
    """
    return perturb(x, eps * jax.random.rademacher(key, x.shape, x.dtype), eps)


def boundary_distances(read: Read, x: jax.Array, labels: jax.Array) -> jax.Array:
    """Smallest eps that changes the class of each image (n, pixels), to first order: (n,).

    The logit of the label less that of another class, over the sum of absolute values of the
    gradient of this difference; the nearest other class counts. Exact for a linear network but for
    the bounds of the pixels, which are left out. Negative where an image is misread. At most 2 in
    size, from black to white. Moosavi-Dezfooli et al. 2016 (arXiv 1511.04599), section 3.

    Raises:
        TypeError: ``read`` does not return one row of logits for each image.

    >>> weights = jnp.array([[1.0, -1.0], [-2.0, 2.0]])
    >>> boundary_distances(lambda x: x @ weights, jnp.array([[0.5, -0.5]]), jnp.array([0])).tolist()
    [0.5]

    """

    def lead(x: jax.Array, other: jax.Array) -> jax.Array:
        logits = read(x)
        own = jnp.take_along_axis(logits, labels[:, None].astype(int), axis=1)[:, 0]
        return own - logits[:, other]

    def distance(other: jax.Array) -> jax.Array:
        gap, pull = jax.vjp(lambda x: lead(x, other), x)
        slope = jnp.abs(pull(jnp.ones_like(gap))[0]).sum(axis=1)
        flat = jnp.where(gap < 0, -2.0, 2.0)  # no perturbation changes the difference
        found = jnp.where(slope > 0, gap / jnp.where(slope > 0, slope, 1.0), flat)
        return jnp.where(labels == other, 2.0, jnp.clip(found, -2.0, 2.0))

    n_classes = jax.eval_shape(read, x).shape[1]
    return jax.lax.map(distance, jnp.arange(n_classes)).min(axis=0)


def rank_correlation(a: jax.Array, b: jax.Array, counted: jax.Array) -> jax.Array:
    """Spearman's rank correlation of two arrays (n,) over the entries that count, bool (n,): a scalar.

    0 where it is undefined: fewer than two entries count, or those of one array are all equal.
    `toymodels.measure.predictors.rank_correlation` is that of labelled arrays.

    >>> a, counted = jnp.array([1.0, 2.0, 5.0, 0.0]), jnp.array([True, True, True, False])
    >>> round(float(rank_correlation(a, a**3, counted)), 6)
    1.0
    """

    def centre(values: jax.Array) -> jax.Array:
        # What does not count comes last, and so moves no other rank.
        ranks = jax.scipy.stats.rankdata(jnp.where(counted, values, jnp.inf))
        mean = jnp.where(counted, ranks, 0.0).sum() / jnp.maximum(counted.sum(), 1)
        return jnp.where(counted, ranks - mean, 0.0)

    return cosine(centre(a), centre(b))
