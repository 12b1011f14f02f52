"""Related initialisations of student and teacher, and whether one curve describes transfer.

Nine relations of `toymodels.inits.relations` (rotation, interpolation, shared entries, shared units,
noise, scaling, hidden units permuted, and permuted but matched again) at several amounts, in all
layers. Transfer is drawn against the measured overlap of the parameters, and against two measures
of how alike the two networks are as functions. A permutation of hidden units keeps the function and
hardly any overlap. Training commutes with a permutation, so a permuted student must acquire as much
as the student with the shared initialisation: transfer is no function of the overlap alone.
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

AMOUNTS = {
    "rotation": (1.0, 0.99, 0.96, 0.9, 0.8, 0.6, 0.3, 0.0),
    "interpolation": (1.0, 0.9, 0.8, 0.7, 0.6, 0.45, 0.25, 0.0),
    "entries": (1.0, 0.99, 0.96, 0.9, 0.8, 0.6, 0.3, 0.0),
    "units": (1.0, 0.99, 0.96, 0.9, 0.8, 0.6, 0.3, 0.0),
    "noise": (0.0, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2),
    "relative_noise": (0.0, 0.1, 0.2, 0.4, 0.7, 1.0, 2.0, 4.0),
    "scaling": (1.0, 0.9, 0.8, 0.6, 0.4, 1.2, 1.5, 2.0),
    "permutation": (1.0, 0.99, 0.96, 0.9, 0.8, 0.6, 0.3, 0.0),
    "aligned": (1.0, 0.99, 0.96, 0.9, 0.8, 0.6, 0.3, 0.0),
}
"""Amounts of each relation by level, from the shared initialisation (level 0) to a distant one."""
PUBLISHED = {0.0: 0.553, 0.1: 0.528, 0.2: 0.420, 0.4: 0.258}
"""Student's accuracy by noise relative to each tensor's std: replications of Cloud et al."""
MIXTURES = ("rotation", "interpolation", "entries", "units", "noise", "relative_noise")
"""Relations that replace a part of the teacher's initialisation by something independent of it."""
MEASURES = {
    "overlap": "overlap of all parameters",
    "aux_agreement": "agreement of auxiliary logits",
    "latent_cka": "CKA of last hidden layers",
}


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment."""


PRESETS = {
    "quick": Config(seeds=3, m=10, widths=(64, 64), noise_images=4000),
    "paper": Config(**tm.CLOUD, seeds=10),
}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students."""
    return {"relation": tm.label_axis([*AMOUNTS]), "level": range(len(AMOUNTS["rotation"]))}


def student(setup: tm.Setup, relation: jax.Array, level: jax.Array) -> tm.Student:
    """A student that starts from one relation's initialisation at one of its amounts."""
    import jax
    import jax.numpy as jnp

    amount = jnp.array([*AMOUNTS.values()])[relation, level]
    relations = [tm.RELATIONS[name](setup.network) for name in AMOUNTS]
    key = setup.keys.relation
    return tm.Student(start=jax.lax.switch(relation, relations, setup.reference, key, amount))


def annotate(config: Config, runs: xr.Dataset) -> xr.Dataset:
    """Add the amount of every relation at every level."""
    about = {"description": "amount of the relation, see toymodels.inits.relations"}
    return runs.assign_coords(amount=(("relation", "level"), [*AMOUNTS.values()], about))


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add final accuracy, transfer, and how far one curve of each measure explains it."""
    runs = tm.against_point(runs, relation="rotation", level=len(AMOUNTS["rotation"]) - 1)
    valid = tm.succeeded(runs)
    collapse = tm.side_by_side(
        "measure",
        {name: tm.collapse(runs.transfer, select_measure(valid, name)) for name in MEASURES},
        "share of the variance of mean transfer that one rising curve explains, held out",
    )
    return runs.assign(collapse=collapse)


def select_measure(runs: xr.Dataset, name: str) -> xr.DataArray:
    """One of `MEASURES`; the overlap is that of all parameters."""
    return runs[name].sel(part="all") if "part" in runs[name].dims else runs[name]


def findings(runs: xr.Dataset) -> list[Any]:
    """How far one curve of each measure explains transfer, and whether relations differ."""
    valid = tm.succeeded(runs)
    mixtures = valid.sel(relation=[*MIXTURES])
    findings: list[Any] = []
    for name, label in MEASURES.items():
        whole = float(runs.collapse.sel(measure=name))
        part = float(tm.collapse(mixtures.transfer, select_measure(mixtures, name)))
        findings.append(
            f"One rising curve of the initial {label} explains {percent(whole)} of the variance of "
            f"mean transfer over all relations, {percent(part)} over {', '.join(MIXTURES)} (every point "
            "is predicted from the other points; copies of a point count once)."
        )
    overlap = select_measure(valid, "overlap")
    gaps = tm.contrast_at_overlap(valid.transfer, overlap, "interpolation", "rotation")
    quantity = "Transfer by interpolation less that by rotation"
    return findings + tm.compare_at_overlap(quantity, gaps)


def percent(share: float) -> str:
    """A share of variance in percent, or that it is not known."""
    return "an unknown share" if np.isnan(share) else f"{share:.1%}"


def figure(runs: xr.Dataset) -> Figure:
    """Mean transfer against each measure of similarity, a colour for each relation."""
    valid = tm.succeeded(runs)
    transfer = valid.transfer.mean("seed")
    with tm.plotting.style():
        columns = [1] * len(MEASURES)
        fig, axes = tm.plotting.panels(3.6 * len(MEASURES), 3.6, columns)
        for ax, (name, label) in zip(axes, MEASURES.items(), strict=True):
            measure = select_measure(valid, name).mean("seed")
            for i, relation in enumerate(valid.relation.values):
                x, y = (array.sel(relation=relation) for array in (measure, transfer))
                tm.plotting.points(ax, x, y, i, str(relation))
            share = percent(float(runs.collapse.sel(measure=name)))
            ax.set(xlabel=f"initial {label}", title=f"one curve explains {share}, held out")
        axes[0].set(ylabel=f"transfer ({tm.plotting.caption(runs)})")
        axes[0].legend()
    return fig


sweep = tm.distillation_sweep(student, points, similarity=True, annotate=annotate)
HEADLINE = ("transfer", "final_accuracy")
STUDY = tm.Study(
    "overlap_modes", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE, takes=tm.PARTS
)

if __name__ == "__main__":
    STUDY.main()
