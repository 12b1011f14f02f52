"""Hidden units of an MLP, and their order: other parameters, the same function."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from toymodels.errors import UserError
from toymodels.networks.layers import HEADS, layers
from toymodels.networks.models import Network, Params, whole


def dense(params: Params) -> list[str]:
    """Names of the layers of an MLP, in order: the only networks whose units can be told apart.

    Raises:
        UserError: a layer is not dense, or has no bias.

    """
    names = layers(params)
    for name in names:
        layer = params[name]
        if not (isinstance(layer, dict) and layer.keys() == {"kernel", "bias"}) or (
            layer["kernel"].ndim != 2
        ):
            raise UserError(f"units and their order need an MLP: {name} is no dense layer")
    return names


def refuse_order(network: Network) -> None:
    """Raise a UserError unless hidden units may change their order and the function stays.

    The function is evaluated on eight inputs, with random parameters and with the same ones after
    the units of one layer have changed places: it differs if they mean something to more than the
    next layer, as those of a residual network do, or if layers are not named in their order. (Of
    all layers at once the same change is none to a residual network.)
    """
    shapes = jax.eval_shape(whole(network).init, jax.random.key(0))
    names, random = dense(shapes), np.random.default_rng(0)
    params = jax.tree.map(
        lambda w: np.asarray(random.normal(size=w.shape) / w.shape[0] ** 0.5, w.dtype), shapes
    )
    x = random.normal(size=(8, shapes[names[0]]["kernel"].shape[0])).astype(np.float32)
    still = {name: np.arange(len(params[name]["bias"])) for name in names}

    def function(params: Params) -> np.ndarray:
        return np.asarray(jax.jit(network.apply)(params, x), np.float64)

    def moved(name: str) -> np.ndarray:
        order = random.permutation(still[name])
        order = np.roll(order, 1) if (order == still[name]).all() else order
        return function(permute(params, still | {name: order}))

    why: Exception | None = None
    same = False
    try:
        with jax.ensure_compile_time_eval(), jax.default_matmul_precision("float32"):
            before = function(params)
            after = np.stack([before, *(moved(name) for name in names if name not in HEADS)])
        same = bool(abs(after - before).max() <= 1e-4 * abs(before).max())
    except (TypeError, ValueError, IndexError) as error:
        why = error  # layers that do not follow one another in the order of their names
    if not same:
        raise UserError(
            "units and their order need a plain MLP of rows of inputs, with layers hidden1, "
            "hidden2, ... and head (or class_head and aux_head): in another order of its hidden "
            f"units {network.name} is another function (layers: {', '.join(names)})"
        ) from why


def partial_shuffle(
    stay_key: jax.Array, shuffle_key: jax.Array, n: int, share: jax.Array
) -> jax.Array:
    """An order of n units in which each stays with probability ``share``, the others shuffle."""
    stays = jax.random.uniform(stay_key, (n,)) < share
    # Positions of the units that move, first in order, then in a random order: one goes to the
    # other. A stable sort puts those that stay behind them, in order both times.
    places = jnp.argsort(stays, stable=True)
    mixed_up = jnp.argsort(
        jnp.where(stays, 2.0, jax.random.uniform(shuffle_key, (n,))), stable=True
    )
    return jnp.zeros(n, int).at[places].set(mixed_up)


def permute(params: Params, orders: Mapping[str, Any]) -> Params:
    """Hidden layers with their units in other orders: unit i of the result is orders[layer][i].

    The function of a plain MLP stays the same, and that of no other network (`refuse_order`).
    """
    names = dense(params)
    moved, below = {}, jnp.arange(len(params[names[0]]["kernel"]))
    for name in names:
        kernel, bias = params[name]["kernel"][below], params[name]["bias"]
        if name not in HEADS:
            below = orders[name]
            kernel, bias = kernel[:, below], bias[below]
        moved[name] = {"kernel": kernel, "bias": bias}
    return moved


def align(params: Params, target: Params) -> Params:
    """Reorder hidden units of a plain MLP to match those of ``target``; its function stays.

    Layer by layer from the inputs, the assignment that maximises the inner product of incoming
    weights (Ainsworth et al. 2023, arXiv 2209.04836, section 3.2, one pass).
    """
    orders: dict[str, jax.Array] = {}
    for name in layers(params):
        if name not in HEADS:
            same = {other: jnp.arange(len(params[other]["bias"])) for other in layers(params)}
            so_far = permute(params, same | orders)
            likeness = target[name]["kernel"].T @ so_far[name]["kernel"]
            theirs, ours = optax.assignment.hungarian_algorithm(-likeness)
            orders[name] = jnp.zeros_like(ours).at[theirs].set(ours)
    return permute(params, orders)
