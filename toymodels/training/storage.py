"""Optimisers that keep weights or moments as numbers of few bits, between one step and the next."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from toymodels.errors import UserError
from toymodels.networks.models import Params
from toymodels.networks.rounding import FULL, SMALLEST, Bits, round_mantissa
from toymodels.trees import sample_leaves

MOST_BITS = 10
"""Largest number of mantissa bits below float32's at which stored weights are exact; see `store_rounded`."""


class Stored(NamedTuple):
    """The state of an optimiser whose numbers are stored."""

    inner: Any
    """The state of the optimiser itself."""
    step: jax.Array
    """Number of steps."""


def store_rounded(
    optimiser: optax.GradientTransformation,
    *,
    weights: Bits = FULL,
    moments: Bits = FULL,
    smallest: Bits = SMALLEST,
    stochastic: bool | jax.Array = False,
    key: jax.Array | None = None,
) -> optax.GradientTransformation:
    """Round the weights, and the optimiser's own numbers, after every step.

    What a step adds to a weight is lost where it is less than half the spacing of the format there.
    All numbers here may be traced; at 23 bits nothing changes. The weights must be numbers of the
    format when training starts (`toymodels.networks.rounding.round_mantissa`).

    Args:
        optimiser: the optimiser whose steps are taken.
        weights: bits of the stored weights' mantissa: at most 10, or 23, that is all. With at most
            10 bits, the weight p and its rounded successor q have a difference whose sum with p is
            q to the bit in float32, so that ``optax.apply_updates`` stores q itself.
        moments: bits of the mantissa of the floating numbers of the optimiser's state.
        smallest: smallest exponent of the format's normal numbers.
        stochastic: whether weights are rounded to either neighbour at random, right in the mean,
            and not to the nearest.
        key: random key of stochastic rounding.

    Raises:
        UserError: ``weights`` is from 11 to 22.

    >>> params, halve = {"w": jnp.array(1.0)}, store_rounded(optax.sgd(1.0), weights=2)
    >>> for gradient in (0.1, -0.2):  # spacings: 1/8 below 1, 1/4 above
    ...     steps, _ = halve.update({"w": jnp.array(gradient)}, halve.init(params), params)
    ...     print(float(optax.apply_updates(params, steps)["w"]))
    0.875
    1.25

    """
    if isinstance(weights, int) and MOST_BITS < weights < FULL:
        raise UserError(f"weights must be at most {MOST_BITS} bits, or {FULL}; got {weights}")

    def draw_offsets(step: jax.Array, params: Params) -> Params:
        assert key is not None
        return sample_leaves(jax.random.uniform, jax.random.fold_in(key, step), params)

    def round_weights(step: jax.Array, params: Params, updates: Params) -> Params:
        """The steps to the stored weights."""
        moved = jax.tree.map(jnp.add, params, updates)

        def to_nearest(_: jax.Array) -> Params:
            return jax.tree.map(lambda q: round_mantissa(q, weights, smallest), moved)

        def to_either(step: jax.Array) -> Params:
            offsets = draw_offsets(step, params)
            return jax.tree.map(
                lambda q, u: round_mantissa(q, weights, smallest, u), moved, offsets
            )

        kept = (
            to_nearest(step)
            if key is None
            else jax.lax.cond(stochastic, to_either, to_nearest, step)
        )
        return jax.tree.map(jnp.subtract, kept, params)

    def round_moment(leaf: jax.Array) -> jax.Array:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        return round_mantissa(leaf, moments, smallest)

    def update(
        gradient: Params, state: Stored, params: Params | None = None
    ) -> tuple[Params, Stored]:
        assert params is not None
        updates, inner = optimiser.update(gradient, state.inner, params)
        updates = jax.lax.cond(
            weights < FULL,
            lambda: round_weights(state.step, params, updates),
            lambda: updates,
        )
        inner = jax.lax.cond(
            moments < FULL, lambda: jax.tree.map(round_moment, inner), lambda: inner
        )
        return updates, Stored(inner, state.step + 1)

    return optax.GradientTransformation(
        lambda params: Stored(optimiser.init(params), jnp.zeros((), jnp.int32)), update
    )
