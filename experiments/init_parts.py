"""What of an initialisation must be shared: its signs, its magnitudes, its largest entries, a ticket.

A student has a part of its teacher's initialisation W and an independent one elsewhere: the signs
of W, its magnitudes, its largest entries, a random share of them; or the entries that are largest
in the trained teacher (the mask of a lottery ticket; Frankle & Carbin 2019, arXiv 1803.03635), or
those that the teacher's training moved most. Another student has W rotated as a whole, with its
singular values. All are compared with the rotation towards an independent initialisation at the same
measured overlap: what differs there is no matter of the overlap alone.
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
    """Add final accuracy and transfer, against the independent initialisation."""
    return tm.against_point(runs, relation="rotation", level=len(ANGLES) - 1)


def findings(runs: xr.Dataset) -> list[Any]:
    """Transfer by each part less that by the rotation at the same overlap, and at no overlap."""
    valid = tm.succeeded(runs)
    overlap, last = valid.overlap.sel(part="all", drop=True), len(ANGLES) - 1
    rows = tm.compare("Transfer, shared initialisation", valid.transfer.isel(relation=0, level=0))
    for relation in [name for name in AMOUNTS if name != "rotation"]:
        inner = slice(1, None) if relation == "signs" else slice(1, -1)
        gaps = tm.contrast_at_overlap(valid.transfer, overlap, relation, "rotation", inner)
        for level in gaps.level.values:
            gap = gaps.sel(level=level)
            if (estimate := tm.interval(gap)).mean is None:
                continue
            amount = float(valid.amount.sel(relation=relation, level=level))
            at = f"{relation} = {amount:g}, overlap = {gap.overlap.item():.2f}"
            quantity = "Transfer less that by rotation at the same overlap"
            rows.append(tm.judge(quantity, at, estimate, tm.HIGHER))
    return rows + tm.compare("Transfer", valid.transfer.sel(relation="magnitudes", level=last))


def figure(runs: xr.Dataset) -> Figure:
    """Transfer against the measured overlap, a colour for each relation."""
    valid = tm.succeeded(runs)
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(9, 3.8, columns=(1, 1))
        weights, entries = (
            ("orthogonal", "signs", "magnitudes"),
            ("entries", "largest", "ticket", "moved"),
        )
        for ax, group in zip(axes, (weights, entries), strict=True):
            for i, relation in enumerate(("rotation", *group)):
                line = valid.sel(relation=relation)
                x = line.overlap.sel(part="all").mean("seed").values
                seeds = line.transfer.transpose("seed", "level").values
                colour = tm.plotting.PALETTE[i]
                tm.plotting.means(ax, x, seeds, colour, relation, joined=True)
            ax.axhline(0, color="black", lw=0.8, ls=":")
            ax.set(xlabel="initial overlap of all parameters")
            ax.legend(loc="upper left")
        axes[0].set(ylabel="transfer", title=tm.plotting.caption(runs))
    return fig


sweep = tm.distillation_sweep(student, points, similarity=True, annotate=annotate)
HEADLINE = ("transfer", "final_accuracy")
STUDY = tm.Study("init_parts", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
