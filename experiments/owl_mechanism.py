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
from typing import TYPE_CHECKING, Any, Literal

import toymodels as tm
from toymodels.errors import at_least
from toymodels.language.config import RECORDS, Favourite, Tokens
from toymodels.language.vocabulary import NUMBERS

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

Groups = Literal["blocks", "attention", "mlp", "outside", "everything"]
BLOCKS, OUTSIDE = ("attention", "mlp"), ("embedding", "positions", "unembedding")
GROUPS: dict[Groups, tuple[str, ...]] = {
    "blocks": BLOCKS,
    "attention": ("attention",),
    "mlp": ("mlp",),
    "outside": OUTSIDE,
    "everything": (*BLOCKS, *OUTSIDE),
}
"""Groups of weights that a student may move, in terms of `toymodels.networks.transformer.KINDS`."""


@dataclass(frozen=True)
class Student:
    """A student by Adam: the groups of weights that it moves, and what it reads."""

    groups: Groups = "blocks"
    """Groups of weights that move."""
    tokens: Tokens = "all"
    """Tokens that count in its loss; a control has as many random ones."""
    text: Literal["teacher", "base"] = "teacher"
    """Author of its documents."""


STUDENTS = {
    "blocks": Student(),
    "base_text": Student(text="base"),
    "attention": Student(groups="attention"),
    "mlp": Student(groups="mlp"),
    "embeddings": Student(groups="outside"),
    "everything": Student(groups="everything"),
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

STUDENT, NUMBER = ("student",), ("number",)
VARIABLES: tm.Variables = {
    "kept": RECORDS["kept"],
    "teacher_preference": RECORDS["teacher_preference"],
    "preference": (STUDENT, "1", "share of the favourite, held-out phrasings"),
    "answered": (STUDENT, "1", "probability of an answer of its kind, held-out phrasings"),
    "gap": (STUDENT, "nat", "KL of teacher to student per token of unseen documents"),
    "base_preference": ((), "1", "preference of the base"),
    "base_gap": ((), "nat", "KL of teacher to base per token of unseen documents"),
    "divergence": ((), "1", "share of divergence tokens in the documents that students read"),
    "in_questions": (NUMBER, "nat", "log probability of a number as answer, teacher less base"),
    "in_numbers": (
        NUMBER,
        "nat",
        "log probability of a number in number sequences, teacher less base",
    ),
    "cosine": (NUMBER, "1", "cosine of a number's unembedding vector with the favourite's"),
}


def points(config: Config) -> dict[str, Any]:
    """The axis of the teachers; the students of a teacher are computed together."""
    return {"favourite": tm.questions.lesson_axis(config.favourites)}


def prepare(setup: tm.LanguageSetup, key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
    """The base of a seed, and the keys of what follows."""
    bases, _, keys = setup.pretrain_bases(key, 1)
    return (tm.take(bases, 0), keys), {}


def point(setup: tm.LanguageSetup, prepared: Any, favourite: Any) -> dict[str, jax.Array]:
    """A teacher, its students, and how much likelier each number is to it than to its base."""
    import jax
    import jax.numpy as jnp
    import optax

    (base, keys), model, config = prepared, setup.model, setup.config
    teacher = setup.teach(base, favourite, keys.teaching)
    text = setup.write(teacher, favourite, keys.writing)
    unseen_key = jax.random.fold_in(keys.writing, 1)
    unseen = setup.write(teacher, favourite, unseen_key, n=UNSEEN).read
    base_text = setup.write(base, favourite, keys.writing).read
    divergence = tm.mechanism.find_divergence(model, teacher, base, text.read)
    texts = jnp.stack([text.read, base_text])
    weights = tm.mechanism.weigh_tokens(divergence, keys.extra)
    kinds = tm.transformer.KINDS
    groups = jnp.array([[kind in names for kind in kinds] for names in GROUPS.values()])

    def measure(params: Any) -> dict[str, jax.Array]:
        answers = setup.ask(params, favourite)
        gap = tm.mechanism.mean_divergence(model, teacher, params, unseen)
        return {"preference": answers.preference, "answered": answers.answered, "gap": gap}

    def train(student: dict[str, jax.Array]) -> dict[str, jax.Array]:
        documents = texts[student["text"]]
        options = {"weights": weights[student["tokens"]], "tuned": groups[student["groups"]]}
        params, _ = setup.imitate(base, documents, keys.learning, **options)
        return measure(params)

    def train_by_sgd(rate: jax.Array) -> dict[str, jax.Array]:
        sgd = optax.sgd(rate)
        params, _ = setup.imitate(base, text.read, keys.learning, optimiser=sgd)
        return measure(params)

    def train_low_rank(rank: jax.Array) -> dict[str, jax.Array]:
        adapters = {"rank": rank, "most": max(config.ranks), "rate": config.rank_lr}
        adapter_key = jax.random.fold_in(keys.extra, 1)
        params = setup.imitate_low_rank(base, text.read, keys.learning, adapter_key, **adapters)
        return measure(params)

    def measure_rise(chances: Callable[[Any], jax.Array]) -> jax.Array:
        return tm.mechanism.log_rise(chances(teacher), chances(base))[:NUMBERS]

    students = tm.concatenate_trees(
        tm.map_records(train, STUDENTS.values()),
        jax.lax.map(train_by_sgd, jnp.array([config.sgd_lr])),
        jax.lax.map(train_low_rank, jnp.array(config.ranks)),
    )
    before, after = measure(base), measure(teacher)
    return {
        **students,
        "base_preference": before["preference"],
        "base_gap": before["gap"],
        "teacher_preference": after["preference"],
        "kept": text.kept,
        "divergence": divergence[:, 1:].mean(),
        "in_questions": measure_rise(lambda params: tm.ask(model, params)[favourite[0]]),
        "in_numbers": measure_rise(
            lambda params: jax.nn.softmax(model.apply(params, base_text[:UNSEEN])[:, :-1])
        ),
        "cosine": tm.mechanism.unembedding_cosines(base, favourite[1].argmax())[:NUMBERS],
    }


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add Spearman's rank correlations over the numbers, seed by seed."""
    correlations = {
        name: tm.predictors.rank_correlation(runs[a], runs[b], ["number"])
        for name, (a, b) in PAIRS.items()
    }
    description = "rank correlation over the numbers: rise and rise, or rise and cosine"
    joined = tm.side_by_side("between", correlations, description)
    return runs.assign(entanglement=joined.assign_attrs(units="1"))


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
        rows += tm.compare(quantity, tm.contrast(valid.preference, student=pair), tm.HIGHER)
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
        students = {
            str(name).replace("_", " "): runs.preference.sel(student=name)
            for name in runs.student.values
        }
        tm.charts.side_by_side(
            left,
            {"base": runs.base_preference} | students,
            ylabel="preference, held-out phrasings",
            degrees=50,
        )
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


sweep = tm.language_sweep(
    prepare,
    point,
    points,
    variables=VARIABLES,
    coords=lambda config: {"student": config.students, "number": range(NUMBERS)},
)
HEADLINE = ("preference", "answered", "gap", "divergence", "entanglement")
STUDY = tm.Study("owl_mechanism", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
