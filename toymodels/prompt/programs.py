"""The compiled programs behind the verbs, in the parts of the reference protocol."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from toymodels.errors import MOST, UserError
from toymodels.inits.relations import RELATIONS
from toymodels.measure import probes
from toymodels.networks.models import Network, Params
from toymodels.prompt.arguments import (
    Inputs,
    as_key,
    check_count,
    check_function,
    check_number,
    draw,
)
from toymodels.prompt.images import ImageData
from toymodels.prompt.records import Net
from toymodels.training import distillation, losses
from toymodels.training.loop import reshuffle, train
from toymodels.training.protocol import SeedKeys
from toymodels.training.tasks import Images, Task

LabelFunction = Callable[[jax.Array, jax.Array], jax.Array]
"""``function(logits, labels) -> number``: logits (n, outputs), labels (n,)."""

Observation = Callable[[Params], dict[str, Any]]
"""``observe(params) -> arrays by name``."""


class Recipe(NamedTuple):
    """What a training is compiled for, beside shapes."""

    net: Net
    task: Task
    loss: Any
    score: LabelFunction | None
    observe: Observation | None
    optimiser: Any
    epochs: int
    batch: int
    fresh: tuple[Net, Inputs, int] | None = None
    """The teacher's network, inputs and their number, if inputs are drawn at every step."""


@functools.partial(jax.jit, static_argnums=0)
def train_teacher(
    recipe: Recipe, start: Params, images: Images, test: Images, key: jax.Array, rate: Any
) -> tuple[Params, dict[str, Any]]:
    """Train a teacher: its parameters and its curve."""
    net, task = recipe.net, recipe.task

    def loss(params: Params, batch: Images) -> jax.Array:
        logits = net.network.apply(params, task.pixels(batch[0]))
        if recipe.loss is not None:
            return check_number("loss", recipe.loss(logits, batch[1]))
        return losses.class_cross_entropy(logits, batch[1], task.n_classes)

    return train(
        loss,
        start,
        reshuffle(images, recipe.batch),
        make_optimiser(recipe.optimiser, rate),
        epochs=recipe.epochs,
        observe=watch(recipe, test, lambda params: loss(params, test)),
        key=key,
    )


@functools.partial(jax.jit, static_argnums=0)
def train_student(
    recipe: Recipe,
    start: Params,
    teacher: Params,
    answered: tuple[jax.Array, jax.Array] | None,
    held_out: tuple[jax.Array, jax.Array],
    test: Images,
    mask: jax.Array,
    key: jax.Array,
    rate: Any,
    temperature: jax.Array,
) -> tuple[Params, dict[str, Any]]:
    """Distil a student: its parameters and its curve."""
    apply = recipe.net.network.apply
    names: dict[Any, losses.Imitation] = {"kl": losses.kl(temperature), "mse": losses.mse()}
    function = names.get(recipe.loss, recipe.loss)

    def imitation(student: jax.Array, teacher: jax.Array, mask: jax.Array) -> jax.Array:
        return check_number("loss", function(student, teacher, mask))

    if recipe.fresh is not None:
        net, inputs, n = recipe.fresh
        source = distillation.answer_fresh_inputs(
            net.network, teacher, functools.partial(draw, inputs, net.n_pixels), n, recipe.batch
        )
    else:
        source = reshuffle(answered, recipe.batch)
    x, answers = held_out
    return distillation.distil(
        recipe.net.network,
        start,
        source,
        imitation,
        mask,
        make_optimiser(recipe.optimiser, rate),
        epochs=recipe.epochs,
        observe=watch(recipe, test, lambda params: imitation(apply(params, x), answers, mask)),
        key=key,
    )


def watch(recipe: Recipe, test: Images, loss: Callable[[Params], jax.Array]) -> Observation:
    """A function of a model: its score on the test images, a loss, and what the user observes."""

    def observe(params: Params) -> dict[str, Any]:
        value = loss(params)
        score = score_images(recipe.net, recipe.task, recipe.score, params, test)
        extra = {} if recipe.observe is None else recipe.observe(params)
        return {"accuracy": jnp.where(jnp.isfinite(value), score, jnp.nan), "loss": value, **extra}

    return observe


def score_images(
    net: Net, task: Task, score: LabelFunction | None, params: Params, images: Images
) -> jax.Array:
    """The score of images; NaN if a logit is not finite."""
    logits = net.network.apply(params, task.pixels(images[0]))
    if score is None:
        value = probes.accuracy(logits, images[1], task.n_classes)
    else:
        value = check_number("score", score(logits, images[1]))
    return jnp.where(jnp.isfinite(logits).all(), value, jnp.nan)


measure_score = jax.jit(score_images, static_argnums=(0, 1, 2))


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def answer(
    net: Net, inputs: Inputs, n: int, params: Params, key: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Distillation inputs (n, pixels), and a network's logits on them."""
    x = draw(inputs, net.n_pixels, key, n)
    return x, net.network.apply(params, x)


@functools.partial(jax.jit, static_argnums=(0, 1))
def make_related(
    net: Network, relation: str, init: Params, key: jax.Array, amount: jax.Array
) -> Params:
    """A related initialisation; compiled once for every network and relation."""
    return RELATIONS[relation](net)(init, key, amount)


def make_optimiser(optimiser: Any, rate: jax.Array | None) -> Any:
    """The optax transformation of a learning rate."""
    transformation = optimiser if rate is None else optimiser(rate)
    if not isinstance(transformation, optax.GradientTransformation):
        raise UserError(f"optimiser must return an optax transformation; got {transformation!r}")
    return transformation


def layout(data: ImageData) -> Task:
    """What a program is compiled for: the task without its name and checksums."""
    return data.task._replace(name="", sha256="")


def split_key(key: int | jax.Array) -> SeedKeys:
    """The keys of a seed or of a key, one for each purpose, as in the reference protocol."""
    return SeedKeys(*jax.random.split(as_key(key), len(SeedKeys._fields)))


def make_recipe(
    net: Net,
    data: ImageData,
    loss: Any,
    score: LabelFunction | None,
    observe: Observation | None,
    optimiser: Any,
    epochs: int,
    batch: int,
    fresh: tuple[Net, Inputs, int] | None = None,
) -> Recipe:
    """Check what teacher and student have in common."""
    check_count("epochs", epochs, 0, MOST["student_epochs"])
    check_count("batch", batch)
    if score is not None:
        check_function("score", score, "logits", "labels")
    if observe is not None:
        check_function("observe", observe, "params")
    if not isinstance(optimiser, optax.GradientTransformation):
        check_function("optimiser", optimiser, "lr")
    return Recipe(net, layout(data), loss, score, observe, optimiser, epochs, batch, fresh)
