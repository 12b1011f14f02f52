"""How transfer depends on the way teacher and student are optimised.

Axes of students: optimiser, learning rate, weight decay (decoupled or L2, for a loss that is a mean
over the batch, times a stated scale), batch at a fixed number of steps, epochs of the teacher, which
is trained once and kept at each of them. Axes of a seed's networks, teacher and students alike:
scale of the init, width, parametrisation (standard, NTK, muP). The teacher's optimiser is always
Adam. Each student has its cross-model control, from an unrelated initialisation. Where a rate is
chosen it is the one with the least imitation loss on unseen noise.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toymodels import cli
from toymodels.config import CLOUD, Protocol, follows
from toymodels.errors import UserError, at_least, distinct, positive

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import How

Optimisers = tuple[Literal["sgd", "momentum", "adam", "adamw", "adam_l2", "sign"], ...]
PLAIN: Optimisers = ("sgd", "momentum", "adam", "sign")
DECAYING: Optimisers = ("adamw", "adam_l2")


@dataclass(frozen=True)
class Config(Protocol):
    """What is computed; the defaults are the preset ``quick``."""

    optimiser: Optimisers = PLAIN
    """Optimisers of the students: sgd, momentum (0.9), adam, adamw (decoupled weight decay),
    adam_l2 (L2 penalty), sign (sign descent)."""
    rate: tuple[float, ...] = (0.1, 1 / 3, 1.0, 3.0, 10.0)
    """Learning rates of the students, in multiples of the optimiser's base rate: student_lr times 1
    (adam, adamw, adam_l2), 100 (sgd), 10 (momentum), 0.1 (sign)."""
    weight_decay: tuple[float, ...] = (0.0,)
    """Weight decays of the students, of adamw and adam_l2 alone."""
    loss_scale: tuple[float, ...] = (1.0,)
    """Multiples of the imitation loss, a mean over the batch, that the students descend."""
    student_batch: tuple[int, ...] = (0,)
    """Batches of the students, in images, drawn at random; an epoch has as many steps as one at
    ``batch``. 0: the protocol's own, every image once an epoch."""
    teacher_epochs: tuple[int, ...] = (10,)  # type: ignore[assignment]
    """Passes of the teacher over the training images."""
    init_scale: tuple[float, ...] = (1.0,)
    """Multiples of all initial weights, teacher's and students'."""
    parametrisation: tuple[Literal["standard", "ntk", "mup"], ...] = ("standard",)
    """Of teacher and students; see toymodels.optimisers. Not standard: under Adam or sign alone."""
    width: tuple[int, ...] = (256,)
    """Widths of the two hidden layers, in units."""
    base_width: int = 64
    """The width at which all parametrisations are the same, in units."""
    m: int = 3
    """Number of auxiliary logits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "width", "base_width", "m")
        at_least(self, 0, "weight_decay", "student_batch")
        positive(self, "rate", "loss_scale", "init_scale")
        distinct(self, *AXES)
        if any(self.weight_decay) and set(self.optimiser) - set(DECAYING):
            allowed = ", ".join(DECAYING)
            raise UserError(
                f"weight_decay must be 0 but for {allowed}; got {self.weight_decay} "
                f"for {', '.join(self.optimiser)}"
            )
        if set(self.parametrisation) != {"standard"} and {"sgd", "momentum"} & set(self.optimiser):
            raise UserError(
                "parametrisation must be standard for sgd and momentum; "
                f"got {', '.join(self.parametrisation)}"
            )


SHAPES = ("optimiser", "parametrisation", "width", "student_batch")
NUMBERS = ("teacher_epochs", "rate", "weight_decay", "loss_scale")
AXES = (*SHAPES, "init_scale", *NUMBERS)

ADAM: dict[str, Any] = {"optimiser": ("adam",), "rate": (1.0,)}
PUBLIC: dict[str, Any] = CLOUD | {"teacher_epochs": (5,)}
PRESETS = {
    "quick": Config(seeds=3),
    "teacher": Config(**ADAM, teacher_epochs=(1, 2, 5, 10, 20, 40)),
    "batch": Config(**ADAM, student_batch=(4, 16, 64, 256)),
    "decay": Config(
        seeds=3,
        optimiser=DECAYING,
        rate=(1.0,),
        weight_decay=(0.0, 1e-4, 1e-3, 1e-2, 1e-1, 1.0),
        loss_scale=(1.0, 0.01),
    ),
    "init": Config(
        **ADAM,
        seeds=3,
        init_scale=(0.5, 1.0, 2.0),
        parametrisation=("standard", "ntk", "mup"),
        width=(64, 256),
    ),
    "paper": Config(**PUBLIC, rate=(1 / 3, 1.0, 10.0)),
    "paper_teacher": Config(**PUBLIC | ADAM | {"teacher_epochs": (1, 5, 20)}, seeds=10),
}

PUBLISHED = {
    "rate": {1 / 3: 0.318, 1.0: 0.551, 10.0: 0.293},
    "teacher_epochs": {1: 0.602, 5: 0.551, 20: 0.371},
}
"""Accuracy of the student (aux only) by an axis, the others as the reference protocol has them: runs
of the released script of Cloud et al."""


def run(config: Config, *, data_dir: Path | None = None, how: How | None = None) -> xr.Dataset:
    """Run every point of all axes; see `toymodels.sweep` for ``how``."""
    import jax
    import jax.numpy as jnp
    import optax

    from toymodels import protocol, results, sweep, transfer
    from toymodels.axes import numbered
    from toymodels.distillation import auxiliary_logits
    from toymodels.models import MLP, Params, functional
    from toymodels.optimisers import OPTIMISERS, parametrised

    config, task, data = protocol.load(config, data_dir)
    one = config.at(teacher_epochs=max(config.teacher_epochs))
    subset, kept = auxiliary_logits(task.n_classes, config.m), jnp.array(config.teacher_epochs)
    # Where the teachers of a seed differ, as vmap is told it: in themselves and in their answers.
    by_teacher = protocol.Begun(
        None,  # type: ignore[arg-type]
        protocol.Lesson(0, (None, 0) if config.noise == "fixed" else None),  # type: ignore[arg-type]
        (None, 0),  # type: ignore[arg-type]
        None,  # type: ignore[arg-type]
    )

    def build(optimiser: str, parametrisation: Any, width: int, student_batch: int) -> Any:
        sizes = (task.n_pixels, width, width, task.n_classes + config.m)
        plain = functional(lambda rngs: MLP(sizes, rngs=rngs))
        split, kind = parametrised(plain, parametrisation, config.base_width), OPTIMISERS[optimiser]
        base = protocol.parts(one, task, split.network)
        base = replace(base, teacher_optimiser=split.scaled(optax.adam(config.teacher_lr)))

        def scaled(scale: jax.Array) -> protocol.Parts:
            def init(key: jax.Array) -> Params:
                return jax.tree.map(lambda w: scale * w, split.network.init(key))

            return replace(base, network=split.network._replace(init=init))

        def begin(data: protocol.Data, seed: jax.Array, init_scale: jax.Array) -> Any:
            parts, keys = scaled(init_scale), protocol.seed_keys(seed)
            reference, watch = parts.network.init(keys.init), parts.watch_teacher(data)
            _, (curve, states) = parts.teach(
                reference, data, keys.teacher, lambda params: (watch(params), params)
            )
            teachers = jax.tree.map(lambda a: a[kept], states)
            begun = jax.vmap(
                lambda teacher: parts.given(reference, teacher, keys), out_axes=by_teacher
            )(teachers)
            return (begun, init_scale), curve

        def student(
            data: protocol.Data,
            prepared: tuple[protocol.Begun, jax.Array],
            teacher_epochs: jax.Array,
            rate: jax.Array,
            weight_decay: jax.Array,
            loss_scale: jax.Array,
            start: jax.Array,
        ) -> dict[str, jax.Array]:
            begun, init_scale = prepared
            begun = jax.tree.map(
                lambda axis, part: (
                    part if axis is None else jax.tree.map(lambda a: a[teacher_epochs], part)
                ),
                by_teacher,
                begun,
                is_leaf=lambda axis: axis is None,
            )
            lr = rate * config.student_lr * kind.base
            parts = replace(
                scaled(init_scale),
                imitation=lambda *logits: loss_scale * base.imitation(*logits),
                student_optimiser=split.scaled(kind.make(lr, weight_decay)),
            )
            source = None
            if student_batch:
                steps = -(-config.noise_images // config.batch)
                source = parts.drawn(begun.lesson, student_batch, steps)
            watch = base.watch(data, begun, subset)  # the loss as it is, whatever its scale
            return parts.distil(parts.start(begun, start), begun, subset, watch, source)[1]

        return sweep.Program(begin, student)

    points: dict[str, Any] = {name: getattr(config, name) for name in NUMBERS}
    dataset, execution = sweep.grid(
        build,
        shapes={name: getattr(config, name) for name in SHAPES},
        shared={"seed": config.seed_list, "init_scale": config.init_scale},
        points=points
        | {
            "teacher_epochs": numbered(config.teacher_epochs),
            "start": numbered(protocol.STARTS),
        },
        variables=protocol.TEACHER | protocol.STUDENT,
        coords=protocol.epochs(one),
        data=data,
        precision=config.precision,
        how=how,
    )
    teacher = dataset.teacher_accuracy.sel(teacher_epoch=dataset.teacher_epochs)
    dataset = transfer.against_control(dataset, teacher=teacher.drop_vars("teacher_epoch"))
    # Axes of one value are no dimensions: names of metrics stay readable.
    dataset = dataset.squeeze([name for name in AXES if dataset.sizes[name] == 1])
    headline = "transfer final_accuracy"
    told = findings(dataset)
    return results.described(dataset, "optimisation", headline, config, task, execution, told)
