"""Theorem 1 of Cloud et al. (arXiv 2507.14805): one step of the teacher, one step of the student.

A teacher at theta_0 takes one gradient step dT on any loss. A student at the same theta_0 takes one
gradient step dS on imitating the teacher's outputs on any inputs x. To first order in dT,

    <dS, dT> = E_x[ (J dT)^T M (J dT) ] >= 0,

J the Jacobian of the imitated outputs at theta_0 and M the Hessian of the imitation loss in the
student's logits where it equals the teacher (twice the weights for squared error, the covariance of
the softmax over temperature**2 for KL): the student cannot move away from the teacher's step.
For a student at another initialisation the identity does not hold. To second order in the teacher's
step eps u the inner product is then eps (eps signal - mismatch), and the student moves towards its
teacher from eps* = mismatch / signal on (`split_alignment`).

The student's step is a gradient step, of a loss that is least where the student equals its teacher,
at the teacher's own init, and the teacher's step is as small as the inputs require:
`toymodels.theory.counterexamples` drops one of these conditions at a time.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp

from toymodels.measure.probes import cosine, inner
from toymodels.networks.models import Network, Params
from toymodels.training.losses import Imitation


class FirstStep(NamedTuple):
    """The student's first gradient step (of rate 1) against the teacher's; scalars."""

    cosine: jax.Array
    """Cosine of the two steps."""
    inner: jax.Array
    """<dS, dT>, measured."""
    inner_theory: jax.Array
    """E_x[(J dT)^T M (J dT)] at the student's parameters; where these are the teacher's own
    initialisation it equals ``inner`` up to the third order of dT."""


def gradient_step(loss: Callable[[Params], jax.Array], params: Params, rate: float) -> Params:
    """The displacement of one step of gradient descent: -rate * gradient."""
    return jax.tree.map(lambda g: -rate * g, jax.grad(loss)(params))


def first_step(
    network: Network,
    student: Params,
    teacher_init: Params,
    teacher_step: Params,
    x: jax.Array,
    imitation: Imitation,
    subset: jax.Array,
) -> FirstStep:
    """Compare a student's first imitation step with the step that its teacher took.

    Args:
        network: that of teacher and student.
        student: the student's initialisation.
        teacher_init: the teacher's initialisation.
        teacher_step: the teacher's displacement dT.
        x: distillation inputs (n, ...).
        imitation: the imitation loss.
        subset: the imitated logits, as in `distillation.distil`.

    """
    teacher = jax.tree.map(lambda a, b: a + b, teacher_init, teacher_step)
    answers = network.apply(teacher, x)
    student_step = gradient_step(
        lambda p: imitation(network.apply(p, x), answers, subset), student, 1.0
    )
    # The right-hand side without ever forming J or M: one jvp through the network for J dT, one
    # through the gradient of the imitation loss for M (J dT).
    logits, moved_logits = jax.jvp(lambda p: network.apply(p, x), (student,), (teacher_step,))
    _, curved = jax.jvp(
        jax.grad(lambda z: imitation(z, logits, subset)), (logits,), (moved_logits,)
    )
    return FirstStep(
        cosine(student_step, teacher_step),
        inner(student_step, teacher_step),
        (curved * moved_logits).sum(),
    )


class Alignment(NamedTuple):
    """What a student's first step owes to the teacher's step, and to the difference of their inits.

    For a teacher's step dT = eps u the inner product with the student's first gradient step (of rate
    1) is eps (eps signal - mismatch), up to the next order of eps.
    """

    signal: jax.Array
    """(J_S u)^T M (J_0 u), M minus the mixed second derivative of the imitation loss in the logits of
    student and teacher: that of Theorem 1 where both inits are the same."""
    mismatch: jax.Array
    """How fast the loss of imitating the untrained teacher rises along u: 0 where both inits are the
    same, of either sign elsewhere."""

    @property
    def crossing(self) -> jax.Array:
        """eps*: the smallest step of the teacher from which on the student moves towards it.

        0 where it does so at every step, inf where it does so at none.
        """
        least = jnp.maximum(self.mismatch, 0) / jnp.where(self.signal > 0, self.signal, 1)
        return jnp.where(self.signal > 0, least, jnp.where(self.mismatch < 0, 0, jnp.inf))


def split_alignment(
    network: Network,
    student: Params,
    teacher_init: Params,
    direction: Params,
    x: jax.Array,
    imitation: Imitation,
    subset: jax.Array,
) -> Alignment:
    """Split the alignment of a student's first step with its teacher's into signal and mismatch.

    Two directional derivatives of the network and one of the loss's gradient; no kernel is formed.
    See `first_step` for the arguments; ``direction`` is u, the teacher's step for eps = 1.

    >>> linear = Network(lambda key: {}, lambda p, x: x @ p["w"], lambda p, x: x)
    >>> at, along = {"w": jnp.zeros((2, 1))}, {"w": jnp.array([[3.0], [4.0]])}
    >>> square = lambda z, answers, subset: ((z - answers) ** 2).mean() / 2
    >>> x, subset, elsewhere = jnp.array([[1.0, 0.0]]), jnp.ones(1, bool), {"w": jnp.ones((2, 1))}
    >>> alignment = split_alignment(linear, elsewhere, at, along, x, square, subset)
    >>> [round(float(number), 6) for number in (*alignment, alignment.crossing)]
    [9.0, 3.0, 0.333333]

    """

    def push(params: Params) -> tuple[jax.Array, jax.Array]:
        return jax.jvp(lambda p: network.apply(p, x), (params,), (direction,))

    (logits, moved), (answers, taught) = push(student), push(teacher_init)

    def rise(answers: jax.Array) -> jax.Array:
        return (jax.grad(imitation)(logits, answers, subset) * moved).sum()

    mismatch, change = jax.jvp(rise, (answers,), (taught,))
    return Alignment(-change, mismatch)


def limit_cosine(
    network: Network,
    params: Params,
    direction: Params,
    x: jax.Array,
    imitation: Imitation,
    subset: jax.Array,
) -> jax.Array:
    """Cosine of the two steps as the teacher's goes to zero along ``direction``: never negative.

    The student's step is then J^T M J dT, by a directional derivative, one of the loss's gradient,
    and a gradient; see `first_step` for the arguments.

    >>> linear = Network(lambda key: {}, lambda p, x: x @ p["w"], lambda p, x: x)
    >>> at, along = {"w": jnp.zeros((2, 1))}, {"w": jnp.array([[3.0], [4.0]])}
    >>> square = lambda z, answers, subset: ((z - answers) ** 2).mean()
    >>> x, subset = jnp.array([[1.0, 0.0]]), jnp.ones(1, bool)
    >>> round(float(limit_cosine(linear, at, along, x, square, subset)), 6)
    0.6
    """
    logits, push = jax.linearize(lambda p: network.apply(p, x), params)
    gradient = jax.grad(lambda z: imitation(z, jax.lax.stop_gradient(logits), subset))
    _, curved = jax.jvp(gradient, (logits,), (push(direction),))
    _, pull = jax.vjp(lambda p: network.apply(p, x), params)
    return cosine(pull(curved)[0], direction)
