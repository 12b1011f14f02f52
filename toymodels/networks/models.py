"""Networks: Flax NNX modules, split once into a description and a pytree of parameters.

One model is written; the model axis (seeds, students) is added from outside by ``jax.vmap`` or
``jax.lax.map``.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx

from toymodels.errors import UserError

Params = dict[str, Any]
"""Parameters as a plain nested dict: ``{"hidden1": {"kernel": ..., "bias": ...}, ...}``."""


# The untruncated normal: truncation would change the law of the init.
KERNELS = jax.nn.initializers.variance_scaling(1.0, "fan_in", "normal")
"""Weights N(0, 1 / fan_in), of every layer here; biases are zero."""


def title(sizes: str, split: int | None, activation: Callable[[jax.Array], jax.Array]) -> str:
    """What a network is called in results: its sizes, and what is not by default.

    >>> title("MLP 4-8-5", 3, jnp.tanh)
    'MLP 4-8-5, 3 class logits on a head of their own, tanh'
    """
    heads = "" if split is None else f", {split} class logits on a head of their own"
    own = "" if activation is jax.nn.relu else f", {getattr(activation, '__name__', activation)}"
    return sizes + heads + own


class Readout(nnx.Module):
    """What all networks share: the heads on the last hidden layer, ``latent``."""

    def add_heads(self, last: int, outputs: int, split: int | None, rngs: nnx.Rngs) -> None:
        """One ``head``; or with ``split``, ``class_head`` of so many logits and ``aux_head``."""
        widths = {"head": outputs}
        if split is not None:
            widths = {"class_head": split, "aux_head": outputs - split}
        self.heads = tuple(widths)
        for name, width in widths.items():
            setattr(self, name, nnx.Linear(last, width, kernel_init=KERNELS, rngs=rngs))

    def latent(self, x: jax.Array) -> jax.Array:
        """Activations of the last hidden layer (..., width) on inputs (..., pixels)."""
        raise NotImplementedError

    def __call__(self, x: jax.Array) -> jax.Array:
        """Logits (..., outputs) of inputs (..., pixels), the class logits first."""
        latent = self.latent(x)
        logits = [getattr(self, name)(latent) for name in self.heads]
        return logits[0] if len(logits) == 1 else jnp.concatenate(logits, axis=-1)


class MLP(Readout):
    """Multi-layer perceptron whose head holds class logits and auxiliary logits side by side.

    Weights are N(0, 1 / fan_in), biases zero (Cloud et al. 2026, MNIST experiment). Layers are
    named ``hidden1 ... hiddenL`` and ``head``; or, with ``split``, ``class_head`` and ``aux_head``,
    two layers that read the same last hidden layer (Brockers et al., arXiv 2605.23645).

    Args:
        sizes: input size, hidden widths, number of outputs.
        split: number of class logits, if these have a head of their own.
        activation: applied after every hidden layer.
        rngs: source of the initial weights.

    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        split: int | None = None,
        activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
        rngs: nnx.Rngs,
    ):
        *below, last, outputs = sizes
        hidden = [*below, last]
        self.title = title("MLP " + "-".join(map(str, sizes)), split, activation)
        self.hidden = tuple(f"hidden{i}" for i in range(1, len(hidden)))
        self.activation = activation
        for name, shape in zip(self.hidden, itertools.pairwise(hidden), strict=True):
            setattr(self, name, nnx.Linear(*shape, kernel_init=KERNELS, rngs=rngs))
        self.add_heads(last, outputs, split, rngs)

    def latent(self, x: jax.Array) -> jax.Array:
        """Activations of the last hidden layer (..., width) on inputs (..., pixels)."""
        for name in self.hidden:
            x = self.activation(getattr(self, name)(x))
        return x


class Convolution(nnx.Conv):
    """Flax's 3 x 3 convolution with stride 2 on a torus, as a product with all patches at once.

    Inside a loop on a CPU XLA's own convolutions are 15 to 20 times as slow (jax 0.10).
    """

    def __init__(self, below: int, here: int, *, rngs: nnx.Rngs):
        super().__init__(below, here, (3, 3), 2, padding="CIRCULAR", kernel_init=KERNELS, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Of maps (..., height, width, below) others, half as high and wide, (..., here)."""
        *batch, height, width, _ = x.shape
        x = jnp.pad(x, [(0, 0)] * len(batch) + [(1, 1), (1, 1), (0, 0)], mode="wrap")
        places = itertools.product(range(3), range(3))
        patches = [
            x[..., row : row + height : 2, column : column + width : 2, :] for row, column in places
        ]
        kernel = self.kernel[...]
        return jnp.concatenate(patches, -1) @ kernel.reshape(-1, kernel.shape[-1]) + self.bias[...]


class CNN(Readout):
    """Convolutions with 3 x 3 kernels and stride 2 on a torus, then one dense hidden layer.

    Initialised and named as an `MLP`: ``hidden1 ...`` are the convolutions, the last hidden layer
    is dense and reads all their maps, so that its heads have the shape of an MLP's of that width.
    Periodic padding: a shift of the image shifts the maps, at the borders too.

    Args:
        side: height and width of the images, in pixels; they come as rows (..., side * side).
        channels: of each convolution; each halves the side, rounded up.
        width: of the last hidden layer.
        outputs: number of logits.
        split: number of class logits, if these have a head of their own.
        activation: applied after every hidden layer.
        rngs: source of the initial weights.

    """

    def __init__(
        self,
        side: int,
        channels: Sequence[int],
        width: int,
        outputs: int,
        *,
        split: int | None = None,
        activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
        rngs: nnx.Rngs,
    ):
        self.side, self.activation = side, activation
        sizes = "-".join(map(str, (*channels, width, outputs)))
        self.title = title(f"CNN {side}x{side}-{sizes}", split, activation)
        self.convolutions = tuple(f"hidden{i + 1}" for i in range(len(channels)))
        self.dense = f"hidden{len(channels) + 1}"
        for name, (below, here) in zip(
            self.convolutions, itertools.pairwise((1, *channels)), strict=True
        ):
            setattr(self, name, Convolution(below, here, rngs=rngs))
            side = -(-side // 2)
        size = side * side * (1, *channels)[-1]
        setattr(self, self.dense, nnx.Linear(size, width, kernel_init=KERNELS, rngs=rngs))
        self.add_heads(width, outputs, split, rngs)

    def maps(self, x: jax.Array) -> jax.Array:
        """The last convolution's maps (..., height, width, channels) of inputs (..., pixels)."""
        x = x.reshape(*x.shape[:-1], self.side, self.side, 1)
        for name in self.convolutions:
            x = self.activation(getattr(self, name)(x))
        return x

    def latent(self, x: jax.Array) -> jax.Array:
        """Activations of the last hidden layer (..., width) on inputs (..., pixels)."""
        maps = self.maps(x)
        return self.activation(getattr(self, self.dense)(maps.reshape(*maps.shape[:-3], -1)))


Function = Callable[[Params, jax.Array], jax.Array]
"""``function(params, x) -> array`` of one model."""

Activation = Callable[[jax.Array], jax.Array]
"""``activation(preactivations) -> activations``, entry by entry."""


def no_latent(params: Params, x: jax.Array) -> jax.Array:
    """The ``latent`` of a network that tells of no last hidden layer: raises a UserError."""
    raise UserError(
        "latent must be a method of the network where its last hidden layer is compared; "
        "this one has none"
    )


class Network(NamedTuple):
    """A model as pure functions."""

    init: Callable[[jax.Array], Params]
    """``init(key) -> params``."""
    apply: Function
    """``apply(params, x) -> logits``."""
    latent: Function = no_latent
    """``latent(params, x) -> activations of the last hidden layer``; `no_latent` if it has none."""
    name: str = "a network without a name"
    """Kind and size, for results: ``MLP 784-256-256-13``, ``Residual of 35,604 parameters``."""
    map_activation: Callable[[Callable[[Activation], Activation]], Any] | None = None
    """``map_activation(change)`` is the network with ``change(f)`` in place of its activation f; None:
    its module has no attribute ``activation``."""

    @property
    def has_latent(self) -> bool:
        """Whether the last hidden layer can be looked at."""
        return self.latent is not no_latent


def whole(network: Network) -> Network:
    """The network itself, where a caller may have given its init alone.

    Raises:
        UserError: it is no `Network`.

    """
    if not isinstance(network, Network):
        raise UserError(f"network must be a Network, not its init; got {type(network).__name__}")
    return network


def functional(make: Callable[[nnx.Rngs], nnx.Module]) -> Network:
    """Split a module into ``init`` and ``apply``, the form that goes through jit, vmap and scan.

    Any NNX module whose only state is its parameters will do. A module without a method ``latent``
    becomes a network without one. The name is the module's ``title`` if it has one,
    else its class and its number of parameters.

    Raises:
        UserError: the module holds other state (BatchNorm, Dropout), or its function is not pure.

    >>> network = functional(lambda rngs: MLP((4, 8, 3), rngs=rngs))
    >>> params = network.init(jax.random.key(0))
    >>> network.apply(params, jax.numpy.ones((5, 4))).shape
    (5, 3)
    >>> network.name
    'MLP 4-8-3'

    """
    module = nnx.eval_shape(lambda: make(nnx.Rngs(0)))
    refuse_running_state(module)
    graphdef, state = nnx.split(module, nnx.Param)

    def init(key: jax.Array) -> Params:
        return nnx.to_pure_dict(nnx.state(make(nnx.Rngs(key)), nnx.Param))

    size = sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(state))
    name = getattr(module, "title", f"{type(module).__name__} of {size:,} parameters")

    def bind(change: Callable[[Activation], Activation] | None) -> Network:
        """The functions of the module, its activation changed; None: as it is."""

        def merge(params: Params) -> Any:
            model = nnx.merge(graphdef, nnx.State(params))
            if change is not None:
                model.activation = change(model.activation)
            return model

        def apply(params: Params, x: jax.Array) -> jax.Array:
            return merge(params)(x)

        def latent(params: Params, x: jax.Array) -> jax.Array:
            return merge(params).latent(x)

        return Network(init, apply, latent if hasattr(module, "latent") else no_latent, name)

    return bind(None)._replace(map_activation=bind if hasattr(module, "activation") else None)


def refuse_running_state(module: nnx.Module) -> None:
    """Raise a UserError if a module, made abstractly, holds anything that is no parameter."""
    state = [
        (path, value)
        for path, value in nnx.to_flat_state(nnx.state(module))
        if not isinstance(value, nnx.Param)
    ]
    arrays = [(path, a) for path, a in nnx.iter_graph(module) if isinstance(a, jax.core.Tracer)]
    if found := [
        f"{'.'.join(map(str, path))} "
        f"({type(value).__name__ if isinstance(value, nnx.Variable) else 'an array'})"
        for path, value in [*state, *arrays]
    ]:
        raise UserError(
            "a network must hold parameters (nnx.Param) alone, for its models train side by side, "
            "and other state, such as BatchNorm's averages or Dropout's random numbers, would be "
            f"shared or lost; got {', '.join(found)} in {type(module).__name__}"
        )
