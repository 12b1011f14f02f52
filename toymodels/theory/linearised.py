"""The linearised student: a network that is linear in its parameters, and what distillation does.

    f_lin(theta, x) = f(theta_0, x) + J(theta_0, x) (theta - theta_0)

is the network at infinite width, or near theta_0. Its student imitates a teacher's answers y on x
by squared error, and its parameters, hence its outputs on any inputs, at any time are known:

    theta(t) = theta_0 + J_a^T c g_t(c Theta_aa) (y - f_a(theta_0)),  g_t(z) = (1 - exp(-z t)) / z,

a the imitated outputs, Theta_aa = J_a J_a^T, c = 2 / (n outputs), n the number of inputs x; t is
the learning rate times the number of steps. Where the student has its teacher's init,
y - f_a(theta_0) is J_a times the teacher's displacement in the same approximation, and the student
moves by (1 - exp(-c t J_a^T J_a)) of that; at another init y also holds the difference of two
random networks.
Jacot et al. 2018 (arXiv 1806.07572), section 5; Lee et al. 2019 (arXiv 1902.06720), section 2.

Any network will do, for only its outputs as a function of its parameters are used. The kernel is
decomposed whole where n x outputs is small (thousands), or else multiplied by vectors and never
formed (Lanczos); for other losses, such as KL, the flow is integrated in the space of outputs.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from toymodels.measure.decompositions import eigh
from toymodels.networks.approximations import tangent
from toymodels.networks.models import Network, Params
from toymodels.theory.kernels import Side, function, kernel, product
from toymodels.training.losses import Imitation

Filter = Callable[[jax.Array], jax.Array]
"""A schedule as a function of the Hessian's eigenvalues z >= 0: displacement over gradient."""


def flow(t: float | jax.Array) -> Filter:
    """Gradient flow for a time t (learning rate times steps; infinity: to the end).

    >>> flow(2.0)(jnp.array([0.0, 1e3])).tolist(), flow(jnp.inf)(jnp.array([0.0, 0.5])).tolist()
    ([2.0, 0.0010000000474974513], [0.0, 2.0])
    """

    def over_gradient(z: jax.Array) -> jax.Array:
        ends = jnp.isinf(t)
        # At the end a mode has either no error or no gradient; eigenvalues below rounding belong
        # to modes without a gradient.
        moves = z > jnp.where(ends, len(z) * jnp.finfo(z.dtype).eps * z.max(), 0.0)
        return jnp.where(
            moves, -jnp.expm1(-z * t) / jnp.where(moves, z, 1.0), jnp.where(ends, 0.0, t)
        )

    return over_gradient


def descent(rate: float | jax.Array, steps: int | jax.Array) -> Filter:
    """Full-batch gradient descent for a number of steps.

    >>> descent(0.5, 2)(jnp.array([0.0, 1.0])).tolist()
    [1.0, 0.75]
    """

    def over_gradient(z: jax.Array) -> jax.Array:
        moves = z > 0
        remaining = (1 - rate * z) ** steps
        return jnp.where(moves, (1 - remaining) / jnp.where(moves, z, 1.0), rate * steps)

    return over_gradient


class Modes(NamedTuple):
    """Directions of the imitated outputs in which a kernel acts on a vector; k of them."""

    values: jax.Array
    """Eigenvalues of the kernel (k,), rising."""
    vectors: jax.Array
    """Orthonormal directions (n, outputs, k)."""
    shares: jax.Array
    """Components of the vector along them (k,)."""

    def apply(self, f: Filter) -> jax.Array:
        """F(kernel) times the vector: (n, outputs)."""
        return self.vectors @ (f(self.values) * self.shares)


def decompose(theta: jax.Array, vector: jax.Array) -> Modes:
    """All modes of a kernel (n, outputs, n, outputs), and a vector (n, outputs) in them.

    >>> decompose(2.0 * jnp.eye(2).reshape(2, 1, 2, 1), jnp.ones((2, 1))).values.tolist()
    [2.0, 2.0]
    """
    values, vectors = eigh(theta.reshape(vector.size, vector.size))
    return Modes(
        jnp.maximum(values, 0), vectors.reshape(*vector.shape, -1), vectors.T @ vector.ravel()
    )


def lanczos(multiply: Callable[[jax.Array], jax.Array], vector: jax.Array, k: int) -> Modes:
    """The modes of a kernel on a vector (n, outputs), from k products of the kernel with vectors.

    Lanczos' method with every new direction made orthogonal to all before, twice. f(kernel) vector
    is exact for polynomials f of degree below k, and for every f where k is the rank. A flow of
    time t needs k of some square roots of t times the largest eigenvalue.

    >>> modes = lanczos(lambda v: jnp.array([[1.0], [3.0]]) * v, jnp.ones((2, 1)), 2)
    >>> modes.apply(lambda z: z).ravel().round(5).tolist()
    [1.0, 3.0]
    """
    size = jnp.linalg.norm(vector)
    tiny = 100 * jnp.finfo(vector.dtype).eps
    first = jnp.where(size > 0, vector / jnp.where(size > 0, size, 1.0), 0.0).ravel()
    basis = jnp.zeros((k + 1, vector.size), vector.dtype).at[0].set(first)

    def step(
        carry: tuple[jax.Array, jax.Array], i: jax.Array
    ) -> tuple[tuple[jax.Array, jax.Array], tuple[jax.Array, jax.Array]]:
        basis, largest = carry
        onward = multiply(basis[i].reshape(vector.shape)).ravel()
        along, largest = basis[i] @ onward, jnp.maximum(largest, jnp.linalg.norm(onward))
        for _ in range(2):
            onward = onward - (basis @ onward) @ basis
        beside = jnp.linalg.norm(onward)
        grows = beside > tiny * largest  # otherwise all later directions are zero
        beside = jnp.where(grows, beside, 0.0)
        new = jnp.where(grows, onward / jnp.where(grows, beside, 1.0), 0.0)
        return (basis.at[i + 1].set(new), largest), (along, beside)

    start = basis, jnp.zeros((), vector.dtype)
    (basis, _), (along, beside) = jax.lax.scan(step, start, jnp.arange(k))
    coupling = jnp.diag(beside[:-1], 1)
    values, rotation = eigh(jnp.diag(along) + coupling + coupling.T)
    vectors = (basis[:-1].T @ rotation).reshape(*vector.shape, k)
    return Modes(jnp.maximum(values, 0), vectors, size * rotation[0])


def hessian_modes(
    network: Network, side: Side, answers: jax.Array, krylov: int | None = None
) -> Modes:
    """The modes of a student's Hessian for squared error, 2 / (n outputs) times the kernel.

    The vector in these modes is the error: the teacher's answers less the student's outputs.

    Args:
        network: any.
        side: where the student starts, its inputs (n, ...), and the outputs it imitates.
        answers: the teacher's answers on these outputs (n, outputs).
        krylov: number of products with the kernel (None: the whole kernel is decomposed).

    """
    missing = answers - function(network, side)(side.params)
    scale = 2 / missing.size
    if krylov is None:
        return decompose(scale * kernel(network, side, side), missing)
    theta = product(network, side, side)
    return lanczos(lambda v: scale * theta(v), missing, min(krylov, missing.size))


def displace(network: Network, side: Side, pull: jax.Array) -> Params:
    """Parameters theta_0 + J_a^T pull: displaced along gradients with weights ``pull`` (n, outputs)."""
    _, pull_back = jax.vjp(function(network, side), side.params)
    return jax.tree.map(jnp.add, side.params, pull_back(pull)[0])


def student(network: Network, side: Side, modes: Modes, schedule: Filter) -> Params:
    """Parameters of the linearised student after a `flow` or a `descent` on squared error.

    ``tangent(network, side.params).apply(params, x)`` are its outputs, all of them, on any x.
    """
    return displace(network, side, 2 / modes.vectors[..., 0].size * modes.apply(schedule))


def integrate(
    network: Network, side: Side, answers: jax.Array, imitation: Imitation, t: jax.Array, steps: int
) -> Params:
    """Parameters of the linearised student after a time t of gradient flow on any loss.

    All gradients lie in the span of J_a^T. Their weights are integrated by ``steps`` steps of Runge
    and Kutta's fourth order; t / steps must stay below 2.7 over the largest eigenvalue of the
    loss's Hessian. Arguments are those of `hessian_modes`; the loss sees the imitated outputs alone.
    """
    start, theta = function(network, side)(side.params), product(network, side, side)
    subset, h = jnp.ones(start.shape[-1], bool), t / steps

    def slope(pull: jax.Array) -> jax.Array:
        outputs = start + theta(pull)
        return -jax.grad(lambda z: imitation(z, answers, subset))(outputs)

    def step(pull: jax.Array, _: None) -> tuple[jax.Array, None]:
        a = slope(pull)
        b = slope(pull + h / 2 * a)
        c = slope(pull + h / 2 * b)
        d = slope(pull + h * c)
        return pull + h / 6 * (a + 2 * b + 2 * c + d), None

    pull, _ = jax.lax.scan(step, jnp.zeros_like(start), None, length=steps)
    return displace(network, side, pull)


def predict(
    network: Network,
    side: Side,
    answers: jax.Array,
    x: jax.Array,
    times: jax.Array,
    krylov: int | None = None,
) -> jax.Array:
    """All outputs of the linearised student on inputs x at each of ``times``: (times, n, outputs).

    For gradient flow on squared error, with any architecture and initialisation. Arguments are those
    of `hessian_modes`; a time may be infinite.

    >>> linear = Network(lambda key: {}, lambda p, x: x @ p["w"], lambda p, x: x)
    >>> side = Side({"w": jnp.zeros((2, 1))}, jnp.eye(2)[:1])
    >>> out = predict(linear, side, jnp.ones((1, 1)), jnp.eye(2), jnp.array([0.0, jnp.inf]))
    >>> out[..., 0].tolist()
    [[0.0, 0.0], [1.0, 0.0]]
    """
    modes = hessian_modes(network, side, answers, krylov)
    line = tangent(network, side.params)
    return jax.lax.map(lambda t: line.apply(student(network, side, modes, flow(t)), x), times)
