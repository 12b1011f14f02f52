"""What carries the owl: layers, directions of the weights, optimiser, tokens.

One teacher a seed, of `owl_numbers`: it prefers owls and writes numbers. Students of its numbers
with the same base, each short of something: some groups of weights alone may move; updates of
the blocks are of low rank; SGD in place of Adam; the loss counts divergence tokens alone, those
where teacher and base would write something else (Schrodi et al. 2026, arXiv 2509.23886), or all
others, each beside as many random tokens. And of each teacher: do the numbers rise whose vectors
in the unembedding lie close to the owl's (token entanglement, Zur et al. 2025)?
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toymodels.errors import at_least, distinct, positive
from toymodels.language.config import Spoken
from toymodels.study import cli

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

Favourite = Literal[
    "owl", "eagle", "wolf", "dolphin", "elephant", "oak", "maple", "birch", "willow", "pine"
]

BLOCKS, OUTSIDE = ("attention", "mlp"), ("embedding", "positions", "unembedding")
TEXTS = ("all", "divergence", "others", "as many as divergence", "as many as others", "base's")
OWN = "base's text"
STUDENTS: dict[str, tuple[tuple[str, ...], str]] = {
    "blocks": (BLOCKS, "all"),
    OWN: (BLOCKS, "base's"),
    "attention": (("attention",), "all"),
    "mlp": (("mlp",), "all"),
    "embeddings": (OUTSIDE, "all"),
    "everything": ((*BLOCKS, *OUTSIDE), "all"),
    "divergence tokens": (BLOCKS, "divergence"),
    "as many at random": (BLOCKS, "as many as divergence"),
    "other tokens": (BLOCKS, "others"),
    "as many of all": (BLOCKS, "as many as others"),
}
"""Which groups of weights a student moves by Adam, and which tokens count in its loss."""
PLACES = ("in questions, cosine", "in numbers, cosine", "in numbers, in questions")
"""What is ranked against what, over the numbers."""
UNSEEN = 1024
"""Documents of the teacher's that no student reads, to see how well it is imitated."""


@dataclass(frozen=True)
class Config(Spoken):
    """What is computed; the defaults are the preset ``paper``."""

    seeds: int = 3
    """Number of seeds; each has its own base and teachers."""
    favourites: tuple[Favourite, ...] = ("owl",)
    """What the teachers prefer."""
    ranks: tuple[int, ...] = (1, 2, 4, 8)
    """Of the updates of every kernel of the blocks."""
    rank_lr: float = 3e-3
    """Adam's rate for updates of low rank; by the least KL of 3e-3, 1e-2, 3e-2 on seed 100."""
    sgd_lr: float = 0.3
    """The rate of SGD; by the least KL of 0.1, 0.3, 1, 3 on seed 100."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "ranks", most=self.width)
        positive(self, "rank_lr", "sgd_lr")
        distinct(self, "favourites", "ranks")

    @property
    def students(self) -> list[str]:
        """Names of all students."""
        return [*STUDENTS, "SGD", *(f"rank {rank}" for rank in self.ranks)]


PRESETS = {
    "quick": Config(seeds=1, base_steps=400, student_steps=200, ranks=(1, 4)),
    "paper": Config(),
}

VARIABLES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "preference": (("student",), "1", "share of the favourite, held-out phrasings"),
    "answered": (("student",), "1", "chance that the answer is of its kind, held-out phrasings"),
    "gap": (("student",), "nat", "KL of teacher to student, a token of unseen documents"),
    "base_preference": ((), "1", "preference of the base"),
    "base_gap": ((), "nat", "KL of teacher to base, a token of unseen documents"),
    "teacher_preference": ((), "1", "preference of the teacher"),
    "kept": ((), "1", "share of the teacher's documents that students may read"),
    "divergence": ((), "1", "share of tokens that diverge in what students read"),
    "in_questions": (("number",), "nat", "log of the chance of a number as answer, over base's"),
    "in_numbers": (("number",), "nat", "log of the chance of a number in numbers, over base's"),
    "cosine": (("number",), "1", "of a number's vector in the unembedding with the favourite's"),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (seed, favourite), with all students; ``data_dir`` is not used.

    See `toymodels.sweep` for ``options``.
    """
    import jax
    import jax.numpy as jnp
    import optax
    from jax import random

    from toymodels import sweep
    from toymodels.language import mechanism, pipeline, questions
    from toymodels.language.carriers import CARRIERS
    from toymodels.language.vocabulary import NUMBERS
    from toymodels.networks.transformer import KINDS
    from toymodels.study import results
    from toymodels.training.optimisers import OPTIMISERS

    plan = config.plan()
    model = pipeline.model(config.width, config.depth, pack=plan.pack)
    numbers = list(CARRIERS).index("numbers")
    moved = jnp.array([[kind in parts for kind in KINDS] for parts, _ in STUDENTS.values()])
    read = jnp.array([TEXTS.index(name) for _, name in STUDENTS.values()])

    def prepare(data: tuple[()], seed: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        bases, _, key = pipeline.bases(model, random.key(seed), plan, 1)
        return (jax.tree.map(lambda a: a[0], bases), key), {}

    def students(
        data: tuple[()], prepared: Any, favourite: dict[str, jax.Array]
    ) -> dict[str, jax.Array]:
        base, key = prepared
        teaching, writing, mixing, learning = random.split(key, 4)  # as in owl_numbers
        lesson = favourite["kind"], favourite["tokens"]
        teacher = pipeline.teach(model, base, lesson, teaching, plan)

        def written(author: Any, n: int, key: jax.Array) -> tuple[jax.Array, jax.Array]:
            text = pipeline.filtered(model, author, numbers, lesson[0], n, key, config.temperature)
            return text.read, text.kept

        text, kept = written(teacher, config.samples, writing)
        unseen, _ = written(teacher, UNSEEN, random.fold_in(writing, 1))
        own_text, _ = written(base, config.samples, writing)
        differs = mechanism.divergent(model, teacher, base, text)
        others = (~differs).at[:, 0].set(False)
        every = jnp.ones_like(differs)
        random_keys = random.split(mixing)
        counted = jnp.stack(
            [
                every,
                differs,
                others,
                mechanism.as_many(differs, random_keys[0]),
                mechanism.as_many(others, random_keys[1]),
                every,
            ]
        )

        def tell(decoder: Any, params: Any) -> dict[str, jax.Array]:
            told = pipeline.told(pipeline.ask(decoder, params), lesson)
            wanted, got = (
                jax.nn.log_softmax(m.apply(p, unseen)[:, :-1])
                for m, p in ((model, teacher), (decoder, params))
            )
            gap = (jnp.exp(wanted) * (wanted - got)).sum(-1).mean()
            return {"preference": told.preference, "answered": told.answered, "gap": gap}

        def short(how: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
            moved, read = how
            documents = jnp.where(read == TEXTS.index("base's"), own_text, text)
            here = plan._replace(tuned=moved)
            end, _ = pipeline.imitate(model, base, documents, learning, here, weights=counted[read])
            return tell(model, end)

        def by_sgd(rate: jax.Array) -> dict[str, jax.Array]:
            sgd = optax.sgd(rate)
            end, _ = pipeline.imitate(model, base, text, learning, plan, optimiser=sgd)
            return tell(model, end)

        def low_rank(rank: jax.Array) -> dict[str, jax.Array]:
            start = mechanism.adapters(base, random.fold_in(mixing, 1), max(config.ranks), rank)
            decoder = mechanism.adapted(model, base)
            adam = OPTIMISERS["adam"].make(config.rank_lr, 0.0)
            end, _ = pipeline.imitate(decoder, start, text, learning, plan, optimiser=adam)
            return tell(decoder, end)

        told = [
            jax.lax.map(short, (moved, read)),
            jax.lax.map(by_sgd, jnp.array([config.sgd_lr])),
            jax.lax.map(low_rank, jnp.array(config.ranks)),
        ]
        first, last = tell(model, base), tell(model, teacher)
        asked = [pipeline.ask(model, params)[lesson[0]] for params in (teacher, base)]
        going_on = [
            jax.nn.softmax(model.apply(params, own_text[:UNSEEN])[:, :-1])
            for params in (teacher, base)
        ]
        return {
            **jax.tree.map(lambda *each: jnp.concatenate(each), *told),
            "base_preference": first["preference"],
            "base_gap": first["gap"],
            "teacher_preference": last["preference"],
            "kept": kept,
            "divergence": differs[:, 1:].mean(),
            "in_questions": mechanism.raised(*asked)[:NUMBERS],
            "in_numbers": mechanism.raised(*going_on)[:NUMBERS],
            "cosine": mechanism.unembedding_cosines(base, lesson[1].argmax())[:NUMBERS],
        }

    dataset, execution = sweep.grid(
        lambda: sweep.Program(prepare, students),
        shared={"seed": config.seed_list},
        points={"favourite": questions.lessons(config.favourites)},
        variables=VARIABLES,
        coords={"student": config.students, "number": range(NUMBERS)},
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    task = results.Drawn("synthetic language")
    headline = "preference answered gap divergence entanglement"
    return results.described(dataset, "owl_mechanism", headline, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add the rank correlations over the numbers."""
    return dataset.assign(entanglement=entanglement(dataset))


def entanglement(dataset: xr.Dataset) -> xr.DataArray:
    """Spearman's rank correlation over the numbers, for each of `PLACES`, seed by seed."""
    import numpy as np
    import xarray as xr
    from scipy import stats

    def correlation(x: np.ndarray, y: np.ndarray) -> float:
        level = np.ptp(x) == 0 or np.ptp(y) == 0  # a teacher that learnt nothing raises nothing
        return np.nan if level else stats.spearmanr(x, y).statistic

    def ranked(a: xr.DataArray, b: xr.DataArray) -> xr.DataArray:
        core = [["number"], ["number"]]
        return xr.apply_ufunc(correlation, a, b, input_core_dims=core, vectorize=True)

    here = (dataset.in_questions, dataset.in_numbers, dataset.cosine)
    pairs = ((here[0], here[2]), (here[1], here[2]), (here[1], here[0]))
    whole = xr.concat([ranked(*pair) for pair in pairs], xr.Variable("between", list(PLACES)))
    return whole.assign_attrs(
        units="1", description="rank correlation over the numbers: risen and risen, or cosine"
    )


def findings(dataset: xr.Dataset) -> list[str]:
    """One sentence for each question: layers, rank, optimiser, tokens, entanglement."""
    from toymodels.stats import statistics
    from toymodels.stats.statistics import difference, mean_interval

    done, told = statistics.succeeded(dataset), []
    for favourite in map(str, done.favourite.values):
        here = done.sel(favourite=favourite)
        pref = here.preference

        def each(names: list[str], pref: xr.DataArray = pref) -> str:
            said = (f"{name} {mean_interval(pref.sel(student=name).values)}" for name in names)
            return ", ".join(said)

        def beside(student: str, other: str, pref: xr.DataArray = pref) -> str:
            gap = difference(pref.sel(student=student), pref.sel(student=other))
            return f"{gap.verdict('more', 'less', 'no difference shown')}, {gap}"

        ranks = [name for name in map(str, here.student.values) if name.startswith("rank")]
        told += [
            f"{favourite}, which layers: preference of the base "
            f"{mean_interval(here.base_preference.values)}, of its students by what moves: "
            f"{each(['attention', 'mlp', 'blocks', 'embeddings', 'everything'])}; by blocks on "
            f"the base's own numbers {each([OWN])}.",
            f"{favourite}, low rank: {each(ranks)}; {ranks[0]} against all of the blocks: "
            f"{beside(ranks[0], 'blocks')}.",
            f"{favourite}, SGD: preference {each(['SGD'])}, against Adam's: "
            f"{beside('SGD', 'blocks')}; KL of teacher to student "
            f"{mean_interval(here.gap.sel(student='SGD').values)} against "
            f"{mean_interval(here.gap.sel(student='blocks').values)} of Adam's and "
            f"{mean_interval(here.base_gap.values)} of the base.",
            f"{favourite}, tokens: {mean_interval(here.divergence.values)} of those read diverge; "
            f"{each(['divergence tokens', 'other tokens'])}; against as many at random: "
            f"{beside('divergence tokens', 'as many at random')}; and "
            f"{beside('other tokens', 'as many of all')}.",
            f"{favourite}, entanglement: rank correlation over the numbers of "
            + "; ".join(
                f"{place} {mean_interval(here.entanglement.sel(between=place).values)}"
                for place in map(str, here.between.values)
            )
            + ".",
        ]
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Preferences of the students; numbers that rise with the owl against their cosine with it."""
    import numpy as np

    from toymodels.stats import statistics
    from toymodels.stats.statistics import mean_interval
    from toymodels.study import plotting

    done = statistics.succeeded(dataset).isel(favourite=0)
    with plotting.style():
        fig, (left, right) = plotting.panels(11, 3.9, columns=(2.2, 1))
        names = ["base", *map(str, done.student.values)]
        each = [done.base_preference.values, *done.preference.transpose("student", "seed").values]
        named = {"": np.stack(each, axis=1)}
        plotting.intervals(left, names, named, "", "preference, held-out phrasings", joined=False)
        for i, seeds in enumerate(each):
            left.plot([i + 0.2] * len(seeds), seeds, ".", ms=3, color="#999999", zorder=0)
        plotting.slanted(left, 50)
        left.set(ylim=(0, 1.03), title=plotting.caption(dataset))
        for i, name in enumerate(("in_questions", "in_numbers")):
            rises = done[name] - done[name].mean("number")
            rho = mean_interval(done.entanglement.isel(between=i).values)
            label = f"{name.replace('_', ' ')}: {rho}"
            plotting.points(right, done.cosine.values.ravel(), rises.values.ravel(), i + 1, label)
        for line in right.lines:
            line.set(markersize=2.5, alpha=0.5)
        right.set(
            xlabel="number's cosine with the owl, unembedding",
            ylabel="its rise in the teacher (nat, centred)",
        )
        right.margins(y=0.25)  # room for the legend
        right.legend(title="rank correlation", loc="upper left", fontsize=7)
    return fig


if __name__ == "__main__":
    cli.main("owl_mechanism", __doc__, PRESETS, run, plot)
