"""Distributions of the inputs on which a student is distilled."""

import jax


def uniform_noise(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Noise images (shape), float32: each pixel independently U(-1, 1), the range of real pixels."""
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
