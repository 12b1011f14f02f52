"""How transfer depends on how much of its initialisation the student shares with its teacher.

The student starts from rho W + sqrt(1 - rho^2) W', W the teacher's initialisation and W' another: a
rotation, which keeps the law of the initialisation and makes the overlap rho the only thing that
varies; in all layers, or in one group of parameters alone. Students of a seed are paired: the same
teacher, noise, order of batches and W' at every rho. Transfer is the student's accuracy above the
control's (rho = 0 everywhere), over the teacher's above it; rho_50 is where it has fallen to half.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toymodels.errors import UserError, at_least, distinct
from toymodels.study import cli
from toymodels.training.config import CLOUD, Protocol

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import How

GROUPS = ("all", "hidden", "hidden1", "hidden2", "class_head", "aux_head")


@dataclass(frozen=True)
class Config(Protocol):
    """What is computed; the preset ``quick`` has fewer overlaps and groups."""

    rho: tuple[float, ...] = (1.0, 0.99, 0.97, 0.94, 0.9, 0.8, 0.65, 0.4, 0.0)
    """Overlaps, cosines of the angle of rotation; 1 (shared) and 0 (the control) must be among
    them. Transfer falls steeply near 1."""
    groups: tuple[str, ...] = GROUPS
    """Parameters that are rotated: all, hidden, hidden1, ..., class_head, aux_head, heads, biases;
    the others stay shared. "all" must be among them."""
    m: tuple[int, ...] = (3,)
    """Numbers of auxiliary logits."""
    width: tuple[int, ...] = (256,)
    """Widths of the hidden layers, in units."""
    depth: int = 2
    """Number of hidden layers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "m", "width", "depth")
        at_least(self, -1, "rho", most=1)
        distinct(self, "rho", "groups", "m", "width")
        if not {0.0, 1.0} <= set(self.rho):
            raise UserError(f"rho must include 1 (shared) and 0 (the control); got {self.rho}")
        parts = [f"hidden{i + 1}" for i in range(self.depth)]
        allowed = ["all", "hidden", *parts, "class_head", "aux_head", "heads", "biases"]
        if "all" not in self.groups or set(self.groups) - set(allowed):
            raise UserError(f"groups must include all, of {', '.join(allowed)}; got {self.groups}")


# Angles of 0 to 90 degrees, dense where the curve is steep.
FINE: tuple[float, ...] = (1.0, 0.998, 0.995, 0.99, 0.98, 0.97, 0.96, 0.95, 0.93, 0.91, 0.88)
FINE = (*FINE, 0.85, 0.82, 0.78, 0.74, 0.7, 0.6, 0.5, 0.35, 0.2, 0.0)
PRESETS = {
    "quick": Config(
        seeds=3, rho=(1.0, 0.97, 0.94, 0.9, 0.8, 0.0), groups=("all", "class_head", "aux_head")
    ),
    "paper": Config(**CLOUD, seeds=10, rho=FINE),
    "phase": Config(groups=("all",), m=(1, 3, 10, 30, 100), width=(64, 128, 256, 512)),
}


def run(config: Config, *, data_dir: Path | None = None, how: How | None = None) -> xr.Dataset:
    """Run every (m, width, seed, group, rho); see `toymodels.sweep` for ``how``."""
    from toymodels import sweep, trees
    from toymodels.inits import relations
    from toymodels.measure import similarity
    from toymodels.networks.groups import select_group
    from toymodels.networks.models import MLP, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import protocol
    from toymodels.training.distillation import auxiliary_logits

    config, task, data = protocol.load(config, data_dir)

    def build(m: int, width: int) -> sweep.Program:
        sizes = (task.n_pixels, *[width] * config.depth, task.n_classes + m)
        network = functional(lambda rngs: MLP(sizes, rngs=rngs))
        parts = protocol.parts(config, task, network)
        subset, groups = auxiliary_logits(task.n_classes, m), parts.groups
        rotate = relations.rotation(network.init)

        def student(
            data: protocol.Data, begun: protocol.Begun, group: jax.Array, rho: jax.Array
        ) -> dict[str, jax.Array]:
            reference = begun.reference
            rotated = rotate(reference, begun.keys.relation, rho)
            init = trees.where(select_group(groups, config.groups, group), rotated, reference)
            return parts.student_from(init, data, begun, subset)

        return sweep.Program(parts.begin, student, {"part": list(groups)})

    dataset, execution = sweep.grid(
        build,
        shapes={"m": config.m, "width": config.width},
        shared={"seed": config.seed_list},
        points={"group": numbered(config.groups), "rho": config.rho},
        variables=protocol.TEACHER | protocol.STUDENT | similarity.VARIABLES,
        coords=protocol.epochs(config),
        data=data,
        precision=config.precision,
        how=how,
    )
    dataset = derived(dataset)
    headline = "rho_50 transfer"
    return results.described(dataset, "init_overlap", headline, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add transfer, and the overlap at which half of it is left."""
    from toymodels.stats import statistics, transfer

    done = statistics.succeeded(dataset)
    last = done.isel(epoch=-1, teacher_epoch=-1)
    control = last.accuracy.sel(rho=0, group="all")
    share = transfer.transfer(last.accuracy, control, last.teacher_accuracy)
    # Where distillation raises nothing (m = 1 with KL) there is likeness, but no transfer.
    gained = (last.accuracy - done.accuracy.isel(epoch=0)).sel(rho=1) > 0
    half = transfer.half_overlaps(share).where(gained.drop_vars("rho"))
    return dataset.assign(transfer=share, rho_50=half)


def findings(dataset: xr.Dataset) -> list[str]:
    """Where half of the transfer is lost, and what is left where nothing is shared."""
    from toymodels.stats.sentences import by_sign, points
    from toymodels.stats.statistics import mean_interval

    halves = [
        f"{name or 'all'} {mean_interval(part.values)}" for name, part in points(dataset.rho_50)
    ]
    left = dataset.transfer.sel(rho=0, group=[g for g in dataset.group.values if g != "all"])
    words = ("above zero", "below zero", "not distinguishable from zero")
    return [
        f"Overlap at which half of the transfer is left, rho_50: {'; '.join(halves)}.",
        *([by_sign("Transfer at rho = 0", left, words)] if left.size else []),
    ]


def plot(dataset: xr.Dataset) -> Figure:
    """Transfer against overlap by group and through distillation, and maps where m or width vary.

    What a panel does not show is held at the middle of its values.
    """
    import numpy as np

    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    angle = np.degrees(np.arccos(done.rho.values))
    middle = {name: done[name].values[done.sizes[name] // 2] for name in ("m", "width")}
    grown = [name for name in middle if done.sizes[name] > 1]
    with plotting.style():
        columns = (1.3, 1, *[1.1] * len(grown), *[1] * bool(grown))
        fig, axes = plotting.panels(3.4 * sum(columns), 3.4, columns)
        here, (left, through, *maps) = done.sel(middle), axes
        curves = {str(name): here.transfer.sel(group=name).values for name in done.group.values}
        plotting.curves(left, angle, curves)
        plotting.overlap_axis(left)
        held = ", ".join(f"{name} = {value}" for name, value in middle.items())
        task, *_, seeds = plotting.caption(dataset).split(", ")
        left.set(ylabel="transfer", title=f"{task}, {held}, {seeds}")
        left.legend(title="rotated")
        accuracy = here.accuracy.sel(group="all").mean("seed").transpose("rho", "epoch")
        plotting.heat(through, done.epoch, angle, accuracy, "distillation epoch", "test accuracy")
        everything = done.sel(group="all")
        for ax, name in zip(maps, grown, strict=False):
            other = {key: value for key, value in middle.items() if key != name}
            surface = everything.transfer.sel(other).mean("seed").transpose("rho", name)
            plotting.heat(ax, done[name], angle, surface, name, "transfer")
            ax.set_title(", ".join(f"{key} = {value}" for key, value in other.items()))
        if grown:
            along, *beside = sorted(grown, key=lambda name: name != "m")
            lines = {
                ", ".join(
                    f"{k} = {v}" for k, v in zip(beside, at, strict=True)
                ): everything.rho_50.sel(
                    middle | dict(zip(beside, at, strict=True)) | {along: done[along].values}
                )
                .transpose("seed", along)
                .values
                for at in itertools.product(*(done[name].values for name in beside))
            }
            plotting.intervals(axes[-1], done[along].values, lines, along, "rho_50")
            axes[-1].set(ylim=(-0.05, 1.05))
    return fig


if __name__ == "__main__":
    cli.main("init_overlap", __doc__, PRESETS, run, plot)
