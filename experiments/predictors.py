"""Can transfer be foretold before a student is trained? Two predictors against what came of it.

Coverage: the cosine of the student's first distillation update with the teacher's displacement
(Madl 2026, arXiv 2606.22019), of the gradient itself and of Adam's update. Drift x visibility: how
far the teacher moved, times the share of its moved logits that is imitated (after Zhang & Chen
2026, arXiv 2605.29557), linearised at the student's start. Transfer varies through m, overlap,
number of noise images and the teacher's rate. Each predictor has its Spearman rank correlation over
all points of a seed, and over those that share the initialisation, which overlap can't order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from toymodels.errors import UserError, at_least, distinct, positive
from toymodels.study import cli
from toymodels.training.config import CLOUD, ProtocolConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

PREDICTORS = {
    "coverage": "coverage: cosine of the gradient step with the teacher's displacement",
    "adam_coverage": "the same of Adam's first update",
    "visible_drift": "drift x visibility",
    "drift": "teacher's displacement over its initialisation's length",
    "visibility": "share of the moved logits, squared, that is imitated",
}
AXES = ("teacher_rate", "m", "rho", "images")
HEADLINE = "rank_correlation rank_correlation_at"
PUBLISHED = 0.95
"""Spearman correlation of coverage with transfer by Madl 2026 (arXiv 2606.22019), abstract: of
another sweep, so it stands in the findings and in no figure."""


@dataclass(frozen=True)
class Config(ProtocolConfig):
    """What is computed; the preset ``quick`` has fewer values of each axis."""

    m: tuple[int, ...] = (2, 10, 100)
    """Numbers of auxiliary logits."""
    rho: tuple[float, ...] = (1.0, 0.98, 0.9, 0.0)
    """Overlaps with the teacher's initialisation; 0, the control, and 1 must be among them."""
    images: tuple[int, ...] = (100, 8000)
    """Numbers of different noise images, repeated to ``noise_images`` an epoch."""
    teacher_rate: tuple[float, ...] = (3e-4, 1e-3)
    """Adam's learning rates for the teacher, in place of ``teacher_lr``: how far it drifts."""
    widths: tuple[int, ...] = (256, 256)
    """Hidden widths of the ReLU network, in units."""
    rows: int = 1000
    """Distillation inputs on which predictors are computed."""

    @property
    def unused(self) -> frozenset[str]:
        """``teacher_lr``, for ``teacher_rate`` stands in its place."""
        return super().unused | {"teacher_lr"}

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "m", "widths", "rows")
        at_least(self, 1, "images", most=self.noise_images)
        at_least(self, -1, "rho", most=1)
        positive(self, "teacher_rate")
        distinct(self, *AXES)
        if not {0.0, 1.0} <= set(self.rho):
            raise UserError(f"rho must include 1 (shared) and 0 (the control); got {self.rho}")
        if self.noise == "fresh":
            raise UserError("noise must be fixed, for its images to be counted; got 'fresh'")


PRESETS = {
    "quick": Config(seeds=3, m=(2, 100), rho=(1.0, 0.9, 0.0), teacher_rate=(1e-3,)),
    "paper": Config(
        **CLOUD,
        m=(3, 10, 100),
        images=(1000, 60_000),
        teacher_rate=(3e-4,),
        rho=(1.0, 0.98, 0.9, 0.0),
    ),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (seed, teacher's rate, m, rho, images); see `toymodels.sweep` for ``options``."""
    import jax
    import jax.numpy as jnp
    import optax

    from toymodels import sweep
    from toymodels.inits import relations
    from toymodels.measure import predictors
    from toymodels.networks.models import MLP, Params, functional
    from toymodels.study import results
    from toymodels.training import protocol, tasks
    from toymodels.training.distillation import auxiliary_logits
    from toymodels.training.loop import reshuffle

    config, task, data = tasks.load(config, data_dir)
    most = max(config.m)
    sizes = (task.n_pixels, *config.widths, task.n_classes + most)
    network = functional(lambda rngs: MLP(sizes, rngs=rngs))
    parts = protocol.reference_protocol(config, task, network)

    def prepare(
        data: tasks.Data, seed: jax.Array, teacher_rate: jax.Array
    ) -> tuple[protocol.Lesson, dict[str, jax.Array]]:
        return replace(parts, teacher_optimiser=optax.adam(teacher_rate)).prepare(data, seed)

    def student(
        data: tasks.Data, begun: protocol.Lesson, m: jax.Array, rho: jax.Array, images: jax.Array
    ) -> dict[str, jax.Array]:
        subset = auxiliary_logits(task.n_classes, most, first=m)
        init = relations.rotation(network.init)(begun.reference, begun.keys.relation, rho)
        assert begun.answered is not None
        x, answers = jax.tree.map(lambda a: a[jnp.arange(config.rows) % images], begun.answered)
        moved = jax.tree.map(jnp.subtract, begun.teacher, begun.reference)

        def loss(params: Params) -> jax.Array:
            return parts.imitation(network.apply(params, x), answers, subset)

        drift = predictors.drift(begun.reference, moved)
        visibility = predictors.visibility(network, init, moved, x, subset)
        source = reshuffle(begun.answered, config.batch, only=images)
        watch = parts.watch(data, begun, subset)
        return parts.distil(init, begun, subset, watch, source)[1] | {
            "coverage": predictors.coverage(loss, init, moved, optax.sgd(1.0)),
            "adam_coverage": predictors.coverage(loss, init, moved, parts.student_optimiser),
            "visible_drift": drift * visibility,
            "drift": drift,
            "visibility": visibility,
        }

    dataset, execution = sweep.grid(
        lambda: sweep.Program(prepare, student),
        shared={"seed": config.seed_list, "teacher_rate": config.teacher_rate},
        points={"m": config.m, "rho": config.rho, "images": config.images},
        variables=tasks.TEACHER
        | tasks.STUDENT
        | {name: ((), "1", about) for name, about in PREDICTORS.items()},
        coords=protocol.epochs(config),
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    return results.described(dataset, "predictors", HEADLINE, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add transfer, and how each predictor ranks it: over all inputs, and for each number of them.

    No predictor sees how many inputs there are: over all numbers of inputs it cannot rank what
    their number decides.
    """
    from toymodels.measure import predictors
    from toymodels.stats import statistics, transfer

    done = statistics.succeeded(dataset).isel(epoch=-1, teacher_epoch=-1)
    # The control has no transfer by definition: it is no point of the correlation.
    share = transfer.transfer(done.accuracy, done.accuracy.sel(rho=0), done.teacher_accuracy)
    points = {"all overlaps": share.where(share.rho != 0), "rho = 1": share.where(share.rho == 1)}

    def ranked(axes: Sequence[str], description: str) -> xr.DataArray:
        return statistics.side_by_side(
            "points",
            {
                where: statistics.side_by_side(
                    "predictor",
                    {name: predictors.rank_correlation(done[name], y, axes) for name in PREDICTORS},
                    "",
                )
                for where, y in points.items()
            },
            description,
        )

    about = "Spearman's rank correlation of a predictor with transfer, over the points of a seed"
    single = [name for name in AXES if name != "images"]
    return dataset.assign(
        transfer=share,
        rank_correlation=ranked(AXES, about),
        rank_correlation_at=ranked(single, f"{about} with one number of inputs"),
    )


def findings(dataset: xr.Dataset) -> list[str]:
    """How each predictor ranks transfer, and whether coverage ranks it better.

    Of all points, and of those with one number of inputs, which no predictor sees.
    """
    from toymodels.stats import statistics

    told = []
    words = ("ranks transfer", "ranks transfer the wrong way", "shows no ranking")
    ranks = {
        f"{where}, {inputs}": rank.sel(points=where)
        for where in dataset.points.values
        for inputs, rank in ranks_by_inputs(dataset).items()
    }
    for place, rank in ranks.items():
        for name in PREDICTORS:
            interval = statistics.mean_interval(rank.sel(predictor=name).values)
            if not interval.n:
                told.append(f"{place}: {name} is the same, or transfer is, at all points.")
                continue
            known = f"; published {PUBLISHED} elsewhere" if name == "coverage" else ""
            told.append(f"{place}: {name} {interval.verdict(*words)}: Spearman {interval}{known}.")
        gap = statistics.difference(
            rank.sel(predictor="coverage"), rank.sel(predictor="visible_drift")
        )
        versus = gap.verdict("better", "worse", "no difference shown")
        told.append(f"{place}: coverage ranks against drift x visibility: {versus}, {gap}.")
    return told


def ranks_by_inputs(dataset: xr.Dataset) -> dict[str, xr.DataArray]:
    """Rank correlations (seed, points, predictor) over all numbers of inputs, and at each."""
    single = dataset.rank_correlation_at
    every = {"all numbers of inputs": dataset.rank_correlation} if single.images.size > 1 else {}
    return every | {f"{n} inputs": single.sel(images=n) for n in single.images.values}


def plot(dataset: xr.Dataset) -> Figure:
    """Mean transfer against both predictors, by number of inputs, and their correlations."""
    import xarray as xr

    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    with plotting.style():
        fig, (*axes, right) = plotting.panels(11, 3.6, columns=(1, 1, 1.1))
        for ax, name in zip(axes, ("coverage", "visible_drift"), strict=True):
            for i, n in enumerate(done.images.values):
                x, y = (done[v].sel(images=n).mean("seed") for v in (name, "transfer"))
                x, y = (array.sel(rho=array.rho != 0) for array in xr.broadcast(x, y))
                plotting.points(ax, x.values.ravel(), y.values.ravel(), i + 1, f"{n} inputs")
            ax.set(xlabel=PREDICTORS[name].partition(":")[0], ylabel="transfer (mean over seeds)")
        axes[0].set(title=plotting.caption(dataset))
        axes[0].legend()
        shown = {
            inputs: rank.sel(points="all overlaps").transpose("seed", "predictor").values
            for inputs, rank in ranks_by_inputs(dataset).items()
        }
        labels = [name.replace("_", "\n") for name in PREDICTORS]
        label = "Spearman correlation with transfer"
        plotting.intervals(right, labels, shown, "", label, joined=False)
        right.axhline(0, color="grey", lw=1)
        right.tick_params("x", labelsize=7)
        plotting.legend_beside(right)
    return fig


if __name__ == "__main__":
    cli.main("predictors", __doc__, PRESETS, run, plot)
