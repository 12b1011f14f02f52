"""Networks made of another network: the same initialisations, other functions of the parameters."""

from collections.abc import Callable

from toymodels.networks.models import Function, Network, no_latent

Select = Callable[[Network], Function]
"""``select(network)`` is the network's ``apply``, or its ``latent``."""


def derive(network: Network, make: Callable[[Select], Function], name: str) -> Network:
    """A network whose functions are made of one or several networks by ``make(select)``.

    It has a latent where ``network`` has one. Its activation cannot be changed: that of ``network``
    would be another function.

    >>> own = Network(lambda key: {}, lambda p, x: 2 * x)
    >>> twice = derive(own, lambda select: lambda p, x: select(own)(p, select(own)(p, x)), "twice")
    >>> twice.apply({}, 1), twice.has_latent
    (4, False)
    """
    latent = make(lambda network: network.latent) if network.has_latent else no_latent
    return Network(network.init, make(lambda network: network.apply), latent, name)


def map_functions(network: Network, change: Callable[[Function], Function], name: str) -> Network:
    """A network with ``change(f)`` in place of the functions of another network."""
    return derive(network, lambda select: change(select(network)), name)
