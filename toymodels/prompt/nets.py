"""Networks at a prompt: an MLP or a CNN for a data set, or a module of your own."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from toymodels.errors import UserError
from toymodels.networks.models import CNN, MLP, Network, functional
from toymodels.prompt.arguments import check_count, check_function, first_line
from toymodels.prompt.images import ImageData, check_data
from toymodels.prompt.records import Net, find_shapes


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
    pure = make if isinstance(make, Network) else split_module(make)
    shape = find_shape(pure, data.n_pixels)
    if len(shape) != 2 or shape[0] != 2 or shape[1] < data.n_classes:
        raise UserError(
            f"network must have logits (n, outputs), at least the {data.n_classes} class logits; "
            f"{pure.name} has the shape {shape} for n = 2"
        )
    return Net(pure, data.n_pixels, data.n_classes, shape[1] - data.n_classes)


def find_shape(network: Network, n_pixels: int) -> tuple[int, ...]:
    """The shape of what a network answers to two inputs; nothing is computed.

    Raises:
        UserError: it does not read such inputs.

    """
    x = jax.ShapeDtypeStruct((2, n_pixels), jnp.float32)
    try:
        shape: tuple[int, ...] = jax.eval_shape(network.apply, find_shapes(network), x).shape
    except Exception as error:  # whatever a module of the user's raises
        raise UserError(
            f"network must read inputs (n, {n_pixels}); {network.name} does not: {first_line(error)}"
        ) from error
    return shape


def split_module(make: Callable[[nnx.Rngs], nnx.Module]) -> Network:
    """Split what ``make(rngs)`` returns into pure functions.

    Raises:
        UserError: ``make`` is no such function, or what it returns is no module of parameters alone.

    """
    check_function("make", make, "rngs")
    try:
        return functional(make)
    except UserError:
        raise
    except Exception as error:  # whatever a function of the user's raises
        raise UserError(
            "make must be a function of rngs that returns a Flax NNX module; it fails: "
            f"{first_line(error)}"
        ) from error


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
