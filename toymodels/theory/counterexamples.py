"""A search for inputs on which a student's first step leads away from its teacher.

Theorem 1 (`toymodels.theory.one_step`) excludes such inputs under four conditions: the teacher's step
is infinitesimal, the student starts at the teacher's initialisation, it steps along its gradient,
and the loss has its minimum where student and teacher are equal. Each case drops one condition, and
the search changes the inputs so that the cosine of the two steps decreases.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp

from toymodels.measure.probes import cosine
from toymodels.networks.models import Network, Params
from toymodels.theory.one_step import gradient_step, limit_cosine
from toymodels.training import losses
from toymodels.training.distillation import argmax_labels
from toymodels.trees import flatten


class Case(NamedTuple):
    """The conditions of a search; the defaults are those of the theorem, at a finite step."""

    eps: float = 1.0
    """The teacher's step, in multiples of the given step."""
    rho: float = 1.0
    """Overlap of the student's initialisation with the teacher's."""
    limit: bool = False
    """Whether the teacher's step is infinitesimal."""
    sign: bool = False
    """Whether the student steps by the sign of its gradient, as Adam does at first."""
    label: bool = False
    """Whether the student receives the largest logit alone as a label, whatever the loss."""


CASES = {
    "limit of small steps": Case(limit=True),
    "one step": Case(),
    "100 times as long": Case(eps=100.0),
    "overlap 0.9": Case(rho=0.9),
    "overlap 0": Case(rho=0.0),
    "sign of the gradient": Case(sign=True),
    "largest logit": Case(label=True),
}


def minimise(
    score: Callable[[jax.Array], jax.Array],
    x: jax.Array,
    steps: int,
    size: float | jax.Array,
    guide: Callable[[jax.Array], jax.Array] | None = None,
) -> jax.Array:
    """The smallest ``score(x)`` on a descent over inputs x (n, pixels) within [-1, 1].

    Every pixel moves against the sign of its slope (Madry et al. 2018, arXiv 1706.06083), by
    ``size`` in the first step and by a tenth of it in the last. The result is an upper bound of the
    minimum.

    Args:
        score: a scalar function of the inputs.
        x: the inputs at the start.
        steps: number of steps.
        size: length of the first step.
        guide: the function to descend, where the score itself has no slope.

    >>> float(minimise(lambda x: x.sum(), jnp.array([[0.0, 0.5]]), 40, 0.1))
    -2.0

    """
    slope = jax.grad(score if guide is None else guide)

    def step(x: jax.Array, i: jax.Array) -> tuple[jax.Array, jax.Array]:
        length = size * (1 - 0.9 * i / steps)
        return jnp.clip(x - length * jnp.sign(slope(x)), -1.0, 1.0), score(x)

    last, scores = jax.lax.scan(step, x, jnp.arange(steps))
    return jnp.minimum(scores.min(), score(last))


def search(
    network: Network,
    start: Callable[[jax.Array], Params],
    step: Params,
    x: jax.Array,
    imitations: Sequence[losses.Imitation],
    subset: jax.Array,
    steps: int,
) -> jax.Array:
    """The cosine on inputs x, and the smallest from there, for every loss and every one of `CASES`.

    Args:
        network: that of teacher and student.
        start: ``start(rho)``, the student's initialisation; ``start(1)`` is the teacher's.
        step: the teacher's displacement.
        x: inputs (n, pixels) in [-1, 1].
        imitations: imitation losses.
        subset: the imitated logits.
        steps: number of steps of the search; the first moves every pixel by 0.1, the last by 0.01.

    Returns:
        Cosines (losses, cases, 2).

    """

    def label_loss(logits: jax.Array, answers: jax.Array, subset: jax.Array) -> jax.Array:
        return losses.labels()(logits, argmax_labels(answers, subset), subset)

    def compare_case(case: dict[str, jax.Array]) -> jax.Array:
        student, teacher = start(case["rho"]), start(jnp.ones(()))
        teacher_step = jax.tree.map(lambda a: case["eps"] * a, step)
        imitation = losses.one_of([*imitations, label_loss], case["loss"])

        def score(x: jax.Array, soft: float = 0.0) -> jax.Array:
            answers = network.apply(jax.tree.map(jnp.add, teacher, teacher_step), x)
            student_step = flatten(
                gradient_step(
                    lambda p: imitation(network.apply(p, x), answers, subset), student, 1.0
                )
            )
            size = jnp.sqrt(student_step**2 + (soft * jnp.std(student_step)) ** 2 + 1e-30)
            finite = cosine(
                jnp.where(case["sign"], student_step / size, student_step), flatten(teacher_step)
            )
            limit = limit_cosine(network, student, step, x, imitation, subset)
            return jnp.where(case["limit"], limit, finite)

        # The sign has no slope: the search descends a smooth version of it.
        return jnp.stack([score(x), minimise(score, x, steps, 0.1, guide=lambda x: score(x, 0.3))])

    rows = [
        {**case._asdict(), "loss": len(imitations) if case.label else i}
        for i in range(len(imitations))
        for case in CASES.values()
    ]
    columns = {name: jnp.array([row[name] for row in rows]) for name in rows[0]}
    return jax.lax.map(compare_case, columns).reshape(len(imitations), len(CASES), 2)
