"""Adam from moments of another training: the teacher's first or second moments in a student."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from toymodels.networks.models import Params
from toymodels.training.optimisers import Rate


class Moments(NamedTuple):
    """Adam's running means, each with the number of gradients in it."""

    first: Params
    """Mean of the gradients."""
    second: Params
    """Mean of their squares."""
    first_age: jax.Array
    second_age: jax.Array


def read_moments(state: Any) -> Moments:
    """The moments in a state of optax's Adam.

    >>> state = optax.adam(0.1).init({"w": jnp.ones(2)})
    >>> read_moments(state).first["w"].tolist()
    [0.0, 0.0]
    """
    first, second = (optax.tree.get(state, name) for name in ("mu", "nu"))
    age = optax.tree.get(state, "count")
    return Moments(first, second, age, age)


def transplant(
    moments: Moments, first: bool | jax.Array, second: bool | jax.Array, into: Params
) -> Moments:
    """Moments of another training, and fresh ones (zeros) wherever they are not wanted.

    Args:
        moments: the moments of the other training.
        first: whether to take the first moments; may be traced.
        second: whether to take the second moments; may be traced.
        into: a mask of the parameters that take them. One that the student's loss does not read has
            a second moment of zero, by which a first moment would be divided.

    >>> mean = {"w": jnp.array([1.0, 2.0])}
    >>> kept = transplant(Moments(mean, mean, 9, 9), True, False, {"w": jnp.array([True, False])})
    >>> kept.first["w"].tolist(), kept.second["w"].tolist(), int(kept.second_age)
    ([1.0, 0.0], [0.0, 0.0], 0)

    """

    def keep(wanted: bool | jax.Array, tree: Params) -> Params:
        return jax.tree.map(lambda m, a: jnp.where(jnp.logical_and(wanted, m), a, 0), into, tree)

    return Moments(
        keep(first, moments.first),
        keep(second, moments.second),
        jnp.where(first, moments.first_age, 0),
        jnp.where(second, moments.second_age, 0),
    )


def match_scale(moments: Moments, gradient: Params, into: Params, b2: Rate = 0.999) -> Moments:
    """The moments as a loss would leave them whose gradients have the size of a given one.

    Adam is blind to the scale of a loss, but not to a change of it: after moments of large gradients
    small ones move nothing, and a first moment of large gradients over a second one of small ones
    throws the parameters away. All moments are multiplied by one number, so that the corrected second
    ones have the sum of the gradient's squares.

    Args:
        moments: the moments of another training, of age 1 at least.
        gradient: a gradient of the loss that goes on from them.
        into: a mask of the parameters whose sizes are compared.
        b2: decay of the second moment in that other training.

    >>> mean = {"w": jnp.array([1.0, 1.0])}
    >>> moments = match_scale(Moments(mean, mean, 1, 1), {"w": jnp.array([3.0, 4.0])}, {"w": True}, 0.0)
    >>> moments.second["w"].tolist()
    [12.5, 12.5]

    """

    def add_up(squares: Params) -> jax.Array:
        return optax.tree.sum(jax.tree.map(lambda m, a: jnp.where(m, a, 0), into, squares))

    share = 1 - b2**moments.second_age
    ratio = add_up(jax.tree.map(jnp.square, gradient)) / (add_up(moments.second) / share)
    return moments._replace(
        first=jax.tree.map(lambda m: jnp.sqrt(ratio) * m, moments.first),
        second=jax.tree.map(lambda m: ratio * m, moments.second),
    )


def adam_from(
    moments: Moments, rate: Rate, b1: Rate = 0.9, b2: Rate = 0.999, eps: float = 1e-8
) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015, arXiv 1412.6980) that starts from given moments.

    Each moment is corrected for its own age, so that one of them may be another training's and the
    other fresh. From both moments of a state it goes on as optax's Adam does from that state.

    Args:
        moments: the moments at the start.
        rate: learning rate; may be traced, like the decays.
        b1: decay of the first moment.
        b2: decay of the second moment.
        eps: number added to the root of the second moment.

    >>> adam = optax.adam(0.1)
    >>> params, gradient = {"w": jnp.ones(2)}, {"w": jnp.array([1.0, -2.0])}
    >>> ours = adam_from(read_moments(adam.init(params)), 0.1)
    >>> steps, _ = ours.update(gradient, ours.init(params))
    >>> [round(w, 4) for w in steps["w"].tolist()]
    [-0.1, 0.1]

    """

    def update(
        gradient: Params, state: Moments, params: Params | None = None
    ) -> tuple[Params, Moments]:
        state = Moments(
            jax.tree.map(lambda m, g: b1 * m + (1 - b1) * g, state.first, gradient),
            jax.tree.map(lambda m, g: b2 * m + (1 - b2) * g * g, state.second, gradient),
            state.first_age + 1,
            state.second_age + 1,
        )
        first_share, second_share = 1 - b1**state.first_age, 1 - b2**state.second_age

        def step(first: jax.Array, second: jax.Array) -> jax.Array:
            return -rate * (first / first_share) / (jnp.sqrt(second / second_share) + eps)

        return jax.tree.map(step, state.first, state.second), state

    return optax.GradientTransformation(lambda params: moments, update)
