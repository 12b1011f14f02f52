"""Distributions of the inputs on which a student is distilled."""

import jax


def uniform_noise(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """Noise images: every pixel independently U(-1, 1), the range of the real pixels; float32 (shape)."""
    return jax.random.uniform(key, shape, minval=-1.0, maxval=1.0)
