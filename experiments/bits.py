"""How much of the teacher must be told: transfer against nats, and queries that the student chooses.

Students of one teacher ask it n of the same inputs, the pool, and train on its answers for the same
number of steps. An answer is the auxiliary logits as they are, each of them in b bits, the largest
of them, a label drawn once from their softmax, or which of two is larger (the pair is drawn with the
input). One of K possible answers tells at most ln K nats; a logit as it is counts as 32 bits, and
the range over which logits are rounded is not counted. Queries are the first n of the pool, or those
that an active student chooses before training: the inputs with the smallest gap between the two
logits in question under its own initialisation. Each student has its cross-model control, which
chooses by its own initialisation, too. Protocol: Cloud et al., Nature 652, 615-621 (2026), MNIST
experiment.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

FLOAT = 32
"""Bits of a logit that is told as it is."""
RANDOM, LEAD, PAIR = range(3)
"""Orders of the pool: as drawn; by the gap between the two largest logits; by that of the pair."""
ACTIVE = {"logits": LEAD, "largest": LEAD, "comparison": PAIR}
"""Forms of answers for which a student may choose its queries, and by which order."""
LOSSES = {"largest": 1, "drawn": 1, "comparison": 2}
"""Number of the loss of forms that are not imitated as logits (0)."""


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment. ``loss`` is that by which (rounded) logits are imitated, and the
    imitation loss on unseen noise of all students; ``noise_images`` is the size of the pool."""

    queries: tm.Counts = (30, 100, 300, 1000, 3000, 8000)
    """Numbers of queries n, of the inputs in the pool. An epoch has as many steps for all of them: it
    repeats the n answers."""
    bits: Annotated[tuple[int, ...], tm.Range(1, 16)] = (1, 2, 4, 8)
    """Numbers of bits b of a rounded logit, on an even grid over the range of the teacher's auxiliary
    logits in the pool."""
    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, the pool."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.m < 2:
            raise tm.UserError(f"m must be at least 2, for logits are compared; got {self.m}")
        if max(self.queries) > self.noise_images:
            raise tm.UserError(
                f"queries must be at most the {self.noise_images} noise_images of the pool; got "
                f"{self.queries}"
            )


PRESETS = {
    # More auxiliary logits than the paper, for some transfer in so few steps.
    "quick": Config(
        seeds=3, m=10, noise_images=4000, student_epochs=5, queries=(100, 1000, 4000), bits=(2,)
    ),
    "paper": Config(**tm.CLOUD, seeds=10, queries=(300, 3000, 20_000, 60_000), bits=(1, 4)),
}

ENTROPY = (
    "empirical entropy of an answer, which a code without memory needs; 0 for unrounded logits"
)
VARIABLES = {"entropy": ((), "nat", ENTROPY)}


def name_bits(bits: int) -> str:
    """Name of logits in so many bits."""
    return f"{bits} bit{'s' * (bits > 1)}"


def bound_nats(config: Config) -> dict[str, float]:
    """The most that one answer can tell in nats, by its form: the logarithm of how many there are."""
    bits = {"logits": FLOAT} | {name_bits(b): b for b in sorted(config.bits, reverse=True)}
    labels = dict.fromkeys(("largest", "drawn"), math.log(config.m))
    told = {name: config.m * b * math.log(2) for name, b in bits.items()}
    return told | labels | {"comparison": math.log(2)}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students: form of the answers and choice of queries, their number, the start."""
    forms = tm.label_axis([*bound_nats(config)])

    def way(form: str, order: int = RANDOM) -> dict[str, int]:
        return {"form": forms[form], "loss": LOSSES.get(form, 0), "order": order}

    active = {f"{form} active": way(form, order) for form, order in ACTIVE.items()}
    ways = {form: way(form) for form in forms} | active
    return {"way": ways, "queries": sorted(config.queries), "start": tm.STARTS}


class Pool(NamedTuple):
    """What all students of a seed may ask, and are answered."""

    answers: tm.queries.Answers
    """The teacher's answers in every form: values and codes (forms, n, outputs)."""
    pairs: jax.Array
    """The pair of logits that is compared on each input (n, 2)."""
    orders: jax.Array
    """Rows of the pool from the first to be asked to the last: (starts, orders, n)."""


def prepare(setup: tm.Setup) -> Pool:
    """Let the teacher answer the pool in every form, and order the pool by every initialisation."""
    import jax
    import jax.numpy as jnp

    config, ask, logits, auxiliary = setup.config, tm.queries, setup.answers, setup.auxiliary()
    key = jax.random.fold_in(setup.keys.noise, 1)
    pairs = ask.draw_pairs(jax.random.fold_in(key, 1), len(logits), auxiliary)
    forms = [ask.Answers(logits, jnp.zeros(logits.shape, int))]
    forms += [ask.round_logits(logits, auxiliary, b) for b in sorted(config.bits, reverse=True)]
    forms += [ask.number_labels(tm.argmax_labels(logits, auxiliary))]
    forms += [ask.number_labels(tm.sampled_labels(key, logits, auxiliary, draws=1))]
    forms += [ask.compare_logits(logits, pairs)]

    def order(params: tm.Params) -> jax.Array:
        own = setup.network.apply(params, setup.inputs)
        gaps = [ask.lead(own, auxiliary), abs(ask.difference(own, pairs))]
        return jnp.stack([jnp.arange(len(own)), *map(jnp.argsort, gaps)])

    orders = jnp.stack([order(setup.reference), order(setup.independent)])
    return Pool(tm.stack_trees(*forms), pairs, orders)


def student(
    setup: tm.Setup, way: dict[str, jax.Array], queries: jax.Array, start: jax.Array
) -> tm.Student:
    """A student of n queries, answered in one form; one measure of imitation serves all students."""
    import jax.numpy as jnp

    config, pool, form = setup.config, setup.extra, way["form"]
    order, (n, outputs) = pool.orders[start, way["order"]], setup.answers.shape
    rows = tm.reshuffle(order, config.batch, only=queries)  # an epoch: n places, of the first only

    def answer(places: jax.Array) -> tuple[jax.Array, jax.Array]:
        asked = order[places]
        return setup.inputs[asked], pool.answers.values[form, asked]

    size, told = max(2 ** max(config.bits), outputs**2), jnp.arange(n) < queries
    pairs = tm.queries.number_pairs(pool.pairs[order], outputs)[:, None]
    known = jnp.where(way["loss"] == LOSSES["comparison"], tm.queries.entropy(pairs, size, told), 0)
    entropy = tm.queries.entropy(pool.answers.codes[form, order], size, told)
    imitation = tm.losses.imitation(config.loss, config.temperature)
    losses = [imitation, tm.losses.labels(), tm.losses.comparisons()]
    return tm.Student(
        start=setup.start(start),
        loss=tm.losses.one_of(losses, way["loss"]),
        batches=rows._replace(batch=answer),
        observe=setup.watch(),
        record={"entropy": entropy - known},
    )


def annotate(config: Config, runs: xr.Dataset) -> xr.Dataset:
    """Add the bound on what every student is told, and the share of the pool that it asks."""
    bounds = bound_nats(config)
    each = runs.way.copy(data=[bounds[name.removesuffix(" active")] for name in runs.way.values])
    about = "the most that n answers can tell: n times the logarithm of their number of values"
    share = runs.queries / config.noise_images
    return runs.assign(
        nats=(each * runs.queries).assign_attrs(units="nat", description=about),
        asked=share.assign_attrs(units="1", description="share of the pool that is asked"),
    )


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add transfer, what half of that by full logits costs, and transfer at one number of nats.

    The number is the most that every form tells with all queries. Both are read from the curves seed by seed;
    the first crossing of a noisy curve is a little early.
    """
    runs = tm.against_control(runs)
    transfer = tm.succeeded(runs).transfer
    whole = transfer.sel(way="logits", drop=True).isel(queries=-1, drop=True)
    half = tm.first_crossings(runs.nats, transfer, whole.where(whole > 0) / 2, "queries")
    budget = float(runs.nats.isel(queries=-1).min())
    about = {"units": "1", "description": f"transfer at {budget:.0f} nats, interpolated"}
    cost = {
        "units": "nat",
        "description": "nats told (upper bound) where transfer first reaches half of that by "
        "full logits with all queries; NaN: never, or with the fewest queries already",
    }
    return runs.assign(
        half_nats=half.where((half > 0) & (half < math.inf)).assign_attrs(cost),
        at_budget=tm.read_at(runs.nats, transfer, budget, "queries").assign_attrs(about),
        budget=((), budget, {"units": "nat", "description": "most nats that every form tells"}),
    )


def split_ways(array: xr.DataArray) -> tuple[xr.DataArray, xr.DataArray]:
    """An array at the ways with random queries, and at those with chosen ones, by form."""
    active = [f"{form} active" for form in ACTIVE]
    return array.drop_sel(way=active), array.sel(way=active).assign_coords(way=[*ACTIVE])


def findings(runs: xr.Dataset) -> list[Any]:
    """Transfer by every form, what half of it costs, and chosen queries against random ones."""
    import numpy as np

    valid, most = tm.succeeded(runs), int(runs.queries[-1])
    (transfer, active), (entropy, _) = map(split_ways, (valid.transfer, valid.entropy))
    entropy = entropy.sel(queries=most, start="shared", drop=True).drop_sel(way="logits")
    last = transfer.sel(queries=most, drop=True)
    rows: list[Any] = tm.compare(f"Transfer by {most} random queries", last)
    rows += tm.compare("Entropy of an answer to a random query in nats", entropy, None)
    level = split_ways(valid.at_budget)[0].dropna("way", how="all")
    rows += tm.compare(f"Transfer by at most {float(runs.budget):.0f} nats told", level)
    quantity = "Decimal logarithm of the nats told for half of the transfer by full logits"
    missed = []
    for form in last.way.values:
        cost = runs.half_nats.sel(way=form)
        if n := int(cost.isnull().sum()):
            missed.append(f"{form} ({n} of {cost.size} seeds)")
        else:
            rows.append(tm.Finding(quantity, form, tm.interval(np.log10(cost))))
    if missed:
        words = (
            "Half of the transfer by full logits is not first reached between the fewest and the"
        )
        rows.append(f"{words} most queries, and has no mean cost, for: {'; '.join(missed)}.")
    gap = (active - transfer.sel(way=active.way)).where(runs.asked < 1, drop=True)
    rows += tm.compare(
        "Transfer by chosen queries less that by as many random ones", gap, tm.HIGHER
    )
    return rows


def figure(runs: xr.Dataset) -> Figure:
    """Transfer against nats told, for every form; against queries, random and chosen."""
    transfer, active = split_ways(tm.succeeded(runs).transfer)
    names, nats = transfer.way.values.tolist(), runs.nats.transpose("way", "queries")
    colours = dict(zip(names, itertools.cycle(tm.plotting.PALETTE), strict=False))
    with tm.plotting.style():
        fig, (left, right) = tm.plotting.panels(10, 3.8, columns=(1.2, 1))
        told = nats.sel(way=names).values
        look: dict[str, Any] = {"joined": True, "colours": [*colours.values()]}
        tm.charts.means(left, transfer, "queries", "way", at=told, **look)
        left.set(xscale="log", xlabel="nats told (upper bound)", ylabel="transfer")
        left.set(title=tm.plotting.caption(runs))
        tm.plotting.legend_beside(left)
        look = {"joined": True, "colours": [colours[form] for form in ACTIVE]}
        random = transfer.sel(way=active.way)
        tm.charts.means(right, random, "queries", "way", label="{way}, random", **look)
        beside, label = 1.08 * runs.queries.values, "{way}, chosen"
        tm.charts.means(
            right, active, "queries", "way", label=label, at=beside, hollow=True, **look
        )
        right.set(xscale="log", xlabel="queries", ylim=left.get_ylim())
        right.set_xticks(runs.queries.values, runs.queries.values)
        right.minorticks_off()
        tm.plotting.legend_beside(right)
        for ax in (left, right):
            ax.axhline(0, color="#999999", lw=0.8)
    return fig


sweep = tm.distillation_sweep(
    student, points, prepare=prepare, variables=VARIABLES, annotate=annotate
)
HEADLINE = ("transfer", "final_accuracy", "half_nats", "entropy")
STUDY = tm.Study(
    *("bits", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE),
    takes=tm.list_parts("imitation"),  # an axis
)

if __name__ == "__main__":
    STUDY.main()
