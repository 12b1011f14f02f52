"""The Gauss-Newton path: a student that learns without being lazy, and without an optimiser.

A lazy student moves by the least displacement that gives it the teacher's answers, in the network
linearised at its start. Divide what it has to learn into K pieces, linearise anew where each piece
ends, and let K grow: the parameters follow

    d theta / d s = J(theta)^+ (y - f(theta)) / (1 - s),    0 <= s < 1,

J^+ the pseudo-inverse of the Jacobian of the imitated outputs f on the inputs, y the answers. Where J
has full rank,

    y - f(theta(s)) = (1 - s) (y - f(theta(0))):

the outputs go straight to the answers, at each moment by the least displacement of the parameters.
The path has no learning rate and depends on no order of batches; K = 1 is the lazy student. A
displacement of least norm is a sum of gradients of outputs, so that the path conserves what every
gradient flow conserves, whatever the loss: of ReLU and linear layers the difference
W_l W_l^T + b_l b_l^T - W_{l+1}^T W_{l+1} on its diagonal (Du et al. 2018, arXiv 1806.00900).

A student that was trained has not learnt everything. Conjugate gradients learn the large eigenvalues of
J J^T first, as training does: their number of steps stands for the training time.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from toymodels.networks.models import Network, Params


class Piece(NamedTuple):
    """A displacement, and what it leaves."""

    displacement: Params
    """The displacement of the parameters."""
    remaining: jax.Array
    """Share of the squared missing outputs that the linearised network still lacks, a scalar."""


def project(outputs: jax.Array, subset: jax.Array, centred: bool) -> jax.Array:
    """Keep the imitated outputs (n, outputs) alone; of them, what a softmax sees if ``centred``.

    >>> outputs, subset = jnp.array([[5.0, 1.0, 3.0]]), jnp.array([False, True, True])
    >>> project(outputs, subset, centred=True).tolist()
    [[0.0, -1.0, 1.0]]
    """
    kept = jnp.where(subset, outputs, 0.0)
    if not centred:
        return kept
    return jnp.where(subset, kept - kept.sum(-1, keepdims=True) / subset.sum(), 0.0)


def displace_least(
    network: Network,
    at: Params,
    x: jax.Array,
    wanted: jax.Array,
    subset: jax.Array,
    steps: int | jax.Array,
    centred: bool = False,
) -> Piece:
    """Find the least displacement that changes outputs as wanted, the network linearised at ``at``.

    By conjugate gradients on the squared error; fewer steps are an earlier stop.

    Args:
        network: any.
        at: parameters at which the network is linearised.
        x: inputs (n, ...).
        wanted: change of the outputs (n, outputs); what is not imitated does not matter.
        subset: the imitated outputs, bool (outputs,); may be traced.
        steps: number of steps of the solver, each of two products with the Jacobian.
        centred: whether a change of all imitated outputs by the same number counts as none, as for
            a softmax.

    """
    _, push = jax.linearize(lambda p: project(network.apply(p, x), subset, centred), at)
    pull_back = jax.linear_transpose(push, at)
    wanted = project(wanted, subset, centred)
    # Steps beyond the precision of the answers would divide rounding errors by rounding errors.
    displacement, _ = jax.scipy.sparse.linalg.cg(
        lambda v: pull_back(push(v))[0],
        pull_back(wanted)[0],
        tol=100 * float(jnp.finfo(wanted.dtype).eps),
        maxiter=steps,
    )
    remaining = jnp.square(wanted - push(displacement)).sum() / jnp.square(wanted).sum()
    return Piece(displacement, remaining)


def follow_path(
    network: Network,
    start: Params,
    x: jax.Array,
    answers: jax.Array,
    subset: jax.Array,
    pieces: int | jax.Array,
    steps: int | jax.Array,
    centred: bool = False,
) -> tuple[Params, jax.Array]:
    """Follow the Gauss-Newton path from a student's initialisation to a teacher's answers.

    Piece k of K learns 1 / (K - k) of what is then missing in the network itself. The error of K
    pieces falls like 1 / K. The cost is that of ``pieces * steps`` passes forward and back over x.

    Args:
        network: any whose outputs can be differentiated in its parameters.
        start: initial parameters.
        x: inputs (n, ...).
        answers: the teacher's logits (n, outputs).
        subset: the imitated logits, bool (outputs,); may be traced.
        pieces: number K of pieces, at least 1; may be traced.
        steps: number of steps of the solver in each piece; may be traced.
        centred: True for the loss "kl", that does not see a number added to all imitated logits.

    Returns:
        Parameters, and the share of the squared missing answers that remains in the network.

    >>> line = Network(lambda key: {}, lambda p, x: x @ p["w"], lambda p, x: x)
    >>> start, answers = {"w": jnp.zeros((2, 1))}, jnp.array([[3.0], [4.0]])
    >>> params, remaining = follow_path(line, start, jnp.eye(2), answers, jnp.array([True]), 4, 2)
    >>> params["w"].round(5).tolist(), round(float(remaining), 5)
    ([[3.0], [4.0]], 0.0)

    """

    def missing(params: Params) -> jax.Array:
        return project(answers - network.apply(params, x), subset, centred)

    def follow_piece(k: jax.Array, params: Params) -> Params:
        wanted = missing(params) / (pieces - k)
        piece = displace_least(network, params, x, wanted, subset, steps, centred)
        return jax.tree.map(jnp.add, params, piece.displacement)

    params = jax.lax.fori_loop(0, pieces, follow_piece, start)
    return params, jnp.square(missing(params)).sum() / jnp.square(missing(start)).sum()
