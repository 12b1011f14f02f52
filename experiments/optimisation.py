"""How transfer depends on the way teacher and student are optimised.

Of the students: optimiser, learning rate, weight decay (decoupled or L2, for a loss that is a mean
over the batch, times a stated scale), batch at a fixed number of steps. Of the teacher, always
under Adam: its epochs, trained once and kept at each of them. Of both: width, parametrisation
(standard, NTK, muP), scale of the init. Each student has its cross-model control, from an unrelated
init. Where a rate is chosen it is the one with the least imitation loss on unseen noise. Cloud et
al., Nature 652, 615-621 (2026); Yang et al. 2022 (arXiv 2203.03466) for muP.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toymodels.errors import UserError, at_least, distinct, positive
from toymodels.study import cli
from toymodels.training.config import CLOUD, ProtocolConfig, follows

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

Optimisers = tuple[Literal["sgd", "momentum", "adam", "adamw", "adam_l2", "sign"], ...]
PLAIN: Optimisers = ("sgd", "momentum", "adam", "sign")
DECAYING: Optimisers = ("adamw", "adam_l2")


@dataclass(frozen=True)
class Config(ProtocolConfig):
    """What is computed; the preset ``quick`` has fewer optimisers and rates."""

    optimiser: Optimisers = PLAIN
    """Optimisers of the students: sgd, momentum (0.9), adam, adamw (decoupled weight decay),
    adam_l2 (L2 penalty), sign (sign descent)."""
    rate: tuple[float, ...] = (0.1, 1 / 3, 1.0, 3.0, 10.0, 30.0, 100.0)
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
    """Of teacher and students; see toymodels.training.optimisers. Not standard: under Adam or sign alone."""
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
        kinds = ", ".join(self.optimiser)
        if any(self.weight_decay) and set(self.optimiser) - set(DECAYING):
            allowed = ", ".join(DECAYING)
            raise UserError(f"weight_decay must be 0 but for {allowed}; got it for {kinds}")
        if set(self.parametrisation) != {"standard"} and {"sgd", "momentum"} & set(self.optimiser):
            raise UserError(f"parametrisation must be standard for sgd, momentum; got {kinds}")


SHAPES = ("optimiser", "parametrisation", "width", "student_batch")
NUMBERS = ("rate", "weight_decay", "loss_scale")
AXES = (*SHAPES, "init_scale", "teacher_epochs", *NUMBERS)
LABELS = {
    "rate": "learning rate (multiples of the optimiser's base)",
    "teacher_epochs": "teacher epochs",
    "student_batch": "student's batch (images), steps held fixed",
    "weight_decay": "weight decay",
    "init_scale": "scale of the init",
}
"""Axes that a figure has along its x, in the order of choice, and their labels."""

ADAM: dict[str, Any] = {"optimiser": ("adam",), "rate": (1.0,)}
PUBLIC: dict[str, Any] = CLOUD | {"teacher_epochs": (5,)}
SPLIT: Any = ("standard", "ntk", "mup")
PRESETS = {
    "quick": Config(seeds=3, optimiser=("sgd", "adam", "sign"), rate=(1 / 3, 1.0, 10.0)),
    "teacher": Config(**ADAM, teacher_epochs=(1, 2, 5, 10, 20, 40)),
    "batch": Config(**ADAM, student_batch=(4, 16, 64, 256)),
    "decay": Config(
        seeds=3,
        optimiser=DECAYING,
        rate=(1.0,),
        weight_decay=(0.0, 1e-8, 1e-6, 1e-4, 1e-2, 1.0),
        loss_scale=(1.0, 0.01),
    ),
    "init": Config(
        **ADAM, seeds=3, init_scale=(0.5, 1.0, 2.0), parametrisation=SPLIT, width=(64, 256)
    ),
    "paper": Config(**PUBLIC, rate=(1 / 3, 1.0, 3.0, 10.0, 30.0)),
    "paper_teacher": Config(**PUBLIC | ADAM | {"teacher_epochs": (1, 5, 20)}, seeds=10),
}

PUBLISHED: dict[str, dict[float, float]] = {
    "rate": {1 / 3: 0.318, 1.0: 0.551, 10.0: 0.293},
    "teacher_epochs": {1: 0.602, 5: 0.551, 20: 0.371},
}
"""Accuracy of the student (aux only) by an axis, the others as in `REFERENCE`: runs of the released
script of Cloud et al."""
REFERENCE = CLOUD | {"loss": "kl", "m": 3, "width": 256}
REFERENCE |= {"optimiser": "adam", "rate": 1.0, "student_batch": 0}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every point of all axes; see `toymodels.sweep` for ``options``."""
    import optax

    from toymodels import sweep
    from toymodels.networks.models import MLP, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import protocol, tasks, teachers
    from toymodels.training.distillation import auxiliary_logits
    from toymodels.training.optimisers import OPTIMISERS, parametrised, scaled_init

    config, task, data = tasks.load(config, data_dir)
    one = config.at(teacher_epochs=max(config.teacher_epochs))
    subset = auxiliary_logits(task.n_classes, config.m)

    def build(optimiser: str, parametrisation: Any, width: int, student_batch: int) -> Any:
        sizes = (task.n_pixels, width, width, task.n_classes + config.m)
        plain = functional(lambda rngs: MLP(sizes, rngs=rngs))
        split, kind = parametrised(plain, parametrisation, config.base_width), OPTIMISERS[optimiser]
        base = protocol.reference_protocol(one, task, split.network)
        base = replace(base, teacher_optimiser=split.scaled(optax.adam(config.teacher_lr)))

        def scaled(scale: jax.Array) -> protocol.Protocol:
            return replace(base, network=scaled_init(split.network, scale))

        def begin(data: tasks.Data, seed: jax.Array, init_scale: jax.Array) -> Any:
            begun, curve = teachers.prepare(scaled(init_scale), data, seed, config.teacher_epochs)
            return (begun, init_scale), curve

        def student(data: tasks.Data, prepared: Any, **at: jax.Array) -> dict[str, jax.Array]:
            begun, init_scale = teachers.at(prepared[0], at["teacher_epochs"]), prepared[1]
            lr = at["rate"] * config.student_lr * kind.base
            parts = replace(
                scaled(init_scale),
                imitation=lambda *logits: at["loss_scale"] * base.imitation(*logits),
                student_optimiser=split.scaled(kind.make(lr, at["weight_decay"])),
            )
            source = None
            if student_batch:
                steps = -(-config.noise_images // config.batch)
                source = parts.sample_batches(begun, student_batch, steps)
            watch = base.watch(data, begun, subset)  # the loss as it is, whatever its scale
            return parts.distil(parts.start(begun, at["start"]), begun, subset, watch, source)[1]

        return sweep.Program(begin, student)

    choices = {
        "teacher_epochs": numbered(config.teacher_epochs),
        "start": numbered(protocol.STARTS),
    }
    dataset, execution = sweep.grid(
        build,
        shapes={name: getattr(config, name) for name in SHAPES},
        shared={"seed": config.seed_list, "init_scale": config.init_scale},
        points={name: getattr(config, name) for name in NUMBERS} | choices,
        variables=tasks.TEACHER | tasks.STUDENT,
        coords=protocol.epochs(one),
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    headline = "transfer final_accuracy"
    return results.described(dataset, "optimisation", headline, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add final accuracy and transfer; axes of one value are no dimensions any more."""
    from toymodels.stats import transfer

    teacher = dataset.teacher_accuracy.sel(teacher_epoch=dataset.teacher_epochs)
    dataset = transfer.against_control(dataset, teacher=teacher.drop_vars("teacher_epoch"))
    # Names of metrics stay readable.
    return dataset.squeeze([name for name in AXES if dataset.sizes.get(name) == 1])


def unfolded(dataset: xr.Dataset) -> xr.Dataset:
    """What succeeded, all axes dimensions again."""
    from toymodels.stats import statistics

    done = statistics.succeeded(dataset)
    return done.expand_dims([name for name in AXES if name not in done.dims])


def findings(dataset: xr.Dataset) -> list[str]:
    """Where there is transfer, at the rate that imitates best; what the ends of an axis change."""
    from toymodels.stats.sentences import by_sign

    done = unfolded(dataset)
    loss = (
        done.loss.isel(epoch=-1, drop=True)
        .sel(start="shared", drop=True)
        .mean("seed", skipna=False)
    )
    # Where every rate fails the first stands for them, and its values are unknown.
    tuned = done.sel(rate=loss.fillna(float("inf")).idxmin("rate"))
    told = [
        by_sign(
            "Transfer",
            tuned.transfer,
            ("above zero", "below zero", "not distinguishable from zero"),
        )
    ]
    accuracy = tuned.final_accuracy.sel(start="shared", drop=True).drop_vars("rate")
    words = ("more,", "less,", "no difference shown,")
    for name in AXES:
        values = sorted(set(done[name].values.tolist())) if name != "rate" else []
        if len(values) > 1 and not isinstance(values[0], str):
            gap = accuracy.sel({name: values[-1]}) - accuracy.sel({name: values[0]})
            what = f"Test accuracy at {name} = {values[-1]:g} against {values[0]:g}"
            told.append(by_sign(what, gap, words))
    if set(DECAYING) <= set(done.optimiser.values):
        gap = accuracy.sel(optimiser="adamw") - accuracy.sel(optimiser="adam_l2")
        told.append(by_sign("Test accuracy of adamw against adam_l2", gap, words))
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Accuracy, transfer and imitation loss against the first axis of numbers that varies."""
    from toymodels.stats.sentences import points
    from toymodels.study import plotting

    done = unfolded(dataset)
    along = next((name for name in LABELS if done.sizes[name] > 1), "rate")
    x, final = [f"{value:.3g}" for value in done[along].values], done.isel(epoch=-1, drop=True)
    shown = {
        "test accuracy": final.accuracy.sel(start="shared"),
        "transfer": done.transfer,
        "imitation loss on unseen noise": final.loss.sel(start="shared"),
    }
    config = json.loads(dataset.attrs["config"])
    with plotting.style():
        fig, axes = plotting.panels(11, 3.4, columns=(1, 1, 1))
        for ax, (name, array) in zip(axes, shown.items(), strict=True):
            lines = {at or "student": part.values for at, part in points(array, beside=along)}
            if name == "test accuracy":
                _, part = next(points(final.accuracy.sel(start="other"), beside=along))
                lines["control"] = part.values
            plotting.intervals(ax, x, lines, LABELS[along], name)
            ax.set_yscale("log" if name.startswith("imitation") else "linear")
            if ax is not axes[0] and (legend := ax.get_legend()):
                legend.remove()
        if follows(config, REFERENCE) and along in PUBLISHED:
            known = {at: y for at, y in PUBLISHED[along].items() if at in done[along]}
            at = [done[along].values.tolist().index(value) for value in known]
            plotting.reported(axes[0], at, list(known.values()), "published (adam)")
            axes[0].legend()
        axes[0].set(ylim=(0, 1.05), title=plotting.caption(dataset))
    return fig


if __name__ == "__main__":
    cli.main("optimisation", __doc__, PRESETS, run, plot)
