"""The linearised student beside the trained one: test outputs and accuracy predicted at any time.

A student imitates its teacher's auxiliary logits on noise by plain gradient descent on squared
error. The prediction is gradient flow, for the same time, of the network linearised where the
student starts, in closed form on the empirical tangent kernel (`toymodels.theory.linearised`);
nothing is fitted. It should become exact where weights hardly have to move: in wide networks, and
where the teacher's own learning rate was small; the student's rate should not matter at a given
time. Each student has its cross-model control with a prediction of its own. Jacot et al. 2018
(arXiv 1806.07572); Cloud et al., Nature 652, 615-621 (2026), theorem 1, is the limit of one small
step.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TIMES = 6
"""Number of recorded times beside the start: the last, its half, its quarter, ..."""


@dataclass(frozen=True)
class Config(tm.EpochFields, tm.ImageConfig):
    """The fields of this experiment."""

    m: tm.Count = 50
    """Number of auxiliary logits."""
    width: tm.Counts = (32, 64, 128, 256)
    """Widths of both hidden layers of the ReLU network, in units."""
    teacher_lr: tm.Rates = (0.1, 0.01)
    """Learning rates of the teacher, by plain SGD on the protocol's epochs."""
    student_lr: tm.Rates = (1.0,)
    """Learning rates of the students, by plain SGD, in units of 1 / (largest eigenvalue of the
    Hessian of their loss, linearised where they start)."""
    student_epochs: tm.Count = 40
    """Number of passes of the students over the distillation inputs at the largest learning rate;
    at smaller rates there are more passes, so that rate times steps is the same."""
    noise_images: tm.Count = 500
    """Number of distillation inputs: images of U(-1, 1) noise."""
    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, that of the kernel."""
    loss: Literal["mse"] = "mse"
    """Imitation loss: squared error of the logits, whose flow has a closed form."""
    krylov: tm.Count = 60
    """Number of products with the kernel (Lanczos): several square roots of the number of steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        minimum, steps = 2 ** (TIMES - 1), -(-self.noise_images // self.batch)
        if self.student_epochs * steps < minimum:
            raise tm.UserError(
                f"student_epochs must come to at least {minimum} steps; got {self.student_epochs} of "
                f"{steps}"
            )

    @property
    def time(self) -> float:
        """The length of the students' training: rate times steps."""
        steps = self.student_epochs * -(-self.noise_images // self.batch)
        return steps * max(self.student_lr)

    def steps(self, rate: float) -> list[int]:
        """The recorded steps of a training with a learning rate."""
        return [round(self.time / rate / 2**i) for i in reversed(range(TIMES))]


BASE: dict[str, Any] = {
    "dataset": "mnist",
    "m": 100,
    "noise_images": 1000,
    "student_epochs": 60,
    "seeds": 5,
}
PRESETS = {
    "quick": Config(seeds=3),
    "paper": Config(**BASE, width=(64, 128, 256, 512), teacher_lr=(0.1, 0.03, 0.01)),
    "rates": Config(
        **BASE, width=(128,), teacher_lr=(0.1, 0.01, 1e-3, 1e-4), student_lr=(1.0, 0.5)
    ),
}

VARIABLES = {
    "teacher_accuracy": ((), "1", "teacher's test accuracy"),
    "accuracy": (("time",), "1", "trained student's test accuracy"),
    "predicted_accuracy": (("time",), "1", "predicted student's test accuracy"),
    "agreement": (("time",), "1", "share of test images that both put into the same class"),
    "moved": (("time",), "logit", "rms change of the trained student's class logits, test images"),
    "off": (("time",), "logit", "rms of trained less predicted class logits, test images"),
    "teacher_loss": None,
    "loss": None,
}


def teach(
    protocol: tm.protocol.Protocol, config: Config, data: Any, seed: Any, teacher_lr: jax.Array
) -> tuple[Any, dict[str, Any]]:
    """The teacher of a seed at one learning rate, by plain SGD."""
    import optax

    protocol = dataclasses.replace(protocol, teacher_optimiser=optax.sgd(teacher_lr))
    lesson, curve = protocol.prepare(data, seed)
    return lesson, {"teacher_accuracy": curve["teacher_accuracy"][-1]}


def student(setup: tm.Setup, start: jax.Array, *, config: Config) -> dict[str, jax.Array]:
    """A student, trained and predicted; ``config`` has all learning rates."""
    import jax
    import jax.numpy as jnp
    import optax

    network, k, student_lr = setup.network, setup.task.n_classes, setup.config.student_lr
    steps, auxiliary = config.steps(student_lr), slice(k, k + config.m)
    init, tests = setup.start(start), setup.task.pixels(setup.data.test[0])
    side, answers = tm.kernels.Side(init, setup.inputs, auxiliary), setup.answers[:, auxiliary]
    modes = tm.linearised.hessian_modes(network, side, answers, config.krylov)
    rate, tangent = student_lr / modes.values.max(), tm.approximations.tangent(network, init)

    def class_logits(network: tm.Network, params: tm.Params) -> jax.Array:
        return network.apply(params, tests)[:, :k]

    def predict(time: jax.Array) -> jax.Array:
        flow = tm.linearised.flow(time)
        return class_logits(tangent, tm.linearised.student(network, side, modes, flow))

    def score(logits: jax.Array) -> jax.Array:
        return tm.probes.accuracy(logits, setup.data.test[1], k)

    def rms(logits: jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.square(logits).mean((1, 2)))

    predicted = jax.lax.map(predict, rate * jnp.array([0, *steps]))
    _, path = setup.distil(
        tm.Student(start=init, optimiser=optax.sgd(rate)),
        observe=lambda params: {"logits": class_logits(network, params)},
        observe_at_steps=steps,
    )
    trained = path["logits"]
    return {
        "accuracy": jax.vmap(score)(trained),
        "predicted_accuracy": jax.vmap(score)(predicted),
        "agreement": (trained.argmax(-1) == predicted.argmax(-1)).mean(-1),
        "moved": rms(trained - trained[0]),
        "off": rms(trained - predicted),
    }


def sweep(config: Config, data_dir: Path | None) -> tm.Sweep:
    """Students and controls of teachers at all learning rates."""
    times = [config.time / 2**i for i in reversed(range(TIMES))]
    return tm.distillation_sweep(
        functools.partial(student, config=config),
        lambda config: {"start": tm.STARTS},
        shapes=("width", "student_lr"),
        shared=lambda config: {"seed": config.seed_list, "teacher_lr": config.teacher_lr},
        teach=teach,
        variables=VARIABLES,
        coords=lambda config: {"time": [0.0, *times]},
    )(config, data_dir)


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add the final discrepancy over the student's change, and final accuracies."""
    last = runs.isel(time=-1, drop=True)
    about = "rms of trained less predicted class logits over rms change of the trained ones"
    share = last.off / last.moved.where(last.moved > 0)  # undefined for a student at its start
    return runs.assign(
        discrepancy=share.drop_attrs().assign_attrs(units="1", description=about),
        final_accuracy=last.accuracy,
        final_predicted=last.predicted_accuracy,
    )


AXES = {
    "width": "width",
    "teacher_lr": "teacher's learning rate",
    "student_lr": "student's learning rate",
}


def select_largest(array: Any, along: str) -> Any:
    """An array, or a dataset, at the largest value of every axis but one, which rises."""
    largest = {name: array[name].values.max() for name in AXES if name != along}
    return array.sel(largest, drop=True).sortby(along)


def findings(runs: xr.Dataset) -> list[Any]:
    """The discrepancy by width and by rates, its power of each, and the error in accuracy."""
    runs, findings = tm.succeeded(runs), []
    for along, name in AXES.items():
        if runs.sizes[along] > 1:
            line = select_largest(runs.discrepancy, along).transpose("start", along, "seed")
            findings += tm.compare(f"Discrepancy by {name}", line, None)
            for start in runs.start.values:
                powers = tm.scaling.fit_powers(line.sel(start=start), along)
                quantity = f"Power of the {name} in the discrepancy"
                findings.append(tm.Finding(quantity, str(start), tm.mean_interval(powers)))
    shared = runs.sel(start="shared", student_lr=runs.student_lr.values.max(), drop=True)
    gap = shared.final_predicted - shared.final_accuracy
    agreement = shared.agreement.isel(time=-1, drop=True)
    return [
        *findings,
        *tm.compare("Final test accuracy, shared init", shared.final_accuracy, None),
        *tm.compare("Predicted less trained final accuracy, shared init", gap, tm.HIGHER),
        *tm.compare(
            "Share of images that both put into the same class, shared init", agreement, None
        ),
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy trained and predicted by width; the discrepancy by width, by rates, by time."""
    valid = tm.succeeded(runs)
    share = valid.off / valid.moved.where(valid.moved > 0)
    varied = [name for name in AXES if valid.sizes[name] > 1]
    first = varied[0] if varied else "width"
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(3.1 * (len(varied) + 2), 3.3, [1] * (len(varied) + 2))
        for start, model in {"shared": "student_aux", "other": "cross_aux"}.items():
            colour, part = tm.plotting.COLOURS[model], valid.sel(start=start)
            ends, label = select_largest(part, first), f"{start} init"
            tm.charts.means(axes[0], ends.final_accuracy, first, colours=[colour], label=label)
            tm.charts.band(
                axes[0], ends.final_predicted, first, "-", colour, f"{label}, predicted", lw=1.2
            )
            lines = {name: select_largest(part.discrepancy, name) for name in varied}
            lines["time"] = select_largest(share.sel(start=start).isel(time=slice(1, None)), "time")
            for ax, (name, line) in zip(axes[1:], lines.items(), strict=True):
                tm.charts.means(ax, line, name, colours=[colour], label=None, joined=True)
                ax.axhline(1, color="black", lw=0.8, ls=":")
                ax.set(xlabel=AXES.get(name, "time (rate x steps)"))
                set_ticks(ax, line[name].values)
                tm.plotting.log_axis(ax, "y")
        axes[0].set(xlabel=AXES[first], ylim=(0, 1), ylabel="test accuracy")
        set_ticks(axes[0], valid[first].values)
        axes[0].set_title(tm.plotting.caption(runs))
        axes[0].legend(fontsize=7)
        axes[1].set_ylabel("discrepancy / change of the class logits")
    return fig


def set_ticks(ax: Axes, x: np.ndarray) -> None:
    """A logarithmic x axis with ticks at the given values alone."""
    ax.set_xscale("log")
    ax.set_xticks(x, [f"{value:g}" for value in x])
    ax.minorticks_off()


HEADLINE = ("discrepancy", "final_accuracy", "final_predicted")
STUDY = tm.Study("theory_linearised", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
