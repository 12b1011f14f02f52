"""Inputs on which a student is distilled; `toymodels.data.distributions` has more of them."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

# Rows drawn at a time: they stay in the cache, where drawing all at once takes three times the
# memory of the result.
BLOCK = 1000


def sample_images(
    image: Callable[[jax.Array, jax.Array], jax.Array], key: jax.Array, n: int
) -> jax.Array:
    """Images (n, size), the i-th of them ``image(key of its own, i)``: more keep the earlier ones.

    >>> sample_images(lambda key, i: i[None], jax.random.key(0), 3).tolist()
    [[0], [1], [2]]
    """
    numbered = jax.random.split(key, n), jnp.arange(n)
    return jax.lax.map(lambda row: image(*row), numbered, batch_size=min(n, BLOCK))


def uniform_noise(key: jax.Array, n: int, size: int) -> jax.Array:
    """Noise images, float32 (n, size): each pixel independently U(-1, 1), as wide as real ones.

    An image depends on the key and its own number alone: more images keep the earlier ones.

    >>> images = uniform_noise(jax.random.key(0), 3, 4)
    >>> images.shape, bool((uniform_noise(jax.random.key(0), 2, 4) == images[:2]).all())
    ((3, 4), True)
    """
    return sample_images(
        lambda key, _: jax.random.uniform(key, (size,), minval=-1.0, maxval=1.0), key, n
    )
