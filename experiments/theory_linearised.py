"""The linearised student beside the trained one: test outputs and accuracy predicted at any time.

A student imitates its teacher's auxiliary logits on noise by plain gradient descent on squared
error. Prediction: the network linearised where the student starts, gradient flow for the same time,
in closed form on the empirical tangent kernel (`toymodels.theory.linearised`), nothing fitted. It
should become exact where weights hardly have to move: in wide networks, and where the teacher's own
learning rate was small; the student's rate should not matter at a given time. Each student has its
cross-model control, predicted likewise. Jacot et al. 2018 (arXiv 1806.07572); Cloud et al., Nature
652, 615-621 (2026), theorem 1, is the limit of one small step.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toymodels.errors import UserError, at_least, distinct, positive
from toymodels.study import cli
from toymodels.training.config import ProtocolConfig

if TYPE_CHECKING:
    import jax
    import numpy as np
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from toymodels.stats.statistics import Interval
    from toymodels.sweep import RunOptions

TIMES = 6
"""Times looked at beside the start: the last, its half, its quarter, ..."""


@dataclass(frozen=True)
class Config(ProtocolConfig):
    """What is computed; the defaults are the preset ``quick``."""

    m: int = 50
    """Number of auxiliary logits."""
    width: tuple[int, ...] = (32, 64, 128, 256)
    """Widths of both hidden layers of the ReLU network, in units."""
    teacher_lr: tuple[float, ...] = (0.1, 0.01)  # type: ignore[assignment]
    """Learning rates of the teacher, by plain SGD on the protocol's epochs."""
    student_lr: tuple[float, ...] = (1.0,)  # type: ignore[assignment]
    """Learning rates of the students, by plain SGD, over the rate 1 / (largest eigenvalue of the
    Hessian of their loss, linearised where they start)."""
    student_epochs: int = 40
    """Passes of the students over the distillation inputs, at the largest rate; at smaller ones so
    many more that rate times steps is the same."""
    noise_images: int = 500
    """Distillation inputs, in images of U(-1, 1) noise."""
    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, which the kernel is of."""
    loss: Literal["mse"] = "mse"
    """Imitation: squared error of the logits, whose flow has a closed form."""
    krylov: int = 60
    """Products with the kernel, by Lanczos: some square roots of the number of steps."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "m", "width", "krylov")
        positive(self, "teacher_lr", "student_lr")
        distinct(self, "width", "teacher_lr", "student_lr")
        least = 2 ** (TIMES - 1)
        if self.steps(max(self.student_lr))[-1] < least:
            raise UserError(
                f"student_epochs must come to at least {least} steps; got {self.student_epochs} of "
                f"{-(-self.noise_images // self.batch)}"
            )

    @property
    def time(self) -> float:
        """How long students are trained: rate times steps."""
        return self.student_epochs * -(-self.noise_images // self.batch) * max(self.student_lr)

    def steps(self, rate: float) -> list[int]:
        """The steps of a rate that are looked at."""
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
    "accuracy": (("time",), "1", "trained student's test accuracy"),
    "predicted_accuracy": (("time",), "1", "predicted student's test accuracy"),
    "agreement": (("time",), "1", "share of test images that both put into the same class"),
    "moved": (("time",), "logit", "rms change of the trained student's class logits, test images"),
    "off": (("time",), "logit", "rms of trained less predicted class logits, test images"),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (width, student_lr, seed, teacher_lr, start); see `toymodels.sweep` for ``options``."""
    import jax
    import jax.numpy as jnp
    import optax

    from toymodels import sweep
    from toymodels.measure import probes
    from toymodels.networks.models import MLP, Network, Params, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.theory import linearised
    from toymodels.theory.kernels import Side
    from toymodels.training import protocol, tasks
    from toymodels.training.distillation import auxiliary_logits

    config, task, data = tasks.load(config, data_dir)
    subset = auxiliary_logits(task.n_classes, config.m)
    aux = slice(task.n_classes, task.n_classes + config.m)

    def build(width: int, student_lr: float) -> sweep.Program:
        sizes = (task.n_pixels, width, width, task.n_classes + config.m)
        network = functional(lambda rngs: MLP(sizes, rngs=rngs))
        parts, steps = protocol.reference_protocol(config, task, network), config.steps(student_lr)
        # An epoch of one step, so that any step can be recorded.
        stepwise = config.at(student_epochs=steps[-1])

        def prepare(
            data: tasks.Data, seed: jax.Array, teacher_lr: jax.Array
        ) -> tuple[protocol.Lesson, dict[str, jax.Array]]:
            teaching = replace(parts, teacher_optimiser=optax.sgd(teacher_lr))
            begun, curve = teaching.prepare(data, seed)
            return begun, {"teacher_accuracy": curve["teacher_accuracy"][-1]}

        def student(
            data: tasks.Data, begun: protocol.Lesson, start: jax.Array
        ) -> dict[str, jax.Array]:
            init, tests = parts.start(begun, start), task.pixels(data.test[0])
            assert begun.answered is not None
            x, answers = begun.answered
            side = Side(init, x, aux)
            modes = linearised.squared_error(network, side, answers[:, aux], config.krylov)
            rate, line = student_lr / modes.values.max(), linearised.tangent(network, init)

            def logits(network: Network, params: Params) -> jax.Array:
                return network.apply(params, tests)[:, : task.n_classes]

            def foretold(t: jax.Array) -> jax.Array:
                return logits(line, linearised.student(network, side, modes, linearised.flow(t)))

            predicted = jax.lax.map(foretold, rate * jnp.array([0, *steps]))
            training = replace(parts, config=stepwise, student_optimiser=optax.sgd(rate))
            source = training.sample_batches(begun, config.batch, 1)
            trained = training.distil(
                init, begun, subset, lambda params: logits(network, params), source, steps
            )[1]

            def rms(a: jax.Array) -> jax.Array:
                return jnp.sqrt(jnp.square(a).mean((1, 2)))

            def score(logits: jax.Array) -> jax.Array:
                return probes.accuracy(logits, data.test[1], task.n_classes)

            return {
                "accuracy": jax.vmap(score)(trained),
                "predicted_accuracy": jax.vmap(score)(predicted),
                "agreement": (trained.argmax(-1) == predicted.argmax(-1)).mean(-1),
                "moved": rms(trained - trained[0]),
                "off": rms(trained - predicted),
            }

        return sweep.Program(prepare, student)

    dataset, execution = sweep.grid(
        build,
        shapes={"width": config.width, "student_lr": config.student_lr},
        shared={"seed": config.seed_list, "teacher_lr": config.teacher_lr},
        points={"start": numbered(protocol.STARTS)},
        variables={"teacher_accuracy": ((), "1", "teacher's test accuracy"), **VARIABLES},
        coords={"time": [0.0, *(config.time / 2**i for i in reversed(range(TIMES)))]},
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    headline = "discrepancy final_accuracy final_predicted"
    return results.described(
        dataset, "theory_linearised", headline, config, task, execution, findings
    )


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add what is left at the end: the discrepancy over what the student moved; accuracies."""
    last = dataset.isel(time=-1, drop=True)
    about = "rms of trained less predicted class logits over rms change of the trained ones"
    left = last.off / last.moved.where(last.moved > 0)  # a student that did not move has none
    return dataset.assign(
        discrepancy=left.drop_attrs().assign_attrs(units="1", description=about),
        final_accuracy=last.accuracy,
        final_predicted=last.predicted_accuracy,
    )


AXES = {
    "width": "width",
    "teacher_lr": "teacher's learning rate",
    "student_lr": "student's learning rate",
}


def ends(dataset: xr.Dataset, but: str) -> dict[str, float]:
    """The largest value of every axis but one."""
    return {name: dataset[name].values.max() for name in AXES if name != but}


def power(discrepancy: xr.DataArray, along: str) -> Interval:
    """The power of a coordinate that the discrepancy goes with, by least squares seed by seed."""
    import numpy as np

    from toymodels.stats import statistics

    each = discrepancy.transpose("seed", along).values
    x, y = np.log(discrepancy[along].values), np.log(each[np.isfinite(each).all(1)])
    return statistics.mean_interval([np.polyfit(x, row, 1)[0] for row in y])


def findings(dataset: xr.Dataset) -> list[str]:
    """The discrepancy by width and by rates, how it falls, and what it is in accuracy."""
    from toymodels.stats import statistics

    done, told = statistics.succeeded(dataset), []
    for along, name in AXES.items():
        for start in done.start.values:
            if done.sizes[along] < 2:
                continue
            here = done.discrepancy.sel(start=start, **ends(done, along))
            each = [
                f"{value:g}: {statistics.mean_interval(here.sel({along: value}).values)}"
                for value in sorted(here[along].values)
            ]
            told.append(
                f"Discrepancy by {name}, {start} init: {'; '.join(each)}. It goes as the power "
                f"{power(here, along)} of it."
            )
    own = done.sel(start="shared", student_lr=done.student_lr.values.max())
    for width in done.width.values:
        for lr in done.teacher_lr.values:
            here = own.sel(width=width, teacher_lr=lr, drop=True)
            gap = statistics.difference(here.final_predicted, here.final_accuracy)
            told.append(
                f"Width {width}, teacher's rate {lr:g}, shared init: accuracy "
                f"{statistics.mean_interval(here.final_accuracy.values)}, predicted less trained "
                f"{gap}; the same class for "
                f"{statistics.mean_interval(here.agreement.isel(time=-1).values)} of the images."
            )
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Accuracy trained and predicted by width; the discrepancy by width, by rates, by time."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    off = done.off / done.moved.where(done.moved > 0)
    along = [name for name in AXES if done.sizes[name] > 1]
    with plotting.style():
        fig, axes = plotting.panels(3.1 * (len(along) + 2), 3.3, [1] * (len(along) + 2))
        for start in done.start.values:
            own = {"shared": "student_aux", "other": "cross_aux"}[str(start)]
            colour, here = plotting.COLOURS[own], done.sel(start=start)
            first = along[0] if along else "width"
            at = here.sel(ends(done, first)).sortby(first).transpose("seed", first, ...)
            name, x = f"{start} init", at[first]
            plotting.means(axes[0], x, at.final_accuracy.values, colour, name)
            said = at.final_predicted.values
            label = f"{name}, predicted"
            plotting.band(axes[0], x, said, "-", colour=colour, lw=1.2, label=label)
            lines = {name: here.discrepancy.sel(ends(done, name)).sortby(name) for name in along}
            lines["time"] = off.sel(start=start, **ends(done, "time")).isel(time=slice(1, None))
            for ax, (name, line) in zip(axes[1:], lines.items(), strict=True):
                seeds = line.transpose("seed", name).values
                plotting.means(ax, line[name], seeds, colour, joined=True)
                ax.axhline(1, color="black", lw=0.8, ls=":")
                ax.set(xlabel=AXES.get(name, "time (rate x steps)"))
                doubling(ax, line[name].values)
                plotting.log_axis(ax, "y")
        axes[0].set(xlabel=AXES[first], ylim=(0, 1), ylabel="test accuracy")
        doubling(axes[0], done[first].values)
        axes[0].set_title(plotting.caption(dataset))
        axes[0].legend(fontsize=7)
        axes[1].set_ylabel("discrepancy / change of the class logits")
    return fig


def doubling(ax: Axes, at: np.ndarray) -> None:
    """A logarithmic x axis with ticks at the values there are, and at no others."""
    ax.set_xscale("log")
    ax.set_xticks(at, [f"{value:g}" for value in at])
    ax.minorticks_off()


if __name__ == "__main__":
    cli.main("theory_linearised", __doc__, PRESETS, run, plot)
