"""Lazy students of a finite width: solved where they start, and to leading order in m / width."""

from collections.abc import Callable

import jax
import jax.numpy as jnp

from toymodels.networks.models import Network, Params
from toymodels.theory.path import displace_least


def lazy_student(
    network: Network,
    start: Params,
    x: jax.Array,
    answers: jax.Array,
    subset: jax.Array,
    steps: int,
) -> tuple[Params, jax.Array]:
    """The student, linearised at ``start``, that gives the answers with the least displacement.

    By conjugate gradients on the squared error; fewer steps are an earlier stop. Unlike that of
    `toymodels.theory.linearised` the subset may be traced. The student's outputs are those of
    ``approximations.tangent(network, start)``.

    Args:
        network: any.
        start: initial parameters.
        x: inputs (n, ...).
        answers: the teacher's logits (n, outputs).
        subset: the imitated logits, bool (outputs,).
        steps: number of steps of the solver, each of two products with the Jacobian.

    Returns:
        Parameters, and the share of the squared error that remains.

    """
    piece = displace_least(network, start, x, answers - network.apply(start, x), subset, steps)
    return jax.tree.map(jnp.add, start, piece.displacement), piece.remaining


def leading_order(
    latent: Callable[[Params, jax.Array], jax.Array],
    start: Params,
    x: jax.Array,
    inputs: jax.Array,
    pull: jax.Array,
) -> jax.Array:
    """Mean change of a lazy student's latent on x (N, n), over random auxiliary rows, times n / m.

    To leading order in m / n, the number of inputs and their distribution as they are: each
    auxiliary logit has the kernel K of infinite width, rows average to E A^T A = m / n, and so

        E dh_S(x) = (m / n) J_h(x) J_h(X)^T K(X, X)^-1 dh_T(X),

    J_h the Jacobian of the latent at the student's init, ``start``. Times rho_a where the rows
    overlap by that much. It equals the law's (m / n) dh under assumption 2.

    Args:
        latent: the network's latent.
        start: the student's initial parameters.
        x: test inputs (N, d).
        inputs: distillation inputs X (inputs, d).
        pull: K(X, X)^-1 dh_T(X), (inputs, n).

    """
    _, pull_back = jax.vjp(lambda params: latent(params, inputs), start)
    return jax.jvp(lambda params: latent(params, x), (start,), pull_back(pull))[1]
