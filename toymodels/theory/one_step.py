"""Theorem 1 of Cloud et al. (arXiv 2507.14805): one step of the teacher, one step of the student.

A teacher at theta_0 takes one gradient step dT on any loss. A student at the same theta_0 takes one
gradient step dS on imitating the teacher's outputs on any inputs x. To first order in dT,

    <dS, dT> = E_x[ (J dT)^T M (J dT) ] >= 0,

J the Jacobian of the imitated outputs at theta_0 and M the Hessian of the imitation loss in the
student's logits where it equals the teacher (twice the weights for squared error, the covariance of
the softmax over temperature**2 for KL): the student cannot move away from the teacher's step.
For a student at another initialisation the identity does not hold.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax

from toymodels.losses import Imitation
from toymodels.models import Network, Params
from toymodels.probes import cosine, flat


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
        student: where the student starts.
        teacher_init, teacher_step: where the teacher started, and its displacement dT.
        x: distillation inputs (n, ...).
        imitation, subset: the imitation loss and the logits it sees, as in `distillation.distil`.

    """
    moved = jax.tree.map(lambda a, b: a + b, teacher_init, teacher_step)
    answers = network.apply(moved, x)
    student_step = gradient_step(
        lambda p: imitation(network.apply(p, x), answers, subset), student, 1.0
    )
    # The right-hand side without ever forming J or M: one jvp through the network for J dT, one
    # through the gradient of the imitation loss for M (J dT).
    logits, moved_logits = jax.jvp(lambda p: network.apply(p, x), (student,), (teacher_step,))
    _, curved = jax.jvp(
        jax.grad(lambda z: imitation(z, logits, subset)), (logits,), (moved_logits,)
    )
    u, v = flat(student_step), flat(teacher_step)
    return FirstStep(cosine(u, v), u @ v, (curved * moved_logits).sum())
