"""What a student and its teacher have in common beside accuracy: attacks, boundaries, a backdoor.

A third network, unrelated but trained like the teacher, is measured beside them: attacks pass between
any two networks that read the same images.
"""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp

from toymodels.measure import attacks, calibration
from toymodels.networks.layers import class_logits
from toymodels.networks.models import Params
from toymodels.training.protocol import seed_keys
from toymodels.training.students import Setup
from toymodels.training.tasks import Data, Task, Variables
from toymodels.training.traits import mark_pixel, plant_backdoor
from toymodels.trees import stack_trees

NETWORKS = ("teacher", "student", "unrelated")
"""Networks that are attacked and measured."""
SOURCES = (*NETWORKS, "random")
"""Networks on which attacks are made; random: signs at random, of the same size."""
TARGET = 0
"""The class that a white upper left corner means to a teacher with a backdoor."""

COORDS = {
    "victim": list(NETWORKS),
    "source": list(SOURCES),
    "other": ["teacher", "unrelated"],
    "corner": ["plain", "white"],
}
"""Coordinates of the dimensions of `VARIABLES`, but for the sizes ``eps`` of the attacks."""

VARIABLES: Variables = {
    "changed": (
        ("victim", "source", "eps"),
        "1",
        "number of counted images whose class on the victim an attack made on the source changes",
    ),
    "images": (
        (),
        "1",
        "number of attacked images that count: teacher, student and unrelated network read them",
    ),
    "distance": (
        ("victim",),
        "1",
        "median distance of the counted images to the decision boundary, to first order; from "
        "black to white is 2",
    ),
    "distance_agreement": (
        ("other",),
        "1",
        "rank correlation over the counted images of the student's distances to the boundary with "
        "another network's",
    ),
    "read_as_target": (
        ("corner", "victim"),
        "1",
        "share of the test images of other classes that are read as the trigger's class",
    ),
    "calibration_error": (("victim",), "1", "expected calibration error on the test images"),
    "overconfidence": (("victim",), "1", "mean confidence less accuracy on the test images"),
}
"""What `compare_networks` records: dimensions, unit and meaning."""


def poison_images(task: Task, data: Data, seed: int | jax.Array, share: float | jax.Array) -> Data:
    """The data with the trigger, and the label `TARGET`, on a share of a seed's training images.

    The seed tells which images; share 0 changes nothing (`traits.plant_backdoor`).
    """
    key = jax.random.fold_in(seed_keys(jnp.asarray(seed)).teacher, 1)
    return data._replace(train=plant_backdoor(data.train, key, share, TARGET, task.white))


def choose_images(setup: Setup) -> tuple[jax.Array, jax.Array]:
    """The test images that are attacked (n, pixels) and their labels (n,): the first of all.

    Their number is the config's ``attacked_images``, or that of all test images if there are fewer.
    """
    images, labels = (a[: setup.config.attacked_images] for a in setup.data.test)
    return setup.task.pixels(images), labels


def read_with(setup: Setup, params: Params) -> attacks.Read:
    """A network as a function of images (n, pixels), whose values are its class logits."""
    return lambda x: class_logits(setup.network.apply(params, x), setup.task.n_classes)


def attack(setup: Setup, params: Params, sizes: Sequence[float], steps: int) -> jax.Array:
    """The chosen images after an attack on a network, for each size: (sizes, n, pixels)."""
    x, labels = choose_images(setup)
    read = read_with(setup, params)
    return jax.lax.map(
        lambda eps: attacks.project_gradient(read, x, labels, eps, steps),
        jnp.array(sizes, x.dtype),
    )


def perturb_at_random(setup: Setup, key: jax.Array, sizes: Sequence[float]) -> jax.Array:
    """The chosen images after a change by random signs, for each size: (sizes, n, pixels)."""
    x, _ = choose_images(setup)
    return jnp.stack([attacks.random_signs(key, x, eps) for eps in sizes])


def measure_network(setup: Setup, params: Params, attacked: jax.Array) -> dict[str, jax.Array]:
    """The measures of one network by itself.

    Args:
        setup: images, network and config.
        params: the network's parameters.
        attacked: the chosen images after attacks (attacks, n, pixels).

    Returns:
        right: bool (n,), whether each chosen image is read correctly; wrong: bool (attacks, n),
        whether it is misread after an attack; distances: to the boundary (n,); and, as `VARIABLES`
        says, read_as_target (2,), calibration_error and overconfidence.

    """
    read, (x, labels), task = read_with(setup, params), choose_images(setup), setup.task
    images, classes = setup.data.test
    others = classes != TARGET

    def share_of_target(mark: int) -> jax.Array:
        marked = mark_pixel(images, jnp.full(len(images), mark), task.white)
        hits = others & (read(task.pixels(marked)).argmax(axis=1) == TARGET)
        return hits.sum() / jnp.maximum(others.sum(), 1)

    logits = read(task.pixels(images))
    return {
        "right": read(x).argmax(axis=1) == labels,
        "wrong": jax.lax.map(lambda x: read(x).argmax(axis=1) != labels, attacked),
        "distances": attacks.boundary_distances(read, x, labels),
        "read_as_target": jnp.stack([share_of_target(0), share_of_target(1)]),
        "calibration_error": calibration.calibration_error(logits, classes),
        "overconfidence": calibration.overconfidence(logits, classes),
    }


def compare_networks(
    setup: Setup, networks: Sequence[Params], attacked: Mapping[str, jax.Array]
) -> dict[str, jax.Array]:
    """What teacher, student and unrelated network have in common, as `VARIABLES` says.

    An image counts if all three read it correctly. Where none does, distances are recorded as 0;
    where fewer than two do, so is their agreement.

    Args:
        setup: images, network and config.
        networks: parameters in the order of `NETWORKS`.
        attacked: the chosen images after the attacks made on each of `SOURCES`, (sizes, n, pixels).

    """
    sources = jnp.stack([attacked[name] for name in SOURCES])
    flat = sources.reshape(-1, *sources.shape[2:])
    found = jax.lax.map(lambda params: measure_network(setup, params, flat), stack_trees(*networks))
    counted, distances = found["right"].all(axis=0), found["distances"]
    changed = (found["wrong"] & counted).sum(axis=-1, dtype=distances.dtype)
    median = jnp.nanmedian(jnp.where(counted, distances, jnp.nan), axis=1)
    teacher, student, unrelated = distances
    agreement = [attacks.rank_correlation(student, a, counted) for a in (teacher, unrelated)]
    return {
        "changed": changed.reshape(len(networks), *sources.shape[:2]),
        "images": counted.sum(dtype=distances.dtype),  # no integer: it is NaN where a point failed
        "distance": jnp.where(counted.any(), median, 0.0),
        "distance_agreement": jnp.stack(agreement),
        "read_as_target": found["read_as_target"].T,
        "calibration_error": found["calibration_error"],
        "overconfidence": found["overconfidence"],
    }
