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
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import toymodels as tm
from toymodels.errors import at_least

if TYPE_CHECKING:
    from pathlib import Path

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

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 2, "train_images")  # a sibling learns half of them
        if self.noise == "fresh":
            raise tm.UserError("noise must be fixed, the same for all candidates; got 'fresh'")


PRESETS = {
    "quick": Config(seeds=3, m=(3, 100), rho=(1.0,), student_epochs=5),
    "paper": Config(**tm.CLOUD, seeds=4, teachers=6, m=(3, 100), rho=(1.0,)),
    "width": Config(seeds=3, m=(3,), rho=(1.0,), width=(32, 64, 128, 256, 512)),
}


def sweep(config: Config, data_dir: Path | None) -> tm.Sweep:
    """Describe a student of every candidate, and its similarity to all of them."""
    import jax

    config, task, data = tm.tasks.load(config, data_dir)
    n_queries = max(config.queries)

    def build(width: int) -> tm.Program:
        at = config.at(width=width)
        network = tm.perceptron(at, task)
        protocol = tm.protocol.reference_protocol(at, task, network)

        def query(params: tm.Params, inputs: list[jax.Array]) -> list[tm.lineage.Responses]:
            return tm.lineage.query(network, params, inputs, config.queries, config.directions)

        def prepare(data: Any, family: jax.Array, seed: jax.Array) -> Any:
            keys = tm.protocol.seed_keys(seed)
            siblings = family == FAMILIES.index("siblings")
            references, teachers, curve = tm.lineage.teach_candidates(
                protocol, data, keys, config.teachers, siblings
            )
            held_out = protocol.noise(keys.probe, max(n_queries, 1000))
            inputs = [held_out[:n_queries], task.pixels(data.train[0][:n_queries])]
            x = protocol.noise(keys.noise, config.noise_images)
            answers = [
                jax.lax.map(lambda teacher, z=z: network.apply(teacher, z), teachers)
                for z in (x, held_out)
            ]
            responses = jax.lax.map(lambda teacher: query(teacher, inputs), teachers)
            candidates = tm.lineage.Candidates(references, teachers, responses)
            return (candidates, x, held_out, answers, inputs, keys), {"teacher_accuracy": curve}

        def trace(
            data: Any, prepared: Any, source: jax.Array, m: jax.Array, rho: jax.Array
        ) -> dict[str, jax.Array]:
            candidates, x, held_out, answers, inputs, keys = prepared
            reference, teacher, *answers = jax.tree.map(
                lambda a: a[source], (candidates.references, candidates.teachers, *answers)
            )
            lesson = tm.protocol.Lesson(
                reference, teacher, (x, answers[0]), (held_out, answers[1]), keys
            )
            setup = tm.Setup(at, protocol, data, lesson)
            logits = setup.auxiliary(m)
            start = tm.rotation(network.init)(setup.reference, keys.relation, rho)
            trained, curve = setup.distil(tm.Student(start, logits))

            def probe(params: tm.Params) -> dict[str, jax.Array]:
                train, test = (
                    (network.latent(params, task.pixels(images[:2000])), labels[:2000])
                    for images, labels in data
                )
                score = tm.lineage.score_candidates(
                    params,
                    query(params, inputs),
                    candidates,
                    config.queries,
                    task.n_classes,
                    logits,
                )
                readable = tm.representations.linear_probe(train, test, task.n_classes)
                return {"score": score, "readable": readable}

            moments = tm.stack_trees(start, trained)
            return curve | jax.lax.map(probe, moments)

        return tm.Program(prepare, trace)

    return tm.Sweep(
        build,
        config=config,
        shapes={"width": config.width},
        shared={"family": {name: FAMILIES.index(name) for name in config.families}},
        points={"source": range(config.teachers), "m": config.m, "rho": config.rho},
        variables=tm.tasks.STUDENT | VARIABLES,
        coords=tm.protocol.epochs(config)
        | {"candidate": range(config.teachers), "moment": MOMENTS, "inputs": INPUTS}
        | {"probe": list(tm.lineage.PROBES), "queries": list(config.queries)},
        task=task,
        data=data,
    )


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
            gap, quantity = (
                tm.proportion_difference(*shares),
                "among inits less that among siblings",
            )
            verdict = gap.verdict(*tm.HIGHER)
            rows.append(tm.Finding(f"Fraction identified {quantity}", by, gap, verdict))
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


STUDY = tm.Study(
    "lineage", __doc__, PRESETS, sweep, analyse, findings, figure, headline=("traced",)
)

if __name__ == "__main__":
    STUDY.main()
