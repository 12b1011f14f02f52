"""How long a student goes its teacher's way: alignment at every recorded step, by optimiser.

At each recorded step: the cosine of the gradient of the trait's loss on training images with that
of the imitation loss on unseen noise; the cosine of the student's displacement with its teacher's;
accuracy; and the barrier of the trait's loss on the straight segment from student to teacher. Every
optimiser has its base rate (`toymodels.training.optimisers`) and sees the same batches, drawn at random from
the noise; each student has its cross-model control. Theorem 1 of Cloud et al. (arXiv 2507.14805)
speaks of the first step; Kitkana & Arora (arXiv 2604.25779) find the cosine weakly positive
throughout.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toymodels.errors import at_least, distinct, positive
from toymodels.study import cli
from toymodels.training.config import CLOUD, NetworkConfig

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

OPTIMISERS = ("sgd", "momentum", "adam", "adamw", "adam_l2", "sign")


@dataclass(frozen=True)
class Config(NetworkConfig):
    """What is computed; the preset ``quick`` has fewer optimisers."""

    optimiser: tuple[Literal["sgd", "momentum", "adam", "adamw", "adam_l2", "sign"], ...] = (
        OPTIMISERS  # type: ignore[assignment]
    )
    """Optimisers of the students."""
    rate: float = 1.0
    """Learning rate of the students, in multiples of the optimiser's base rate: student_lr times 1
    (adam, adamw, adam_l2), 100 (sgd), 10 (momentum), 0.1 (sign)."""
    weight_decay: float = 0.01
    """Weight decay of adamw (decoupled) and adam_l2 (L2 penalty)."""
    records: int = 24
    """Most points recorded on the way, beside the first: evenly spaced in the logarithm of the
    step."""
    probe_images: int = 1024
    """Training images on which gradients and barriers are measured."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "records", "probe_images")
        at_least(self, 0, "weight_decay")
        positive(self, "rate")
        distinct(self, "optimiser")

    @property
    def steps(self) -> list[int]:
        """The recorded steps, the last that of the protocol's last epoch."""
        last = self.student_epochs * -(-self.noise_images // self.batch)
        return sorted({round(last ** (i / self.records)) for i in range(self.records + 1)})


PRESETS = {
    "quick": Config(seeds=3, optimiser=("sgd", "adam", "adam_l2", "sign")),
    "paper": Config(**CLOUD, seeds=10),
}

VARIABLES = {
    "accuracy": (("step",), "1", "student's test accuracy"),
    "loss": (("step",), "nat or squared logit", "imitation loss on 1,000 unseen noise images"),
    "gradient_cosine": (("step",), "1", "cosine of the trait's gradient and the imitation's"),
    "displacement_cosine": (("step",), "1", "cosine of the displacements of student and teacher"),
    "barrier": (("step",), "nat", "barrier of the trait's loss between student and teacher"),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (optimiser, seed, start); see `toymodels.sweep` for ``options``."""
    from toymodels import sweep
    from toymodels.measure import alignment
    from toymodels.networks.models import MLP, Params, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import optimisers, protocol, tasks
    from toymodels.training.distillation import auxiliary_logits

    config, task, data = tasks.load(config, data_dir)
    sizes = (task.n_pixels, *config.widths, task.n_classes + config.m)
    network = functional(lambda rngs: MLP(sizes, rngs=rngs))
    subset, steps = auxiliary_logits(task.n_classes, config.m), config.steps

    def build(optimiser: str) -> sweep.Program:
        kind = optimisers.OPTIMISERS[optimiser]
        lr = config.rate * config.student_lr * kind.base
        parts = replace(
            protocol.reference_protocol(config, task, network),
            student_optimiser=kind.make(lr, config.weight_decay),
        )
        # An epoch of one step, so that any step can be recorded.
        stepwise = replace(parts, config=config.at(student_epochs=steps[-1]))

        def student(
            data: tasks.Data, begun: protocol.Lesson, start: jax.Array
        ) -> dict[str, jax.Array]:
            init, (x, answers) = parts.start(begun, start), begun.held_out
            teacher, images = (
                begun.teacher,
                tuple(a[: config.probe_images] for a in data.train),
            )
            watch = parts.watch(data, begun, subset)

            def trait(params: Params) -> jax.Array:
                return parts.trait.loss(params, images)

            def imitation(params: Params) -> jax.Array:
                return parts.imitation(network.apply(params, x), answers, subset)

            def observe(params: Params) -> dict[str, jax.Array]:
                return watch(params) | {
                    "gradient_cosine": alignment.gradient_cosine(trait, imitation, params),
                    "displacement_cosine": alignment.displacement_cosine(
                        params, init, teacher, begun.reference
                    ),
                    "barrier": alignment.loss_barrier(trait, params, teacher),
                }

            source = parts.sample_batches(begun, config.batch, 1)
            return stepwise.distil(init, begun, subset, observe, source, steps)[1]

        return sweep.Program(parts.prepare, student)

    dataset, execution = sweep.grid(
        build,
        shapes={"optimiser": config.optimiser},
        shared={"seed": config.seed_list},
        points={"start": numbered(protocol.STARTS)},
        variables=tasks.TEACHER | VARIABLES,
        coords={"teacher_epoch": range(config.teacher_epochs + 1), "step": [0, *steps]},
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    headline = "transfer final_accuracy"
    return results.described(dataset, "trajectory", headline, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add final accuracy and transfer."""
    from toymodels.stats import transfer

    return transfer.against_control(dataset, along="step")


def findings(dataset: xr.Dataset) -> list[str]:
    """How long gradients stay aligned, which optimisers transfer, and what lies between."""
    from toymodels.stats import statistics
    from toymodels.stats.sentences import by_sign

    done = statistics.succeeded(dataset)
    own, told = done.sel(start="shared", drop=True), []
    for name in done.optimiser.values:
        cosine = own.gradient_cosine.sel(optimiser=name)
        each = {
            int(step): statistics.mean_interval(cosine.sel(step=step).values)
            for step in done.step.values
        }
        above = [step for step, interval in each.items() if interval.sign > 0]
        last = f", last at step {above[-1]}: {each[above[-1]]}" if above else ""
        means = [interval.mean for interval in each.values() if interval.mean is not None]
        span = f"{min(means):.4f} to {max(means):.4f}" if means else "unknown"
        told.append(
            f"{name}: the gradient cosine, {span} in the mean, is above zero at {len(above)} of "
            f"{len(each)} recorded steps (0 to {max(each)}){last}."
        )
    end = own.isel(step=-1, drop=True)
    words = ("above zero", "below zero", "not distinguishable from zero")
    told.append(by_sign("Transfer", done.transfer, words))
    told.append(by_sign("Final displacement cosine", end.displacement_cosine, words))
    # The untrained student is the reference: a path without a barrier may be no merit of training.
    told.append(by_sign("Barrier before distillation, in nat", own.barrier.isel(step=0), words))
    told.append(by_sign("Final barrier, in nat", end.barrier, words))
    gap = end.barrier - done.barrier.isel(step=-1, drop=True).sel(start="other", drop=True)
    told.append(by_sign("Final barrier less the control's, in nat", gap, words))
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """The four measures against the step, a line for each optimiser and its control."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    shown = {
        "gradient_cosine": "gradient cosine",
        "displacement_cosine": "displacement cosine",
        "accuracy": "test accuracy",
        "barrier": "loss barrier (nat)",
    }
    with plotting.style():
        fig, axes = plotting.panels(13, 3.4, columns=[1] * len(shown))
        for ax, (name, label) in zip(axes, shown.items(), strict=True):
            array = done[name].transpose("seed", ...)
            kinds = [str(kind) for kind in done.optimiser.values]
            lines = {kind: array.sel(optimiser=kind, start="shared").values for kind in kinds}
            control = array.sel(optimiser=kinds[0], start="other").values
            plotting.curves(ax, done.step.values, lines | {f"{kinds[0]}, control": control})
            ax.set_xscale("symlog", linthresh=1)
            ax.set(xlabel="distillation step", ylabel=label)
        axes[2].legend()
        axes[0].set_title(plotting.caption(dataset))
    return fig


if __name__ == "__main__":
    cli.main("trajectory", __doc__, PRESETS, run, plot)
