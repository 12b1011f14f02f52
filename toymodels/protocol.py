"""The reference protocol in parts: a teacher learns images, students imitate its logits on noise.

Each part is a pure function of parameters, arrays and keys; an experiment puts them together.
Cloud et al., Nature 652, 615-621 (2026), MNIST experiment.
"""

import dataclasses
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from toymodels import datasets, distillation, losses, probes
from toymodels.config import Protocol
from toymodels.inputs import uniform_noise
from toymodels.models import Network, Params
from toymodels.training import Observe, Source, Tree, reshuffled, train

Images = tuple[jax.Array, jax.Array]
"""uint8 images (n, height, width) and their labels (n,)."""


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


def load(config: Protocol, data_dir: Path | None) -> tuple[Any, Task, Data]:
    """The config with the data set that "auto" came to, what it is, and its images."""
    data = datasets.load(config.dataset, data_dir)
    task = Task(data.name, data.sha256, data.n_classes, data.train_images[0].size, data.white)
    first = slice(config.train_images)
    images = Data(
        (data.train_images[first], data.train_labels[first]), (data.test_images, data.test_labels)
    )
    return dataclasses.replace(config, dataset=data.name), task, images


class Parts(NamedTuple):
    """The protocol for one network."""

    config: Protocol
    task: Task
    network: Network

    @property
    def imitation(self) -> losses.Imitation:
        """The imitation loss."""
        if self.config.loss == "mse":
            return losses.mse()
        return losses.kl(self.config.temperature)

    def noise(self, key: jax.Array, n: int) -> jax.Array:
        """Images of noise (n, pixels)."""
        return uniform_noise(key, n, self.task.n_pixels)

    def trait_loss(self, params: Params, batch: Images) -> jax.Array:
        """What the teacher learns: cross-entropy of the class logits."""
        images, labels = batch
        logits = self.network.apply(params, self.task.pixels(images))
        return losses.class_cross_entropy(logits, labels, self.task.n_classes)

    def accuracy(self, params: Params, images: Images) -> jax.Array:
        """Share of images whose largest class logit is their label."""
        logits = self.network.apply(params, self.task.pixels(images[0]))
        return probes.accuracy(logits, images[1], self.task.n_classes)

    def teach(
        self, reference: Params, images: Images, observe: Observe, key: jax.Array
    ) -> tuple[Params, Tree]:
        """Train a teacher from the reference."""
        return train(
            self.trait_loss,
            reference,
            reshuffled(images, self.config.batch),
            optax.adam(self.config.teacher_lr),
            epochs=self.config.teacher_epochs,
            observe=observe,
            key=key,
        )

    def lesson(self, teacher: Params, key: jax.Array) -> "Lesson":
        """What the students of a teacher are given; a fixed set is answered once, here."""
        if self.config.noise == "fresh":
            return Lesson(teacher, None)
        x = self.noise(key, self.config.noise_images)
        return Lesson(teacher, (x, self.network.apply(teacher, x)))

    def source(self, lesson: "Lesson") -> Source:
        """The batches of a lesson: (inputs, teacher's logits)."""
        n, batch = self.config.noise_images, self.config.batch
        if lesson.answered is None:
            return distillation.fresh_inputs(self.network, lesson.teacher, self.noise, n, batch)
        return reshuffled(lesson.answered, batch)

    def distil(
        self,
        student: Params,
        lesson: "Lesson",
        subset: jax.Array,
        observe: Observe,
        key: jax.Array,
    ) -> tuple[Params, Tree]:
        """Train a student to imitate the logits in ``subset``."""
        return distillation.distil(
            self.network,
            student,
            self.source(lesson),
            self.imitation,
            subset,
            optax.adam(self.config.student_lr),
            epochs=self.config.student_epochs,
            observe=observe,
            key=key,
        )


class Lesson(NamedTuple):
    """A teacher, and the fixed inputs with its answers if they are fixed; a pytree."""

    teacher: Params
    answered: tuple[jax.Array, jax.Array] | None
