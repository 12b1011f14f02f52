"""How many auxiliary logits transfer needs: KL and squared error, fixed and fresh noise.

Logits that are not imitated change nothing, so one network with the most auxiliary logits serves
every m: the student of m imitates the first m of them. All students of a seed share teacher, noise
and order of batches. Each student has its cross-model control, from an independent initialisation.
Cloud et al., Nature 652, 615-621 (2026), number of auxiliary logits.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Config(tm.RateFields, tm.EpochFields, tm.ImageConfig):
    """The fields of this experiment."""

    m: tm.Counts = (1, 2, 3, 5, 10, 30, 100, 200)
    """Numbers of auxiliary logits."""
    widths: tm.Widths = (256, 256)
    """Widths of the hidden layers of the ReLU network, in units."""
    loss: tuple[Literal["kl", "mse"], ...] = ("kl", "mse")
    """Imitation losses: KL(teacher || student) of the softmax, or squared error of the logits."""
    noise: tuple[Literal["fixed", "fresh"], ...] = ("fixed", "fresh")
    """Distillation inputs: one fixed set, reused in every epoch, or fresh noise at every step."""


PRESETS = {
    "quick": Config(seeds=3, m=(1, 3, 10, 30, 100), noise=("fixed",)),
    "paper": Config(**tm.CLOUD, seeds=10, noise=("fixed",)),
    # Brockers et al., arXiv 2605.23645: a single logit, and noise without end.
    "one": Config(
        **tm.CLOUD | {"student_epochs": 60, "student_lr": 1e-3, "teacher_lr": 1e-3, "batch": 1000},
        m=(1,),
        loss=("mse",),
        noise=("fixed", "fresh"),
    ),
}

PUBLISHED = {1: 0.103, 2: 0.348, 3: 0.537, 10: 0.835}
"""Accuracy with KL on fixed noise by m, 100 seeds: a run of the released script of Cloud et al."""


def points(config: Config) -> dict[str, Any]:
    """The axes of the students."""
    return {"imitation": tm.label_axis(config.loss), "m": config.m, "start": tm.STARTS}


def student(setup: tm.Setup, imitation: jax.Array, m: jax.Array, start: jax.Array) -> tm.Student:
    """A student of the first m auxiliary logits, by one of the losses."""
    losses = [tm.losses.imitation(name, setup.config.temperature) for name in setup.config.loss]
    return tm.Student(
        start=setup.start(start),
        logits=setup.auxiliary(m),
        loss=tm.losses.one_of(losses, imitation),
    )


def findings(runs: xr.Dataset) -> list[Any]:
    """From which m on there is transfer, and whether the squared error beats KL."""
    valid = tm.succeeded(runs)
    # Distillation must raise accuracy, too: an untrained student may beat an untrained control.
    gain = (valid.accuracy.isel(epoch=-1) - valid.accuracy.isel(epoch=0)).sel(start="shared")
    findings: list[Any] = []
    for noise, loss in itertools.product(valid.noise.values, valid.imitation.values):
        transfer, raised = (a.sel(noise=noise, imitation=loss) for a in (valid.transfer, gain))
        first = describe_first(transfer, raised)
        findings.append(f"{loss}, {noise} noise: transfer is shown {first}.")
    if {"kl", "mse"} <= set(valid.imitation.values):
        accuracy = valid.final_accuracy.sel(start="shared", drop=True)
        gap = tm.contrast(accuracy, imitation=("mse", "kl"))
        findings += tm.compare("Test accuracy by squared error less that by KL", gap, tm.HIGHER)
    return findings


def describe_first(transfer: xr.DataArray, gain: xr.DataArray) -> str:
    """The least m from which on transfer and gain (seed, m) are above zero, and transfer there."""
    first = "at no m"
    for m in sorted(transfer.m.values.tolist(), reverse=True):
        shares = tm.interval(transfer.sel(m=m))
        if min(shares.sign, tm.interval(gain.sel(m=m)).sign) < 1:
            break
        first = f"from m = {m} on: {shares}"
    return first


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy against m, and through distillation at the smallest m."""
    runs = tm.succeeded(runs)
    shared, least = runs.sel(start="shared"), runs.m.values.min()
    control = runs.final_accuracy.sel(start="other").isel(noise=0, imitation=0)
    hue: dict[str, Any] = {
        "hue": ("imitation", "noise"),
        "label": "{imitation}, {noise} noise",
    }
    with tm.plotting.style():
        fig, (left, right) = tm.plotting.panels(9, 3.4, columns=(1.3, 1))
        also = {"control": control.transpose("seed", "m").values}
        tm.charts.dots(left, shared.final_accuracy, "m", also=also, **hue)
        tm.charts.published(left, runs, runs.m.values, PUBLISHED, label="published (kl, fixed)")
        left.set(xlabel="auxiliary logits m", ylabel="test accuracy", ylim=(0, 1.05))
        left.set(title=tm.plotting.caption(runs))
        left.legend()
        tm.charts.lines(right, shared.accuracy.sel(m=least), "epoch", **hue)
        right.set(xlabel="distillation epoch", ylim=(0, 1.05), title=f"m = {least}")
    return fig


sweep = tm.distillation_sweep(student, points, shapes=("noise",))
HEADLINE = ("transfer", "final_accuracy")
STUDY = tm.Study(
    *("aux_count", __doc__, PRESETS, sweep, tm.against_control, findings, figure, HEADLINE),
    takes=tm.list_parts("imitation"),  # an axis
)

if __name__ == "__main__":
    STUDY.main()
