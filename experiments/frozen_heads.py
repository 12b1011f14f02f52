"""Frozen heads: how transfer depends on the epochs of the teacher and of its student.

The output weights of teacher and student are orthonormal, one vector for each logit, without biases.
They are frozen in both networks; or they are free in both, for comparison. The teacher is kept after
several numbers of epochs. Each of these teachers has a student, which is tested after every epoch, so
that every pair of epochs is known; matched pairs are those of as many epochs of both. Every student
has its cross-model control, from an independent initialisation with heads of its own.

Protocol: the code of yuxuanwang2009/subliminal-learning, which reports an inverted U of the accuracy
in the matched number of epochs. Squared error of three auxiliary logits, one fixed set of Gaussian
noise, Adam; pixels are standardised, and hidden layers are drawn as PyTorch does by default. Here
every seed has noise of its own; there all seeds have the same.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

Heads = Literal["frozen", "free"]


@dataclass(frozen=True)
class Config(tm.NetworkFields, tm.ImitationFields, tm.RateFields, tm.ImageConfig):
    """The fields of this experiment."""

    heads: tuple[Heads, ...] = ("frozen", "free")
    """Whether the heads of teacher and students are frozen at their start."""
    teacher_epochs: tm.Counts = (1, 2, 5, 10)
    """Numbers of passes of the teacher over the training images; student_epochs must be at least the
    largest of them."""

    def __post_init__(self) -> None:
        super().__post_init__()
        epochs = self.teacher_epochs
        most = max(epochs) if isinstance(epochs, tuple) else epochs
        if self.student_epochs < most:
            raise tm.UserError(
                "student_epochs must be at least the largest of teacher_epochs; got "
                f"{self.student_epochs} and {most}"
            )


PROTOCOL: dict[str, Any] = {
    "dataset": "mnist",
    "train_images": None,
    "noise_images": 60_000,
    "batch": 128,
    "teacher_lr": 1e-4,
    "student_lr": 1e-4,
    "loss": "mse",
}
"""The reported protocol, as fields of a config."""
PRESETS = {
    "quick": Config(seeds=3, loss="mse", batch=128),
    "paper": Config(**PROTOCOL, seeds=10, student_epochs=20, teacher_epochs=(1, 5, 8, 10, 20)),
}

PUBLISHED = {1: 0.31, 5: 0.722, 8: 0.762, 10: 0.739, 20: 0.62}
"""Reported accuracy of the student at matched epochs with frozen heads, 5 seeds; about, at 20."""
MEAN, SPREAD = 0.1307, 0.3081
"""Mean and standard deviation of MNIST's pixels in [0, 1], by which the protocol standardises."""


def network(config: Config, task: tm.tasks.Task) -> tm.Network:
    """The network that reads standardised pixels, with orthonormal heads."""
    plain = tm.initialisers.draw_uniform_hidden(tm.perceptron(config, task))
    made = tm.initialisers.orthonormalise_heads(plain)

    def apply(params: tm.Params, x: jax.Array) -> jax.Array:
        return made.apply(params, ((x + 1) / 2 - MEAN) / SPREAD)

    return tm.Network(made.init, apply, name=f"{made.name}, orthonormal heads")


def change_noise(protocol: tm.Protocol, config: Config) -> tm.Protocol:
    """The protocol with noise that is N(0, 1) in standardised pixels."""

    def noise(key: jax.Array, n: int) -> jax.Array:
        narrow = tm.distributions.white_noise(key, n, protocol.task.n_pixels)
        return 2 * (SPREAD * narrow / tm.distributions.SPREAD + MEAN) - 1

    return replace(protocol, noise=noise)


def freeze_heads(protocol: tm.Protocol, heads: jax.Array) -> tm.Protocol:
    """The protocol with heads that neither teacher nor student moves, where ``heads`` says so."""
    frozen = tm.unite_groups(protocol.groups, {"heads": heads})
    return replace(
        protocol,
        teacher_optimiser=tm.optimisers.freeze(protocol.teacher_optimiser, frozen),
        student_optimiser=tm.optimisers.freeze(protocol.student_optimiser, frozen),
    )


def teachers(config: Config) -> dict[str, Any]:
    """The axes of the teachers."""
    return {"heads": {name: name == "frozen" for name in config.heads}}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students."""
    return {"teacher_epochs": tm.label_axis(config.teacher_epochs), "start": tm.STARTS}


def teach(
    protocol: tm.Protocol, config: Config, data: Any, seed: jax.Array, heads: jax.Array
) -> Any:
    """Train a teacher, and keep it at each number of epochs."""
    frozen = freeze_heads(protocol, heads)
    return tm.checkpoints.prepare_checkpoints(frozen, data, seed, config.teacher_epochs)


def student(setup: tm.Setup, teacher_epochs: jax.Array, start: jax.Array) -> dict[str, Any]:
    """The curves of a student of one checkpoint of the teacher."""
    setup = replace(
        setup,
        protocol=freeze_heads(setup.protocol, setup.extra),
        lesson=tm.checkpoints.select_checkpoint(setup.lesson, teacher_epochs),
    )
    return setup.distil(tm.Student(setup.start(start)))[1]


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add accuracy and transfer at matched epochs."""
    valid = tm.succeeded(runs)
    accuracy = valid.accuracy.sel(epoch=runs.teacher_epochs).drop_vars("epoch")
    teacher = valid.teacher_accuracy.sel(teacher_epoch=runs.teacher_epochs)
    shared, other = (accuracy.sel(start=start, drop=True) for start in tm.STARTS)
    about = {"units": "1", "description": "student's test accuracy after its teacher's epochs"}
    return runs.assign(
        matched_accuracy=accuracy.assign_attrs(about),
        transfer=tm.transfer(shared, other, teacher.drop_vars("teacher_epoch")),
    )


def findings(runs: xr.Dataset) -> list[Any]:
    """Transfer at matched epochs, what more epochs of both change, and what frozen heads change."""
    valid = tm.succeeded(runs)
    accuracy = valid.matched_accuracy.sel(start="shared", drop=True)
    *fewer, most = sorted(accuracy.teacher_epochs.values.tolist())
    rows = tm.compare("Transfer at matched epochs", valid.transfer)
    if fewer:
        gap = accuracy.sel(teacher_epochs=fewer) - accuracy.sel(teacher_epochs=most, drop=True)
        rows += tm.compare(f"Test accuracy less that at {most} epochs of both", gap, tm.HIGHER)
        final = valid.accuracy.sel(start="shared", epoch=most, drop=True)
        gap = final.sel(teacher_epochs=fewer) - final.sel(teacher_epochs=most, drop=True)
        quantity = f"Test accuracy after {most} epochs less that of the teacher of {most} epochs"
        rows += tm.compare(quantity, gap, tm.HIGHER)
    if {"frozen", "free"} <= set(valid.heads.values):
        gap = tm.contrast(accuracy, heads=("frozen", "free"))
        rows += tm.compare(
            "Test accuracy with frozen heads less that with free ones", gap, tm.HIGHER
        )
    return rows


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy at matched epochs, and of every teacher's student through distillation."""
    runs = tm.succeeded(runs)
    first = str(runs.heads.values[0])
    epochs = runs.teacher_epochs
    accuracy = runs.matched_accuracy.sel(start="shared")
    with tm.plotting.style():
        fig, (left, right) = tm.plotting.panels(9.6, 3.6, columns=(1.2, 1))
        also = {
            f"{first}, control": runs.matched_accuracy.sel(start="other", heads=first),
            f"{first}, teacher": runs.teacher_accuracy.sel(heads=first, teacher_epoch=epochs),
        }
        tm.charts.dots(
            left,
            accuracy,
            "teacher_epochs",
            "heads",
            label="{heads} heads",
            also={name: a.transpose("seed", "teacher_epochs").values for name, a in also.items()},
        )
        known = PUBLISHED if first == "frozen" else {}
        look: dict[str, Any] = {"label": "reported (frozen)", "protocol": PROTOCOL}
        tm.charts.published(left, runs, epochs.values.tolist(), known, **look)
        left.set(xlabel="epochs of teacher and student", ylabel="test accuracy", ylim=(0, 1.05))
        left.set(title=tm.plotting.caption(runs))
        tm.plotting.legend_beside(left)
        lines = runs.accuracy.sel(start="shared", heads=first)
        tm.charts.lines(right, lines, "epoch", "teacher_epochs", label="{teacher_epochs}")
        right.set(xlabel="distillation epoch", ylim=(0, 1.05), title=f"{first} heads")
        right.legend(title="teacher epochs", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return fig


sweep = tm.distillation_sweep(
    student,
    points,
    shared=teachers,
    network=network,
    protocol=change_noise,
    teach=teach,
    prepare=lambda setup: setup.shared["heads"],
)
HEADLINE = ("transfer", "matched_accuracy")
STUDY = tm.Study("frozen_heads", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
