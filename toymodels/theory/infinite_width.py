"""Kernels at infinite width, of one network or between two whose initialisations overlap.

The networks are `toymodels.networks.models.MLP`: u_1 = W_1 x + b_1, u_l = W_l phi(u_{l-1}) + b_l, of
weights N(0, v / fan_in). Teacher and student have weights with the correlation rho_l in layer l (a
rotation, `toymodels.inits.relations`). As the widths grow, preactivations on inputs x, x' become Gaussian:

    teacher with itself    A_l = v E phi(u) phi(u') + v_b,
    teacher with student   C_l = rho_l v E phi(u) phi(u') + rho_b,l v_b,

(u, u') of the layer below, starting from <x, x'> / d in place of E phi phi'. The gradient of an
output with respect to a layer's weights is what the layer reads times what it passes on, and so the
tangent kernel between the two networks, in the standard parametrisation, is

    Theta = sum_l (n_{l-1} E phi_{l-1} phi'_{l-1} + 1) G_l,
    G_l = prod_{k >= l} rho_{k+1} v E phi'(u_k) phi'(u'_k),

n_{l-1} the fan-in, n_0 E phi_0 phi_0' = <x, x'>; the 1 belongs to the biases. The fan-ins are those
of the finite network: in the standard parametrisation the kernel grows with the width (the rate of
gradient descent must fall as 1 / width), and its parts by layer, each with its own rate, have the
limit. With rates 1 / fan_in for weights it is the kernel in NTK parametrisation.

Between two *different* outputs the limit of Theta is zero: their rows in the head are independent.
The remainder, of order width^-1/2, is the whole effect of auxiliary logits on class logits: see
`toymodels.theory.overlap_law`.

NNGP: Lee et al. 2018 (arXiv 1711.00165); tangent kernel: Jacot et al. 2018 (arXiv 1806.07572); in
standard parametrisation: Sohl-Dickstein et al. 2020 (arXiv 2001.07301); with correlated weights:
the same induction, layer by layer, for the joint Gaussian of both networks. A finite network is off
by order width^-1/2, the mean over networks by 1 / width (tests).
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from toymodels.errors import UserError
from toymodels.theory.duals import RELU, Activation

Overlaps = float | jax.Array | Sequence[float | jax.Array]
"""One overlap for all layers, or one for each layer: hidden1, ..., and the row of the head."""


class Init(NamedTuple):
    """Sizes and law of an initialisation; the defaults are those of `toymodels.networks.models.MLP`."""

    sizes: tuple[int, ...]
    """Sizes of the inputs and the hidden layers: ``(784, 256, 256)``."""
    activation: Activation = RELU
    variance: float = 1.0
    """Variance of the weights, times the fan-in."""
    bias_variance: float = 0.0


class Kernels(NamedTuple):
    """Kernels between one output of a network and the same output of another."""

    nngp: jax.Array
    """Covariance of the two outputs over initialisations."""
    latent: jax.Array
    """Mean product of the activations of a unit of the last hidden layer."""
    weights: jax.Array
    """The part of the tangent kernel from each layer's weights: (layers, ...), the head last."""
    biases: jax.Array
    """The part of the tangent kernel from each layer's biases: (layers, ...), the head last."""

    @property
    def hidden(self) -> jax.Array:
        """The tangent kernel without the head."""
        return (self.weights + self.biases)[:-1].sum(axis=0)

    def ntk(
        self, weight_rates: jax.Array | float = 1.0, bias_rates: jax.Array | float = 1.0
    ) -> jax.Array:
        """The tangent kernel, each layer's part times its rate: (layers,), or one for all."""
        ones = jnp.ones(len(self.weights))
        return jnp.tensordot(weight_rates * ones, self.weights, 1) + jnp.tensordot(
            bias_rates * ones, self.biases, 1
        )


def expand_overlaps(overlaps: Overlaps, count: int) -> list[jax.Array | float]:
    """A list with an overlap for every layer.

    Raises:
        UserError: the number of overlaps is neither 1 nor ``count``.

    """
    if isinstance(overlaps, Sequence):
        if len(overlaps) != count:
            raise UserError(f"rho must be one overlap or {count}, one a layer; got {len(overlaps)}")
        return list(overlaps)
    return [overlaps] * count


def kernels(
    init: Init,
    first: jax.Array,
    second: jax.Array,
    cross: jax.Array,
    rho: Overlaps = 1.0,
    bias_rho: Overlaps | None = None,
) -> Kernels:
    """Kernels as functions of the inputs' moments, arrays that broadcast.

    Args:
        init: the law of both networks' initialisations.
        first: |x|^2 / d of the first network's inputs.
        second: |x'|^2 / d of the second network's inputs.
        cross: <x, x'> / d.
        rho: overlaps of the layers' weights, in [-1, 1]; may be traced.
        bias_rho: overlaps of the layers' biases (None: those of the weights).

    Returns:
        Kernels with the arrays' shape.

    >>> unit = jnp.ones(())
    >>> itself = kernels(Init((100, 50)), unit, unit, unit)
    >>> [round(float(k), 4) for k in (itself.nngp, *itself.weights)]  # E relu^2; 100 / 2, 50 / 2
    [0.5, 50.0, 25.0]
    >>> round(float(kernels(Init((100, 50)), unit, unit, unit, rho=0.0).ntk()), 3)  # 1 + 50 (E relu)^2
    8.958

    """
    depth, v, v_b = len(init.sizes), init.variance, init.bias_variance
    rhos = expand_overlaps(rho, depth)
    bias_rhos = rhos if bias_rho is None else expand_overlaps(bias_rho, depth)
    first, second, cross = jnp.broadcast_arrays(first, second, cross)
    products, slopes = [cross], []
    for weight, bias in zip(rhos[:-1], bias_rhos[:-1], strict=True):
        a, b, c = v * first + v_b, v * second + v_b, weight * v * cross + bias * v_b
        first, second, cross = (
            init.activation.products(*m) for m in ((a, a, a), (b, b, b), (a, b, c))
        )
        slopes.append(init.activation.slopes(a, b, c))
        products.append(cross)
    signal = [jnp.ones_like(cross)]  # by the head, then by the layers below it
    for slope, weight in zip(reversed(slopes), reversed(rhos), strict=False):
        signal.insert(0, signal[0] * weight * v * slope)
    weights = [n * q * g for n, q, g in zip(init.sizes, products, signal, strict=True)]
    nngp = rhos[-1] * v * cross + bias_rhos[-1] * v_b
    return Kernels(nngp, cross, jnp.stack(weights), jnp.stack(signal))


def cross_kernels(
    init: Init,
    x1: jax.Array,
    x2: jax.Array,
    rho: Overlaps = 1.0,
    bias_rho: Overlaps | None = None,
) -> Kernels:
    """Kernels (n1, n2) between a network on inputs x1 (n1, d) and another on x2 (n2, d).

    With all overlaps 1 the kernels of one network; with 0 those of independent ones. See `kernels`.
    """
    d = init.sizes[0]
    first, second = (jnp.square(x).sum(axis=1) / d for x in (x1, x2))
    return kernels(init, first[:, None], second[None, :], x1 @ x2.T / d, rho, bias_rho)
