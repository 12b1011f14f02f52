"""Networks at a prompt: an MLP or a CNN for a data set, or a module of your own."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from toymodels.errors import UserError
from toymodels.networks.models import CNN, MLP, Network, Params, functional
from toymodels.prompt.arguments import (
    arithmetic,
    as_key,
    check_count,
    check_function,
    check_params,
)
from toymodels.prompt.images import ImageData, check_data
from toymodels.training.distillation import all_logits, auxiliary_logits


@dataclass(frozen=True)
class Net:
    """A network with class logits and auxiliary logits, as pure functions.

    Two of them are equal, and share their compiled programs, if they were made by the same call.
    """

    network: Network
    """The network as the rest of the library takes it: ``tm.RELATIONS["units"](net.network)``."""
    n_pixels: int
    """Number of pixels that it reads."""
    n_classes: int
    """Number of class logits, the first of its outputs."""
    m: int
    """Number of auxiliary logits, the others."""

    @property
    def name(self) -> str:
        """Kind and size."""
        return self.network.name

    @property
    def aux(self) -> jax.Array:
        """The mask of the auxiliary logits, bool (n_classes + m,).

        Raises:
            UserError: there is none (m = 0).

        """
        with jax.ensure_compile_time_eval():
            return auxiliary_logits(self.n_classes, self.m)

    @property
    def classes(self) -> jax.Array:
        """The mask of the class logits, bool (n_classes + m,)."""
        with jax.ensure_compile_time_eval():
            return jnp.arange(self.n_classes + self.m) < self.n_classes

    @property
    def all(self) -> jax.Array:
        """The mask of all logits, bool (n_classes + m,)."""
        with jax.ensure_compile_time_eval():
            return all_logits(self.n_classes, self.m)

    @property
    def shapes(self) -> Params:
        """The parameters' shapes and types."""
        return find_shapes(self.network)

    def init(self, key: int | jax.Array) -> Params:
        """Draw an initialisation: parameters as a nested dict.

        Args:
            key: a seed or a key.

        >>> import toymodels as tm
        >>> net = tm.mlp(tm.load("digits"), widths=(8,), m=2)
        >>> jax.tree.map(jnp.shape, net.init(0))["head"]
        {'bias': (12,), 'kernel': (8, 12)}

        """
        with arithmetic():
            return initialise(self.network, as_key(key))

    def apply(self, params: Params, x: jax.Array) -> jax.Array:
        """Compute the logits (n, n_classes + m) of inputs x (n, pixels) in [-1, 1].

        Raises:
            UserError: ``params`` are not of this network, or ``x`` has another number of pixels.

        """
        return self.call("apply", params, x)

    def latent(self, params: Params, x: jax.Array) -> jax.Array:
        """Compute the activations (n, width) of the last hidden layer, of inputs x (n, pixels).

        Raises:
            UserError: as `apply`; or the module has no method ``latent``.

        """
        return self.call("latent", params, x)

    def call(self, function: str, params: Params, x: jax.Array) -> jax.Array:
        """Call one of the network's two functions, compiled."""
        self.check("params", params)
        if np.ndim(x) < 1 or np.shape(x)[-1] != self.n_pixels:
            raise UserError(f"x must have the shape (n, {self.n_pixels}); got {np.shape(x)}")
        with arithmetic():
            return evaluate(self.network, function, params, x)

    def check(self, name: str, params: Any) -> None:
        """Raise a UserError unless parameters are finite and this network's.

        ``name`` is that of the argument.
        """
        check_params(name, params, self.shapes, self.name)

    def __repr__(self) -> str:
        """Name and logits."""
        return f"Net({self.name}: {self.n_classes} class logits, {self.m} auxiliary logits)"


@functools.lru_cache(maxsize=256)
def find_shapes(network: Network) -> Params:
    """Shapes and types of a network's parameters."""
    with arithmetic():
        return jax.eval_shape(network.init, jax.random.key(0))


@functools.partial(jax.jit, static_argnums=0)
def initialise(network: Network, key: jax.Array) -> Params:
    """Draw an initialisation; compiled once for every network."""
    return network.init(key)


@functools.partial(jax.jit, static_argnums=(0, 1))
def evaluate(network: Network, function: str, params: Params, x: jax.Array) -> jax.Array:
    """Call ``network.apply`` or ``network.latent``; compiled once for every network and shape."""
    return getattr(network, function)(params, x)


def mlp(
    data: ImageData,
    widths: Sequence[int] = (256, 256),
    m: int = 3,
    *,
    separate_heads: bool = False,
    activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
) -> Net:
    """Make a multi-layer perceptron: weights N(0, 1 / fan_in), biases zero.

    The network of Cloud et al., Nature 652, 615-621 (2026), MNIST experiment.

    Args:
        data: the images that it reads.
        widths: widths of the hidden layers, in units.
        m: number of auxiliary logits.
        separate_heads: whether class logits and auxiliary logits are two layers, ``class_head`` and
            ``aux_head``, in place of one, ``head`` (Brockers et al., arXiv 2605.23645).
        activation: applied after every hidden layer.

    Raises:
        UserError: a width below one, or a negative m.

    >>> import toymodels as tm
    >>> tm.mlp(tm.load("digits"), widths=(64, 32), m=2)
    Net(MLP 64-64-32-12: 10 class logits, 2 auxiliary logits)

    """
    check_data(data)
    check_count("m", m, 0, 10**6)
    if not isinstance(widths, Sequence) or not widths:
        raise UserError(f"widths must be a tuple of at least one width; got {widths!r}")
    for width in widths:
        check_count("widths", width, 1, 10**6)
    sizes = (data.n_pixels, *widths, data.n_classes + m)
    split = data.n_classes if separate_heads else None
    pure = make_network(MLP, sizes, split=split, activation=activation)
    return Net(pure, data.n_pixels, data.n_classes, m)


@functools.lru_cache(maxsize=256)
def make_network(kind: Callable[..., nnx.Module], *sizes: Any, **options: Any) -> Network:
    """The same network for the same arguments, so that its compiled programs are found again."""
    return functional(lambda rngs: kind(*sizes, **options, rngs=rngs))


def cnn(
    data: ImageData,
    channels: Sequence[int] = (16, 32),
    width: int = 128,
    m: int = 3,
    *,
    separate_heads: bool = False,
    activation: Callable[[jax.Array], jax.Array] = jax.nn.relu,
) -> Net:
    """Make a network of 3 x 3 convolutions with stride 2 on a torus, and one dense hidden layer.

    Args:
        data: the images that it reads; they must be square.
        channels: numbers of channels of the convolutions.
        width: width of the dense hidden layer, in units.
        m: number of auxiliary logits.
        separate_heads: as in `mlp`.
        activation: applied after every hidden layer.

    Raises:
        UserError: images that are not square, a width below one, a negative m.

    >>> import toymodels as tm
    >>> tm.cnn(tm.load("digits"), channels=(4,), width=16, m=2)
    Net(CNN 8x8-4-16-12: 10 class logits, 2 auxiliary logits)

    """
    check_data(data)
    check_count("m", m, 0, 10**6)
    check_count("width", width, 1, 10**6)
    for number in channels:
        check_count("channels", number, 1, 10**6)
    height, side = data.train_images.shape[1:]
    if height != side:
        raise UserError(f"data must be of square images; got {height}x{side}")
    split = data.n_classes if separate_heads else None
    sizes = (side, tuple(channels), width, data.n_classes + m)
    pure = make_network(CNN, *sizes, split=split, activation=activation)
    return Net(pure, data.n_pixels, data.n_classes, m)


def network(make: Network | Callable[[nnx.Rngs], nnx.Module], data: ImageData) -> Net:
    """Make a network of a module of your own.

    Hold the result in a variable: its compiled programs are kept for it alone.

    Args:
        make: ``make(rngs)`` returns a Flax NNX module whose only state is its parameters, and that
            maps inputs (n, pixels) to logits (n, outputs), the class logits first; or what
            ``tm.functional`` returned for it.
        data: the images that it reads. The outputs beyond the classes are its auxiliary logits.

    Raises:
        UserError: the module holds other state, does not read such inputs, or has fewer outputs
            than classes.

    >>> import toymodels as tm
    >>> tm.network(lambda rngs: nnx.Linear(64, 13, rngs=rngs), tm.load("digits"))
    Net(Linear of 845 parameters: 10 class logits, 3 auxiliary logits)

    """
    check_data(data)
    if not isinstance(make, Network):
        check_function("make", make, "rngs")
    pure = make if isinstance(make, Network) else functional(make)
    x = jax.ShapeDtypeStruct((2, data.n_pixels), jnp.float32)
    try:
        shape = jax.eval_shape(pure.apply, find_shapes(pure), x).shape
    except (TypeError, ValueError) as error:
        raise UserError(
            f"network must read inputs (n, {data.n_pixels}); {pure.name} does not: "
            f"{str(error).splitlines()[0]}"
        ) from error
    if len(shape) != 2 or shape[0] != 2 or shape[1] < data.n_classes:
        raise UserError(
            f"network must have logits (n, outputs), at least the {data.n_classes} class logits; "
            f"{pure.name} has the shape {shape} for n = 2"
        )
    return Net(pure, data.n_pixels, data.n_classes, shape[1] - data.n_classes)


def as_net(net: Any, data: Any) -> Net:
    """The network itself, or one of ``tm.functional`` with the classes and pixels of the data."""
    check_data(data)
    net = network(net, data) if isinstance(net, Network) else refuse_no_net(net)
    if (net.n_pixels, net.n_classes) != (data.n_pixels, data.n_classes):
        raise UserError(
            f"net must read the {data.n_pixels} pixels and {data.n_classes} classes of {data.name}; "
            f"{net.name} reads {net.n_pixels} and {net.n_classes}"
        )
    return net


def refuse_no_net(net: Any) -> Net:
    """The network itself.

    Raises:
        UserError: it is none.

    """
    if not isinstance(net, Net):
        raise UserError(
            "net must be what tm.mlp, tm.cnn, tm.network or tm.functional returns; "
            f"got {type(net).__name__}"
        )
    return net
