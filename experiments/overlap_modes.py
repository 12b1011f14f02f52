"""Ways for a student's init to resemble its teacher's, and whether they fall on one curve.

Every relation of `toymodels.inits.relations` (rotation, interpolation, shared entries, shared units, noise,
scaling, hidden units permuted, and permuted but matched again) at several amounts, in all layers.
Transfer is drawn against the *measured* overlap of the parameters, and against how alike the two
networks are as functions. A permutation changes no function and keeps hardly any overlap: training
commutes with it, so it must transfer in full, and overlap of parameters alone can't be the law.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toymodels.study import cli
from toymodels.training.config import CLOUD, NetworkConfig

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

# Amounts of each relation, from the shared init (level 0) to nearly nothing of it.
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
PUBLISHED = {0.0: 0.553, 0.1: 0.528, 0.2: 0.420, 0.4: 0.258}
"""Student's accuracy by noise relative to each tensor's std: replications of Cloud et al."""
MIXED = ("rotation", "interpolation", "entries", "units", "noise", "relative_noise")
"""Relations in which part of W gives way to something independent of it."""
MEASURES = {
    "overlap": "overlap of all parameters",
    "aux_agreement": "agreement of auxiliary logits",
    "latent_cka": "CKA of last hidden layers",
}


@dataclass(frozen=True)
class Config(NetworkConfig):
    """What is computed; the preset ``quick`` has smaller networks and fewer images."""


PRESETS = {
    "quick": Config(seeds=3, m=10, widths=(64, 64), noise_images=4000),
    "paper": Config(**CLOUD, seeds=10),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (seed, relation, level); see `toymodels.sweep` for ``options``."""
    import jax
    import jax.numpy as jnp

    from toymodels import sweep
    from toymodels.inits.relations import RELATIONS
    from toymodels.measure import similarity
    from toymodels.networks.models import MLP, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import protocol, tasks
    from toymodels.training.distillation import auxiliary_logits

    config, task, data = tasks.load(config, data_dir)
    sizes = (task.n_pixels, *config.widths, task.n_classes + config.m)
    network = functional(lambda rngs: MLP(sizes, rngs=rngs))
    parts = protocol.reference_protocol(config, task, network)
    subset = auxiliary_logits(task.n_classes, config.m)
    relations = [RELATIONS[name](network) for name in AMOUNTS]
    amounts = jnp.array(list(AMOUNTS.values()))

    def student(
        data: tasks.Data, begun: protocol.Lesson, relation: jax.Array, level: jax.Array
    ) -> dict[str, jax.Array]:
        reference, amount = begun.reference, amounts[relation, level]
        init = jax.lax.switch(relation, relations, reference, begun.keys.relation, amount)
        return parts.student_from(init, data, begun, subset)

    dataset, execution = sweep.grid(
        lambda: sweep.Program(parts.prepare, student),
        shared={"seed": config.seed_list},
        points={
            "relation": numbered(list(AMOUNTS)),
            "level": range(amounts.shape[1]),
        },
        variables=tasks.TEACHER | tasks.STUDENT | similarity.VARIABLES,
        coords={**protocol.epochs(config), "part": list(parts.groups)},
        data=data,
        precision=config.precision,
        options=options,
    )
    about = {"description": "amount of the relation, see toymodels.inits.relations"}
    table = (("relation", "level"), list(AMOUNTS.values()), about)
    dataset = dataset.assign_coords(amount=table)
    dataset = derived(dataset)
    headline = "transfer final_accuracy"
    return results.described(dataset, "overlap_modes", headline, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add final accuracy, transfer, and how far one curve of each measure explains it."""
    from toymodels.stats import statistics, transfer

    done = statistics.succeeded(dataset)
    last = done.isel(epoch=-1, teacher_epoch=-1)
    control = last.accuracy.sel(relation="rotation", level=len(AMOUNTS["rotation"]) - 1)
    share = transfer.transfer(last.accuracy, control, last.teacher_accuracy)
    known = {"description": "student's final test accuracy"}
    collapse = statistics.side_by_side(
        "measure",
        {name: transfer.collapse(share, measure(done, name)) for name in MEASURES},
        "share of the variance of mean transfer that one rising curve explains, held out",
    )
    return dataset.assign(
        final_accuracy=last.accuracy.assign_attrs(known), transfer=share, collapse=collapse
    )


def findings(dataset: xr.Dataset) -> list[str]:
    """How far one curve of each measure explains transfer, and where interpolation lies above it.

    Over all relations, and over those that mix W with something independent of it.
    """
    from toymodels.stats import statistics
    from toymodels.stats.transfer import collapse

    mixed = statistics.succeeded(dataset).sel(relation=list(MIXED))
    told = []
    for name, label in MEASURES.items():
        every = float(dataset.collapse.sel(measure=name))
        some = float(collapse(mixed.transfer, measure(mixed, name)))
        told.append(
            f"One rising curve of the initial {label} explains {share_told(every)} of the variance "
            f"of mean transfer over all relations, {share_told(some)} over {', '.join(MIXED)} "
            "(each point foretold by the others, copies of a point counted once)."
        )
    for overlap, gap in interpolation_above_rotation(dataset).items():
        found = statistics.mean_interval(gap.values)
        if found.mean is None:
            continue
        word = found.verdict("above", "below", "no difference shown")
        told.append(
            f"At overlap {overlap:.2f}, transfer of interpolation against that of rotation: "
            f"{word}, {found}."
        )
    return told


def share_told(share: float) -> str:
    """A share of variance in percent, or that it is not known."""
    return f"{share:.1%}" if share == share else "an unknown share"


def interpolation_above_rotation(dataset: xr.Dataset) -> dict[float, xr.DataArray]:
    """Mean overlap of each interpolation -> its transfer less rotation's there, (seed,).

    Rotation's transfer is interpolated linearly in the angle between two amounts, seed by seed. The
    ends, where both relations are the same, are left out.
    """
    import numpy as np
    import xarray as xr

    from toymodels.stats import statistics

    done = statistics.succeeded(dataset)
    angle: xr.DataArray = xr.apply_ufunc(np.arccos, measure(done, "overlap").clip(-1, 1))

    def at(angle: np.ndarray, angles: np.ndarray, transfer: np.ndarray) -> float:
        order = np.argsort(angles)
        return float(np.interp(angle, angles[order], transfer[order], left=np.nan, right=np.nan))

    rotation, mixed = (
        {"angle": angle.sel(relation=name, drop=True), "share": done.transfer.sel(relation=name)}
        for name in ("rotation", "interpolation")
    )
    beside = xr.apply_ufunc(
        at,
        mixed["angle"].isel(level=slice(1, -1)),
        rotation["angle"].rename(level="amounts"),
        rotation["share"].rename(level="amounts"),
        input_core_dims=[[], ["amounts"], ["amounts"]],
        vectorize=True,
    )
    gap = mixed["share"] - beside
    overlap = measure(done, "overlap").sel(relation="interpolation").mean("seed")
    return {float(overlap.sel(level=level)): gap.sel(level=level) for level in gap.level}


def measure(dataset: xr.Dataset, name: str) -> xr.DataArray:
    """One of `MEASURES`: the overlap is that of all parameters."""
    return dataset[name].sel(part="all") if "part" in dataset[name].dims else dataset[name]


def plot(dataset: xr.Dataset) -> Figure:
    """Mean transfer against each measure of likeness, a colour for each relation."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    with plotting.style():
        fig, axes = plotting.panels(3.6 * len(MEASURES), 3.6, columns=[1] * len(MEASURES))
        for ax, (name, label) in zip(axes, MEASURES.items(), strict=True):
            x, y = (array.mean("seed") for array in (measure(done, name), done.transfer))
            for i, relation in enumerate(done.relation.values):
                here = {"relation": relation}
                plotting.points(ax, x.sel(here), y.sel(here), i, str(relation))
            share = share_told(float(dataset.collapse.sel(measure=name)))
            ax.set(xlabel=f"initial {label}", title=f"one curve explains {share}, held out")
        axes[0].set(ylabel=f"transfer ({plotting.caption(dataset)})")
        axes[0].legend()
    return fig


if __name__ == "__main__":
    cli.main("overlap_modes", __doc__, PRESETS, run, plot)
