"""Whether transfer can be predicted before a student is trained: two predictors against the outcome.

Coverage is the cosine between the student's first distillation update and the teacher's displacement
(Madl 2026, arXiv 2606.22019), for the gradient and for Adam's update. Drift x visibility is the norm
of the teacher's displacement, times the fraction of its effect on the logits that the student
imitates (after Zhang & Chen 2026, arXiv 2605.29557), linearised at the student's initialisation.
Transfer varies with m, overlap, number of noise images and the teacher's learning rate. Spearman's
rank correlation of each predictor with transfer is computed over all points of a seed, and over the
points with the shared initialisation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

PREDICTORS = {
    "coverage": "coverage: cosine of the gradient step with the teacher's displacement",
    "adam_coverage": "coverage of Adam's first update",
    "visible_drift": "drift x visibility",
    "drift": "norm of the teacher's displacement over that of its initialisation",
    "visibility": "fraction of the squared change of the logits that is imitated",
}
AXES = ("teacher_rate", "m", "rho", "images")
"""Axes over which points are ranked; no predictor depends on the last."""
PUBLISHED = 0.95
"""Spearman correlation of coverage with transfer by Madl 2026 (arXiv 2606.22019), abstract: of
another sweep, so it stands in the findings and in no figure."""


@dataclass(frozen=True)
class Config(tm.ProtocolConfig):
    """The fields of this experiment."""

    m: tm.Counts = (2, 10, 100)
    """Numbers of auxiliary logits."""
    rho: tm.Overlaps = (1.0, 0.98, 0.9, 0.0)
    """Overlaps of the student's initialisation with the teacher's. 1 (shared) and 0 (the control) are
    required."""
    images: tm.Counts = (100, 8000)
    """Numbers of distinct noise images, repeated to ``noise_images`` an epoch."""
    teacher_rate: tm.Rates = (3e-4, 1e-3)
    """Learning rates of Adam for the teacher, in place of ``teacher_lr``; they set its drift."""
    widths: tm.Widths = (256, 256)
    """Widths of the hidden layers of the ReLU network, in units."""
    rows: tm.Count = 1000
    """Number of distillation inputs on which predictors are computed."""
    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, whose images are counted."""

    @property
    def unused(self) -> frozenset[str]:
        """``teacher_lr``, which ``teacher_rate`` replaces."""
        return super().unused | {"teacher_lr"}

    def __post_init__(self) -> None:
        super().__post_init__()
        if max(self.images) > self.noise_images:
            raise tm.UserError(f"images must be at most {self.noise_images}; got {self.images}")


PRESETS = {
    "quick": Config(seeds=3, m=(2, 100), rho=(1.0, 0.9, 0.0), teacher_rate=(1e-3,)),
    "paper": Config(
        **tm.CLOUD,
        m=(3, 10, 100),
        images=(1000, 60_000),
        teacher_rate=(3e-4,),
        rho=(1.0, 0.98, 0.9, 0.0),
    ),
}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students."""
    return {"m": config.m, "rho": config.rho, "images": config.images}


def teachers(config: Config) -> dict[str, Any]:
    """The axes of the teachers."""
    return {"seed": config.seed_list, "teacher_rate": config.teacher_rate}


def teach(
    protocol: tm.Protocol, config: Config, data: Any, seed: jax.Array, teacher_rate: jax.Array
) -> Any:
    """Train a teacher at one of the learning rates."""
    import optax

    return replace(protocol, teacher_optimiser=optax.adam(teacher_rate)).prepare(data, seed)


def student(setup: tm.Setup, m: jax.Array, rho: jax.Array, images: jax.Array) -> tm.Student:
    """A student at one overlap of the first m auxiliary logits on the first noise images."""
    import jax
    import jax.numpy as jnp
    import optax

    config, logits, network = setup.config, setup.auxiliary(m), setup.network
    start = tm.rotation(network.init)(setup.reference, setup.keys.relation, rho)
    displacement = jax.tree.map(jnp.subtract, setup.teacher, setup.reference)
    rows = jnp.arange(config.rows) % images
    x, answers = setup.inputs[rows], setup.answers[rows]

    def loss(params: tm.Params) -> jax.Array:
        return setup.protocol.imitation(network.apply(params, x), answers, logits)

    def cover(optimiser: optax.GradientTransformation) -> jax.Array:
        return tm.predictors.coverage(loss, start, displacement, optimiser)

    drift = tm.predictors.drift(setup.reference, displacement)
    visibility = tm.predictors.visibility(network, start, displacement, x, logits)
    return tm.Student(
        start,
        logits,
        batches=tm.reshuffle(setup.lesson.answered, config.batch, only=images),
        record={
            "coverage": cover(optax.sgd(1.0)),
            "adam_coverage": cover(setup.protocol.student_optimiser),
            "visible_drift": drift * visibility,
            "drift": drift,
            "visibility": visibility,
        },
    )


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add transfer, and its rank correlations: over all inputs, and for each number of them.

    No predictor depends on the number of inputs, so over all numbers of inputs no predictor can rank
    the differences in transfer that it causes.
    """
    final = tm.succeeded(runs).isel(epoch=-1, teacher_epoch=-1)
    share = tm.transfer(final.accuracy, final.accuracy.sel(rho=0), final.teacher_accuracy)
    # The control has no transfer by definition: it is no point of the correlation.
    subsets = {"all overlaps": share.where(share.rho != 0), "rho = 1": share.where(share.rho == 1)}
    outcomes = tm.side_by_side("points", subsets, "transfer")
    predictors = tm.side_by_side("predictor", {name: final[name] for name in PREDICTORS}, "")

    def correlate(axes: tuple[str, ...], description: str) -> xr.DataArray:
        correlation = tm.predictors.rank_correlation(predictors, outcomes, axes)
        correlation.attrs["description"] = description
        return correlation.transpose("points", "predictor", ...)

    description = "Spearman's rank correlation of a predictor with transfer, over a seed's points"
    return runs.assign(
        transfer=share,
        rank_correlation=correlate(AXES, description),
        rank_correlation_at=correlate(AXES[:-1], f"{description} with one number of inputs"),
    )


def correlations_by_inputs(runs: xr.Dataset) -> dict[str, xr.DataArray]:
    """Rank correlations (seed, points, predictor) over all numbers of inputs, and at each."""
    single = runs.rank_correlation_at
    pooled = {"all numbers of inputs": runs.rank_correlation} if single.images.size > 1 else {}
    return pooled | {f"{n} inputs": single.sel(images=n, drop=True) for n in single.images.values}


def findings(runs: xr.Dataset) -> list[Any]:
    """How each predictor ranks transfer, and whether coverage ranks it better."""
    constant = "undefined, since the predictor or transfer does not vary"
    words = ("ranks transfer", "ranks transfer in reverse order", "no ranking shown")
    rows: list[Any] = []
    for inputs, rank in correlations_by_inputs(runs).items():
        rank = rank.transpose("seed", "points", "predictor")
        rows += [
            row if row.estimate.n else row._replace(verdict=constant)
            for row in tm.compare(f"Spearman correlation with transfer, {inputs}", rank, words)
        ]
        gap = rank.sel(predictor="coverage", drop=True)
        gap = gap - rank.sel(predictor="visible_drift", drop=True)
        quantity = f"Spearman correlation of coverage less that of drift x visibility, {inputs}"
        rows += tm.compare(quantity, gap, ("better", "worse", "no difference shown"))
    return [
        *rows,
        f"Published Spearman correlation of coverage with transfer, over another sweep: {PUBLISHED}.",
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Mean transfer against both predictors, by number of inputs, and their correlations."""
    import xarray as xr

    valid = tm.succeeded(runs)
    with tm.plotting.style():
        fig, (*axes, right) = tm.plotting.panels(11, 3.6, columns=(1, 1, 1.1))
        for ax, name in zip(axes, ("coverage", "visible_drift"), strict=True):
            for i, n in enumerate(valid.images.values):
                x, y = (valid[v].sel(images=n).mean("seed") for v in (name, "transfer"))
                x, y = (array.sel(rho=array.rho != 0) for array in xr.broadcast(x, y))
                tm.plotting.points(ax, x.values.ravel(), y.values.ravel(), i + 1, f"{n} inputs")
            ax.set(xlabel=PREDICTORS[name].partition(":")[0], ylabel="transfer (mean over seeds)")
        axes[0].set(title=tm.plotting.caption(runs))
        axes[0].legend()
        correlations = {
            inputs: rank.sel(points="all overlaps").transpose("seed", "predictor").values
            for inputs, rank in correlations_by_inputs(runs).items()
        }
        labels = [name.replace("_", "\n") for name in PREDICTORS]
        label = "Spearman correlation with transfer"
        tm.plotting.intervals(right, labels, correlations, "", label, joined=False)
        right.axhline(0, color="grey", lw=1)
        right.tick_params("x", labelsize=7)
        tm.plotting.legend_beside(right)
    return fig


sweep = tm.distillation_sweep(
    student,
    points,
    shared=teachers,
    teach=teach,
    variables={name: ((), "1", about) for name, about in PREDICTORS.items()},
)
HEADLINE = ("rank_correlation", "rank_correlation_at")
STUDY = tm.Study("predictors", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
