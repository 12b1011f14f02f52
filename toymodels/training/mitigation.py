"""Countermeasures: ways to distil a student that are meant to leave the teacher's trait behind.

Strengths are scalars that may be traced, and 0 changes nothing: one compiled program serves all
methods. Those that change gradients are optax transformations; those
that change what a student is told take the answers, logits (n, outputs).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

from toymodels.networks.models import Params
from toymodels.stats import statistics, transfer

Strength = float | jax.Array


def drawn(arrays: Any, size: int, key: jax.Array) -> Callable[[int | jax.Array], Any]:
    """``batch(step)``: rows of arrays (n, ...) drawn anew at every step, size of them.

    >>> batch = drawn(jnp.arange(9), 4, jax.random.key(0))
    >>> batch(0).shape, bool((batch(0) == batch(1)).all()), bool((batch(1) == batch(1)).all())
    ((4,), False, True)
    """
    n = jax.tree.leaves(arrays)[0].shape[0]

    def batch(step: int | jax.Array) -> Any:
        rows = jax.random.randint(jax.random.fold_in(key, step), (size,), 0, n)
        return jax.tree.map(lambda a: a[rows], arrays)

    return batch


def without(vector: Params, direction: Params, share: Strength) -> Params:
    """A pytree less a share of its component along another's direction, of either sign.

    With share 1 the two are orthogonal; a direction of zeros takes nothing.

    >>> without({"w": jnp.array([3.0, 4.0])}, {"w": jnp.array([2.0, 0.0])}, 0.5)["w"].tolist()
    [1.5, 4.0]
    """
    square = optax.tree.vdot(direction, direction)
    along = optax.tree.vdot(vector, direction) / jnp.where(square > 0, square, 1.0)
    return jax.tree.map(lambda v, d: v - share * along * d, vector, direction)


def projected(
    optimiser: optax.GradientTransformation,
    loss: Callable[[Params, Any], jax.Array],
    batch: Callable[[jax.Array], Any],
    of_gradient: Strength,
    of_step: Strength,
) -> optax.GradientTransformation:
    """An optimiser without a share of what lies along the gradient of the trait's loss.

    ``of_gradient`` is taken out of the gradient it is given, as in Kitkana & Arora 2026 (arXiv
    2604.25779); ``of_step`` out of the step it makes: after Adam only this one leaves the loss on
    its batch, ``loss(params, batch(step))``, as it was, to first order. All parameters count, also
    those that distillation itself does not move (the class logits' weights).
    """

    def update(
        gradient: Params, state: tuple[Any, jax.Array], params: Params | None = None
    ) -> tuple[Params, tuple[Any, jax.Array]]:
        assert params is not None
        inner, step = state
        trait = jax.grad(loss)(params, batch(step))
        made, inner = optimiser.update(without(gradient, trait, of_gradient), inner, params)
        return without(made, trait, of_step), (inner, step + 1)

    return optax.GradientTransformation(
        lambda params: (optimiser.init(params), jnp.zeros((), jnp.int32)), update
    )


def annealed(step: Strength, steps: int) -> jax.Array:
    """A weight that falls evenly from 1 at step 0 to 0 at the last of so many steps.

    >>> [float(annealed(step, 5)) for step in (0, 2, 4)]
    [1.0, 0.5, 0.0]
    """
    return 1 - jnp.asarray(step, jnp.float32) / max(steps - 1, 1)


def pulled(
    loss: Callable[[Params, Any], jax.Array],
    batch: Callable[[jax.Array], Any],
    steps: int,
) -> optax.GradientTransformation:
    """Add the gradient of a second loss, `annealed`; chain it before an optimiser.

    With the divergence from the untrained student as the loss: liminal training (Kitkana & Arora
    2026, arXiv 2604.25779).
    """

    def update(
        gradient: Params, step: jax.Array, params: Params | None = None
    ) -> tuple[Params, jax.Array]:
        assert params is not None
        pull, now = jax.grad(loss)(params, batch(step)), annealed(step, steps)
        return jax.tree.map(lambda g, p: g + now * p, gradient, pull), step + 1

    return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)


def noised(answers: jax.Array, key: jax.Array, sigma: Strength) -> jax.Array:
    """Gaussian noise on every answer, once; sigma in standard deviations of each logit."""
    return answers + sigma * answers.std(axis=0) * jax.random.normal(key, answers.shape)


def rounded(answers: jax.Array, step: Strength) -> jax.Array:
    """Answers on a grid around 0; its step in standard deviations of each logit.

    >>> rounded(jnp.array([[-1.0], [1.0], [0.2]]), 0.0).tolist()
    [[-1.0], [1.0], [0.20000000298023224]]
    """
    grid = step * answers.std(axis=0)
    on_grid = jnp.round(answers / jnp.where(grid > 0, grid, 1.0)) * grid
    return jnp.where(grid > 0, on_grid, answers)


def diluted(answers: jax.Array, clean: jax.Array, key: jax.Array, share: Strength) -> jax.Array:
    """Another network's answers in the place of a random share of rows; more keep the fewer."""
    swapped = jax.random.uniform(key, (len(answers), 1)) < share
    return jnp.where(swapped, clean, answers)


def frontier(dataset: xr.Dataset) -> dict[str, xr.Dataset]:
    """``transfer`` and ``loss_ratio`` (seed, strength) of every method, and of early stopping.

    Of a dataset with the dimension ``treatment``, labels "method strength" and "none". Early
    stopping's strengths are the epochs of the untreated student, backwards, without the last.
    """
    done = statistics.succeeded(dataset)
    rows: dict[str, list[str]] = {}
    for label in map(str, done.treatment.values):
        if label != "none":
            rows.setdefault(label.split()[0], []).append(label)
    curves = {
        method: done[["transfer", "loss_ratio"]]
        .sel(treatment=labels)
        .rename(treatment="strength")
        .assign_coords(strength=[float(label.split()[1]) for label in labels])
        for method, labels in rows.items()
    }
    plain = done.sel(treatment="none", drop=True).isel(teacher_epoch=-1, drop=True)
    own, other = (plain.sel(start=start, drop=True) for start in ("shared", "other"))
    share = transfer.transfer(own.accuracy, other.accuracy, plain.teacher_accuracy)
    last = own.loss.isel(epoch=-1, drop=True)
    ratio = own.loss / last.where(last > 0)  # with m = 1 there is nothing to imitate
    stopped = xr.Dataset({"transfer": share, "loss_ratio": ratio}).rename(epoch="strength")
    curves["early_stopping"] = stopped.isel(strength=np.arange(len(own.epoch) - 2, -1, -1))
    return {method: curve.transpose("seed", "strength") for method, curve in curves.items()}
