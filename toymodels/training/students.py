"""One student as a record of what differs from the protocol, and what the students of a seed share."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jax

from toymodels.errors import UserError
from toymodels.measure.probes import share
from toymodels.measure.similarity import measure_similarity
from toymodels.networks.approximations import Approximation
from toymodels.networks.groups import Groups
from toymodels.networks.models import Network, Params
from toymodels.training.distillation import all_logits, auxiliary_logits
from toymodels.training.loop import Source, Tree
from toymodels.training.losses import Imitation
from toymodels.training.protocol import Lesson, Protocol, SeedKeys, seed_keys
from toymodels.training.tasks import LABELS, Task, classification

Observation = Callable[[Params], dict[str, Tree]]
"""``observation(params) -> arrays by name``."""


@dataclass(frozen=True)
class Student:
    """One student: its initialisation, and what differs from the protocol (None: the protocol's)."""

    start: Params
    """The initialisation."""
    logits: jax.Array | None = None
    """The imitated logits, a mask bool (outputs,); None: the auxiliary logits."""
    loss: Imitation | None = None
    """The imitation loss."""
    optimiser: Any = None
    """An optax transformation."""
    batches: Source | None = None
    """The batches (inputs, teacher's logits)."""
    observe: Observation | None = None
    """``observe(params) -> arrays by name``, recorded beside test accuracy and imitation loss."""
    record: Mapping[str, Tree] = field(default_factory=dict)
    """More arrays to record, each once."""
    approximation: Approximation | None = None
    """An approximation of the network around ``start``, as which the student trains and is scored:
    one of `toymodels.networks.approximations`."""


@dataclass(frozen=True)
class Setup:
    """What the students of one seed share, and the verbs that make students of it."""

    config: Any
    """The config, with one value each for the axes that change shapes."""
    protocol: Protocol
    """The reference protocol for the network of this experiment."""
    data: Any
    """Training and test images (`toymodels.training.tasks.Data`), and what else all models read."""
    lesson: Lesson
    """Reference, teacher, distillation inputs and answers."""
    extra: Any = None
    """What the experiment itself prepared for all students of the seed."""
    seed: Any = None
    """The seed, while it is prepared; a student is told none: what it needs is prepared."""
    shared: Mapping[str, jax.Array] = field(default_factory=dict)
    """The values of other axes of the teachers, while it is prepared, as with the seed."""

    @property
    def task(self) -> Task:
        """Name, numbers of classes and pixels of the data set."""
        return self.protocol.task

    @property
    def network(self) -> Network:
        """The network of teacher and students."""
        return self.protocol.network

    @property
    def reference(self) -> Params:
        """The initialisation of the teacher, shared with its students."""
        return self.lesson.reference

    @property
    def teacher(self) -> Params:
        """The trained teacher."""
        return self.lesson.teacher

    @property
    def keys(self) -> SeedKeys:
        """The random keys of the seed, one for each purpose."""
        return self.lesson.keys

    @property
    def inputs(self) -> jax.Array:
        """The fixed distillation inputs (n, pixels)."""
        assert self.lesson.answered is not None, (
            "the distillation inputs of this protocol are fresh"
        )
        return self.lesson.answered[0]

    @property
    def answers(self) -> jax.Array:
        """The teacher's logits (n, outputs) on the fixed distillation inputs."""
        assert self.lesson.answered is not None, (
            "the distillation inputs of this protocol are fresh"
        )
        return self.lesson.answered[1]

    @property
    def held_out(self) -> tuple[jax.Array, jax.Array]:
        """Unseen distillation inputs, and the teacher's logits on them."""
        return self.lesson.held_out

    @property
    def independent(self) -> Params:
        """An independent initialisation: the start of the cross-model control."""
        return self.protocol.independent_init(self.lesson)

    @property
    def next_reference(self) -> Params:
        """The reference of the next seed, while this one is prepared.

        The next seed is a derangement of the integers, so that no seed's values depend on which
        other seeds are run.
        """
        return self.network.init(seed_keys(self.seed + 1).init)

    @property
    def teacher_change(self) -> jax.Array:
        """The change of the teacher's class logits by its training, on the test images (n, classes)."""
        x = self.task.pixels(self.data.test[0])
        change = self.network.apply(self.teacher, x) - self.network.apply(self.reference, x)
        return change[:, : self.task.n_classes]

    def start(self, control: jax.Array) -> Params:
        """The reference, or where ``control`` is true the independent initialisation."""
        return self.protocol.start(self.lesson, control)

    @property
    def groups(self) -> Groups:
        """The named groups of the network's parameters."""
        return self.protocol.groups

    @property
    def m(self) -> int:
        """Number of auxiliary logits of the teacher, and of its students."""
        return self.held_out[1].shape[-1] - self.task.n_classes

    def auxiliary(self, first: int | jax.Array | None = None) -> jax.Array:
        """The mask of the auxiliary logits, or of the ``first`` of them alone."""
        if isinstance(first, jax.Array):
            return auxiliary_logits(self.task.n_classes, self.m, first=first)
        with jax.ensure_compile_time_eval():  # a constant of the program
            return auxiliary_logits(self.task.n_classes, self.m, first=first)

    @property
    def all_logits(self) -> jax.Array:
        """The mask of all logits, class logits included."""
        with jax.ensure_compile_time_eval():
            return all_logits(self.task.n_classes, self.m)

    def watch(self, logits: jax.Array | None = None) -> Observation:
        """A function of a student: test accuracy, and the protocol's loss on unseen inputs.

        The loss is that of ``logits`` (None: the auxiliary logits).
        """
        mask = self.auxiliary() if logits is None else logits
        return self.protocol.watch(self.data, self.lesson, mask)

    def watch_amount(
        self, start: Params, teacher_change: jax.Array, network: Network | None = None
    ) -> Observation:
        """A function of a student: the part of the teacher's change of class logits that it acquires.

        Args:
            start: the student's initialisation.
            teacher_change: the teacher's change (n, classes), as of `teacher_change`.
            network: the network as which the student is read, equal to the setup's at ``start``
                (None: the setup's).

        """
        x, model = self.task.pixels(self.data.test[0]), network or self.network
        first = self.network.apply(start, x)

        def observe(params: Params) -> dict[str, Tree]:
            change = (model.apply(params, x) - first)[:, : self.task.n_classes]
            return {"amount": share(change, teacher_change)}

        return observe

    def distil(
        self,
        student: Student,
        *,
        observe: Observation | None = None,
        epochs: int | None = None,
        observe_at: Sequence[int] | None = None,
        observe_at_steps: Sequence[int] | None = None,
    ) -> tuple[Params, dict[str, Tree]]:
        """Distil a student: its trained parameters, and its curves.

        The curves are test accuracy, imitation loss on unseen inputs, and what the student observes.

        Args:
            student: what differs from the protocol.
            observe: ``observe(params) -> arrays by name`` in place of all that.
            epochs: number of epochs (None: the config's).
            observe_at: epochs after which to observe (None: each).
            observe_at_steps: steps after which to observe, rising from 1 to the last step of the
                training, in place of epochs. Every batch is then sampled at random.

        """
        protocol = dataclasses.replace(
            self.approximate(student),
            imitation=student.loss or self.protocol.imitation,
            student_optimiser=student.optimiser or self.protocol.student_optimiser,
        )
        auxiliary = self.auxiliary()
        logits = auxiliary if student.logits is None else student.logits
        watch = protocol.watch(self.data, self.lesson, logits)

        batches = student.batches
        if observe_at_steps is not None:
            # A step is an epoch of one batch, so that the loop can observe after any of them.
            batches = self.protocol.sample_batches(self.lesson, protocol.config.batch, 1)
            epochs, observe_at = observe_at_steps[-1], observe_at_steps
        elif batches is None:
            # The teacher that answers is never an approximation.
            batches = self.protocol.batches(self.lesson, epochs)

        def watch_more(params: Params) -> dict[str, Tree]:
            return watch(params) | (student.observe(params) if student.observe else {})

        return protocol.distil(
            student.start,
            self.lesson,
            logits,
            watch_more if observe is None else observe,
            batches,
            epochs,
            observe_at,
        )

    def approximate(self, student: Student) -> Protocol:
        """The protocol with the network, and the trait of the network, as which a student trains."""
        if student.approximation is None:
            return self.protocol
        if self.protocol.trait.about != LABELS:
            raise UserError(
                "approximation must be of a student whose trait is to read the labels; got "
                f"{self.protocol.trait.about.task}"
            )
        network = student.approximation(self.network, student.start)
        return dataclasses.replace(
            self.protocol, network=network, trait=classification(network, self.task)
        )

    def measure_similarity(self, params: Params) -> dict[str, jax.Array]:
        """How alike an initialisation and the reference are, as parameters and as functions."""
        return measure_similarity(
            self.network,
            params,
            self.reference,
            self.groups,
            self.held_out[0],
            self.task.n_classes,
        )
