"""How transfer depends on the optimisation of teacher and student.

Properties of the student: optimiser, learning rate, weight decay (decoupled or L2, for a loss that is
a mean over the batch, times a stated scale), batch size at a fixed number of steps. Property of the
teacher, always under Adam: its number of epochs; it is trained once, and each number is a checkpoint.
Properties of both: width, parametrisation (standard, NTK, muP), scale of the initialisation. Each
student has its cross-model control, from an independent initialisation. Findings refer to the
learning rate with the smallest imitation loss on unseen noise. Cloud et al., Nature 652, 615-621
(2026); Yang et al. 2022 (arXiv 2203.03466) for muP.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

Optimisers = tuple[Literal["sgd", "momentum", "adam", "adamw", "adam_l2", "sign"], ...]
PLAIN: Optimisers = ("sgd", "momentum", "adam", "sign")
DECAYING: Optimisers = ("adamw", "adam_l2")


@dataclass(frozen=True)
class Config(tm.ImitationFields, tm.RateFields, tm.ImageConfig):
    """The fields of this experiment."""

    optimiser: Optimisers = PLAIN
    """Optimisers of the students: sgd, momentum (0.9), adam, adamw (decoupled weight decay),
    adam_l2 (L2 penalty), sign (sign descent)."""
    rate: tm.Rates = (0.1, 1 / 3, 1.0, 3.0, 10.0, 30.0, 100.0)
    """Learning rates of the students, in multiples of the optimiser's base rate: student_lr times 1
    (adam, adamw, adam_l2), 100 (sgd), 10 (momentum), 0.1 (sign)."""
    weight_decay: Annotated[tuple[float, ...], tm.Range(0)] = (0.0,)
    """Weight decays of the students; only adamw and adam_l2 allow values other than 0."""
    loss_scale: tm.Rates = (1.0,)
    """Factors that multiply the students' imitation loss, a mean over the batch."""
    student_batch: Annotated[tuple[int, ...], tm.Range(0)] = (0,)
    """Batch sizes of the students, in images, drawn at random; an epoch has as many steps as at
    ``batch``. 0: the batches of the protocol, every image once an epoch."""
    teacher_epochs: tm.Counts = (10,)
    """Numbers of passes of the teacher over the training images."""
    init_scale: tm.Rates = (1.0,)
    """Factors that multiply all initial weights of teacher and students."""
    parametrisation: tuple[Literal["standard", "ntk", "mup"], ...] = ("standard",)
    """Parametrisations of teacher and students; see toymodels.training.optimisers. sgd and momentum
    allow only standard."""
    width: tm.Counts = (256,)
    """Widths of the two hidden layers, in units."""
    base_width: tm.Count = 64
    """Width at which all parametrisations are the same, in units."""
    m: tm.Count = 3
    """Number of auxiliary logits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if isinstance(self.optimiser, str):  # at one point of the axes, which are checked together
            return
        names = ", ".join(self.optimiser)
        if any(self.weight_decay) and set(self.optimiser) - set(DECAYING):
            allowed = ", ".join(DECAYING)
            raise tm.UserError(f"weight_decay must be 0 but for {allowed}; got it for {names}")
        if set(self.parametrisation) != {"standard"} and {"sgd", "momentum"} & set(self.optimiser):
            raise tm.UserError(f"parametrisation must be standard for sgd, momentum; got {names}")


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
PUBLIC: dict[str, Any] = tm.CLOUD | {"teacher_epochs": (5,)}
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
        **ADAM,
        seeds=3,
        init_scale=(0.5, 1.0, 2.0),
        parametrisation=("standard", "ntk", "mup"),
        width=(64, 256),
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
REFERENCE = tm.CLOUD | {"loss": "kl", "m": 3, "width": 256}
REFERENCE |= {"optimiser": "adam", "rate": 1.0, "student_batch": 0}


def teachers(config: Config) -> dict[str, Any]:
    """The axes of the teachers."""
    return {"seed": config.seed_list, "init_scale": config.init_scale}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students."""
    numbers = {name: getattr(config, name) for name in NUMBERS}
    return {**numbers, "teacher_epochs": tm.label_axis(config.teacher_epochs), "start": tm.STARTS}


def rate_network(config: Any, task: Any) -> tm.optimisers.RatedNetwork:
    """The network in its parametrisation, with its learning rates."""
    network = tm.perceptron(config, task)
    return tm.optimisers.parametrise(network, config.parametrisation, config.base_width)


def scale_rates(protocol: tm.Protocol, config: Any) -> tm.Protocol:
    """The protocol with the learning rates of the parametrisation for the teacher."""
    import optax

    adam = rate_network(config, protocol.task).scale_steps(optax.adam(config.teacher_lr))
    return replace(protocol, teacher_optimiser=adam)


def scale_init(protocol: tm.Protocol, scale: jax.Array) -> tm.Protocol:
    """The protocol with all initial weights multiplied by a number."""
    return replace(protocol, network=tm.optimisers.scale_init(protocol.network, scale))


def teach(
    protocol: tm.Protocol, config: Any, data: Any, seed: jax.Array, init_scale: jax.Array
) -> Any:
    """Train a teacher, and keep it at each number of epochs."""
    protocol = scale_init(protocol, init_scale)
    return tm.checkpoints.prepare_checkpoints(protocol, data, seed, config.teacher_epochs)


def student(
    setup: tm.Setup,
    rate: jax.Array,
    weight_decay: jax.Array,
    loss_scale: jax.Array,
    teacher_epochs: jax.Array,
    start: jax.Array,
) -> dict[str, Any]:
    """A student of one checkpoint of the teacher by one optimiser."""
    config, imitation, batches = setup.config, setup.protocol.imitation, None
    optimiser = tm.optimisers.OPTIMISERS[config.optimiser]
    rated = rate_network(config, setup.task)
    setup = replace(
        setup,
        protocol=scale_init(setup.protocol, setup.extra),
        lesson=tm.checkpoints.select_checkpoint(setup.lesson, teacher_epochs),
    )
    if config.student_batch:
        steps = -(-config.noise_images // config.batch)
        batches = setup.protocol.sample_batches(setup.lesson, config.student_batch, steps)
    logits = setup.auxiliary()
    _, curve = setup.distil(
        tm.Student(
            setup.start(start),
            logits,
            loss=lambda *args: loss_scale * imitation(*args),
            optimiser=rated.scale_steps(
                optimiser.make(rate * config.student_lr * optimiser.base, weight_decay)
            ),
            batches=batches,
        ),
        observe=setup.watch(logits),  # the recorded loss has no scale
    )
    return curve


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add final accuracy and transfer; an axis with a single value is no dimension any more."""
    teacher = runs.teacher_accuracy.sel(teacher_epoch=runs.teacher_epochs)
    runs = tm.against_control(runs, teacher=teacher.drop_vars("teacher_epoch"))
    # Names of metrics stay readable.
    return runs.squeeze([name for name in AXES if runs.sizes.get(name) == 1])


def restore_axes(runs: xr.Dataset) -> xr.Dataset:
    """The valid values, with all axes as dimensions again."""
    valid = tm.succeeded(runs)
    return valid.expand_dims([name for name in AXES if name not in valid.dims])


def findings(runs: xr.Dataset) -> list[Any]:
    """Transfer at the learning rate of the best imitation, and what the ends of an axis change."""
    valid = restore_axes(runs)
    loss = valid.loss.isel(epoch=-1, drop=True).sel(start="shared", drop=True)
    loss = loss.mean("seed", skipna=False)
    # Where every rate fails the first stands for them, and its values are unknown.
    best = valid.sel(rate=loss.fillna(float("inf")).idxmin("rate"))
    rows = tm.compare("Transfer at the learning rate of the smallest imitation loss", best.transfer)
    accuracy = best.final_accuracy.sel(start="shared", drop=True).drop_vars("rate")
    for name in AXES:
        values = sorted(set(valid[name].values.tolist())) if name != "rate" else []
        if len(values) > 1 and not isinstance(values[0], str):
            gap = accuracy.sel({name: values[-1]}) - accuracy.sel({name: values[0]})
            quantity = f"Test accuracy at {name} = {values[-1]:g} less that at {values[0]:g}"
            rows += tm.compare(quantity, gap, tm.HIGHER)
    if set(DECAYING) <= set(valid.optimiser.values):
        gap = accuracy.sel(optimiser="adamw") - accuracy.sel(optimiser="adam_l2")
        rows += tm.compare("Test accuracy of adamw less that of adam_l2", gap, tm.HIGHER)
    return rows


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy, transfer and imitation loss against the first axis of numbers that varies."""
    valid = restore_axes(runs)
    along = next((name for name in LABELS if valid.sizes[name] > 1), "rate")
    labels = [f"{value:.3g}" for value in valid[along].values]
    final = valid.isel(epoch=-1, drop=True)
    students, controls = (final.sel(start=start) for start in tm.STARTS)

    def select_lines(array: xr.DataArray) -> dict[str, Any]:
        return {at or "student": part.values for at, part in tm.points(array, beside=along)}

    control = next(iter(select_lines(controls.accuracy).values()))
    panels = {
        "test accuracy": select_lines(students.accuracy) | {"control": control},
        "transfer": select_lines(valid.transfer),
        "imitation loss on unseen noise": select_lines(students.loss),
    }
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(11, 3.4, columns=(1, 1, 1))
        for ax, (name, lines) in zip(axes, panels.items(), strict=True):
            tm.plotting.intervals(ax, labels, lines, LABELS[along], name)
            if ax is not axes[0] and (legend := ax.get_legend()):
                legend.remove()
        if known := PUBLISHED.get(along):
            look: dict[str, Any] = {"label": "published (adam)", "protocol": REFERENCE}
            tm.charts.published(axes[0], runs, valid[along].values.tolist(), known, **look)
            axes[0].legend()
        axes[0].set(ylim=(0, 1.05), title=tm.plotting.caption(runs))
        axes[2].set_yscale("log")
    return fig


sweep = tm.distillation_sweep(
    student,
    points,
    shapes=SHAPES,
    shared=teachers,
    network=lambda config, task: rate_network(config, task).network,
    protocol=scale_rates,
    teach=teach,
    prepare=lambda setup: setup.shared["init_scale"],
)
HEADLINE = ("transfer", "final_accuracy")
STUDY = tm.Study("optimisation", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
