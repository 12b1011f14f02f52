"""More distributions of the distillation inputs: white, with a spectrum, in a subspace, of images.

Every noise has the pixel variance of U(-1, 1), which is 1/3, as a mean over pixels: kinds differ in
law and spectrum alone. What is made of images stays as wide as they are. An image depends on the
key and its own number alone: more images keep the earlier ones.
"""

import functools
import math
from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp

from toymodels.data.inputs import sample_images, uniform_noise
from toymodels.data.kinds import parse_kind
from toymodels.errors import UserError
from toymodels.measure.decompositions import orthonormal

SPREAD = 3**-0.5
"""Standard deviation of U(-1, 1)."""

Law = Literal["gaussian", "signs"]


def draw(name: str, key: jax.Array, n: int, images: jax.Array, own: jax.Array) -> jax.Array:
    """Inputs (n, size) of a distribution by its name, of those in `toymodels.data.kinds`.

    The key is that of these inputs, ``own`` that of what all inputs of a subspace have in common;
    images (N, size) are the real ones, square. Where these are fewer than n, they come again, and
    so do those of shuffled pixels or phases: as many distinct ones.

    >>> keys = jax.random.split(jax.random.key(0))
    >>> draw("blend:1", keys[0], 2, jnp.arange(4.0)[None], keys[1]).tolist()
    [[0.0, 1.0, 2.0, 3.0], [0.0, 1.0, 2.0, 3.0]]
    """
    kind, number = parse_kind(name)
    size = images.shape[1]
    side = math.isqrt(size)
    law: Law = "signs" if kind.endswith("signs") else "gaussian"
    match kind:
        case "uniform":
            return uniform_noise(key, n, size)
        case "samples":
            return repeat_images(uniform_noise(key, min(int(number), n), size), n)
        case "gaussian" | "signs":
            return white_noise(key, n, size, law)
        case "spectrum":
            return filter_noise(key, n, power_gain(side, number))
        case "blur" | "blurred-signs":
            return filter_noise(key, n, blur_gain(side, number), law)
        case "perlin":
            return perlin_noise(key, n, side, int(number))
        case "subspace":
            return subspace_noise(key, n, random_basis(own, size, int(number)))
        case "real":
            return repeat_images(images, n)
        case "phases":
            return repeat_images(scramble_phases(key, images[:n]), n)
        case "shuffled":
            return repeat_images(shuffle_pixels(key, images[:n]), n)
        case _:
            return number * repeat_images(images, n) + (1 - number) * uniform_noise(key, n, size)


def stack_inputs(
    names: Sequence[str], key: jax.Array, n: int, images: jax.Array, own: jax.Array
) -> jax.Array:
    """Inputs of several distributions (names, n, size), drawn one set after the other."""
    draws = [functools.partial(draw, name, key, n, images, own) for name in names]
    return jax.lax.map(lambda i: jax.lax.switch(i, draws), jnp.arange(len(draws)))


def white(key: jax.Array, size: int, law: Law) -> jax.Array:
    """One image (size,) of independent pixels: Gaussian, or one of two values (Bernoulli)."""
    pixels = {"gaussian": jax.random.normal, "signs": jax.random.rademacher}[law]
    return SPREAD * pixels(key, (size,), float)


def white_noise(key: jax.Array, n: int, size: int, law: Law = "gaussian") -> jax.Array:
    """Images (n, size) of independent pixels.

    >>> noise = white_noise(jax.random.key(0), 1, 4, "signs")
    >>> bool(jnp.allclose(noise**2, 1 / 3))
    True
    """
    return sample_images(lambda key, _: white(key, size, law), key, n)


def filter_noise(key: jax.Array, n: int, gain: jax.Array, law: Law = "gaussian") -> jax.Array:
    """Stationary noise (n, side * side) on a torus: white noise times a gain in Fourier space.

    The gain (side, side), by wave number in the order of ``fft2``, is the square root of the power
    spectrum but for a factor. With the Gaussian law the spectrum says all there is to say.

    >>> noise = filter_noise(jax.random.key(0), 1, blur_gain(4, 0.0))
    >>> bool(jnp.allclose(noise, white_noise(jax.random.key(0), 1, 16), atol=1e-6))
    True
    """
    side = len(gain)
    half = (gain / jnp.sqrt((gain**2).mean()))[:, : side // 2 + 1]

    def image(key: jax.Array, _: jax.Array) -> jax.Array:
        pixels = white(key, side * side, law).reshape(side, side)
        return jnp.fft.irfft2(jnp.fft.rfft2(pixels) * half, s=(side, side)).ravel()

    return sample_images(image, key, n)


def wave_numbers(side: int) -> jax.Array:
    """Wave numbers k in periods an image, (side, side), in the order of ``fft2``."""
    k = jnp.fft.fftfreq(side, 1 / side)
    return jnp.hypot(k[:, None], k)


def power_gain(side: int, beta: float) -> jax.Array:
    """Amplitude k ** -beta, isotropic: beta 0 is white, 1 as in natural images.

    The mean of an image (k = 0) varies as much as its slowest wave (k = 1).
    """
    return jnp.maximum(wave_numbers(side), 1.0) ** -beta


def blur_gain(side: int, sigma: float) -> jax.Array:
    """Blur by a Gaussian with a standard deviation of sigma pixels."""
    return jnp.exp(-2 * (jnp.pi * sigma / side * wave_numbers(side)) ** 2)


def perlin_noise(key: jax.Array, n: int, side: int, cells: int) -> jax.Array:
    """Gradient noise (n, side * side): unit gradients on a square lattice, smoothly joined.

    Perlin, SIGGRAPH 2002: quintic weights; ``cells`` lattice cells along a side.
    """
    offset = (jnp.arange(side) + 0.5)[:, None] * cells / side - jnp.arange(cells + 1)
    t = jnp.minimum(abs(offset), 1.0)
    weight = 1 - t**3 * (10 - 15 * t + 6 * t**2)
    slope = weight * offset
    # A component of a unit gradient has the variance 1/2, and there are two.
    spread = jnp.sqrt((weight**2).sum(1).mean() * (slope**2).sum(1).mean())

    def image(key: jax.Array, _: jax.Array) -> jax.Array:
        angle = jax.random.uniform(key, (cells + 1, cells + 1), maxval=2 * jnp.pi)
        down, across = jnp.cos(angle), jnp.sin(angle)
        raw = slope @ down @ weight.T + weight @ across @ slope.T
        return (SPREAD / spread * raw).ravel()

    return sample_images(image, key, n)


def subspace_noise(key: jax.Array, n: int, basis: jax.Array) -> jax.Array:
    """Gaussian noise (n, size) in the span of a basis (size, k) of orthonormal columns."""
    size, k = basis.shape
    return white_noise(key, n, k) @ basis.T * math.sqrt(size / k)


def random_basis(key: jax.Array, size: int, k: int) -> jax.Array:
    """Orthonormal basis (size, k) of a random subspace, uniform among those of k dimensions.

    >>> basis = random_basis(jax.random.key(0), 5, 2)
    >>> bool(jnp.allclose(basis.T @ basis, jnp.eye(2), atol=1e-6))
    True
    """
    if k > size:
        raise UserError(f"a subspace must have at most {size} dimensions, one a pixel; got {k}")
    return orthonormal(jax.random.normal(key, (size, k)))


def repeat_images(images: jax.Array, n: int) -> jax.Array:
    """Images (N, size), again and again up to n."""
    return images[jnp.arange(n) % len(images)]


def shuffle_pixels(key: jax.Array, images: jax.Array) -> jax.Array:
    """Images (n, size), each with its pixels in a random order of its own.

    >>> sorted(shuffle_pixels(jax.random.key(0), jnp.arange(4)[None])[0].tolist())
    [0, 1, 2, 3]
    """
    return sample_images(lambda key, i: jax.random.permutation(key, images[i]), key, len(images))


def scramble_phases(key: jax.Array, images: jax.Array) -> jax.Array:
    """Square images (n, size), each with random Fourier phases of its own.

    Each keeps its power spectrum and its mean, and nothing else: the mean image is lost, so that a
    pixel varies more. Theiler et al., Physica D 58, 77 (1992).
    """
    side = math.isqrt(images.shape[1])

    def image(key: jax.Array, i: jax.Array) -> jax.Array:
        both = jnp.stack([images[i].reshape(side, side), jax.random.normal(key, (side, side))])
        known, waves = jnp.fft.rfft2(both)  # two calls may wait for each other: `decompositions`
        phases = (waves / abs(waves)).at[0, 0].set(1.0)
        return jnp.fft.irfft2(known * phases, s=(side, side)).ravel()

    return sample_images(image, key, len(images))


def effective_dimension(x: jax.Array) -> jax.Array:
    """Participation ratio (tr C)**2 / tr(C**2) of the covariance of images (n, size).

    k where k directions have the same variance; few images n have fewer: about 1 / (1/k + 1/n).

    >>> x = jnp.array([[1.0, 0, 0], [-1, 0, 0], [0, 2, 0], [0, -2, 0]])  # variances 1 : 4 : 0
    >>> round(float(effective_dimension(x)), 3), round((1 + 4) ** 2 / (1**2 + 4**2), 3)
    (1.471, 1.471)
    """
    x = x - x.mean(axis=0)
    covariance = x.T @ x
    return jnp.trace(covariance) ** 2 / (covariance**2).sum()


def describe_inputs(x: jax.Array) -> dict[str, jax.Array]:
    """Variance of a pixel of images (n, size), as a mean over pixels, and effective dimension."""
    return {"variance": x.var(axis=0).mean(), "effective_dimension": effective_dimension(x)}
