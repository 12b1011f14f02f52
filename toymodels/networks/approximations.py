"""Approximations of a network around given parameters, as networks.

Each trains in every loop in which the network trains, by any loss and optimiser, so that a trained
student can be compared with students that lack one property of the network:

============= =========================================== ==================================
approximation what is kept                                what is left out
============= =========================================== ==================================
``tangent``   the network to first order in its           all change of the features
              displacement
``quadratic`` the network to second order                 all terms of third order and above
``frozen``    products of the layers' weights, with the   all change of the activations'
              activations' slopes as they were            slopes: of a ReLU's gates
============= =========================================== ==================================

A ReLU network with frozen slopes is a gated deep linear network (Saxe et al. 2022, arXiv
2207.10430), and ``tangent`` is the lazy network (Jacot et al. 2018, arXiv 1806.07572).
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from toymodels.errors import UserError
from toymodels.networks.derived import Select, derive, map_functions
from toymodels.networks.models import Activation, Function, Network, Params

Approximation = Callable[[Network, Params], Network]
"""``approximation(network, at) -> network`` near the parameters ``at``."""


OfParams = Callable[[Params], jax.Array]
"""``f(params)``: a network's outputs on given inputs."""


def exact(network: Network, at: Params) -> Network:
    """The network itself."""
    return network


def tangent(network: Network, at: Params) -> Network:
    """The network linearised in its parameters at ``at``.

    >>> square = Network(lambda key: {}, lambda p, x: x * p["w"] ** 2, lambda p, x: x)
    >>> line = tangent(square, {"w": jnp.array(1.0)})
    >>> [float(line.apply({"w": jnp.array(w)}, jnp.array(1.0))) for w in (1.0, 2.0)]
    [1.0, 3.0]
    """

    def line(f: OfParams, displacement: Params) -> jax.Array:
        value, change = jax.jvp(f, (at,), (displacement,))
        return value + change

    return expand(network, at, line, "linearised")


def quadratic(network: Network, at: Params) -> Network:
    """The network to second order in its parameters at ``at``.

    >>> cube = Network(lambda key: {}, lambda p, x: x * p["w"] ** 3, lambda p, x: x)
    >>> parabola = quadratic(cube, {"w": jnp.array(1.0)})
    >>> [float(parabola.apply({"w": jnp.array(w)}, jnp.array(1.0))) for w in (1.0, 2.0)]
    [1.0, 7.0]
    """

    def parabola(f: OfParams, displacement: Params) -> jax.Array:
        def value_and_slope(p: Params) -> tuple[jax.Array, jax.Array]:
            return jax.jvp(f, (p,), (displacement,))

        (value, first), (_, second) = jax.jvp(value_and_slope, (at,), (displacement,))
        return value + first + second / 2

    return expand(network, at, parabola, "to second order")


def expand(
    network: Network, at: Params, series: Callable[[OfParams, Params], jax.Array], name: str
) -> Network:
    """The network with ``series(f, displacement from at)`` in place of its functions f(params)."""

    def change(function: Function) -> Function:
        def apply(params: Params, x: jax.Array) -> jax.Array:
            displacement = jax.tree.map(jnp.subtract, params, at)
            return series(lambda p: function(p, x), displacement)

        return apply

    return map_functions(network, change, f"{network.name}, {name}")


def frozen(network: Network, at: Params) -> Network:
    """The network whose activations are linearised where their arguments are at ``at``.

    An activation f of a preactivation u becomes f(u_0) + f'(u_0) (u - u_0), u_0 the preactivation
    of the same unit on the same input with the parameters ``at``: the gates of ReLUs stay as they
    were, while all products of weights stay as they are in the network.

    Raises:
        UserError: the network's module has no attribute ``activation``.

    >>> from toymodels.networks.models import MLP, functional
    >>> network = functional(lambda rngs: MLP((4, 8, 3), rngs=rngs))
    >>> at, x = network.init(jax.random.key(0)), jnp.ones((5, 4))
    >>> gated = frozen(network, at)
    >>> bool((gated.apply(at, x) == network.apply(at, x)).all())
    True

    """
    change_activation = network.map_activation
    if change_activation is None:
        raise UserError(
            "network must be made of a module with an attribute activation, where its slopes are "
            f"to be frozen; {network.name} has none"
        )

    def freeze(select: Select) -> Function:
        def apply(params: Params, x: jax.Array) -> jax.Array:
            # The module calls its activation in the same order in both passes.
            arguments: list[jax.Array] = []

            def record(f: Activation) -> Activation:
                def recorded(u: jax.Array) -> jax.Array:
                    arguments.append(u)
                    return f(u)

                return recorded

            select(change_activation(record))(at, x)
            points = iter(arguments)

            def linearise(f: Activation) -> Activation:
                def linear(u: jax.Array) -> jax.Array:
                    at_point = next(points)
                    value, change = jax.jvp(f, (at_point,), (u - at_point,))
                    return value + change

                return linear

            return select(change_activation(linearise))(params, x)

        return apply

    return derive(network, freeze, f"{network.name}, slopes frozen")


def choose(approximations: Sequence[Approximation], i: int | jax.Array) -> Approximation:
    """The i-th of several approximations; i may be traced, so that they are an axis of a sweep.

    Only the chosen one is computed where models run one after the other, as on a CPU. Where models
    run side by side (``jax.vmap``), all of them are.

    >>> square = Network(lambda key: {}, lambda p, x: x * p["w"] ** 2, lambda p, x: x)
    >>> second = choose([exact, tangent], 1)(square, {"w": jnp.array(1.0)})
    >>> float(second.apply({"w": jnp.array(2.0)}, jnp.array(1.0)))
    3.0
    """

    def chosen(network: Network, at: Params) -> Network:
        networks = [approximation(network, at) for approximation in approximations]

        def switch(select: Select) -> Function:
            return lambda params, x: jax.lax.switch(i, [select(n) for n in networks], params, x)

        return derive(network, switch, f"{network.name}, one of {len(networks)} approximations")

    return chosen


APPROXIMATIONS: dict[str, Approximation] = {
    "exact": exact,
    "frozen": frozen,
    "quadratic": quadratic,
    "tangent": tangent,
}
"""The approximations by name, from the network itself to the coarsest."""
