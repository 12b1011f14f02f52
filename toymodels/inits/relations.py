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
``orthogonal``      rho W + sqrt(1 - rho^2) K W, K W a rotation of W itself   rho = 1
``entries``         W in a random share of the entries, W' in the others      share = 1
``largest``         W in its largest entries, W' in the others                share = 1
``signs``           signs of W, magnitudes of a rotation of W                 rho = 1
``magnitudes``      magnitudes of W, signs of a rotation of W                 rho = 1
``units``           W where both ends are in a random share of the units      share = 1
``noise``           W + sigma N(0, 1)                                         sigma = 0
``relative_noise``  W + r std(W) N(0, 1), std of each tensor                  r = 0
``scaling``         c W                                                       c = 1
``permutation``     a random share of hidden units stays, the others shuffle  share = 1
``aligned``         the permutation, undone again by matching units           any
==================  ========================================================  ==================

What they keep. The rotation keeps mean and variance of any init and, where W and W' are Gaussian,
the whole law, so that overlap is the only thing that varies; for a uniform init the sum is no
longer uniform. The orthogonal rotation keeps the singular values of every kernel, whatever its law.
Entries and units keep the law of any init with independent entries. Interpolation
shrinks the variance by a^2 + (1 - a)^2, noise raises it, scaling changes nothing else. Permutation
keeps every weight and the function of the network, and moves only where the weights are.

Parameters that every init has in common, and that are not zero (the scales of norms are ones), stay
as they are in sums of W and W', and no measured overlap counts them: they tell no inits apart.
Units, their permutation and their matching are relations of plain MLPs alone; these three take the
`Network`, whose function is evaluated once with its units in another order.
"""

import functools
import numbers
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.errors import FLOAT32, UserError
from toymodels.inits.mixing import Draw, Relation, mix
from toymodels.inits.sharing import entries, largest, magnitudes, orthogonal, signs
from toymodels.networks.layers import HEADS
from toymodels.networks.models import Network, Params, whole
from toymodels.networks.order import align, dense, partial_shuffle, permute, refuse_order
from toymodels.trees import describe_difference, sample_leaves


def rotate(init: Params, other: Params, rho: float | jax.Array) -> Params:
    """Rotate an initialisation towards an independent one: rho W + sqrt(1 - rho^2) W'.

    ``rho``, in [-1, 1], is the cosine of the angle, the overlap of the result with ``init``; at
    rho = 1 the result is ``init`` to the bit. Where both were drawn from the same Gaussian law, so
    is the result. An array that both have in common (the scales of norms) stays as it is.

    Args:
        init: W, the teacher's initialisation.
        other: W', an independent initialisation of the same network.
        rho: the overlap, a number; traced or not.

    Raises:
        UserError: the two have different names or shapes, or are one and the same; rho is not in
            [-1, 1].

    >>> init, other = {"w": jnp.array([1.0, 0.0])}, {"w": jnp.array([0.0, 1.0])}
    >>> [round(w, 3) for w in rotate(init, other, 0.6)["w"].tolist()]
    [0.6, 0.8]
    >>> rotate(init, other, 1.5)
    Traceback (most recent call last):
    toymodels.errors.UserError: rho must be a number from -1 to 1; got 1.5

    """
    if difference := describe_difference(other, init):
        raise UserError(f"other must have the names and shapes of init; {difference}")
    if not isinstance(rho, jax.core.Tracer):
        number = isinstance(rho, numbers.Real | np.ndarray | jax.Array) and np.ndim(rho) == 0
        if not number or not -1 <= rho <= 1:
            raise UserError(f"rho must be a number from -1 to 1; got {rho}")
    pairs = list(zip(jax.tree.leaves(init), jax.tree.leaves(other), strict=True))
    if not any(isinstance(a, jax.core.Tracer) for pair in pairs for a in pair) and all(
        np.array_equal(w, v) for w, v in pairs
    ):
        raise UserError("other must be an independent initialisation; got init itself")
    return rotate_leaves(init, other, jnp.asarray(rho, float))


@functools.partial(jax.jit, inline=True)
def rotate_leaves(init: Params, other: Params, rho: jax.Array) -> Params:
    """Rotate every array, but for those that both have in common."""
    others = jnp.sqrt(1 - jnp.square(rho))

    def mix(w: jax.Array, v: jax.Array) -> jax.Array:
        return jnp.where(jnp.all(w == v), w, rho * w + others * v).astype(jnp.result_type(w))

    return jax.tree.map(mix, init, other)


def rotation(draw: Draw) -> Relation:
    """The sum rho W + sqrt(1 - rho^2) W', for rho in [-1, 1]; at rho = 1 exactly W."""
    return mix(draw, lambda rho: (rho, jnp.sqrt(1 - jnp.square(rho))))


def interpolation(draw: Draw) -> Relation:
    """The sum a W + (1 - a) W'."""
    return mix(draw, lambda a: (a, 1 - a))


def units(network: Network) -> Relation:
    """W where both ends of a weight are shared units; W' elsewhere.

    A random share of each hidden layer's units is shared, inputs and outputs always are: the shared
    units form the same subnetwork in teacher and student.

    Raises:
        UserError: the network is no plain MLP (`refuse_order`).

    """
    refuse_order(network)

    def relation(init: Params, key: jax.Array, share: jax.Array) -> Params:
        other_key, order_key = jax.random.split(key)
        other, kept = network.init(other_key), {}
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
            lambda w, z: w + sigma * z, init, sample_leaves(jax.random.normal, key, init)
        )

    return relation


def relative_noise(draw: Draw) -> Relation:
    """W + r std(W) N(0, 1), std of each tensor: zero biases stay zero."""

    def relation(init: Params, key: jax.Array, r: jax.Array) -> Params:
        return jax.tree.map(
            lambda w, z: w + r * w.std() * z, init, sample_leaves(jax.random.normal, key, init)
        )

    return relation


def scaling(draw: Draw) -> Relation:
    """Every parameter times c."""
    return lambda init, key, c: jax.tree.map(lambda w: c * w, init)


def permutation(network: Network) -> Relation:
    """Hidden units in another order: the same function, other parameters.

    A random share of each hidden layer's units stays where it is.

    Raises:
        UserError: the network is no plain MLP (`refuse_order`).

    """
    refuse_order(network)

    def relation(init: Params, key: jax.Array, share: jax.Array) -> Params:
        orders = {}
        for name in dense(init):
            if name not in HEADS:
                key, stay_key, shuffle_key = jax.random.split(key, 3)
                orders[name] = partial_shuffle(
                    stay_key, shuffle_key, len(init[name]["bias"]), share
                )
        return permute(init, orders)

    return relation


def alignment(network: Network) -> Relation:
    """The permutation, re-aligned: its units matched to the teacher's by their weights."""
    shuffle = permutation(network)
    return lambda init, key, share: align(shuffle(init, key, share), init)


def of_network(relation: Callable[[Draw], Relation]) -> Callable[[Network], Relation]:
    """A relation of inits alone as one of a network."""
    return lambda network: relation(whole(network).init)


RELATIONS: dict[str, Callable[[Network], Relation]] = {
    "rotation": of_network(rotation),
    "interpolation": of_network(interpolation),
    "orthogonal": of_network(orthogonal),
    "entries": of_network(entries),
    "largest": of_network(largest),
    "signs": of_network(signs),
    "magnitudes": of_network(magnitudes),
    "units": units,
    "noise": of_network(noise),
    "relative_noise": of_network(relative_noise),
    "scaling": of_network(scaling),
    "permutation": permutation,
    "aligned": alignment,
}
"""Every relation by its name: ``RELATIONS[name](network) -> relation``."""

AMOUNTS = {
    **dict.fromkeys(("rotation", "orthogonal", "signs", "magnitudes"), (-1.0, 1.0)),
    **dict.fromkeys(("entries", "largest", "units", "permutation", "aligned"), (0.0, 1.0)),
    **dict.fromkeys(("noise", "relative_noise"), (0.0, FLOAT32[1])),
}
"""Bounds of the amounts of relations; any finite number is an amount of the others."""
