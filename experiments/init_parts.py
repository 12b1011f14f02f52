"""What of an initialisation must be shared: its signs, its magnitudes, its largest entries, a ticket.

A student has a part of its teacher's initialisation W and an independent one elsewhere: the signs
of W, its magnitudes, its largest entries, a random share of them; or the entries that are largest
in the trained teacher (the mask of a lottery ticket; Frankle & Carbin 2019, arXiv 1803.03635), or
those that the teacher's training moved most. Another student has W rotated as a whole, with its
singular values. All are compared with the rotation towards an independent initialisation at the same
measured overlap: what differs there is no matter of the overlap alone. A mask that is found from the
teacher tells of its task: such a student may read it before it is distilled (Zhou et al. 2019, arXiv
1905.01067). What is compared is therefore the accuracy that distillation adds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

ANGLES = (1.0, 0.97, 0.9, 0.75, 0.5, 0.0)
SHARES = (1.0, 0.6, 0.35, 0.2, 0.08, 0.0)
AMOUNTS = {
    "rotation": ANGLES,
    "orthogonal": ANGLES,
    "entries": ANGLES,
    "largest": SHARES,
    "ticket": SHARES,
    "moved": SHARES,
    "signs": (1.0, 0.9, 0.7, 0.5, 0.25, 0.0),
    "magnitudes": ANGLES,
}
"""Amounts of each relation by level, from the shared initialisation (level 0) on: rho of a rotation,
or the share of the entries that is kept. ticket: the largest entries of the trained teacher; moved: those
that its training moved most."""


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment."""


PRESETS = {
    "quick": Config(seeds=3, m=10, widths=(64, 64), noise_images=4000),
    "paper": Config(**tm.CLOUD, seeds=10),
}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students."""
    return {"relation": tm.label_axis([*AMOUNTS]), "level": range(len(ANGLES))}


def student(setup: tm.Setup, relation: jax.Array, level: jax.Array) -> tm.Student:
    """A student that starts with one part of its teacher's initialisation."""
    import jax
    import jax.numpy as jnp

    moved = jax.tree.map(jnp.subtract, setup.teacher, setup.reference)
    scores = {"ticket": setup.teacher, "moved": moved}

    def relate(name: str) -> Any:
        if name not in scores:
            return tm.RELATIONS[name](setup.network)
        size = jax.tree.map(jnp.abs, scores[name])
        return lambda init, key, share: tm.keep_largest(init, setup.network.init(key), size, share)

    amount = jnp.array([*AMOUNTS.values()])[relation, level]
    relations = [relate(name) for name in AMOUNTS]
    key = setup.keys.relation
    return tm.Student(start=jax.lax.switch(relation, relations, setup.reference, key, amount))


def annotate(config: Config, runs: xr.Dataset) -> xr.Dataset:
    """Add the amount of every relation at every level."""
    about = {"description": "amount of the relation: rho, or the share of the entries"}
    return runs.assign_coords(amount=(("relation", "level"), [*AMOUNTS.values()], about))


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add final accuracy, transfer against the independent initialisation, and gained accuracy."""
    runs = tm.against_point(runs, relation="rotation", level=len(ANGLES) - 1)
    gain = runs.final_accuracy - tm.succeeded(runs).accuracy.isel(epoch=0, drop=True)
    about = "test accuracy that distillation adds to that of the student's start"
    return runs.assign(gain=gain.assign_attrs(units="1", description=about))


def findings(runs: xr.Dataset) -> list[Any]:
    """What distillation adds, less what it adds to the rotation at the same overlap.

    Between its amounts the rotation is interpolated, which may be wrong by 0.03 where it is steep.
    """
    valid = tm.succeeded(runs)
    overlap = valid.overlap.sel(part="all", drop=True)
    masks = valid.accuracy.isel(epoch=0, drop=True).sel(relation=["ticket", "moved"])
    shared = valid.transfer.isel(relation=0, level=0, drop=True)
    rows = tm.compare("Transfer, shared initialisation", shared)
    rows += tm.compare("Test accuracy before distillation", masks, None)
    for relation in [name for name in AMOUNTS if name != "rotation"]:
        inner = slice(1, None) if relation == "signs" else slice(1, -1)
        gaps = tm.contrast_at_overlap(valid.gain, overlap, relation, "rotation", inner)
        names = {i: f"{relation} = {amount:g}" for i, amount in enumerate(AMOUNTS[relation])}
        quantity = "Gained accuracy less that by rotation at the same overlap"
        rows += tm.compare_at_overlap(quantity, gaps, names)
    return rows


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy that distillation adds, and accuracy before it, against the measured overlap."""
    valid = tm.succeeded(runs)
    weights, entries = (
        ("orthogonal", "signs", "magnitudes"),
        ("entries", "largest", "ticket", "moved"),
    )
    start = valid.accuracy.isel(epoch=0)
    panels = (
        (weights, valid.gain, "accuracy that distillation adds"),
        (entries, valid.gain, "accuracy that distillation adds"),
        (entries, start, "accuracy before distillation"),
    )
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(12, 3.8, columns=(1, 1, 1))
        for ax, (group, array, label) in zip(axes, panels, strict=True):
            lines = array.sel(relation=["rotation", *group])
            x = valid.overlap.sel(relation=lines.relation, part="all").mean("seed")
            look: dict[str, Any] = {"at": x.transpose("relation", "level"), "joined": True}
            tm.charts.means(ax, lines, "level", "relation", colours=tm.plotting.PALETTE, **look)
            ax.set(xlabel="initial overlap of all parameters", ylabel=label, ylim=(-0.08, 0.6))
            ax.axhline(0, color="black", lw=0.8, ls=":")
            ax.legend(loc="upper left")
        axes[0].set_title(tm.plotting.caption(runs))
    return fig


sweep = tm.distillation_sweep(student, points, similarity=True, annotate=annotate)
HEADLINE = ("transfer", "final_accuracy")
STUDY = tm.Study("init_parts", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
