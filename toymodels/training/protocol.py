"""The reference protocol in parts: a teacher learns images, students imitate its logits on noise.

Each part is a pure function of parameters, arrays and keys; an experiment puts them together.
Cloud et al., Nature 652, 615-621 (2026), MNIST experiment.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from toymodels.data.inputs import uniform_noise
from toymodels.errors import UserError
from toymodels.measure import similarity
from toymodels.networks.groups import parameter_groups
from toymodels.networks.layers import class_logits
from toymodels.networks.models import Network, Params
from toymodels.training import distillation, losses
from toymodels.training.config import Protocol
from toymodels.training.loop import Observe, Source, Tree, drawn, reshuffled, train
from toymodels.training.tasks import (
    LABELS,
    STUDENT,
    TEACHER,
    About,
    Data,
    Images,
    Task,
    Trait,
    bring,
    describe_student,
    describe_teacher,
    load,
    reading,
)

__all__ = [
    "LABELS",
    "STARTS",
    "STUDENT",
    "TEACHER",
    "About",
    "Begun",
    "Data",
    "Images",
    "Lesson",
    "Parts",
    "SeedKeys",
    "Task",
    "Trait",
    "bring",
    "describe_student",
    "describe_teacher",
    "epochs",
    "load",
    "parts",
    "reading",
    "seed_keys",
]


@dataclasses.dataclass(frozen=True)
class Parts:
    """The protocol for one network. An experiment replaces (`dataclasses.replace`) what it varies.

    What is replaced may depend on traced values: ``replace(parts, student_optimiser=sgd(lr))`` in
    a point of a sweep compiles once for all rates.
    """

    config: Protocol
    task: Task
    network: Network
    trait: Trait
    imitation: losses.Imitation
    noise: Callable[[jax.Array, int], jax.Array]
    """``noise(key, n) -> distillation inputs (n, pixels)``."""
    teacher_optimiser: optax.GradientTransformation
    student_optimiser: optax.GradientTransformation

    def teach(
        self, params: Params, data: Data, key: jax.Array, observe: Observe
    ) -> tuple[Params, Tree]:
        """Train a teacher from ``params`` on the training images."""
        return train(
            self.trait.loss,
            params,
            reshuffled(data.train, self.config.batch),
            self.teacher_optimiser,
            epochs=self.config.teacher_epochs,
            observe=observe,
            key=key,
        )

    def begin(
        self, data: Data, seed: jax.Array, also: Callable[[Params], dict[str, Tree]] = lambda _: {}
    ) -> tuple["Begun", dict[str, Tree]]:
        """A seed's reference, its teacher and what the students are given; the teacher's curves.

        With ``also(params) -> arrays by name`` more of the teacher is observed. Raises a UserError
        if the network cannot read the distillation inputs, or has fewer outputs than classes.
        """
        refuse_misfit(self, data)
        keys = seed_keys(seed)
        reference = self.network.init(keys.init)

        def watch(params: Params) -> dict[str, Tree]:
            return {
                "teacher_accuracy": self.trait.score(params, data.test),
                "teacher_loss": self.trait.loss(params, data.test),
                **also(params),
            }

        teacher, curve = self.teach(reference, data, keys.teacher, watch)
        held_out = self.noise(keys.probe, 1000)
        answers = self.network.apply(teacher, held_out)
        lesson = self.lesson(teacher, keys.noise)
        return Begun(reference, lesson, (held_out, answers), keys), curve

    def unrelated(self, begun: "Begun") -> Params:
        """An independent initialisation, the seed's own: the cross-model control's."""
        return self.network.init(begun.keys.relation)

    def start(self, begun: "Begun", other: jax.Array) -> Params:
        """The reference, or where ``other`` (bool or 0, 1; traced or not) an unrelated init."""
        pick = functools.partial(jnp.where, other)
        return jax.tree.map(pick, self.unrelated(begun), begun.reference)

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

    def drawn(self, lesson: "Lesson", batch: int, steps: int) -> Source:
        """A lesson in batches of any size, drawn at random: ``steps`` of them are an epoch."""
        if lesson.answered is None:
            n = batch * steps
            return distillation.fresh_inputs(self.network, lesson.teacher, self.noise, n, batch)
        return drawn(lesson.answered, batch, steps)

    def watch(
        self, data: Data, begun: "Begun", subset: jax.Array
    ) -> Callable[[Params], dict[str, jax.Array]]:
        """Test accuracy of a student, and its imitation loss on unseen noise."""
        held_out, answers = begun.held_out

        def observe(params: Params) -> dict[str, jax.Array]:
            return {
                "accuracy": self.trait.score(params, data.test),
                "loss": self.imitation(self.network.apply(params, held_out), answers, subset),
            }

        return observe

    def distil(
        self,
        student: Params,
        begun: "Begun",
        subset: jax.Array,
        observe: Observe,
        source: Source | None = None,
        record: Sequence[int] | None = None,
    ) -> tuple[Params, Tree]:
        """Train a student to imitate the logits in ``subset``, over the lesson or another source.

        All students of a seed see the same batches in the same order: they are paired.
        """
        return distillation.distil(
            self.network,
            student,
            self.source(begun.lesson) if source is None else source,
            self.imitation,
            subset,
            self.student_optimiser,
            epochs=self.config.student_epochs,
            observe=observe,
            key=begun.keys.student,
            record=record,
        )

    @property
    def groups(self) -> dict[str, Params]:
        """The network's named groups of parameters."""
        shapes = jax.eval_shape(self.network.init, jax.random.key(0))
        return parameter_groups(shapes, self.task.n_classes)

    def student_from(
        self, init: Params, data: Data, begun: "Begun", subset: jax.Array
    ) -> dict[str, jax.Array]:
        """Distil a student from ``init``: its curves, and how alike it was to the reference."""
        _, curve = self.distil(init, begun, subset, self.watch(data, begun, subset))
        x, n_classes = begun.held_out[0], self.task.n_classes
        return curve | similarity.measure_similarity(
            self.network, init, begun.reference, self.groups, x, n_classes
        )


def parts(config: Protocol, task: Task, network: Network) -> Parts:
    """The reference protocol for a network: digits, Adam, uniform noise."""
    return Parts(
        config,
        task,
        network,
        trait=reading(network, task),
        imitation=losses.imitation(config.loss, config.temperature),
        noise=lambda key, n: uniform_noise(key, n, task.n_pixels),
        teacher_optimiser=optax.adam(config.teacher_lr),
        student_optimiser=optax.adam(config.student_lr),
    )


def refuse_misfit(parts: Parts, data: Data) -> None:
    """Raise a UserError unless network, inputs, classes and trait fit together.

    The network must read the distillation inputs and answer all classes, and a trait's loss and
    score must each be a number; nothing is computed to see it.
    """
    key, network = jax.random.key(0), parts.network
    x = jax.eval_shape(lambda key: parts.noise(key, 1000), key)

    def logits(params: Params, x: jax.Array) -> jax.Array:
        return class_logits(network.apply(params, x), parts.task.n_classes)

    params = jax.eval_shape(network.init, key)
    try:
        jax.eval_shape(logits, params, x)
    except (TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"network must read inputs of shape {x.shape} and type {x.dtype}; {network.name} "
            f"does not: {reason}"
        ) from error
    for name in ("loss", "score"):
        value = jax.eval_shape(getattr(parts.trait, name), params, data.test)
        if getattr(value, "shape", None) != ():
            raise UserError(f"{name} of a trait must be one number for a batch; got {value}")


class Lesson(NamedTuple):
    """A teacher, and the fixed inputs with its answers if they are fixed; a pytree."""

    teacher: Params
    answered: tuple[jax.Array, jax.Array] | None


class SeedKeys(NamedTuple):
    """The random keys of a seed, one for each purpose."""

    init: jax.Array
    teacher: jax.Array
    noise: jax.Array
    student: jax.Array
    probe: jax.Array
    relation: jax.Array


def seed_keys(seed: jax.Array) -> SeedKeys:
    """The keys of a seed; more purposes at the end keep the earlier ones."""
    return SeedKeys(*jax.random.split(jax.random.key(seed), len(SeedKeys._fields)))


class Begun(NamedTuple):
    """What the students of a seed share; a pytree."""

    reference: Params
    lesson: Lesson
    held_out: tuple[jax.Array, jax.Array]
    """1,000 unseen images of noise and the teacher's logits on them."""
    keys: SeedKeys


def epochs(config: Protocol) -> dict[str, range]:
    """Coordinates of the curves: the first value of each is before training."""
    return {
        "teacher_epoch": range(config.teacher_epochs + 1),
        "epoch": range(config.student_epochs + 1),
    }


STARTS = ("shared", "other")
"""Where a student starts, as `Parts.start` numbers it: the reference, or an unrelated init."""
