"""Countermeasures: changes of distillation that should keep the teacher's trait from the student.

Every strength is a scalar that may be traced, and strength 0 changes nothing: one compiled program
serves all methods. Methods that change gradients are optax transformations; methods that change the
targets of imitation take and return the teacher's answers, logits (n, outputs).
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


def draw_batches(arrays: Any, size: int, key: jax.Array) -> Callable[[int | jax.Array], Any]:
    """``batch(step)``: ``size`` rows of arrays (n, ...), drawn with replacement at every step.

    >>> batch = draw_batches(jnp.arange(9), 4, jax.random.key(0))
    >>> batch(0).shape, bool((batch(0) == batch(1)).all()), bool((batch(1) == batch(1)).all())
    ((4,), False, True)
    """
    n = jax.tree.leaves(arrays)[0].shape[0]

    def batch(step: int | jax.Array) -> Any:
        rows = jax.random.randint(jax.random.fold_in(key, step), (size,), 0, n)
        return jax.tree.map(lambda a: a[rows], arrays)

    return batch


def remove_component(vector: Params, direction: Params, fraction: Strength) -> Params:
    """Subtract from a pytree a fraction of its component along another pytree.

    The component may have either sign. With fraction 1 the result is orthogonal to the direction; a
    direction of zeros changes nothing.

    >>> remove_component({"w": jnp.array([3.0, 4.0])}, {"w": jnp.array([2.0, 0.0])}, 0.5)["w"].tolist()
    [1.5, 4.0]
    """
    square = optax.tree.vdot(direction, direction)
    scale = optax.tree.vdot(vector, direction) / jnp.where(square > 0, square, 1.0)
    return jax.tree.map(lambda v, d: v - fraction * scale * d, vector, direction)


def project_updates(
    optimiser: optax.GradientTransformation,
    loss: Callable[[Params, Any], jax.Array],
    batch: Callable[[jax.Array], Any],
    gradient_fraction: Strength,
    step_fraction: Strength,
) -> optax.GradientTransformation:
    """Remove the component along the gradient of the trait's loss from an optimiser's updates.

    The projection of the step, not of the gradient, leaves the trait's loss on its batch unchanged
    to first order after Adam. All parameters count, including those that distillation itself does
    not move (the class logits' weights).

    Args:
        optimiser: the optimiser of the student.
        loss: ``loss(params, batch)`` of the trait.
        batch: ``batch(step)`` on which the trait's gradient is taken.
        gradient_fraction: fraction of the component that is removed from the gradient before the
            optimiser, as in Kitkana & Arora 2026 (arXiv 2604.25779).
        step_fraction: fraction of the component that is removed from the optimiser's step.

    """

    def update(
        gradient: Params, state: tuple[Any, jax.Array], params: Params | None = None
    ) -> tuple[Params, tuple[Any, jax.Array]]:
        assert params is not None
        inner, step = state
        trait = jax.grad(loss)(params, batch(step))
        gradient = remove_component(gradient, trait, gradient_fraction)
        updates, inner = optimiser.update(gradient, inner, params)
        return remove_component(updates, trait, step_fraction), (inner, step + 1)

    return optax.GradientTransformation(
        lambda params: (optimiser.init(params), jnp.zeros((), jnp.int32)), update
    )


def anneal(step: Strength, steps: int) -> jax.Array:
    """Weight that falls linearly from 1 at step 0 to 0 at the last of ``steps`` steps.

    >>> [float(anneal(step, 5)) for step in (0, 2, 4)]
    [1.0, 0.5, 0.0]
    """
    return 1 - jnp.asarray(step, jnp.float32) / max(steps - 1, 1)


def add_gradient(
    loss: Callable[[Params, Any], jax.Array],
    batch: Callable[[jax.Array], Any],
    steps: int,
) -> optax.GradientTransformation:
    """Add the gradient of a second loss with a weight that falls to 0 (`anneal`).

    Chain it before an optimiser. With the divergence from the untrained student as the second loss
    this is liminal training (Kitkana & Arora 2026, arXiv 2604.25779).
    """

    def update(
        gradient: Params, step: jax.Array, params: Params | None = None
    ) -> tuple[Params, jax.Array]:
        assert params is not None
        second, weight = jax.grad(loss)(params, batch(step)), anneal(step, steps)
        return jax.tree.map(lambda g, s: g + weight * s, gradient, second), step + 1

    return optax.GradientTransformation(lambda params: jnp.zeros((), jnp.int32), update)


def add_noise(answers: jax.Array, key: jax.Array, sigma: Strength) -> jax.Array:
    """Add Gaussian noise to every answer once; sigma in standard deviations of each logit."""
    return answers + sigma * answers.std(axis=0) * jax.random.normal(key, answers.shape)


def round_answers(answers: jax.Array, spacing: Strength) -> jax.Array:
    """Round answers to a grid around 0; its spacing in standard deviations of each logit.

    >>> round_answers(jnp.array([[-1.0], [1.0], [0.2]]), 0.0).tolist()
    [[-1.0], [1.0], [0.20000000298023224]]
    """
    grid = spacing * answers.std(axis=0)
    on_grid = jnp.round(answers / jnp.where(grid > 0, grid, 1.0)) * grid
    return jnp.where(grid > 0, on_grid, answers)


def dilute(answers: jax.Array, clean: jax.Array, key: jax.Array, fraction: Strength) -> jax.Array:
    """Replace a random fraction of the rows by another network's answers.

    The selections are nested: a larger fraction contains every smaller one.
    """
    replaced = jax.random.uniform(key, (len(answers), 1)) < fraction
    return jnp.where(replaced, clean, answers)


def compute_frontier(dataset: xr.Dataset) -> dict[str, xr.Dataset]:
    """``transfer`` and ``loss_ratio`` (seed, strength) of every method, and of early stopping.

    The dataset has the dimension ``treatment``, with labels "method strength" and "none". The
    strengths of early stopping are the epochs of the untreated student in reverse order, without
    the last.
    """
    valid = statistics.succeeded(dataset)
    treatments: dict[str, list[str]] = {}
    for label in map(str, valid.treatment.values):
        if label != "none":
            treatments.setdefault(label.split()[0], []).append(label)
    curves = {
        method: valid[["transfer", "loss_ratio"]]
        .sel(treatment=labels)
        .rename(treatment="strength")
        .assign_coords(strength=[float(label.split()[1]) for label in labels])
        for method, labels in treatments.items()
    }
    plain = valid.sel(treatment="none", drop=True).isel(teacher_epoch=-1, drop=True)
    student, control = (plain.sel(start=start, drop=True) for start in ("shared", "other"))
    fraction = transfer.transfer(student.accuracy, control.accuracy, plain.teacher_accuracy)
    final = student.loss.isel(epoch=-1, drop=True)
    ratio = student.loss / final.where(final > 0)  # with m = 1 there is nothing to imitate
    stopping = xr.Dataset({"transfer": fraction, "loss_ratio": ratio}).rename(epoch="strength")
    epochs = np.arange(len(student.epoch) - 2, -1, -1)
    curves["early_stopping"] = stopping.isel(strength=epochs)
    return {method: curve.transpose("seed", "strength") for method, curve in curves.items()}
