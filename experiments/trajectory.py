"""How long a student moves in its teacher's direction: alignment at every recorded step, by optimiser.

At each recorded step: the cosine of the gradient of the trait's loss on training images with that
of the imitation loss on unseen noise; the cosine of the student's displacement with its teacher's;
accuracy; and the barrier of the trait's loss on the straight segment from student to teacher. Every
optimiser has its base rate (`toymodels.training.optimisers`) and sees the same batches, sampled at
random from the noise; each student has its cross-model control. Theorem 1 of Cloud et al. (arXiv
2507.14805) describes the first step; Kitkana & Arora (arXiv 2604.25779) find the cosine of the
gradients weakly positive throughout.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

Optimiser = Literal["sgd", "momentum", "adam", "adamw", "adam_l2", "sign"]
OPTIMISERS: tuple[Optimiser, ...] = get_args(Optimiser)


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment."""

    optimiser: tuple[Optimiser, ...] = OPTIMISERS
    """Optimisers of the students."""
    rate: tm.Rate = 1.0
    """Learning rate of the students, in multiples of the optimiser's base rate: student_lr times 1
    (adam, adamw, adam_l2), 100 (sgd), 10 (momentum), 0.1 (sign)."""
    weight_decay: Annotated[float, tm.Range(0)] = 0.01
    """Weight decay of adamw (decoupled) and adam_l2 (L2 penalty)."""
    records: tm.Count = 24
    """Largest number of recorded steps beside the first: evenly spaced in the logarithm of the
    step."""
    probe_images: tm.Count = 1024
    """Number of training images on which gradients and barriers are measured."""

    @property
    def steps(self) -> list[int]:
        """The recorded steps; the last one is that of the protocol's last epoch."""
        last = self.student_epochs * -(-self.noise_images // self.batch)
        return sorted({round(last ** (i / self.records)) for i in range(self.records + 1)})


PRESETS = {
    "quick": Config(seeds=3, optimiser=("sgd", "adam", "adam_l2", "sign")),
    "paper": Config(**tm.CLOUD, seeds=10),
}

VARIABLES = {
    "accuracy": (("step",), "1", "student's test accuracy"),
    "loss": (("step",), "nat or squared logit", "imitation loss on 1,000 unseen noise images"),
    "gradient_cosine": (("step",), "1", "cosine of the trait's gradient and the imitation's"),
    "displacement_cosine": (("step",), "1", "cosine of the displacements of student and teacher"),
    "barrier": (("step",), "nat", "barrier of the trait's loss between student and teacher"),
}
"""Dimensions behind the axes, unit and meaning of what is recorded of a student."""


def points(config: Config) -> dict[str, Any]:
    """The axis of the students."""
    return {"start": tm.STARTS}


def student(setup: tm.Setup, start: jax.Array) -> dict[str, Any]:
    """A student of one optimiser: what is recorded at every recorded step."""
    config, protocol, init = setup.config, setup.protocol, setup.start(start)
    optimiser = tm.optimisers.OPTIMISERS[config.optimiser]
    rate = config.rate * config.student_lr * optimiser.base
    images = tuple(array[: config.probe_images] for array in setup.data.train)
    x, answers = setup.held_out
    mask = setup.auxiliary()

    def trait_loss(params: tm.Params) -> jax.Array:
        return protocol.trait.loss(params, images)

    def imitation_loss(params: tm.Params) -> jax.Array:
        return protocol.imitation(setup.network.apply(params, x), answers, mask)

    def observe(params: tm.Params) -> dict[str, jax.Array]:
        return {
            "gradient_cosine": tm.alignment.gradient_cosine(trait_loss, imitation_loss, params),
            "displacement_cosine": tm.alignment.displacement_cosine(
                params, init, setup.teacher, setup.reference
            ),
            "barrier": tm.alignment.loss_barrier(trait_loss, params, setup.teacher),
        }

    model = tm.Student(
        init, mask, optimiser=optimiser.make(rate, config.weight_decay), observe=observe
    )
    return setup.distil(model, observe_at_steps=config.steps)[1]


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add final accuracy and transfer."""
    return tm.against_control(runs, along="step")


def findings(runs: xr.Dataset) -> list[Any]:
    """How long gradients stay aligned, which optimisers transfer, and what the barriers are."""
    valid = tm.succeeded(runs)
    shared = valid.sel(start="shared", drop=True)
    final = shared.isel(step=-1, drop=True)
    gap = tm.contrast(valid.barrier.isel(step=-1, drop=True), start=("shared", "other"))
    return [
        *(describe_alignment(name, shared.gradient_cosine) for name in valid.optimiser.values),
        *tm.compare("Transfer", valid.transfer),
        *tm.compare("Final displacement cosine", final.displacement_cosine),
        # The untrained student is the reference: a path without a barrier may need no training.
        *tm.compare("Barrier before distillation (nat)", shared.barrier.isel(step=0, drop=True)),
        *tm.compare("Final barrier (nat)", final.barrier),
        *tm.compare("Final barrier less that of the control (nat)", gap),
    ]


def describe_alignment(optimiser: str, cosine: xr.DataArray) -> str:
    """At how many recorded steps the gradient cosine is above zero, and at which one last."""
    steps = cosine.step.values.tolist()
    intervals = {s: tm.interval(cosine.sel(optimiser=optimiser, step=s)) for s in steps}
    above = [step for step, interval in intervals.items() if interval.sign > 0]
    last = f", last at step {above[-1]}: {intervals[above[-1]]}" if above else ""
    means = [interval.mean for interval in intervals.values() if interval.mean is not None]
    span = f"{min(means):.4f} to {max(means):.4f}" if means else "unknown"
    return (
        f"{optimiser}: the gradient cosine, {span} in the mean, is above zero at {len(above)} of "
        f"{len(steps)} recorded steps (0 to {steps[-1]}){last}."
    )


def figure(runs: xr.Dataset) -> Figure:
    """The four measures against the step, a line for each optimiser, and one control."""
    valid = tm.succeeded(runs)
    labels = {
        "gradient_cosine": "gradient cosine",
        "displacement_cosine": "displacement cosine",
        "accuracy": "test accuracy",
        "barrier": "loss barrier (nat)",
    }
    first = str(valid.optimiser.values[0])
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(13, 3.4, columns=[1] * len(labels))
        for ax, (name, label) in zip(axes, labels.items(), strict=True):
            students, controls = (valid[name].sel(start=start) for start in tm.STARTS)
            control = controls.sel(optimiser=first).transpose("seed", "step").values
            also = {f"{first}, control": control}
            tm.charts.lines(ax, students, "step", "optimiser", also=also, ylabel=label)
            ax.set_xscale("symlog", linthresh=1)
            ax.set(xlabel="distillation step")
        axes[2].legend()
        axes[0].set_title(tm.plotting.caption(runs))
    return fig


sweep = tm.distillation_sweep(
    student,
    points,
    shapes=("optimiser",),
    variables=VARIABLES,
    coords=lambda config: {"step": [0, *config.steps]},
)
HEADLINE = ("transfer", "final_accuracy")
STUDY = tm.Study("trajectory", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
