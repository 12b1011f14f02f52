"""Related initialisations: how a student's initialisation may resemble its teacher's.

A relation is a pure function of (teacher's init, key, amount). The key decides everything random;
the same key at several amounts gives paired students: one independent init W', one order in which
entries or units are exchanged. ``W`` is the teacher's init, ``W'`` an independent one of the same
law (``draw(key)``), and the amount means

==================  ========================================================  ==================
relation            the student's init                                        unchanged at
==================  ========================================================  ==================
``rotation``        rho W + sqrt(1 - rho^2) W'                                rho = 1
``interpolation``   a W + (1 - a) W'                                          a = 1
``entries``         W in a random share of the entries, W' in the others      share = 1
``units``           W where both ends are in a random share of the units      share = 1
``noise``           W + sigma N(0, 1)                                         sigma = 0
``relative_noise``  W + r std(W) N(0, 1), std of each tensor                  r = 0
``scaling``         c W                                                       c = 1
``permutation``     a random share of hidden units stays, the others shuffle  share = 1
``aligned``         the permutation, undone again by matching units           any
==================  ========================================================  ==================

What they keep. The rotation keeps mean and variance of any init and, where W and W' are Gaussian,
the whole law, so that overlap is the only thing that varies; for a uniform init the sum is no
longer uniform. Entries and units keep the law of any init with independent entries. Interpolation
shrinks the variance by a^2 + (1 - a)^2, noise raises it, scaling changes nothing else. Permutation
keeps every weight and the function of the network, and moves only where the weights are.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import optax

from toymodels.errors import UserError
from toymodels.models import Network, Params
from toymodels.probes import HEADS, cka, cosine, flat, layers

Relation = Callable[[Params, jax.Array, jax.Array], Params]
"""``relation(init, key, amount) -> params``; the amount a scalar, traced or not."""

Draw = Callable[[jax.Array], Params]
"""``draw(key) -> params``: an independent initialisation."""


def mixed(
    draw: Draw, weights: Callable[[jax.Array], tuple[jax.Array | float, jax.Array | float]]
) -> Relation:
    """A sum of W and W' with ``weights(amount)``."""

    def relation(init: Params, key: jax.Array, amount: jax.Array) -> Params:
        own, others = weights(amount)
        return jax.tree.map(lambda w, v: own * w + others * v, init, draw(key))

    return relation


def rotation(draw: Draw) -> Relation:
    """The sum rho W + sqrt(1 - rho^2) W', for rho in [-1, 1]; at rho = 1 exactly W."""
    return mixed(draw, lambda rho: (rho, jnp.sqrt(1 - jnp.square(rho))))


def interpolation(draw: Draw) -> Relation:
    """The sum a W + (1 - a) W'."""
    return mixed(draw, lambda a: (a, 1 - a))


def entries(draw: Draw) -> Relation:
    """W in a random share of all entries, W' in the others; a larger share keeps the smaller."""

    def relation(init: Params, key: jax.Array, share: jax.Array) -> Params:
        other_key, order_key = jax.random.split(key)
        ranks = each_leaf(jax.random.uniform, order_key, init)
        return jax.tree.map(
            lambda w, v, u: jnp.where(u < share, w, v), init, draw(other_key), ranks
        )

    return relation


def units(draw: Draw) -> Relation:
    """W where both ends of a weight are shared units; W' elsewhere.

    A random share of each hidden layer's units is shared, inputs and outputs always are: the shared
    units form the same subnetwork in teacher and student.
    """

    def relation(init: Params, key: jax.Array, share: jax.Array) -> Params:
        other_key, order_key = jax.random.split(key)
        other, kept = draw(other_key), {}
        names = dense(init)
        below = jnp.ones(len(init[names[0]]["kernel"]), bool)
        for name in names:
            n = len(init[name]["bias"])
            here = jnp.ones(n, bool)
            if name not in HEADS:
                order_key, own_key = jax.random.split(order_key)
                here = jax.random.uniform(own_key, (n,)) < share
            both = {"kernel": below[:, None] & here, "bias": here}
            kept[name] = jax.tree.map(jnp.where, both, init[name], other[name])
            below = below if name in HEADS else here
        return kept

    return relation


def noise(draw: Draw) -> Relation:
    """W + sigma N(0, 1), the same sigma for every entry, biases included."""

    def relation(init: Params, key: jax.Array, sigma: jax.Array) -> Params:
        return jax.tree.map(
            lambda w, z: w + sigma * z, init, each_leaf(jax.random.normal, key, init)
        )

    return relation


def relative_noise(draw: Draw) -> Relation:
    """W + r std(W) N(0, 1), std of each tensor: zero biases stay zero."""

    def relation(init: Params, key: jax.Array, r: jax.Array) -> Params:
        return jax.tree.map(
            lambda w, z: w + r * w.std() * z, init, each_leaf(jax.random.normal, key, init)
        )

    return relation


def scaling(draw: Draw) -> Relation:
    """Every parameter times c."""
    return lambda init, key, c: jax.tree.map(lambda w: c * w, init)


def permutation(draw: Draw) -> Relation:
    """Hidden units in another order: the same function, other parameters.

    A random share of each hidden layer's units stays where it is.
    """

    def relation(init: Params, key: jax.Array, share: jax.Array) -> Params:
        orders = {}
        for name in dense(init):
            if name not in HEADS:
                key, stay_key, shuffle_key = jax.random.split(key, 3)
                orders[name] = partial_shuffle(
                    stay_key, shuffle_key, len(init[name]["bias"]), share
                )
        return permuted(init, orders)

    return relation


def aligned(draw: Draw) -> Relation:
    """The permutation, re-aligned: its units matched to the teacher's by their weights."""
    shuffle = permutation(draw)
    return lambda init, key, share: align(shuffle(init, key, share), init)


def but_scales(relation: Relation) -> Relation:
    """A relation that leaves the scales of norms as they are: they are ones in every init.

    >>> def draw(key):
    ...     return {"kernel": jax.random.normal(key, (2,)), "norm": {"scale": jnp.ones(2)}}
    >>> rotate = but_scales(rotation(draw))
    >>> rotate(draw(jax.random.key(0)), jax.random.key(1), 0.6)["norm"]["scale"].tolist()
    [1.0, 1.0]
    """

    def spared(init: Params, key: jax.Array, amount: jax.Array) -> Params:
        def chosen(path: tuple[Any, ...], w: jax.Array, v: jax.Array) -> jax.Array:
            return w if path[-1].key == "scale" else v

        return jax.tree_util.tree_map_with_path(chosen, init, relation(init, key, amount))

    return spared


RELATIONS: dict[str, Callable[[Draw], Relation]] = {
    "rotation": rotation,
    "interpolation": interpolation,
    "entries": entries,
    "units": units,
    "noise": noise,
    "relative_noise": relative_noise,
    "scaling": scaling,
    "permutation": permutation,
    "aligned": aligned,
}
"""Every relation by its name: ``RELATIONS[name](draw) -> relation``."""


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


def each_leaf(sample: Callable[..., Any], key: jax.Array, params: Params) -> Params:
    """Independent random numbers in the shape of a pytree."""
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(key, len(leaves))
    return jax.tree.unflatten(
        tree, [sample(k, w.shape, w.dtype) for k, w in zip(keys, leaves, strict=True)]
    )


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


def permuted(params: Params, orders: dict[str, jax.Array]) -> Params:
    """Hidden layers with their units in other orders: unit i of the result is orders[layer][i].

    The function of the network stays the same.
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
    """Reorder hidden units to match those of ``target``; the function stays the same.

    Layer by layer from the inputs, the assignment that maximises the inner product of incoming
    weights (Ainsworth et al. 2023, arXiv 2209.04836, section 3.2, one pass).
    """
    orders: dict[str, jax.Array] = {}
    for name in layers(params):
        if name not in HEADS:
            same = {other: jnp.arange(len(params[other]["bias"])) for other in layers(params)}
            so_far = permuted(params, same | orders)
            likeness = target[name]["kernel"].T @ so_far[name]["kernel"]
            theirs, ours = optax.assignment.hungarian_algorithm(-likeness)
            orders[name] = jnp.zeros_like(ours).at[theirs].set(ours)
    return permuted(params, orders)


def groups(params: Params, n_classes: int) -> dict[str, Params]:
    """Named parts of a network, each a pytree of bool arrays that broadcast to the parameters.

    Every layer by itself (the head as ``class_head`` and ``aux_head``, be they one layer or two;
    weights and biases), ``hidden``, ``heads``, ``biases`` and ``all``. Any nested dict will do:
    its outermost names are the layers.

    >>> from toymodels.models import MLP, functional
    >>> params = functional(lambda rngs: MLP((4, 8, 8, 5), rngs=rngs)).init(jax.random.key(0))
    >>> list(groups(params, 3))
    ['hidden1', 'hidden2', 'class_head', 'aux_head', 'hidden', 'heads', 'biases', 'all']
    """
    hidden = [name for name in layers(params) if name not in HEADS]

    def where(chosen: Callable[[str, str, jax.Array], jax.Array]) -> Params:
        """The mask of ``chosen(layer, kind, output number)``."""

        def mask(path: tuple[Any, ...], w: jax.Array) -> jax.Array:
            outputs = jnp.arange(w.shape[-1] if w.ndim else 1)
            layer, kind = (str(path[i].key) for i in (0, -1))
            return chosen(layer, kind, outputs.reshape((1,) * (w.ndim - 1) + (-1,) * (w.ndim > 0)))

        return jax.tree_util.tree_map_with_path(mask, params)

    def whole(*names: str) -> Params:
        return where(lambda layer, kind, i: jnp.full(i.shape, layer in names))

    def head(own: str, inside: Callable[[jax.Array], jax.Array]) -> Params:
        return where(lambda layer, kind, i: (layer == own) | ((layer == "head") & inside(i)))

    return {
        **{name: whole(name) for name in hidden},
        "class_head": head("class_head", lambda i: i < n_classes),
        "aux_head": head("aux_head", lambda i: i >= n_classes),
        "hidden": whole(*hidden),
        "heads": whole(*HEADS),
        "biases": where(lambda layer, kind, i: jnp.full(i.shape, kind == "bias")),
        "all": whole(*params),
    }


def chosen(groups: dict[str, Params], names: Sequence[str], i: jax.Array) -> Params:
    """The group with the i-th of these names; i may be traced."""
    return jax.tree.map(lambda *masks: jnp.stack(masks)[i], *(groups[name] for name in names))


def within(group: Params, related: Params, init: Params) -> Params:
    """``related`` in the parameters of a group, ``init`` in all others."""
    return jax.tree.map(jnp.where, group, related, init)


def measured(
    network: Network,
    params: Params,
    init: Params,
    parts: dict[str, Params],
    x: jax.Array,
    n_classes: int,
) -> dict[str, jax.Array]:
    """How alike two initialisations are, as parameters and as functions of x (n, pixels).

    ``overlap``: cosine of the parameters in each part, (parts,). ``class_agreement`` and
    ``aux_agreement``: cosine of the class and of the auxiliary logits over all inputs, each logit's
    mean taken off. ``latent_cka``: linear CKA of the last hidden layers. A cosine with zero is 0.
    """

    def inside(mask: Params, tree: Params) -> jax.Array:
        return flat(jax.tree.map(lambda here, w: jnp.where(here, w, 0.0), mask, tree))

    def centred(tree: Params) -> jax.Array:
        logits = network.apply(tree, x)
        return logits - logits.mean(axis=0)

    here, there = centred(params), centred(init)
    return {
        "overlap": jnp.stack([cosine(inside(p, params), inside(p, init)) for p in parts.values()]),
        "class_agreement": cosine(here[:, :n_classes].ravel(), there[:, :n_classes].ravel()),
        "aux_agreement": cosine(here[:, n_classes:].ravel(), there[:, n_classes:].ravel()),
        "latent_cka": cka(network.latent(params, x), network.latent(init, x)),
    }


VARIABLES = {
    "overlap": (("part",), "1", "initial overlap: cosine with the teacher's init in each part"),
    "class_agreement": (
        (),
        "1",
        "initial agreement: cosine of the class logits with the teacher's",
    ),
    "aux_agreement": ((), "1", "initial agreement: cosine of the aux logits with the teacher's"),
    "latent_cka": ((), "1", "initial agreement: linear CKA of the last hidden layers"),
}
"""Dimensions (behind the axes), unit and meaning of what `measured` returns."""
