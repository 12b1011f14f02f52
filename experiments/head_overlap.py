"""Which layers must be shared: each from the teacher's init, from another's, or drawn at random.

Teacher and student have a class head and an auxiliary head on one last hidden layer. Hidden layers,
class head and auxiliary head of the student each come from the teacher's own initialisation
(shared), from that of the next seed's teacher (other), or from a draw of their own (random).
Brockers et al. (arXiv 2605.23645): compatible heads are what matters; random hidden layers recover
with many auxiliary logits, a random class head gives chance for any number of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodels.errors import at_least, distinct
from toymodels.study import cli
from toymodels.training.config import ProtocolConfig

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

SOURCES = ("shared", "other", "random")
PARTS = ("hidden", "class_head", "aux_head")


@dataclass(frozen=True)
class Config(ProtocolConfig):
    """What is computed; the preset ``quick`` has fewer images and epochs."""

    m: tuple[int, ...] = (10, 100)
    """Numbers of auxiliary logits."""
    widths: tuple[int, ...] = (256, 256)
    """Hidden widths of the ReLU network, in units."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "m", "widths")
        distinct(self, "m")


# Section 2 of the paper: MSE, fresh noise at every step, Adam 1e-3, 60 steps of 1,000 an epoch.
BROCKERS: dict[str, Any] = {"loss": "mse", "noise": "fresh", "teacher_lr": 1e-3, "student_lr": 1e-3}
PRESETS = {
    "quick": Config(**BROCKERS, seeds=3, train_images=2048, student_epochs=4),
    "paper": Config(
        **BROCKERS,
        dataset="mnist",
        seeds=20,
        train_images=None,
        noise_images=60_000,
        batch=1000,
        teacher_epochs=5,
        student_epochs=5,
        m=(1, 3, 10, 50, 250),
    ),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (m, seed, source of each part); see `toymodels.sweep` for ``options``."""
    import jax

    from toymodels import sweep, trees
    from toymodels.measure import similarity
    from toymodels.networks.models import MLP, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import protocol, tasks
    from toymodels.training.distillation import auxiliary_logits

    config, task, data = tasks.load(config, data_dir)

    def build(m: int) -> sweep.Program:
        sizes = (task.n_pixels, *config.widths, task.n_classes + m)
        network = functional(lambda rngs: MLP(sizes, split=task.n_classes, rngs=rngs))
        parts = protocol.reference_protocol(config, task, network)
        subset = auxiliary_logits(task.n_classes, m)
        groups = parts.groups

        def prepare(data: tasks.Data, seed: jax.Array) -> Any:
            begun, curve = parts.prepare(data, seed)
            return (begun, network.init(protocol.seed_keys(seed + 1).init)), curve

        def student(data: tasks.Data, prepared: Any, **sources: jax.Array) -> dict[str, jax.Array]:
            begun, other = prepared
            init = begun.reference
            keys = jax.random.split(begun.keys.relation, len(PARTS))
            for part, key in zip(PARTS, keys, strict=True):
                choices = [begun.reference, other, network.init(key)]
                source = jax.tree.map(partial(jax.lax.select_n, sources[part]), *choices)
                init = trees.where(groups[part], source, init)
            return parts.student_from(init, data, begun, subset)

        return sweep.Program(prepare, student, {"part": list(groups)})

    dataset, execution = sweep.grid(
        build,
        shapes={"m": config.m},
        shared={"seed": config.seed_list},
        points=dict.fromkeys(PARTS, numbered(SOURCES)),
        variables=tasks.TEACHER | tasks.STUDENT | similarity.VARIABLES,
        coords=protocol.epochs(config),
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    headline = "final_accuracy transfer"
    return results.described(dataset, "head_overlap", headline, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add final accuracy and transfer."""
    from toymodels.stats import statistics, transfer

    done = statistics.succeeded(dataset).isel(epoch=-1, teacher_epoch=-1)
    control = done.accuracy.sel(hidden="other", class_head="other", aux_head="other")
    return dataset.assign(
        final_accuracy=done.accuracy.assign_attrs(description="student's final accuracy"),
        transfer=transfer.transfer(done.accuracy, control, done.teacher_accuracy),
    )


def findings(dataset: xr.Dataset) -> list[str]:
    """Transfer with all parts shared, with one of them random, and with one alone shared."""
    from toymodels.stats.sentences import by_sign

    words = ("above zero", "below zero", "not distinguishable from zero")
    told = [by_sign("Transfer, all shared", one(dataset, "shared", "shared"), words)]
    for most, single in (("shared", "random"), ("random", "shared")):
        for part in PARTS:
            subject = f"Transfer, all {most} but the {part}"
            told.append(by_sign(subject, one(dataset, most, single, part), words))
    return told


def one(dataset: xr.Dataset, most: str, single: str, part: str = "hidden") -> xr.DataArray:
    """Transfer (seed, m) with one source for all parts but one."""
    return dataset.transfer.sel(dict.fromkeys(PARTS, most) | {part: single}, drop=True)


def plot(dataset: xr.Dataset) -> Figure:
    """Accuracy against m: one part not shared at a time, and one part alone shared."""
    import numpy as np

    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    with plotting.style():
        fig, axes = plotting.panels(7.6, 3.4, columns=(1, 1))
        for ax, (most, one) in zip(axes, (("shared", "random"), ("random", "shared")), strict=True):
            lines = {f"all {most}": done.final_accuracy.sel(dict.fromkeys(PARTS, most)).values}
            for part in PARTS:
                place = dict.fromkeys(PARTS, most) | {part: one}
                lines[f"{part} {one}"] = done.final_accuracy.sel(place).values
            plotting.curves(ax, np.arange(done.sizes["m"]), lines)
            ax.set_xticks(range(done.sizes["m"]), [str(m) for m in done.m.values])
            ax.set(xlabel="auxiliary logits m", ylim=(0, 1.05), title=f"all {most} but one part")
            ax.legend()
        seeds, name = done.sizes["seed"], plotting.caption(dataset).split(",")[0]
        axes[0].set(ylabel=f"student's test accuracy ({name}, n = {seeds} seeds)")
    return fig


if __name__ == "__main__":
    cli.main("head_overlap", __doc__, PRESETS, run, plot)
