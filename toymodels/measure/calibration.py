"""Whether a network is right as often as the probabilities of its class softmax say."""

import jax
import jax.numpy as jnp


def calibration_error(logits: jax.Array, labels: jax.Array, bins: int = 15) -> jax.Array:
    """Expected calibration error of class logits (n, classes) with labels (n,): a scalar.

    Images are put into bins of equal width by their largest probability, the confidence. The error
    is the mean over images of the distance between accuracy and mean confidence in their bin: 0 if
    a network is right as often as it says. Guo et al. 2017 (arXiv 1706.04599), section 2, with as
    many bins.

    >>> sure = jnp.array([[99.0, 0.0], [99.0, 0.0]])
    >>> float(calibration_error(sure, jnp.array([0, 0]))), float(calibration_error(sure, jnp.array([0, 1])))
    (0.0, 0.5)
    """
    surplus, confidence = compare_confidence(logits, labels)
    number = jnp.minimum((confidence * bins).astype(int), bins - 1)
    sums = jnp.zeros(bins, surplus.dtype).at[number].add(surplus)
    return jnp.abs(sums).sum() / len(labels)


def overconfidence(logits: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean confidence less accuracy of class logits (n, classes) with labels (n,): a scalar.

    Its size is at most `calibration_error`, which sees no sign.

    >>> float(overconfidence(jnp.zeros((2, 4)), jnp.array([0, 1])))
    -0.25
    """
    return compare_confidence(logits, labels)[0].mean()


def compare_confidence(logits: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Confidence less 1 where an image is read right, less 0 where not; and confidence: (n,) each."""
    confidence = jax.nn.softmax(logits).max(axis=-1)
    return confidence - (logits.argmax(axis=-1) == labels), confidence
