"""Inputs on which a student's first step leads away from its teacher: searched for.

Theorem 1 (`toymodels.theory.one_step`) says that there are none for a teacher's infinitesimal step,
a student at the same init, its gradient, and a loss that is least where both are equal. Each case
gives up one of these, and inputs are moved to lower the cosine of both steps.
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
    """What the search may count on; by default the theorem's conditions at a finite step."""

    eps: float = 1.0
    """The teacher's step, in multiples of the one given."""
    rho: float = 1.0
    """Overlap of the student's init with the teacher's."""
    limit: bool = False
    """The teacher's step is infinitesimal."""
    sign: bool = False
    """The student steps by the sign of its gradient, as Adam does at first."""
    label: bool = False
    """The student is told the largest logit alone, whatever the loss."""


CASES = {
    "limit of small steps": Case(limit=True),
    "one step": Case(),
    "100 times as long": Case(eps=100.0),
    "overlap 0.9": Case(rho=0.9),
    "overlap 0": Case(rho=0.0),
    "sign of the gradient": Case(sign=True),
    "largest logit": Case(label=True),
}


def least(
    score: Callable[[jax.Array], jax.Array],
    x: jax.Array,
    steps: int,
    size: float | jax.Array,
    guide: Callable[[jax.Array], jax.Array] | None = None,
) -> jax.Array:
    """The least of ``score(x)`` met on a descent over inputs x (n, pixels) within [-1, 1].

    Every pixel moves by ``size`` a step, against the sign of its slope (Madry et al. 2018, arXiv
    1706.06083), first by the whole and at last by a tenth of it. What is found is a bound from
    above: where nothing is found there may still be something.

    Args:
        score: of inputs, a scalar.
        guide: what is descended, where the score itself has no slope.

    >>> float(least(lambda x: x.sum(), jnp.array([[0.0, 0.5]]), 40, 0.1))
    -2.0

    """
    slope = jax.grad(score if guide is None else guide)

    def step(x: jax.Array, i: jax.Array) -> tuple[jax.Array, jax.Array]:
        length = size * (1 - 0.9 * i / steps)
        return jnp.clip(x - length * jnp.sign(slope(x)), -1.0, 1.0), score(x)

    last, met = jax.lax.scan(step, x, jnp.arange(steps))
    return jnp.minimum(met.min(), score(last))


def searched(
    network: Network,
    start: Callable[[jax.Array], Params],
    step: Params,
    x: jax.Array,
    imitations: Sequence[losses.Imitation],
    subset: jax.Array,
    steps: int,
) -> jax.Array:
    """For every loss and every of `CASES` the cosine on inputs x, and the least found from there.

    Args:
        start: the student's init by its overlap with the teacher's, which is ``start(1)``.
        step: the teacher's displacement.
        x: inputs (n, pixels) in [-1, 1].
        imitations, subset: losses, and the logits they see.
        steps: of the search; each moves every pixel by 0.1 at first, by 0.01 at last.

    Returns:
        Cosines (losses, cases, 2).

    """

    def told(logits: jax.Array, answers: jax.Array, subset: jax.Array) -> jax.Array:
        return losses.labels()(logits, argmax_labels(answers, subset), subset)

    def found(case: dict[str, jax.Array]) -> jax.Array:
        student, teacher = start(case["rho"]), start(jnp.ones(()))
        moved = jax.tree.map(lambda a: case["eps"] * a, step)
        imitation = losses.one_of([*imitations, told], case["loss"])

        def score(x: jax.Array, soft: float = 0.0) -> jax.Array:
            answers = network.apply(jax.tree.map(jnp.add, teacher, moved), x)
            own = flatten(
                gradient_step(
                    lambda p: imitation(network.apply(p, x), answers, subset), student, 1.0
                )
            )
            size = jnp.sqrt(own**2 + (soft * jnp.std(own)) ** 2 + 1e-30)
            finite = cosine(jnp.where(case["sign"], own / size, own), flatten(moved))
            limit = limit_cosine(network, student, step, x, imitation, subset)
            return jnp.where(case["limit"], limit, finite)

        # The sign has no slope: what is descended is a smooth one.
        return jnp.stack([score(x), least(score, x, steps, 0.1, guide=lambda x: score(x, 0.3))])

    rows = [
        {**case._asdict(), "loss": len(imitations) if case.label else i}
        for i in range(len(imitations))
        for case in CASES.values()
    ]
    columns = {name: jnp.array([row[name] for row in rows]) for name in rows[0]}
    return jax.lax.map(found, columns).reshape(len(imitations), len(CASES), 2)
