"""How many auxiliary logits transfer needs: KL and squared error, fixed and fresh noise.

Logits that are not imitated change nothing, so one network with the most auxiliary logits serves
every m: the student of m imitates the first m of them. All students of a seed share teacher, noise
and order of batches. Each student has its cross-model control, from an independent initialisation.
Cloud et al., Nature 652, 615-621 (2026), number of auxiliary logits.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

LOSSES = ("kl", "mse")


@dataclass(frozen=True)
class Config(tm.ProtocolConfig):
    """The fields of this experiment."""

    m: tm.Counts = (1, 2, 3, 5, 10, 30, 100, 200)
    """Numbers of auxiliary logits."""
    widths: tm.Widths = (256, 256)
    """Widths of the hidden layers of the ReLU network, in units."""
    loss: tuple[Literal["kl", "mse"], ...] = LOSSES  # type: ignore[assignment]
    """Imitation losses: KL(teacher || student) of the softmax, or squared error of the logits."""
    noise: tuple[Literal["fixed", "fresh"], ...] = ("fixed", "fresh")  # type: ignore[assignment]
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
    findings: list[Any] = []
    # Distillation must raise accuracy, too: an untrained student may beat an untrained control.
    gain = (valid.accuracy.isel(epoch=-1) - valid.accuracy.isel(epoch=0)).sel(start="shared")
    for noise, loss in itertools.product(valid.noise.values, valid.imitation.values):
        at, first = {"noise": noise, "imitation": loss}, None
        for m in sorted(valid.m.values.tolist(), reverse=True):
            pair = [tm.interval(a.sel(at | {"m": m})) for a in (valid.transfer, gain)]
            if min(interval.sign for interval in pair) < 1:
                break
            first = f"from m = {m} on: {pair[0]}"
        findings.append(f"{loss}, {noise} noise: transfer is shown {first or 'at no m'}.")
    if set(LOSSES) <= set(valid.imitation.values):
        accuracy = valid.final_accuracy.sel(start="shared", drop=True)
        gap = accuracy.sel(imitation="mse", drop=True) - accuracy.sel(imitation="kl", drop=True)
        findings += tm.compare("Test accuracy by squared error less that by KL", gap, tm.HIGHER)
    return findings


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy against m, and through distillation at the smallest m."""
    runs = tm.succeeded(runs)
    shared, label = runs.sel(start="shared"), "{imitation}, {noise} noise"
    with tm.plotting.style():
        fig, (left, right) = tm.plotting.panels(9, 3.4, columns=(1.3, 1))
        control = runs.final_accuracy.sel(start="other").isel(noise=0, imitation=0)
        tm.charts.dots(
            left,
            shared.final_accuracy,
            "m",
            ("imitation", "noise"),
            label=label,
            xlabel="auxiliary logits m",
            ylabel="test accuracy",
            also={"control": control.transpose("seed", "m").values},
        )
        if tm.follows(json.loads(runs.attrs["config"])):
            known = {m: accuracy for m, accuracy in PUBLISHED.items() if m in runs.m}
            at = [runs.m.values.tolist().index(m) for m in known]
            tm.plotting.reported(left, at, list(known.values()), "published (kl, fixed)")
        left.set(ylim=(0, 1.05), title=tm.plotting.caption(runs))
        left.legend()
        least = runs.m.values.min()
        tm.charts.lines(
            right, shared.accuracy.sel(m=least), "epoch", ("imitation", "noise"), label=label
        )
        right.set(xlabel="distillation epoch", ylim=(0, 1.05), title=f"m = {least}")
    return fig


STUDY = tm.Study(
    "aux_count",
    __doc__,
    PRESETS,
    tm.distillation_sweep(student, points, shapes=("noise",)),
    tm.against_control,
    findings,
    figure,
    headline=("transfer", "final_accuracy"),
)

if __name__ == "__main__":
    STUDY.main()
