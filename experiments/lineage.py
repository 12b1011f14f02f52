"""Which of N candidate teachers taught a student, and which measurements identify it.

The candidates of the family ``inits`` have N initialisations, and the same images in the same order;
``siblings`` share one initialisation, and differ in their random half of the images and its order.
Each candidate teaches a student that starts from rho W + sqrt(1 - rho^2) V, where W is its teacher's
initialisation and V the same for all. Probes of weights, representations and outputs
(`toymodels.training.lineage`) select a candidate before distillation, from the initialisation alone,
and after it. Chance is 1 / N. Students are traced in this way in an autoencoder by openreview
owvbayFmdV; leakage differs by seed in Okatan et al. 2025 (arXiv 2511.01023).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal

import toymodels as tm
from toymodels.errors import at_least

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

Family = Literal["inits", "siblings"]
FAMILIES: tuple[Family, ...] = ("inits", "siblings")
MOMENTS = ["before", "after"]
"""Moments of measurement, relative to distillation."""
INPUTS = ["noise", "images"]
"""Inputs on which networks are compared: unseen noise, or training images."""
VARIABLES = {
    "teacher_accuracy": (("candidate", "teacher_epoch"), "1", "teachers' test accuracy"),
    "score": (
        ("moment", "candidate", "probe", "inputs", "queries"),
        "1",
        "similarity of the student to each candidate, see toymodels.training.lineage",
    ),
    "readable": (("moment",), "1", "test accuracy of a linear probe on the last hidden layer"),
    "teacher_loss": None,
}


@dataclass(frozen=True)
class Config(tm.ProtocolConfig):
    """The fields of this experiment."""

    teachers: Annotated[int, tm.Range(2)] = 6
    """Number of candidate teachers."""
    families: tuple[Family, ...] = FAMILIES
    """Differences between candidates: initialisation (inits), or images and their order (siblings)."""
    m: tm.Counts = (3, 10, 100)
    """Numbers of auxiliary logits."""
    rho: Annotated[tuple[float, ...], tm.Range(-1, 1)] = (1.0, 0.9, 0.0)
    """Overlaps of the student's initialisation with its own teacher's."""
    width: tm.Counts = (256,)
    """Widths of the two hidden layers, in units."""
    queries: tm.Counts = (1, 10, 100)
    """Numbers of inputs on which networks are compared."""
    directions: tm.Count = 8
    """Number of principal directions that span the subspace of a last hidden layer."""
    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, the same for all candidates."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 2, "train_images")  # a sibling learns half of them


PRESETS = {
    "quick": Config(seeds=3, m=(3, 100), rho=(1.0,), student_epochs=5),
    "paper": Config(**tm.CLOUD, seeds=10, teachers=6, m=(3, 100), rho=(1.0,)),
    "width": Config(seeds=3, m=(3,), rho=(1.0,), width=(32, 64, 128, 256, 512)),
}


def teachers(config: Config) -> dict[str, Any]:
    """The axes of the teachers: each family has candidates of its own."""
    return {"family": {name: FAMILIES.index(name) for name in config.families}}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students: ``source`` is the candidate that teaches."""
    return {"source": range(config.teachers), "m": config.m, "rho": config.rho}


def teach(
    protocol: tm.Protocol, config: Config, data: Any, seed: jax.Array, family: jax.Array
) -> tuple[tm.protocol.Lesson, dict[str, jax.Array]]:
    """Train all candidates; reference, teacher and answers have the leading axis (candidates,)."""
    import jax

    keys, siblings = tm.protocol.seed_keys(seed), family == FAMILIES.index("siblings")
    references, candidates, curve = tm.lineage.teach_candidates(
        protocol, data, keys, config.teachers, siblings
    )

    def answer(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        return x, jax.lax.map(lambda teacher: protocol.network.apply(teacher, x), candidates)

    answered = answer(protocol.noise(keys.noise, config.noise_images))
    held_out = answer(protocol.noise(keys.probe, max(*config.queries, 1000)))
    lesson = tm.protocol.Lesson(references, candidates, answered, held_out, keys)
    return lesson, {"teacher_accuracy": curve}


def query(setup: tm.Setup, params: tm.Params) -> list[tm.lineage.Responses]:
    """The responses of a network to unseen noise and to training images."""
    config, n = setup.config, max(setup.config.queries)
    inputs = [setup.held_out[0][:n], setup.task.pixels(setup.data.train[0][:n])]
    return tm.lineage.query(setup.network, params, inputs, config.queries, config.directions)


def prepare(setup: tm.Setup) -> list[tm.lineage.Responses]:
    """The responses of every candidate."""
    import jax

    return jax.lax.map(lambda teacher: query(setup, teacher), setup.teacher)


def student(
    setup: tm.Setup, source: jax.Array, m: jax.Array, rho: jax.Array
) -> dict[str, jax.Array]:
    """A student of one candidate, and its similarity to all of them."""
    import jax

    config, network, task = setup.config, setup.network, setup.task
    candidates = tm.lineage.Candidates(setup.reference, setup.teacher, setup.extra)
    logits = setup.auxiliary(m)
    reference = jax.tree.map(lambda a: a[source], setup.reference)
    lesson = tm.checkpoints.select_checkpoint(setup.lesson, source)._replace(reference=reference)
    start = tm.rotation(network.init)(reference, setup.keys.relation, rho)
    trained, curve = replace(setup, lesson=lesson).distil(tm.Student(start, logits))

    def probe(params: tm.Params) -> dict[str, jax.Array]:
        train, test = (
            (network.latent(params, task.pixels(images[:2000])), labels[:2000])
            for images, labels in setup.data
        )
        responses, n = query(setup, params), task.n_classes
        return {
            "score": tm.lineage.score_candidates(
                params, responses, candidates, config.queries, n, logits
            ),
            "readable": tm.representations.linear_probe(train, test, n),
        }

    return curve | jax.lax.map(probe, tm.stack_trees(start, trained))


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add the fraction of students whose teacher is identified, by probe; one trial a student."""
    hits = tm.lineage.identify(tm.succeeded(runs).score).mean("source", skipna=False)
    share = tm.lineage.merge_inputs(hits).assign_attrs(
        units="1",
        description="share of the students whose teacher scores highest",
        trials=runs.sizes["source"],
    )
    traced = share.sel(moment="after", queries=share.queries.values.max(), drop=True)
    return runs.assign(identified=share, traced=traced)


def findings(runs: xr.Dataset) -> list[Any]:
    """Which probes identify the teacher better than chance, and where, in each family."""
    rates, chance = runs.identified, 1 / runs.sizes["candidate"]
    largest = {dim: rates[dim].values.max() for dim in ("width", "m", "rho", "queries")}
    place = ", ".join(f"{dim} = {value:g}" for dim, value in largest.items())
    quantity = f"Fraction of teachers identified at {place} (chance {chance:.3f})"
    words = ("better than chance", "worse than chance", "not shown to differ from chance")
    final = rates.sel(largest, drop=True).transpose("seed", "family", "moment", "by")
    rows: list[Any] = tm.compare(quantity, final, words, chance)
    varied = [dim for dim in largest if rates.sizes[dim] > 1]
    for family, dim in itertools.product(rates.family.values, varied):
        fixed = {name: value for name, value in largest.items() if name != dim}
        along = rates.sel(fixed | {"family": family, "moment": "after"})
        better: dict[str, list[str]] = {str(by): [] for by in along.by.values}
        for by, value in itertools.product(better, along[dim].values):
            if tm.interval(along.sel({"by": by, dim: value})).against(chance) > 0:
                better[by].append(f"{value:g}")
        values = "; ".join(f"{by}: {', '.join(v) or 'none'}" for by, v in better.items())
        rows.append(f"{family}, {dim} at which identification is better than chance: {values}.")
    if set(FAMILIES) <= set(rates.family.values):
        after = final.sel(moment="after")
        for by in map(str, after.by.values):
            shares = (tm.interval(after.sel(family=name, by=by)) for name in FAMILIES)
            gap = tm.proportion_difference(*shares)
            quantity = "Fraction identified among inits less that among siblings"
            rows.append(tm.judge(quantity, by, gap, tm.HIGHER))
    return rows


def figure(runs: xr.Dataset) -> Figure:
    """Identification by every probe for each kind of candidates, and against queries."""
    rates = runs.identified.sel(moment="after").transpose("seed", ..., "queries", "by")
    rates = rates.sel(width=rates.width.max(), m=rates.m.max())
    chance, last = 1 / runs.sizes["candidate"], rates.family.values[-1]
    students = runs.sizes["source"]
    with tm.plotting.style():
        columns = [1.5] * rates.sizes["family"] + [1.0]
        fig, (*axes, right) = tm.plotting.panels(3.6 * sum(columns), 4.2, columns)
        for ax, family in zip(axes, rates.family.values, strict=True):
            shares = rates.sel(family=family, queries=rates.queries.max())
            label = "teacher identified (share; dashed: chance)"
            look: dict[str, Any] = {"joined": False, "trials": students}
            tm.charts.dots(ax, shares, "by", "rho", label="rho = {rho:g}", ylabel=label, **look)
            tm.plotting.slanted(ax, 60)
            ax.set(title=f"{family}, {tm.plotting.caption(runs)}")
        on_noise = [by for by in rates.by.values if str(by).endswith("on noise")]
        shares = rates.sel(family=last, rho=rates.rho.max(), by=on_noise)
        tm.charts.dots(right, shares, "queries", "by", xlabel="queries", trials=students)
        right.set(title=f"{last}, rho = {rates.rho.values.max():g}")
        right.legend(bbox_to_anchor=(1, 1), loc="upper left")
        for ax in (*axes, right):
            ax.axhline(chance, color="grey", lw=1, ls="--")
            ax.set_ylim(-0.05, 1.05)
    return fig


sweep = tm.distillation_sweep(
    student,
    points,
    shapes=("width",),
    shared=teachers,
    teach=teach,
    prepare=prepare,
    variables=VARIABLES,
    coords=lambda config: {
        "candidate": range(config.teachers),
        "moment": MOMENTS,
        "inputs": INPUTS,
        "probe": list(tm.lineage.PROBES),
        "queries": list(config.queries),
    },
)
STUDY = tm.Study(
    "lineage", __doc__, PRESETS, sweep, analyse, findings, figure, headline=("traced",)
)

if __name__ == "__main__":
    STUDY.main()
