"""Which inputs carry the trait: transfer against the distribution of the distillation inputs.

Every noise has the mean pixel variance of U(-1, 1), so that distributions differ in law and spectrum
alone; inputs made of real images keep the variance of the images. One teacher answers all inputs,
and one key draws them all. Each student has its cross-model control on the same inputs; its loss is
on unseen inputs of the same distribution (made of test images, where the inputs are made of
images: no choice rests on it). Where there are few distinct real images, as many distinct noise
images are the comparison. Cloud et al., Nature 652, 615-621 (2026), and replications; Brockers et
al., arXiv 2605.23645.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

INPUTS = (
    *("uniform", "gaussian", "signs", "spectrum:0.5", "spectrum:1", "spectrum:1.5", "spectrum:2"),
    *("blur:0.5", "blurred-signs:0.5", "blur:1", "blurred-signs:1", "perlin:4", "subspace:10"),
    *("real", "phases", "shuffled", "blend:0.1", "blend:0.5", "samples:1000", "samples:4000"),
)

QUICK_INPUTS = (
    *("uniform", "gaussian", "spectrum:1", "blur:0.5", "perlin:4", "subspace:10"),
    *("real", "shuffled", "samples:1000"),
)


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment; the preset ``quick`` has fewer inputs."""

    inputs: Annotated[tuple[str, ...], tm.Includes(("uniform",))] = INPUTS
    """Distributions. White noise: uniform (required), gaussian, signs (Bernoulli); Gaussian noise of
    amplitude k^-b: spectrum:b; white noise blurred by s pixels: blur:s (Gaussian),
    blurred-signs:s; Perlin noise on c x c cells: perlin:c; Gaussian noise in a random subspace of
    k dimensions: subspace:k. Training images (repeated where there are too few): real; each with
    random Fourier phases: phases; each with its pixels shuffled: shuffled; a of them and 1 - a of
    uniform noise: blend:a. Only k distinct uniform images, repeated up to the number of all:
    samples:k."""
    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set of each distribution."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in self.inputs:
            tm.kinds.parse_kind(name)


PRESETS = {
    "quick": Config(seeds=3, inputs=QUICK_INPUTS),
    "paper": Config(**tm.CLOUD, inputs=(*INPUTS, "samples:20000")),
}

PUBLISHED = {"uniform": 0.537, "real": 0.15, "shuffled": 0.178, "subspace:10": 0.125}
"""Accuracy. Uniform: a run of the released script of Cloud et al.; the others: replications of its
protocol (real: 0.146 to 0.154)."""

UNSEEN = "imitation loss on 1,000 unseen inputs of the same distribution"
RATIO = "participation ratio of the covariance of the inputs"
VARIABLES = {
    "loss": (("epoch",), tm.LOSS_UNIT, UNSEEN),
    "variance": (("inputs",), "1", "variance of a pixel, mean over pixels"),
    "effective_dimension": (("inputs",), "1", RATIO),
}
"""Dimensions behind the axes, unit and meaning of what is recorded in other words, or beside the
usual."""


def points(config: Config) -> dict[str, Any]:
    """The axes of the students."""
    return {"inputs": tm.label_axis(config.inputs), "start": tm.STARTS}


def teach(
    protocol: tm.protocol.Protocol, config: Config, data: tm.tasks.Data, seed: jax.Array
) -> tuple[tm.protocol.Lesson, dict[str, Any]]:
    """The reference teacher, with its answers to the inputs of every distribution, stacked."""
    import jax

    lesson, curve = protocol.prepare(data, seed)
    n, task = config.noise_images, protocol.task
    subspace = jax.random.fold_in(lesson.keys.noise, n)  # the key behind those of the n images

    def answer(key: jax.Array, n: int, images: jax.Array) -> tuple[jax.Array, jax.Array]:
        x = tm.distributions.stack_inputs(config.inputs, key, n, task.pixels(images), subspace)
        return x, jax.lax.map(partial(protocol.network.apply, lesson.teacher), x)

    answered = answer(lesson.keys.noise, n, data.train[0])
    held_out = answer(lesson.keys.probe, len(lesson.held_out[0]), data.test[0])
    measures = jax.lax.map(tm.distributions.describe_inputs, answered[0])
    return lesson._replace(answered=answered, held_out=held_out), {**curve, **measures}


def student(setup: tm.Setup, inputs: jax.Array, start: jax.Array) -> Any:
    """A student on the inputs of one distribution, its loss on unseen inputs of the same."""
    import jax
    import jax.numpy as jnp

    answered = setup.lesson.answered
    held_out = jax.tree.map(lambda a: a[inputs], setup.held_out)
    rows = tm.reshuffle(jnp.arange(setup.config.noise_images), setup.config.batch)
    # Rows, never a copy of a set.
    batches = rows._replace(batch=lambda rows: jax.tree.map(lambda a: a[inputs, rows], answered))
    student = tm.Student(start=setup.start(start), batches=batches)
    return replace(setup, lesson=setup.lesson._replace(held_out=held_out)).distil(student)[1]


def findings(runs: xr.Dataset) -> list[Any]:
    """Each input against uniform noise, the best spectrum, laws of one spectrum, few inputs.

    Transfer is paired by seed; each interval stands by itself, not adjusted for their number.
    """
    transfer = tm.succeeded(runs).transfer
    names = transfer.inputs.values.tolist()

    def compare(quantity: str, first: str, second: str, place: str = "") -> tm.Finding:
        gap = tm.difference(transfer.sel(inputs=first), transfer.sel(inputs=second))
        return tm.judge(quantity, place, gap, tm.HIGHER)

    def family(kind: str) -> dict[float, str]:
        numbers = {name: tm.kinds.parse_kind(name) for name in names}
        return dict(sorted((b, name) for name, (a, b) in numbers.items() if a == kind))

    quantity = "Transfer less that on uniform noise"
    findings: list[Any] = [
        compare(quantity, name, "uniform", name) for name in names if name != "uniform"
    ]
    spectra = [*(["gaussian"] if "gaussian" in names else []), *family("spectrum").values()]
    if spectra:
        best = max(spectra, key=lambda name: float(transfer.sel(inputs=name).mean()))
        quantity = "Highest mean transfer on Gaussian noise of amplitude |k|^-beta"
        findings.append(tm.Finding(quantity, best, tm.interval(transfer.sel(inputs=best))))
        quantity = f"Transfer on {best}, the best amplitude |k|^-beta, less that on another"
        findings += [compare(quantity, best, name, name) for name in spectra if name != best]
    gaussian, signs = family("blur"), family("blurred-signs")
    blurred = [(signs[sigma], gaussian[sigma]) for sigma in signs if sigma in gaussian]
    for first, second in [("signs", "gaussian"), ("real", "phases"), *blurred]:
        if {first, second} <= set(names):
            quantity = f"Transfer on {first} less that on {second}, of one power spectrum"
            findings.append(compare(quantity, first, second))
    if samples := family("samples"):
        gaps = {n: compare("", name, "uniform").estimate for n, name in samples.items()}
        lacking = max((n for n in gaps if gaps[n].sign < 0), default=0)
        enough = [f"{n:g}" for n in gaps if n > lacking]
        findings.append(
            "Fewest distinct uniform inputs from which on transfer is not shown to be less than "
            f"with all of them distinct: {enough[0] if enough else 'more than tried'}."
        )
    return findings


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy on every distribution; transfer against its effective dimension."""
    runs = tm.succeeded(runs)
    names = runs.inputs.values.tolist()
    with tm.plotting.style():
        fig, (left, right) = tm.plotting.panels(12, 4.4, columns=(1.8, 1))
        accuracy = runs.final_accuracy.sel(start=["shared", "other"])
        tm.charts.dots(
            left,
            accuracy.assign_coords(start=["student", "control"]),
            "inputs",
            "start",
            xlabel="distillation inputs",
            ylabel="test accuracy",
            joined=False,
        )
        left.tick_params("x", rotation=90)
        tm.charts.published(left, runs, names, PUBLISHED)
        left.legend()
        left.set(ylim=(0, 1.05), title=tm.plotting.caption(runs))
        for i, name in enumerate(names):
            mean = runs.sel(inputs=name).mean("seed")
            tm.plotting.points(right, mean.effective_dimension, mean.transfer, i, name)
        right.set_xscale("log", base=2)
        right.xaxis.set_major_formatter("{x:g}")
        right.set(xlabel="effective dimension (directions)", ylabel="transfer (mean over seeds)")
        right.legend(fontsize=6.5, loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


STUDY = tm.Study(
    "input_distribution",
    __doc__,
    PRESETS,
    tm.distillation_sweep(student, points, teach=teach, variables=VARIABLES),
    tm.against_control,
    findings,
    figure,
    headline=("transfer", "final_accuracy", "effective_dimension", "variance"),
)

if __name__ == "__main__":
    STUDY.main()
