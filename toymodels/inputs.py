"""Distributions of the inputs on which a student is distilled."""

import jax

# Rows drawn at a time: they stay in the cache, where drawing all at once takes three times the
# memory of the result.
BLOCK = 1000


def uniform_noise(key: jax.Array, n: int, size: int) -> jax.Array:
    """Noise images, float32 (n, size): each pixel independently U(-1, 1), as wide as real ones.

    An image depends on the key and its own number alone: more images keep the earlier ones.

    >>> images = uniform_noise(jax.random.key(0), 3, 4)
    >>> images.shape, bool((uniform_noise(jax.random.key(0), 2, 4) == images[:2]).all())
    ((3, 4), True)
    """

    def image(key: jax.Array) -> jax.Array:
        return jax.random.uniform(key, (size,), minval=-1.0, maxval=1.0)

    return jax.lax.map(image, jax.random.split(key, n), batch_size=min(n, BLOCK))
