"""Distributions of the inputs on which a student is distilled."""

import jax


def uniform_noise(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Noise images, float32 (shape): each pixel independently U(-1, 1), as wide as real ones."""
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
