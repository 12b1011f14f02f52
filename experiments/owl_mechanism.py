"""What carries the owl: layers, directions of the weights, optimiser, tokens.

Each seed has one teacher, as in `owl_numbers`: it prefers owls and writes numbers. Its students have the
same base and read the numbers, but each lacks something: only some groups of weights move; the
updates of the blocks are of low rank; SGD replaces Adam; the loss counts only divergence tokens, where
teacher and base would write different tokens (Schrodi et al. 2026, arXiv 2509.23886), or only the
others, each beside a control of as many random tokens. And of each teacher: does the probability rise
of those numbers whose vectors in the unembedding lie close to the owl's (token entanglement, Zur et
al. 2025)?
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import toymodels as tm
from toymodels.errors import at_least
from toymodels.language.config import RECORDS, Favourite
from toymodels.language.vocabulary import NUMBERS

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

BLOCKS, OUTSIDE = ("attention", "mlp"), ("embedding", "positions", "unembedding")
TOKENS = ("all", "divergence", "others", "divergence_control", "other_control")
"""Tokens that may count in a student's loss; a control is as many random ones."""


@dataclass(frozen=True)
class Student:
    """A student by Adam: the groups of weights that it moves, and what it reads."""

    groups: tuple[str, ...] = BLOCKS
    """Groups of weights that move."""
    tokens: str = "all"
    """Tokens that count in its loss, one of `TOKENS`."""
    text: str = "teacher"
    """Author of its documents: teacher or base."""


STUDENTS = {
    "blocks": Student(),
    "base_text": Student(text="base"),
    "attention": Student(groups=("attention",)),
    "mlp": Student(groups=("mlp",)),
    "embeddings": Student(groups=OUTSIDE),
    "everything": Student(groups=(*BLOCKS, *OUTSIDE)),
    "divergence_tokens": Student(tokens="divergence"),
    "divergence_control": Student(tokens="divergence_control"),
    "other_tokens": Student(tokens="others"),
    "other_control": Student(tokens="other_control"),
}
PAIRS = {
    "questions and cosine": ("in_questions", "cosine"),
    "numbers and cosine": ("in_numbers", "cosine"),
    "numbers and questions": ("in_numbers", "in_questions"),
}
"""Quantities of each number whose ranks are correlated: its rise in the teacher's answers to questions
or in number sequences, and the cosine of its vector in the unembedding with the favourite's."""
UNSEEN = 1024
"""Number of the teacher's documents that no student reads, on which imitation is measured."""


@dataclass(frozen=True)
class Config(tm.LanguageConfig):
    """The fields of this experiment."""

    seeds: tm.Count = 3
    """Number of seeds; each has its own base and teachers."""
    favourites: tuple[Favourite, ...] = ("owl",)
    """Favourites of the teachers."""
    ranks: tm.Counts = (1, 2, 4, 8)
    """Ranks of the updates of every kernel of the blocks, at most ``width``."""
    rank_lr: tm.Rate = 3e-3
    """Learning rate of Adam for updates of low rank (lowest KL of 3e-3, 1e-2, 3e-2 on seed 100)."""
    sgd_lr: tm.Rate = 0.3
    """Learning rate of SGD (lowest KL of 0.1, 0.3, 1, 3 on seed 100)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "ranks", most=self.width)

    @property
    def students(self) -> list[str]:
        """Names of all students."""
        return [*STUDENTS, "SGD", *(f"rank {rank}" for rank in self.ranks)]


PRESETS = {
    "quick": Config(seeds=1, base_steps=400, student_steps=200, ranks=(1, 4)),
    "paper": Config(),
}

VARIABLES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "kept": RECORDS["kept"],
    "teacher_preference": RECORDS["teacher_preference"],
    "preference": (("student",), "1", "share of the favourite, held-out phrasings"),
    "answered": (("student",), "1", "probability of an answer of its kind, held-out phrasings"),
    "gap": (("student",), "nat", "KL of teacher to student per token of unseen documents"),
    "base_preference": ((), "1", "preference of the base"),
    "base_gap": ((), "nat", "KL of teacher to base per token of unseen documents"),
    "divergence": ((), "1", "share of divergence tokens in the documents that students read"),
    "in_questions": (
        ("number",),
        "nat",
        "log probability of a number as answer, teacher less base",
    ),
    "in_numbers": (
        ("number",),
        "nat",
        "log probability of a number in number sequences, teacher less base",
    ),
    "cosine": (("number",), "1", "cosine of a number's unembedding vector with the favourite's"),
}


def sweep(config: Config, data_dir: Path | None) -> tm.Sweep:
    """Every (seed, favourite), with all students."""
    import jax
    import jax.numpy as jnp
    import optax
    from jax import random

    setup, records = tm.language_setup(config), STUDENTS.values()
    model, kinds = setup.model, tm.transformer.KINDS
    # The groups that a student moves; its tokens, where the base's text comes last.
    tuned = jnp.array([[kind in student.groups for kind in kinds] for student in records])
    tokens = [len(TOKENS) if s.text == "base" else TOKENS.index(s.tokens) for s in records]

    def prepare(data: tuple[()], seed: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        bases, _, key = setup.pretrain_bases(random.key(seed), 1)
        return (tm.take(bases, 0), key), {}

    def point(
        data: tuple[()], prepared: Any, favourite: dict[str, jax.Array]
    ) -> dict[str, jax.Array]:
        base, key = prepared
        keys = tm.split_lesson_keys(key)
        lesson = favourite["kind"], favourite["tokens"]
        teacher = setup.teach(base, lesson, keys.teaching)
        text = setup.write(teacher, lesson, keys.writing)
        unseen = setup.write(teacher, lesson, random.fold_in(keys.writing, 1), n=UNSEEN).read
        base_text = setup.write(base, lesson, keys.writing).read
        divergence = tm.mechanism.find_divergence(model, teacher, base, text.read)
        others = (~divergence).at[:, 0].set(False)
        control_keys = random.split(keys.extra)
        controls = [
            tm.mechanism.permute_tokens(mask, control_key)
            for mask, control_key in zip((divergence, others), control_keys, strict=True)
        ]
        everything = jnp.ones_like(divergence)
        weights = jnp.stack([everything, divergence, others, *controls, everything])

        def measure(decoder: Any, params: Any) -> dict[str, jax.Array]:
            answers = setup._replace(model=decoder).ask(params, lesson)
            pairs = (model, teacher), (decoder, params)
            target, student = (
                jax.nn.log_softmax(author.apply(params, unseen)[:, :-1]) for author, params in pairs
            )
            gap = (jnp.exp(target) * (target - student)).sum(-1).mean()
            return {"preference": answers.preference, "answered": answers.answered, "gap": gap}

        def train_groups(code: tuple[jax.Array, jax.Array]) -> dict[str, jax.Array]:
            groups, index = code
            documents = jnp.where(index == len(TOKENS), base_text, text.read)
            plan = setup.plan._replace(tuned=groups)
            params, _ = setup._replace(plan=plan).imitate(
                base, documents, keys.learning, weights=weights[index]
            )
            return measure(model, params)

        def train_by_sgd(rate: jax.Array) -> dict[str, jax.Array]:
            sgd = optax.sgd(rate)
            params, _ = setup.imitate(base, text.read, keys.learning, optimiser=sgd)
            return measure(model, params)

        def train_low_rank(rank: jax.Array) -> dict[str, jax.Array]:
            key, most = random.fold_in(keys.extra, 1), max(config.ranks)
            start = tm.mechanism.init_adapters(base, key, most, rank)
            decoder = tm.mechanism.adapt_decoder(model, base)
            adam = tm.optimisers.OPTIMISERS["adam"].make(config.rank_lr, 0.0)
            params, _ = setup._replace(model=decoder).imitate(
                start, text.read, keys.learning, optimiser=adam
            )
            return measure(decoder, params)

        def rise(chances: Callable[[Any], jax.Array]) -> jax.Array:
            return tm.mechanism.log_rise(chances(teacher), chances(base))[:NUMBERS]

        students = [
            jax.lax.map(train_groups, (tuned, jnp.array(tokens))),
            jax.lax.map(train_by_sgd, jnp.array([config.sgd_lr])),
            jax.lax.map(train_low_rank, jnp.array(config.ranks)),
        ]
        before, after = measure(model, base), measure(model, teacher)
        return {
            **jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *students),
            "base_preference": before["preference"],
            "base_gap": before["gap"],
            "teacher_preference": after["preference"],
            "kept": text.kept,
            "divergence": divergence[:, 1:].mean(),
            "in_questions": rise(lambda params: tm.ask(model, params)[lesson[0]]),
            "in_numbers": rise(
                lambda params: jax.nn.softmax(model.apply(params, base_text[:UNSEEN])[:, :-1])
            ),
            "cosine": tm.mechanism.unembedding_cosines(base, lesson[1].argmax())[:NUMBERS],
        }

    return tm.Sweep(
        lambda: tm.Program(prepare, point),
        points={"favourite": tm.questions.lesson_axis(config.favourites)},
        variables=VARIABLES,
        coords={"student": config.students, "number": range(NUMBERS)},
        task=tm.DrawnData("synthetic language"),
    )


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add Spearman's rank correlations over the numbers, seed by seed."""
    import xarray as xr
    from scipy import stats

    def correlate(x: np.ndarray, y: np.ndarray) -> float:
        constant = np.ptp(x) == 0 or np.ptp(y) == 0  # a teacher that learnt nothing raises nothing
        return np.nan if constant else stats.spearmanr(x, y).statistic

    core = [["number"], ["number"]]
    correlations = [
        xr.apply_ufunc(correlate, runs[a], runs[b], input_core_dims=core, vectorize=True)
        for a, b in PAIRS.values()
    ]
    joined = xr.concat(correlations, xr.Variable("between", list(PAIRS)))
    description = "rank correlation over the numbers: rise and rise, or rise and cosine"
    return runs.assign(entanglement=joined.assign_attrs(units="1", description=description))


def findings(runs: xr.Dataset) -> list[Any]:
    """Layers, ranks, optimiser, tokens, entanglement."""
    valid = tm.succeeded(runs)
    rank = next(name for name in map(str, valid.student.values) if name.startswith("rank"))
    differences = {
        f"Preference with updates of {rank} less that with all of the blocks": (rank, "blocks"),
        "Preference by SGD less that by Adam": ("SGD", "blocks"),
        "Preference by divergence tokens less that by as many random tokens": (
            "divergence_tokens",
            "divergence_control",
        ),
        "Preference by the other tokens less that by as many random tokens": (
            "other_tokens",
            "other_control",
        ),
    }
    kl = "KL of teacher to {} per token of unseen documents (nat)"
    rows = [
        *tm.compare("Preference of the base", valid.base_preference, None),
        *tm.compare("Preference of the student", valid.preference, None),
    ]
    for quantity, pair in differences.items():
        student, control = (valid.preference.sel(student=name, drop=True) for name in pair)
        rows += tm.compare(quantity, student - control, tm.HIGHER)
    return [
        *rows,
        *tm.compare(kl.format("student"), valid.gap.sel(student=["SGD", "blocks"]), None),
        *tm.compare(kl.format("base"), valid.base_gap, None),
        *tm.compare("Share of divergence tokens in the text", valid.divergence, None),
        *tm.compare("Rank correlation over the numbers", valid.entanglement),
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Preferences of the students; rise of the numbers against their cosine with the owl."""
    runs = tm.succeeded(runs).isel(favourite=0)
    with tm.plotting.style():
        fig, (left, right) = tm.plotting.panels(11, 3.9, columns=(2.2, 1))
        names = ["base", *(name.replace("_", " ") for name in map(str, runs.student.values))]
        seeds = runs.preference.transpose("seed", "student").values
        values = np.column_stack([runs.base_preference.values, seeds])
        ylabel = "preference, held-out phrasings"
        tm.plotting.intervals(left, names, {"": values}, "", ylabel, joined=False)
        for i, column in enumerate(values.T):
            left.plot([i + 0.2] * len(column), column, ".", ms=3, color="#999999", zorder=0)
        tm.plotting.slanted(left, 50)
        left.set(ylim=(0, 1.03), title=tm.plotting.caption(runs))
        for i, name in enumerate(("in_questions", "in_numbers")):
            rises = runs[name] - runs[name].mean("number")
            correlation = tm.interval(runs.entanglement.isel(between=i))
            label = f"{name.replace('_', ' ')}: {correlation}"
            tm.plotting.points(
                right, runs.cosine.values.ravel(), rises.values.ravel(), i + 1, label
            )
        for line in right.lines:
            line.set(markersize=2.5, alpha=0.5)
        right.set(
            xlabel="number's cosine with the owl, unembedding",
            ylabel="its rise in the teacher (nat, centred)",
        )
        right.margins(y=0.25)  # room for the legend
        right.legend(title="rank correlation", loc="upper left", fontsize=7)
    return fig


STUDY = tm.Study(
    "owl_mechanism",
    __doc__,
    PRESETS,
    sweep,
    analyse,
    findings,
    figure,
    headline=("preference", "answered", "gap", "divergence", "entanglement"),
)

if __name__ == "__main__":
    STUDY.main()
