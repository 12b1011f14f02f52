"""Numbers of few bits, emulated in float32: what a format of a shorter mantissa would hold.

A format is told by the bits of its mantissa (beside the leading one) and by the smallest exponent of
its normal numbers, below which the spacing of its numbers stays the same:

============= ============= =================
format        mantissa bits smallest exponent
============= ============= =================
float32       23            -126
bfloat16      7             -126
float16       10            -14
float8 (e4m3) 3             -6
float8 (e5m2) 2             -14
============= ============= =================

The largest number of a format is not emulated: weights of small networks lie far below it. Both
numbers of a format may be traced, so that they are axes of a sweep.
"""

import jax
import jax.numpy as jnp

from toymodels.networks.derived import map_functions
from toymodels.networks.models import Activation, Function, Network, Params

FULL = 23
"""Bits of the mantissa of float32, at which nothing is rounded."""
SMALLEST = -126
"""Smallest exponent of the normal numbers of float32 and of bfloat16."""

Bits = int | jax.Array


def measure_spacing(x: jax.Array, bits: Bits, smallest: Bits = SMALLEST) -> jax.Array:
    """The distance from each number to the next larger one in magnitude of a format.

    Args:
        x: numbers float32, of any shape.
        bits: bits of the mantissa.
        smallest: smallest exponent of normal numbers. No spacing is below 2^-126, the least
            normal number of float32.

    >>> measure_spacing(jnp.array([1.0, 1.9, 2.0, 0.0]), 7).tolist()[:3] == [2**-7, 2**-7, 2**-6]
    True

    """
    exponent = jnp.frexp(x)[1] - 1
    return jnp.ldexp(jnp.float32(1), jnp.maximum(jnp.maximum(exponent, smallest) - bits, SMALLEST))


def round_mantissa(
    x: jax.Array, bits: Bits, smallest: Bits = SMALLEST, offset: jax.Array | None = None
) -> jax.Array:
    """Round to the numbers of a format: to the nearest, or to either neighbour at random.

    Args:
        x: numbers float32, of any shape.
        bits: bits of the mantissa; at 23 every number stays as it is.
        smallest: smallest exponent of normal numbers.
        offset: None rounds to the nearest number, ties to even. Random numbers of U[0, 1), like x,
            round up with the probability that makes the result right in the mean (stochastic
            rounding; Gupta et al. 2015, arXiv 1502.02551).

    >>> round_mantissa(jnp.array([1.0, 1.2, 1.3, 1.125]), 2).tolist()
    [1.0, 1.25, 1.25, 1.0]
    >>> round_mantissa(jnp.array([1.0, 1.2]), 2, offset=jnp.array([0.9, 0.9])).tolist()
    [1.0, 1.25]

    """
    spacing = measure_spacing(x, bits, smallest)
    steps = x / spacing  # exact: the spacing is a power of two
    whole = jnp.round(steps) if offset is None else jnp.floor(steps + offset)
    return jnp.where(bits >= FULL, x, whole * spacing)


def pass_through(x: jax.Array, bits: Bits, smallest: Bits = SMALLEST) -> jax.Array:
    """Rounded numbers with the gradient of the numbers themselves (Bengio et al. 2013, arXiv 1308.3432)."""

    def rounded(x: jax.Array) -> jax.Array:
        # x + (r - x) is r: rounding moves by at most half a spacing, so the difference is exact.
        return x + jax.lax.stop_gradient(round_mantissa(x, bits, smallest) - x)

    # Where models run one after the other, a student in full precision pays nothing.
    return jax.lax.cond(bits < FULL, rounded, lambda x: x, x)


def round_factors(network: Network, bits: Bits, smallest: Bits = SMALLEST) -> Network:
    """The network whose matrix products read factors of few bits and add them up in float32.

    Rounded are the weights, the inputs and the activations; the parameters themselves stay in
    float32, and the gradient passes through as if nothing had been rounded. This is mixed-precision
    training with weights of full precision (Micikevicius et al. 2018, arXiv 1710.03740). A network without a
    known activation has its weights and inputs rounded alone.

    >>> double = Network(lambda key: {}, lambda p, x: x * p["w"], name="double")
    >>> float(round_factors(double, bits=2).apply({"w": jnp.array(1.2)}, jnp.array(1.3)))
    1.5625
    """

    def read(function: Function) -> Function:
        def apply(params: Params, x: jax.Array) -> jax.Array:
            weights = jax.tree.map(lambda w: pass_through(w, bits, smallest), params)
            return function(weights, pass_through(x, bits, smallest))

        return apply

    def shorten(activation: Activation) -> Activation:
        return lambda u: pass_through(activation(u), bits, smallest)

    change = network.map_activation
    return map_functions(network if change is None else change(shorten), read, network.name)
