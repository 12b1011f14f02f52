"""How transfer depends on the overlap between the student's and the teacher's initialisation.

The student starts from ``rho * W + sqrt(1 - rho**2) * V``, where ``W`` is the teacher's
initialisation and ``V`` an independent draw from the same distribution. This rotation preserves the
distribution of the weights, so the overlap ``rho`` is the only thing that changes. It is applied to
all layers, or to one group of parameters at a time. All students of a seed share one teacher, one
set of noise images, one batch order and one ``V``. Transfer is the fraction of the teacher's
advantage over the control (rho = 0 everywhere) that the student acquires; ``rho_50`` is the overlap
at which transfer has fallen to half.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

GROUPS = ("all", "hidden", "hidden1", "hidden2", "class_head", "aux_head")


@dataclass(frozen=True)
class Config(tm.ProtocolConfig):
    """The fields of this experiment."""

    rho: tm.Overlaps = (1.0, 0.99, 0.97, 0.94, 0.9, 0.8, 0.65, 0.4, 0.0)
    """Overlaps: cosines of the angle of rotation. 1 (shared) and 0 (the control) are required.
    Transfer falls steeply near 1."""
    groups: tuple[str, ...] = GROUPS
    """Groups of parameters to rotate: all, hidden, hidden1, ..., class_head, aux_head, heads, biases;
    all other parameters stay shared. "all" is required."""
    m: tm.Counts = (3,)
    """Numbers of auxiliary logits, each with a network of its own: its size is part of the question."""
    width: tm.Counts = (256,)
    """Widths of the hidden layers, in units."""
    depth: tm.Count = 2
    """Number of hidden layers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        layers = [f"hidden{i + 1}" for i in range(self.depth)]
        allowed = ["all", "hidden", *layers, "class_head", "aux_head", "heads", "biases"]
        if "all" not in self.groups or set(self.groups) - set(allowed):
            raise tm.UserError(
                f"groups must include all, of {', '.join(allowed)}; got {self.groups}"
            )


# Angles of 0 to 90 degrees, dense where the curve is steep.
FINE: tuple[float, ...] = (1.0, 0.998, 0.995, 0.99, 0.98, 0.97, 0.96, 0.95, 0.93, 0.91, 0.88)
FINE = (*FINE, 0.85, 0.82, 0.78, 0.74, 0.7, 0.6, 0.5, 0.35, 0.2, 0.0)
PRESETS = {
    "quick": Config(
        seeds=3, rho=(1.0, 0.97, 0.94, 0.9, 0.8, 0.0), groups=("all", "class_head", "aux_head")
    ),
    "paper": Config(**tm.CLOUD, seeds=10, rho=FINE),
    "phase": Config(groups=("all",), m=(1, 3, 10, 30, 100), width=(64, 128, 256, 512)),
}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students."""
    return {"group": tm.label_axis(config.groups), "rho": config.rho}


def student(setup: tm.Setup, group: jax.Array, rho: jax.Array) -> tm.Student:
    """A student of which one group of parameters is rotated by arccos(rho)."""
    rotated = tm.rotation(setup.network.init)(setup.reference, setup.keys.relation, rho)
    mask = tm.select_group(setup.groups, setup.config.groups, group)
    return tm.Student(start=tm.where(mask, rotated, setup.reference))


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add transfer, and the overlap at which half of it remains."""
    valid = tm.succeeded(runs)
    final = valid.isel(epoch=-1, teacher_epoch=-1)
    control = final.accuracy.sel(rho=0, group="all")
    share = tm.transfer(final.accuracy, control, final.teacher_accuracy)
    # Where distillation raises nothing (m = 1 with KL) there is similarity, but no transfer.
    learnt = (final.accuracy - valid.accuracy.isel(epoch=0)).sel(rho=1) > 0
    half = tm.half_overlaps(share).where(learnt.drop_vars("rho"))
    return runs.assign(transfer=share, rho_50=half)


def findings(runs: xr.Dataset) -> list[Any]:
    """Where half of the transfer is lost, and what remains where nothing is shared."""
    partial = [name for name in runs.group.values if name != "all"]
    return [
        *tm.compare("rho_50, the overlap at which half of the transfer remains", runs.rho_50, None),
        *tm.compare("Transfer at rho = 0", runs.transfer.sel(rho=0, group=partial, drop=True)),
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Transfer against overlap by group and through distillation; maps where m or width vary.

    What a panel does not show is held at the middle of its values.
    """
    runs = tm.succeeded(runs)
    runs = runs.assign_coords(angle=("rho", np.degrees(np.arccos(runs.rho.values))))
    runs = runs.swap_dims(rho="angle")
    middle = {name: runs[name].values[runs.sizes[name] // 2] for name in ("m", "width")}
    varied = [name for name in middle if runs.sizes[name] > 1]
    at_middle, rotated = runs.sel(middle), runs.sel(group="all")
    with tm.plotting.style():
        columns = (1.3, 1, *[1.1] * len(varied), *[1] * bool(varied))
        fig, (left, through, *maps) = tm.plotting.panels(3.4 * sum(columns), 3.4, columns)
        tm.charts.lines(left, at_middle.transfer, "angle", "group")
        tm.plotting.overlap_axis(left)
        values = ", ".join(f"{name} = {value}" for name, value in middle.items())
        task, *_, seeds = tm.plotting.caption(runs).split(", ")
        left.set(ylabel="transfer", title=f"{task}, {values}, {seeds}")
        left.legend(title="rotated")
        accuracy = at_middle.accuracy.sel(group="all").mean("seed").transpose("angle", "epoch")
        tm.plotting.heat(
            through, runs.epoch, runs.angle.values, accuracy, "distillation epoch", "test accuracy"
        )
        for ax, name in zip(maps, varied, strict=False):
            other = {key: value for key, value in middle.items() if key != name}
            surface = rotated.transfer.sel(other).mean("seed").transpose("angle", name)
            tm.plotting.heat(ax, runs[name], runs.angle.values, surface, name, "transfer")
            ax.set_title(", ".join(f"{key} = {value}" for key, value in other.items()))
        if varied:
            along, *beside = sorted(varied, key=lambda name: name != "m")
            fixed = {name: value for name, value in middle.items() if name not in varied}
            label = ", ".join(f"{name} = {{{name}}}" for name in beside)
            halves = rotated.rho_50.sel(fixed)
            tm.charts.dots(
                maps[-1], halves, along, beside, label=label, xlabel=along, ylabel="rho_50"
            )
            maps[-1].set(ylim=(-0.05, 1.05))
    return fig


sweep = tm.distillation_sweep(student, points, shapes=("m", "width"), similarity=True)
HEADLINE = ("rho_50", "transfer")
STUDY = tm.Study(
    "init_overlap", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE, takes=tm.PARTS
)

if __name__ == "__main__":
    STUDY.main()
