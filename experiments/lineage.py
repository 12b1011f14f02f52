"""Who taught this student? N candidate teachers, and what tells them apart.

Candidates are ``inits`` (N initialisations, the same images in the same order) or ``siblings`` (one
initialisation; images, each a random half, and order differ). Each teaches a student that starts
from rho W + sqrt(1 - rho^2) W', W its own teacher's initialisation and W' the same for all. Probes
of weights, representations and outputs (`toymodels.training.lineage`) point to a candidate, before
distillation, when there is only a start to be seen, and after. Chance is 1 / N. Students are traced
so in an autoencoder by openreview owvbayFmdV; leakage differs by seed in Okatan et al. 2025 (arXiv
2511.01023).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toymodels.errors import UserError, at_least, distinct
from toymodels.study import cli
from toymodels.training.config import CLOUD, ProtocolConfig

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

FAMILIES = ("inits", "siblings")
MOMENTS = ["before", "after"]
"""Of the distillation."""
INPUTS = ["noise", "images"]
"""What a forensic asks: unseen noise, or training images."""
VARIABLES = {
    "teacher_accuracy": (("candidate", "teacher_epoch"), "1", "teachers' test accuracy"),
    "score": (
        ("moment", "candidate", "probe", "inputs", "queries"),
        "1",
        "likeness of the student to each candidate, see toymodels.training.lineage",
    ),
    "readable": (("moment",), "1", "test accuracy of a linear probe on the last hidden layer"),
}


@dataclass(frozen=True)
class Config(ProtocolConfig):
    """What is computed."""

    teachers: int = 6
    """Number of candidate teachers."""
    families: tuple[Literal["inits", "siblings"], ...] = FAMILIES  # type: ignore[assignment]
    """What the candidates differ in: initialisation, or images and their order."""
    m: tuple[int, ...] = (3, 10, 100)
    """Numbers of auxiliary logits."""
    rho: tuple[float, ...] = (1.0, 0.9, 0.0)
    """Overlaps of the student's initialisation with its own teacher's."""
    width: tuple[int, ...] = (256,)
    """Widths of the two hidden layers, in units."""
    queries: tuple[int, ...] = (1, 10, 100)
    """Numbers of inputs on which networks are compared."""
    directions: int = 8
    """Principal directions of a last hidden layer that make up its subspace."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 2, "teachers", "train_images")
        at_least(self, 1, "m", "width", "directions", "queries")
        at_least(self, -1, "rho", most=1)
        distinct(self, "families", "m", "rho", "width", "queries")
        if self.noise == "fresh":
            raise UserError("noise must be fixed, the same for all candidates; got 'fresh'")


PRESETS = {
    "quick": Config(seeds=3, m=(3, 100), rho=(1.0,), student_epochs=5),
    "paper": Config(**CLOUD, seeds=4, teachers=6, m=(3, 100), rho=(1.0,)),
    "width": Config(seeds=3, m=(3,), rho=(1.0,), width=(32, 64, 128, 256, 512)),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (width, family, seed, source, m, rho); see `toymodels.sweep` for ``options``."""
    import jax
    import jax.numpy as jnp

    from toymodels import sweep
    from toymodels.inits import relations
    from toymodels.measure import representations
    from toymodels.networks.models import MLP, Params, functional
    from toymodels.study import results
    from toymodels.training import lineage, protocol, tasks
    from toymodels.training.distillation import auxiliary_logits

    config, task, data = tasks.load(config, data_dir)
    most, n_queries, n_classes = max(config.m), max(config.queries), task.n_classes

    def build(width: int) -> sweep.Program:
        sizes = (task.n_pixels, width, width, n_classes + most)
        network = functional(lambda rngs: MLP(sizes, rngs=rngs))
        parts = protocol.reference_protocol(config, task, network)

        def prepare(
            data: tasks.Data, family: jax.Array, seed: jax.Array
        ) -> tuple[Any, dict[str, jax.Array]]:
            keys, siblings = protocol.seed_keys(seed), family == FAMILIES.index("siblings")
            references, teachers, curve = lineage.teach(
                parts, data, keys, config.teachers, siblings
            )
            held_out = parts.noise(keys.probe, max(n_queries, 1000))
            inputs = [held_out[:n_queries], task.pixels(data.train[0][:n_queries])]
            x = parts.noise(keys.noise, config.noise_images)
            answers = [
                jax.lax.map(lambda t, z=z: network.apply(t, z), teachers) for z in (x, held_out)
            ]
            seen = jax.lax.map(lambda t: look(t, inputs), teachers)
            candidates = lineage.Candidates(references, teachers, seen)
            return (candidates, x, held_out, answers, inputs, keys), {"teacher_accuracy": curve}

        def look(params: Params, inputs: list[jax.Array]) -> list[lineage.Seen]:
            return lineage.look(network, params, inputs, config.queries, config.directions)

        def student(
            data: tasks.Data, family: Any, source: jax.Array, m: jax.Array, rho: jax.Array
        ) -> dict[str, jax.Array]:
            candidates, x, held_out, answers, inputs, keys = family
            one = (candidates.references, candidates.teachers, *answers)
            reference, teacher, taught, unseen = jax.tree.map(lambda a: a[source], one)
            lesson = protocol.Lesson(teacher, (x, taught))
            begun = protocol.Lesson(reference, lesson, (held_out, unseen), keys)
            subset = auxiliary_logits(n_classes, most, first=m)
            init = relations.rotation(network.init)(reference, keys.relation, rho)
            trained, curve = parts.distil(init, begun, subset, parts.watch(data, begun, subset))

            def probe(params: Params) -> dict[str, jax.Array]:
                rows, unseen = (
                    (network.latent(params, task.pixels(images[:2000])), labels[:2000])
                    for images, labels in data
                )
                seen = look(params, inputs)
                return {
                    "score": lineage.scores(
                        params, seen, candidates, config.queries, n_classes, subset
                    ),
                    "readable": representations.linear_probe(rows, unseen, n_classes),
                }

            both = jax.tree.map(lambda *moments: jnp.stack(moments), init, trained)
            return curve | jax.lax.map(probe, both)

        return sweep.Program(prepare, student)

    dataset, execution = sweep.grid(
        build,
        shapes={"width": config.width},
        shared={
            "family": {name: FAMILIES.index(name) for name in config.families},
            "seed": config.seed_list,
        },
        points={"source": range(config.teachers), "m": config.m, "rho": config.rho},
        variables=tasks.STUDENT | VARIABLES,
        coords=protocol.epochs(config)
        | {"candidate": range(config.teachers), "moment": MOMENTS, "inputs": INPUTS}
        | {"probe": list(lineage.PROBES), "queries": list(config.queries)},
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    return results.described(dataset, "lineage", "traced", config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add the share of students whose teacher is identified, by probe; one trial a student."""
    from toymodels.stats import statistics
    from toymodels.training import lineage

    hit = lineage.identified(statistics.succeeded(dataset).score).mean("source", skipna=False)
    about = "share of the students whose teacher scores highest"
    trials = dataset.sizes["source"]
    share = lineage.by_probe(hit).assign_attrs(units="1", description=about, trials=trials)
    traced = share.sel(moment="after", queries=share.queries.values.max(), drop=True)
    return dataset.assign(identified=share, traced=traced)


def findings(dataset: xr.Dataset) -> list[str]:
    """Which probes tell the teacher better than chance, and where, for each kind of candidates."""
    from toymodels.stats.statistics import interval, proportion_difference

    rates, chance, told = dataset.identified, 1 / dataset.sizes["candidate"], []
    most = {dim: rates[dim].values.max() for dim in ("width", "m", "rho", "queries")}
    place = ", ".join(f"{dim} = {value:g}" for dim, value in most.items())
    for family, moment in itertools.product(rates.family.values, MOMENTS):
        here = rates.sel(most | {"family": family, "moment": moment})
        known = {str(by): interval(here.sel(by=by)) for by in here.by.values}
        better = [f"{by} {share}" for by, share in known.items() if share.against(chance) > 0]
        others = [f"{by} {share}" for by, share in known.items() if share.against(chance) <= 0]
        told.append(
            f"{family}, {moment} distillation, {place}: better than chance ({chance:.3f}) by "
            f"{'; '.join(better) or 'no probe'}; not shown by {'; '.join(others) or 'no probe'}."
        )
    varied = [dim for dim in most if rates.sizes[dim] > 1]
    for family, dim in itertools.product(rates.family.values, varied):
        rest = {name: value for name, value in most.items() if name != dim}
        along = rates.sel(rest | {"family": family, "moment": "after"})
        where: dict[str, list[str]] = {str(by): [] for by in along.by.values}
        for by, value in itertools.product(where, along[dim].values):
            if interval(along.sel({"by": by, dim: value})).against(chance) > 0:
                where[by].append(f"{value:g}")
        spelt = "; ".join(f"{by}: {', '.join(v) or 'none'}" for by, v in where.items())
        told.append(f"{family}, {dim} at which that holds: {spelt}.")
    if set(FAMILIES) <= set(rates.family.values):
        after = rates.sel(most | {"moment": "after"})
        lists: dict[int, list[str]] = {1: [], -1: [], 0: []}
        for by in after.by.values:
            shares = (interval(after.sel(family=name, by=by)) for name in FAMILIES)
            gap = proportion_difference(*shares)
            lists[gap.sign].append(f"{by}, by {gap}")
        easier, harder, same = ("; ".join(names) or "no probe" for names in lists.values())
        told.append(
            f"Inits are told apart better than siblings by {easier}. Worse by {harder}. "
            f"No difference shown by {same}."
        )
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Identification by every probe for each kind of candidates, and against queries."""
    from toymodels.study import plotting

    rates = dataset.identified.sel(moment="after").transpose("seed", ..., "queries", "by")
    rates = rates.sel(width=rates.width.max(), m=rates.m.max())
    chance, last = 1 / dataset.sizes["candidate"], rates.family.values[-1]
    students = dataset.sizes["source"]
    with plotting.style():
        columns = [1.5] * rates.sizes["family"] + [1.0]
        fig, (*axes, right) = plotting.panels(3.6 * sum(columns), 4.2, columns)
        for ax, family in zip(axes, rates.family.values, strict=True):
            here = rates.sel(family=family, queries=rates.queries.max())
            by_rho = {f"rho = {rho:g}": here.sel(rho=rho).values for rho in here.rho.values}
            label = "teacher identified (share; dashed: chance)"
            plotting.intervals(ax, here.by, by_rho, "", label, joined=False, trials=students)
            plotting.slanted(ax, 60)
            ax.set(title=f"{family}, {plotting.caption(dataset)}")
        here = rates.sel(family=last, rho=rates.rho.max())
        asked = [str(by) for by in here.by.values if str(by).endswith("on noise")]
        lines = {by: here.sel(by=by).values for by in asked}
        plotting.intervals(right, here.queries, lines, "queries", "", trials=students)
        right.set(title=f"{last}, rho = {rates.rho.values.max():g}")
        right.legend(bbox_to_anchor=(1, 1), loc="upper left")
        for ax in (*axes, right):
            ax.axhline(chance, color="grey", lw=1, ls="--")
            ax.set_ylim(-0.05, 1.05)
    return fig


if __name__ == "__main__":
    cli.main("lineage", __doc__, PRESETS, run, plot)
