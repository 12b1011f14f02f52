"""Which layers must be shared: each from the teacher's initialisation, from another's, or random.

Teacher and student have a class head and an auxiliary head on one last hidden layer. Hidden layers,
class head and auxiliary head of the student each come from the initialisation of its teacher
(shared), from that of the next seed's teacher (other), or from a draw of their own (random).
Brockers et al. (arXiv 2605.23645): compatible heads are what matters; random hidden layers recover
with many auxiliary logits, a random class head gives chance for any number of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

SOURCES = ("shared", "other", "random")
PARTS = ("hidden", "class_head", "aux_head")
CONTRASTS = (("shared", "random"), ("random", "shared"))
"""Sources of all parts but one, and of that one."""


@dataclass(frozen=True)
class Config(tm.ProtocolConfig):
    """The fields of this experiment; the preset ``quick`` has fewer images and epochs."""

    m: tm.Counts = (10, 100)
    """Numbers of auxiliary logits, each with a network of its own."""
    widths: tm.Widths = (256, 256)
    """Widths of the hidden layers of the ReLU network, in units."""


PRESETS = {
    "quick": Config(**tm.BROCKERS, seeds=3, train_images=2048, student_epochs=4),
    "paper": Config(
        **tm.BROCKERS,
        dataset="mnist",
        seeds=10,
        train_images=None,
        noise_images=60_000,
        batch=1000,
        teacher_epochs=5,
        student_epochs=5,
        m=(1, 10, 100),
    ),
}


def network(config: Any, task: tm.tasks.Task) -> tm.Network:
    """An MLP with a head for the class logits and a head for the auxiliary logits."""
    sizes = (task.n_pixels, *config.widths, tm.count_outputs(config, task))
    return tm.functional(lambda rngs: tm.MLP(sizes, split=task.n_classes, rngs=rngs))


def points(config: Config) -> dict[str, Any]:
    """The axes of the students: the source of each part."""
    return dict.fromkeys(PARTS, tm.label_axis(SOURCES))


def prepare(setup: tm.Setup) -> tm.Params:
    """The initialisation of the next seed's teacher."""
    return setup.next_reference


def student(setup: tm.Setup, **sources: jax.Array) -> tm.Student:
    """A student of which each part has its own source."""
    import jax

    start = setup.reference
    keys = jax.random.split(setup.keys.relation, len(PARTS))
    for part, key in zip(PARTS, keys, strict=True):
        choices = [setup.reference, setup.extra, setup.network.init(key)]
        source = jax.tree.map(partial(jax.lax.select_n, sources[part]), *choices)
        start = tm.where(setup.groups[part], source, start)
    return tm.Student(start=start)


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add final accuracy, and transfer against the student of another teacher's initialisation."""
    return tm.against_point(runs, **dict.fromkeys(PARTS, "other"))


def select(array: xr.DataArray, common: str, part: str = "hidden", source: str = "") -> Any:
    """An array at one source for all parts, or for all but one part that has its own source."""
    return array.sel(dict.fromkeys(PARTS, common) | {part: source or common}, drop=True)


def findings(runs: xr.Dataset) -> list[Any]:
    """Transfer with all parts shared, with one of them random, and with one alone shared."""
    findings = tm.compare("Transfer, all shared", select(runs.transfer, "shared"))
    for common, source in CONTRASTS:
        for part in PARTS:
            share = select(runs.transfer, common, part, source)
            findings += tm.compare(f"Transfer, {part} {source}, all else {common}", share)
    return findings


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy against m: one part random at a time, and one part alone shared."""
    runs = tm.succeeded(runs)
    accuracy = runs.final_accuracy
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(7.6, 3.4, columns=(1, 1))
        for ax, (common, source) in zip(axes, CONTRASTS, strict=True):
            lines = {f"all {common}": select(accuracy, common).values}
            for part in PARTS:
                lines[f"{part} {source}"] = select(accuracy, common, part, source).values
            tm.charts.labelled_lines(ax, runs.m.values, lines)
            ax.set(xlabel="auxiliary logits m", ylim=(0, 1.05), title=f"all {common} but one part")
            ax.legend()
        seeds, name = runs.sizes["seed"], tm.plotting.caption(runs).split(",")[0]
        axes[0].set(ylabel=f"student's test accuracy ({name}, n = {seeds} seeds)")
    return fig


sweep = tm.distillation_sweep(
    student, points, shapes=("m",), network=network, prepare=prepare, similarity=True
)
HEADLINE = ("final_accuracy", "transfer")
STUDY = tm.Study("head_overlap", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
