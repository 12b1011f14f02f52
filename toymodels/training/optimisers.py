"""Optimisers by name, and parametrisations: how the scale of a layer is split between its weights,
a fixed multiplier and its learning rate.

Base rates are multiples of Adam's; they were fixed in advance and are not tuned. Under Adam a weight
moves by about the learning rate at every step, whatever the gradient; under SGD by the gradient times
the rate. Weight decay refers to a loss that is a mean over the batch (`toymodels.training.losses`),
so its strength depends neither on the batch size nor on the number of models that run together.
"""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import optax

from toymodels.networks.derived import map_functions
from toymodels.networks.layers import HEADS, layers
from toymodels.networks.models import Function, Network, Params

Rate = float | jax.Array


class Optimiser(NamedTuple):
    """An optimiser at any learning rate and weight decay."""

    base: float
    """Base learning rate, in multiples of Adam's."""
    make: Callable[[Rate, Rate], optax.GradientTransformation]
    """``make(learning_rate, weight_decay)``; both may be traced."""


OPTIMISERS = {
    "sgd": Optimiser(100.0, lambda rate, decay: optax.sgd(rate)),
    # A constant gradient accumulates to ten times its value: a tenth of SGD's rate.
    "momentum": Optimiser(10.0, lambda rate, decay: optax.sgd(rate, momentum=0.9)),
    "adam": Optimiser(1.0, lambda rate, decay: optax.adam(rate)),
    # Decoupled weight decay, Loshchilov & Hutter 2019 (arXiv 1711.05101): weights shrink by
    # rate * decay at every step.
    "adamw": Optimiser(1.0, lambda rate, decay: optax.adamw(rate, weight_decay=decay)),
    # L2 penalty: decay / 2 * |params|^2 is added to the loss, so Adam rescales its gradient, too.
    "adam_l2": Optimiser(
        1.0,
        lambda rate, decay: optax.chain(optax.add_decayed_weights(decay), optax.adam(rate)),
    ),
    # A tenth of Adam's rate: every weight moves by the whole rate at every step, even under noise.
    "sign": Optimiser(0.1, lambda rate, decay: optax.sign_sgd(rate)),
}
"""SGD, with momentum 0.9, Adam, its two weight decays, and sign descent (signSGD, Bernstein et al.
2018, arXiv 1802.04434). Only ``adamw`` and ``adam_l2`` use weight decay."""


def one_of(
    optimisers: Sequence[optax.GradientTransformation], i: int | jax.Array
) -> optax.GradientTransformation:
    """The i-th of several optimisers; i may be traced, so that they are an axis of a sweep.

    >>> slow, fast = optax.sgd(1.0), optax.sgd(2.0)
    >>> chosen = one_of([slow, fast], 1)
    >>> float(chosen.update({"w": 1.0}, chosen.init({"w": 0.0}))[0]["w"])
    -2.0
    """

    def init(params: Params) -> tuple[Any, ...]:
        return tuple(optimiser.init(params) for optimiser in optimisers)

    def update(
        gradient: Params, states: tuple[Any, ...], params: Params | None = None
    ) -> tuple[Params, tuple[Any, ...]]:
        def follow(j: int) -> Callable[[], tuple[Params, tuple[Any, ...]]]:
            def branch() -> tuple[Params, tuple[Any, ...]]:
                updates, state = optimisers[j].update(gradient, states[j], params)
                return updates, (*states[:j], state, *states[j + 1 :])

            return branch

        return jax.lax.switch(i, [follow(j) for j in range(len(optimisers))])

    return optax.GradientTransformation(init, update)


def freeze(optimiser: optax.GradientTransformation, frozen: Params) -> optax.GradientTransformation:
    """An optimiser whose steps are exactly zero where a mask is true.

    `optax.masked` asks for a mask that is known when the program is compiled and that takes whole
    leaves; this mask may be traced and may split a leaf, as the two heads split one layer. The
    optimiser sees all gradients: one whose steps depend on each coordinate alone (Adam, SGD) moves
    the other parameters as if the frozen ones did not exist.

    Args:
        optimiser: an optax transformation.
        frozen: a pytree of bool arrays that broadcast to the parameters.

    >>> sgd = freeze(optax.sgd(1.0), {"w": jnp.array([True, False])})
    >>> step, _ = sgd.update({"w": jnp.array([4.0, 4.0])}, sgd.init({"w": jnp.zeros(2)}))
    >>> step["w"].tolist()
    [0.0, -4.0]

    """

    def stop(steps: Params, _: Params | None = None) -> Params:
        return jax.tree.map(lambda mask, step: jnp.where(mask, 0, step), frozen, steps)

    return optax.chain(optimiser, optax.stateless(stop))


Parametrisation = Literal["standard", "ntk", "mup"]


def scale_init(network: Network, scale: Rate) -> Network:
    """Multiply all initial weights of a network by a number, which may be traced."""

    def init(key: jax.Array) -> Params:
        return jax.tree.map(lambda w: scale * w, network.init(key))

    return network._replace(init=init)


class RatedNetwork(NamedTuple):
    """A network in a parametrisation, with the learning rates that belong to it."""

    network: Network
    rates: Params
    """Learning rate of every parameter under Adam, as a multiple of the common one."""

    def scale_steps(self, optimiser: optax.GradientTransformation) -> optax.GradientTransformation:
        """Multiply the steps of an optimiser by the rates.

        >>> sgd = RatedNetwork(None, {"w": 0.5}).scale_steps(optax.sgd(1.0))
        >>> float(sgd.update({"w": 4.0}, sgd.init({"w": 0.0}))[0]["w"])
        -2.0
        """
        rescale = optax.stateless(
            lambda steps, _: jax.tree.map(lambda rate, step: rate * step, self.rates, steps)
        )
        return optax.chain(optimiser, rescale)


def parametrise(network: Network, name: Parametrisation, base: int) -> RatedNetwork:
    r"""Express a network in another parametrisation, relative to a base width n_0.

    ================  ===================  ================  ============  =====================
    parametrisation   kernels of           initial variance  multiplier    Adam's rate
    ================  ===================  ================  ============  =====================
    ``standard``      all                  1 / n             1             1
    ``ntk``           input                1                 1 / sqrt(n)   sqrt(n)
    ``ntk``           hidden, heads        1                 1 / sqrt(n)   sqrt(n_0)
    ``mup``           input                1 / n             1             1
    ``mup``           hidden               1 / n             1             n_0 / n
    ``mup``           heads                1 / n_0           n_0 / n       1
    ================  ===================  ================  ============  =====================

    n is the fan-in; biases do not change. NTK: Jacot et al. 2018 (arXiv 1806.07572); muP: Yang et
    al. 2022 (arXiv 2203.03466), table 8, relative to a base width (appendix B.1). At the base width
    the three parametrisations are the same network under Adam, up to its epsilon. At initialisation
    ``ntk`` is the standard network at every width, and ``mup`` has logits smaller by sqrt(n_0 / n).

    Args:
        network: network in the standard parametrisation, with the layer names of
            `toymodels.networks.models.MLP`.
        name: name of the parametrisation.
        base: base width n_0.

    """
    shapes = jax.eval_shape(network.init, jax.random.key(0))
    first = layers(shapes)[0]

    def factors(path: Any, leaf: Any) -> tuple[float, float, float]:
        """Initial scale, multiplier and rate of a parameter, relative to the standard ones."""
        layer, n = path[0].key, leaf.shape[0]
        if name == "standard" or path[-1].key == "bias":
            return 1.0, 1.0, 1.0
        if name == "ntk":
            return n**0.5, n**-0.5, (n if layer == first else base) ** 0.5
        if layer in HEADS:
            return (n / base) ** 0.5, base / n, 1.0
        return 1.0, 1.0, (1.0 if layer == first else base / n)

    table = jax.tree_util.tree_map_with_path(factors, shapes)
    initial, multiplier, rates = (
        jax.tree.map(lambda row, i=i: row[i], table, is_leaf=lambda x: isinstance(x, tuple))
        for i in range(3)
    )

    def multiply(factor: Params, params: Params) -> Params:
        return jax.tree.map(jnp.multiply, params, factor)

    def rescale(function: Function) -> Function:
        return lambda params, x: function(multiply(multiplier, params), x)

    rescaled = map_functions(network, rescale, f"{network.name}, parametrisation {name}")
    return RatedNetwork(
        rescaled._replace(init=lambda key: multiply(initial, network.init(key))), rates
    )
