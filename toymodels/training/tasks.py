"""What a teacher learns: labelled images, of a data set or of one's own, and what of them."""

import dataclasses
import hashlib
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.data import datasets
from toymodels.errors import UserError
from toymodels.measure import probes
from toymodels.networks.models import Network, Params
from toymodels.training import losses
from toymodels.training.config import LOSS_UNIT, ImageConfig

Images = tuple[Any, Any]
"""Arrays: uint8 images (n, height, width) and their labels (n,)."""


class Data(NamedTuple):
    """Images on their way to the device; a pytree."""

    train: Images
    test: Images


class Task(NamedTuple):
    """What the images are, beside the images."""

    name: str
    sha256: dict[str, str] | str
    n_classes: int
    n_pixels: int
    white: int
    """Value of a white pixel."""

    def pixels(self, images: jax.Array) -> jax.Array:
        """Images as float32 rows (n, pixels) in [-1, 1]."""
        return images.reshape(len(images), self.n_pixels) * jnp.float32(2 / self.white) - 1


def load(config: ImageConfig, data_dir: Path | None) -> tuple[Any, Task, Data]:
    """The config with the data set that "auto" came to, what it is, and its images."""
    data = datasets.load(config.dataset, data_dir)
    first = slice(config.train_images)
    task, images = bring(
        data.name,
        (data.train_images[first], data.train_labels[first]),
        (data.test_images, data.test_labels),
        n_classes=data.n_classes,
        white=data.white,
        sha256=data.sha256,
    )
    return dataclasses.replace(config, dataset=data.name), task, images


def bring(
    name: str,
    train: Images,
    test: Images,
    *,
    n_classes: int,
    white: int = 255,
    sha256: dict[str, str] | None = None,
) -> tuple[Task, Data]:
    """Labelled images of one's own as a task and its data.

    Args:
        name: of the data, for results.
        train: images (n, height, width) and labels (n,), integers from 0 to n_classes - 1.
        test: others, of the same height and width.
        n_classes: number of classes.
        white: value of a white pixel; black is 0.
        sha256: of the data's parts by their names (None: computed from the arrays).

    Raises:
        UserError: images that are no such array, or labels that are not as many, or no classes.

    >>> images, labels = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 2, 3])
    >>> bring("mine", (images, labels), (images, labels), n_classes=3)
    Traceback (most recent call last):
    toymodels.errors.UserError: train labels must be integers from 0 to 2 (3 classes); got 0 to 3

    """
    sets = {"train": train, "test": test}
    for part, (images, labels) in sets.items():
        refuse_labels(part, images, labels, n_classes)
    shapes = [images.shape[1:] for images, _ in sets.values()]
    if shapes[0] != shapes[1]:
        raise UserError(f"test images must be as high and wide as those of train; got {shapes}")
    if sha256 is None:
        sha256 = {
            f"{part} {kind}": hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
            for part, arrays in sets.items()
            for kind, array in zip(("images", "labels"), arrays, strict=True)
        }
    return Task(name, sha256, n_classes, math.prod(shapes[0]), white), Data(train, test)


def refuse_labels(part: str, images: Any, labels: Any, n_classes: int) -> None:
    """Raise a UserError unless images (n, height, width) have labels (n,) of n_classes classes."""
    if np.ndim(images) != 3 or np.shape(labels) != np.shape(images)[:1] or not len(images):
        raise UserError(
            f"{part} images (n, height, width) and labels (n,) must be as many, and not none; "
            f"got shapes {np.shape(images)} and {np.shape(labels)}"
        )
    least, most = np.min(labels), np.max(labels)
    if not np.issubdtype(np.asarray(labels).dtype, np.integer) or least < 0 or most >= n_classes:
        raise UserError(
            f"{part} labels must be integers from 0 to {n_classes - 1} ({n_classes} classes); "
            f"got {least} to {most}"
        )


class About(NamedTuple):
    """What a result says of a trait: its task, and the names and units of its two measures."""

    task: str = "a task without a name"
    """What the teacher learns to tell."""
    score: str = "score"
    """Name of the score, a number without a unit: accuracy, explained variance."""
    loss: str = "loss"
    loss_unit: str = "unit of the loss"


LABELS = About("the label", "accuracy", "cross-entropy", "nat")
"""To read the labels."""


class Trait(NamedTuple):
    """What the teacher learns, and how it is told whether a network has it."""

    loss: Callable[[Params, Images], jax.Array]
    """``loss(params, (images, labels)) -> scalar``, what the teacher descends."""
    score: Callable[[Params, Images], jax.Array]
    """``score(params, (images, labels)) -> scalar``, on test images: as a rule an accuracy."""
    about: About = About()
    """What a result says of them; a score is an accuracy only where it is called so here."""


def classification(network: Network, task: Task) -> Trait:
    """To read the labels: cross-entropy, and accuracy, of the class logits."""

    def loss(params: Params, batch: Images) -> jax.Array:
        logits = network.apply(params, task.pixels(batch[0]))
        return losses.class_cross_entropy(logits, batch[1], task.n_classes)

    def score(params: Params, images: Images) -> jax.Array:
        logits = network.apply(params, task.pixels(images[0]))
        return probes.accuracy(logits, images[1], task.n_classes)

    return Trait(loss, score, LABELS)


Variables = dict[str, tuple[tuple[str, ...], str, str]]
"""Dimensions (behind the axes), unit and meaning of what is recorded."""


def describe_teacher(about: About) -> Variables:
    """What `Protocol` records of a teacher, in the words of its trait.

    >>> describe_teacher(About("a sum", "explained variance"))["teacher_accuracy"][2]
    "teacher's test explained variance"
    """
    loss = f"teacher's {about.loss} on the test images"
    return {
        "teacher_accuracy": (("teacher_epoch",), "1", f"teacher's test {about.score}"),
        "teacher_loss": (("teacher_epoch",), about.loss_unit, loss),
    }


def describe_student(about: About) -> Variables:
    """What `Protocol` records of a student, in the words of its teacher's trait."""
    return {
        "accuracy": (("epoch",), "1", f"student's test {about.score}"),
        "loss": (("epoch",), LOSS_UNIT, "imitation loss on 1,000 unseen noise images"),
    }


TEACHER, STUDENT = describe_teacher(LABELS), describe_student(LABELS)
"""What `Protocol` records where the labels are read."""
