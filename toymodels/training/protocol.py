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
from toymodels.networks.groups import Groups, parameter_groups
from toymodels.networks.layers import class_logits
from toymodels.networks.models import Network, Params
from toymodels.training import distillation, losses
from toymodels.training.config import ProtocolConfig
from toymodels.training.loop import (
    Observe,
    Source,
    Tree,
    draw_epochs,
    replay,
    reshuffle,
    sample_rows,
    train_with_state,
)
from toymodels.training.tasks import Data, Task, Trait, classification


@dataclasses.dataclass(frozen=True)
class Protocol:
    """The protocol for one network. An experiment replaces (`dataclasses.replace`) what it varies.

    What is replaced may depend on traced values: ``replace(protocol, student_optimiser=sgd(lr))`` in
    a point of a sweep compiles once for all rates.
    """

    config: ProtocolConfig
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
        (teacher, _), curve = self.teach_with_state(params, data, key, observe)
        return teacher, curve

    def teach_with_state(
        self, params: Params, data: Data, key: jax.Array, observe: Observe
    ) -> tuple[tuple[Params, Tree], Tree]:
        """Train a teacher, and keep the last state of its optimiser beside it."""
        return train_with_state(
            self.trait.loss,
            params,
            reshuffle(data.train, self.config.batch),
            self.teacher_optimiser,
            epochs=self.config.teacher_epochs,
            observe=observe,
            key=key,
        )

    def prepare(
        self,
        data: Data,
        seed: jax.Array,
        observe: Callable[[Params], dict[str, Tree]] = lambda params: {},
        keep_state: bool = False,
    ) -> tuple["Lesson", dict[str, Tree]]:
        """Train the teacher of a seed, and let it answer the distillation inputs.

        Returns the lesson and the teacher's curves; ``observe(params) -> arrays by name`` adds
        curves, and with ``keep_state`` the lesson holds the optimiser's last state. Raises a
        UserError if the network cannot read the distillation inputs, or has fewer outputs than
        classes.
        """
        refuse_misfit(self, data)
        keys = seed_keys(seed)
        reference = self.network.init(keys.init)

        def watch(params: Params) -> dict[str, Tree]:
            return self.watch_teacher(params, data) | observe(params)

        (teacher, state), curve = self.teach_with_state(reference, data, keys.teacher, watch)
        held_out = self.noise(keys.probe, 1000)
        answers = self.network.apply(teacher, held_out)
        answered = self.answer(teacher, keys.noise)
        lesson = Lesson(reference, teacher, answered, (held_out, answers), keys)
        if keep_state:
            lesson = lesson._replace(state=state)
        if answered is None:
            return lesson, curve
        source = draw_epochs(self.batches(lesson), keys.student, self.config.student_epochs)
        return lesson._replace(order=source.drawn), curve

    def watch_teacher(self, params: Params, data: Data) -> dict[str, jax.Array]:
        """What is recorded of a teacher after every epoch: score and loss on the test images."""
        return {
            "teacher_accuracy": self.trait.score(params, data.test),
            "teacher_loss": self.trait.loss(params, data.test),
        }

    def independent_init(self, lesson: "Lesson") -> Params:
        """Draw the initialisation of a seed's cross-model control."""
        return self.network.init(lesson.keys.relation)

    def start(self, lesson: "Lesson", control: jax.Array) -> Params:
        """The reference, or where ``control`` (bool or 0, 1; traced or not) an independent init."""
        pick = functools.partial(jnp.where, control)
        return jax.tree.map(pick, self.independent_init(lesson), lesson.reference)

    def answer(self, teacher: Params, key: jax.Array) -> tuple[jax.Array, jax.Array] | None:
        """Fixed distillation inputs and the teacher's logits on them; None if inputs are fresh."""
        if self.config.noise == "fresh":
            return None
        x = self.noise(key, self.config.noise_images)
        return x, self.network.apply(teacher, x)

    def batches(self, lesson: "Lesson", epochs: int | None = None) -> Source:
        """The batches of a lesson, (inputs, teacher's logits), in the order of its students' key.

        ``epochs`` is the number of epochs that a student trains (None: the config's).
        """
        n, batch = self.config.noise_images, self.config.batch
        if lesson.answered is None:
            return distillation.answer_fresh_inputs(
                self.network, lesson.teacher, self.noise, n, batch
            )
        epochs = self.config.student_epochs if epochs is None else epochs
        return replay(reshuffle(lesson.answered, batch), lesson.order, epochs)

    def sample_batches(self, lesson: "Lesson", batch: int, steps: int) -> Source:
        """Batches of any size, drawn at random with replacement; an epoch has ``steps`` of them."""
        if lesson.answered is None:
            n = batch * steps
            return distillation.answer_fresh_inputs(
                self.network, lesson.teacher, self.noise, n, batch
            )
        return sample_rows(lesson.answered, batch, steps)

    def watch(
        self, data: Data, lesson: "Lesson", logits: jax.Array
    ) -> Callable[[Params], dict[str, jax.Array]]:
        """A function of a student: test accuracy, and imitation loss on unseen noise."""
        held_out, answers = lesson.held_out

        def observe(params: Params) -> dict[str, jax.Array]:
            return {
                "accuracy": self.trait.score(params, data.test),
                "loss": self.imitation(self.network.apply(params, held_out), answers, logits),
            }

        return observe

    def distil(
        self,
        student: Params,
        lesson: "Lesson",
        logits: jax.Array,
        observe: Observe,
        batches: Source | None = None,
        epochs: int | None = None,
        observe_at: Sequence[int] | None = None,
    ) -> tuple[Params, Tree]:
        """Train a student to imitate the teacher on ``logits``, a mask bool (outputs,).

        All students of a seed see the same batches in the same order: they are paired.

        Args:
            student: its initialisation.
            lesson: teacher, inputs and answers.
            logits: the imitated logits.
            observe: ``observe(params) -> arrays``.
            batches: other batches than the lesson's.
            epochs: number of epochs (None: the config's).
            observe_at: epochs after which to observe, rising from 1 on (None: each).

        """
        epochs = self.config.student_epochs if epochs is None else epochs
        return distillation.distil(
            self.network,
            student,
            self.batches(lesson, epochs) if batches is None else batches,
            self.imitation,
            logits,
            self.student_optimiser,
            epochs=epochs,
            observe=observe,
            key=lesson.keys.student,
            record=observe_at,
        )

    @property
    def groups(self) -> Groups:
        """The network's named groups of parameters."""
        shapes = jax.eval_shape(self.network.init, jax.random.key(0))
        return parameter_groups(shapes, self.task.n_classes)


def reference_protocol(config: ProtocolConfig, task: Task, network: Network) -> Protocol:
    """The reference protocol for a network: digits, Adam, uniform noise."""
    return Protocol(
        config,
        task,
        network,
        trait=classification(network, task),
        imitation=losses.imitation(config.loss, config.temperature),
        noise=lambda key, n: uniform_noise(key, n, task.n_pixels),
        teacher_optimiser=optax.adam(config.teacher_lr),
        student_optimiser=optax.adam(config.student_lr),
    )


def refuse_misfit(protocol: Protocol, data: Data) -> None:
    """Raise a UserError unless network, inputs, classes and trait fit together.

    The network must read the distillation inputs and answer all classes, and a trait's loss and
    score must each be a number; nothing is computed to see it.
    """
    key, network = jax.random.key(0), protocol.network
    x = jax.eval_shape(lambda key: protocol.noise(key, 1000), key)

    def logits(params: Params, x: jax.Array) -> jax.Array:
        return class_logits(network.apply(params, x), protocol.task.n_classes)

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
        value = jax.eval_shape(getattr(protocol.trait, name), params, data.test)
        if getattr(value, "shape", None) != ():
            raise UserError(f"{name} of a trait must be one number for a batch; got {value}")


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


class Lesson(NamedTuple):
    """What the students of one seed share; a pytree."""

    reference: Params
    """The initialisation of teacher and students."""
    teacher: Params
    """The trained teacher."""
    answered: tuple[jax.Array, jax.Array] | None
    """Fixed distillation inputs and the teacher's logits on them; None if inputs are fresh."""
    held_out: tuple[jax.Array, jax.Array]
    """1,000 unseen distillation inputs and the teacher's logits on them."""
    keys: SeedKeys
    """The random keys of the seed."""
    order: tuple[jax.Array, jax.Array | None] | None = None
    """Rows of the students' batches, drawn once for all of them: (epochs, steps, batch), and those of
    a short last one; None: each student draws them (from the same key, hence the same)."""
    state: Tree | None = None
    """The last state of the teacher's optimiser; None: it was not kept."""


def epochs(config: ProtocolConfig) -> dict[str, range]:
    """Coordinates of the curves: the first value of each is before training."""
    return {
        "teacher_epoch": range(config.teacher_epochs + 1),
        "epoch": range(config.student_epochs + 1),
    }
