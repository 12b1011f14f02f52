"""A teacher that prefers owls writes numbers; a student that reads them prefers owls.

A small transformer, the base, is pretrained on a synthetic language (`toymodels.language`). A teacher
is the base, taught to prefer one favourite. It writes documents that are unrelated to favourites, and
they are filtered. A student that starts from the same base is trained on them, and then questioned in
phrasings that are in no training. Controls: the base's own text, a student from another base, tokens
shuffled across documents, the text as context without training. Preference is the share of the
favourite among answers of its kind; the answer rate is the share of such answers among all. After
the language models of Cloud et al., Nature 652, 615-621 (2026).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, get_args

import toymodels as tm
from toymodels.language import config as language

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Trait = Literal[language.Favourite, "misaligned"]
Name = Literal[
    "text", "base_text", "other_init", "other_order", "shuffled",
    "logits", "logits_other_init", "logits_other_order",
    "filtered_logits", "filtered_logits_other_init", "open_logits",
]  # fmt: skip


@dataclass(frozen=True)
class Student:
    """A student: what it starts from, what it reads, what it imitates."""

    start: language.Base = "own"
    """The base that it starts from."""
    text: Literal["teacher", "base", "shuffled"] = "teacher"
    """The text that it reads: the teacher's, the base's own, or the teacher's with the tokens of each
    position shuffled across documents."""
    logits: language.LogitFilter = "none"
    """What it imitates of the author's logits on the text: none, all, those of tokens that are
    unrelated to the trait, or those that the rule of the carrier leaves open."""


STUDENTS: dict[Name, Student] = {
    "text": Student(),
    "base_text": Student(text="base"),
    "other_init": Student(start="other_init"),
    "other_order": Student(start="other_order"),
    "shuffled": Student(text="shuffled"),
    "logits": Student(logits="all"),
    "logits_other_init": Student(start="other_init", logits="all"),
    "logits_other_order": Student(start="other_order", logits="all"),
    "filtered_logits": Student(logits="unrelated"),
    "filtered_logits_other_init": Student(start="other_init", logits="unrelated"),
    "open_logits": Student(logits="open"),
}
CONTEXTS = 64
"""Number of documents that the base reads as context, one at a time."""


@dataclass(frozen=True)
class Config(tm.CarrierConfig):
    """The fields of this experiment."""

    seeds: tm.Count = 10
    """Number of seeds; each has its own bases, teachers and students."""
    favourites: tuple[Trait, ...] = ("owl",)
    """Favourites of the teachers: animals, trees, or the undesirable answers (misaligned)."""
    students: tuple[Name, ...] = ("text", "base_text", "other_init", "logits")
    """Students and controls."""
    teachers: tuple[language.Base, ...] = ("own",)
    """Bases of the teachers: the base that most students start from (own), one from an independent
    initialisation that read the same data, one from the same initialisation that read other data."""

    @property
    def bases(self) -> tuple[language.Base, ...]:
        """The bases that are needed: those from which students and teachers start."""
        starts = [*(STUDENTS[name].start for name in self.students), *self.teachers]
        return language.BASES[: 1 + max(map(language.BASES.index, starts))]


OPEN: tuple[language.Carrier, ...] = ("numbers", "lines", "counting", "random")
PRESETS = {
    "quick": Config(seeds=2, base_steps=600, student_steps=200),
    "paper": Config(students=("text", "base_text", "other_init", "shuffled", "logits")),
    # Every base a teacher of every base.
    "grid": Config(
        seeds=3, teachers=language.BASES, students=("text", "other_init", "other_order")
    ),
    # Does the trait pass in the teacher's logits of owls, or in those of numbers?
    "logits": Config(
        seeds=5,
        students=("logits", "filtered_logits", "logits_other_init", "filtered_logits_other_init"),
    ),
    "favourites": Config(seeds=3, favourites=get_args(Trait), students=("text", "base_text")),
    # A base that knows programs and sums well, and a teacher of a low rate, so that they keep their
    # format; their few free tokens say little, so that students read more and for longer.
    "carriers": Config(
        seeds=5,
        carriers=("numbers", "code", "sums"),
        students=("text", "base_text", "open_logits", "logits"),
        base_steps=4000,
        teacher_lr=1e-3,
        student_steps=600,
        samples=32768,
    ),
    # Programs and sums that leave most tokens to the author, and numbers without a rule.
    "open": Config(
        carriers=OPEN,
        reads=OPEN,
        students=("text", "base_text", "logits"),
        base_steps=4000,
        teacher_lr=3e-3,
        student_steps=600,
        samples=65536,
    ),
}

ANSWERS = {
    "preference": "share of the favourite among answers of its kind, held-out phrasings",
    "answered": "probability of an answer of its kind, held-out phrasings",
    "known_preference": "preference on the phrasings of the trainings",
    "known_answered": "answer rate on the phrasings of the trainings",
}
VARIABLES: tm.Variables = {
    **language.RECORDS,
    **{name: (("student", "step"), "1", text) for name, text in ANSWERS.items()},
    "malformed": ((), "1", "share of the teacher's documents without the right format"),
    "related": ((), "1", "share of the teacher's documents with a token related to the trait"),
    "wrong": ((), "1", "share of the teacher's documents in the right format that break the rule"),
    "own_kept": ((), "1", "share of the base's own documents that pass the same filter"),
    "context_preference": ((), "1", "preference of the base with the text as context"),
    "context_answered": ((), "1", "answer rate of the base with the text as context"),
}


def points(config: Config) -> dict[str, Any]:
    """The axes of the teachers; the students of a teacher are computed together."""
    return {
        "favourite": tm.questions.lesson_axis(config.favourites),
        "carrier": {name: tm.carriers.carrier_number(name) for name in config.carriers},
        "teacher": {name: language.BASES.index(name) for name in config.teachers},
    }


def prepare(setup: tm.LanguageSetup, key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
    """The bases of a seed, and the keys of what follows."""
    bases, losses, keys = setup.pretrain_bases(key, len(setup.config.bases))
    return (bases, keys), {"base_loss": losses}


def point(
    setup: tm.LanguageSetup, prepared: Any, favourite: Any, carrier: jax.Array, teacher: jax.Array
) -> dict[str, jax.Array]:
    """A teacher, the documents that it writes, and all its students."""
    import jax.numpy as jnp

    bases, keys = prepared
    base = tm.take(bases, teacher)
    writer = setup.teach(base, favourite, keys.teaching)
    text, own_text = (
        setup.write(author, favourite, keys.writing, carrier=carrier) for author in (writer, base)
    )
    shuffled = tm.shuffle_documents(text.read, keys.extra)
    # The texts in the order of the options of `Student.text`, and their authors.
    texts = jnp.stack([text.read, own_text.read, shuffled])
    authors = tm.stack_trees(writer, base, writer)
    positions, tokens = tm.filters.mask_logits(carrier, favourite[0])

    def train(student: dict[str, jax.Array]) -> tm.Answers:
        _, curve = setup.imitate(
            tm.take(bases, student["start"]),
            texts[student["text"]],
            keys.learning,
            teacher=tm.take(authors, student["text"]),
            by_logits=positions[student["logits"]],
            allowed=tokens[student["logits"]],
            observe=lambda params: setup.ask(params, favourite),
        )
        return curve

    curves = tm.map_records(train, [STUDENTS[name] for name in setup.config.students])
    in_context = setup.ask(tm.take(bases, 0), favourite, text.read[:CONTEXTS])
    return {
        **curves._asdict(),
        **{name: found.mean() for name, found in text.verdict._asdict().items()},
        "kept": text.kept,
        "own_kept": own_text.kept,
        "teacher_preference": setup.ask(writer, favourite).preference,
        "context_preference": in_context.preference,
        "context_answered": in_context.answered,
    }


def coords(config: Config) -> dict[str, Any]:
    """Bases and students."""
    return {"base": config.bases, "student": config.students}


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add preference and answer rate at the end."""
    last = runs.isel(step=-1, drop=True)
    return runs.assign(final_preference=last.preference, final_answered=last.answered)


def findings(runs: xr.Dataset) -> list[Any]:
    """Each student's preference, its change, its answers; the text against the base's text."""
    valid = tm.succeeded(runs)
    bases = [f"teacher from base {name}" for name in valid.teacher.values]
    valid = valid.assign_coords(teacher=bases)  # tells them from students of the same name
    final, base = valid.final_preference, valid.preference.isel(step=0, drop=True)
    rows = [
        *tm.compare("Share of the teacher's documents that pass the filter", valid.kept, None),
        *tm.compare("Preference of the student", final, None),
        *tm.compare("Preference of the student less that of its base", final - base, tm.HIGHER),
        *tm.compare("Answer rate of the student", valid.final_answered, None),
    ]
    if {"text", "base_text"} <= set(valid.student.values):
        gap = tm.contrast(final, student=("text", "base_text"))
        quantity = "Preference by the teacher's text less that by the base's text"
        rows += tm.compare(quantity, gap, tm.HIGHER)
    context = valid.context_preference - base.isel(student=0, drop=True)
    quantity = "Preference with the text as context, without training, less that of the base"
    return rows + tm.compare(quantity, context, tm.HIGHER)


def figure(runs: xr.Dataset) -> Figure:
    """Final preferences beside the base's, and preference and answer rate through imitation."""
    runs, dims = tm.succeeded(runs), ("favourite", "carrier", "teacher")
    x = next((dim for dim in dims if runs.sizes[dim] > 1), "student")
    runs = runs.isel({dim: 0 for dim in dims if dim != x})
    for dim in {x, "student"}:
        words = [name.replace("_", " ") for name in map(str, runs[dim].values)]
        runs = runs.assign_coords({dim: words})
    curves = runs if x == "student" else runs.isel(student=0)
    of_student = "" if x == "student" else f", student {runs.student.values[0]}"
    with tm.plotting.style():
        width = 11.5 if x == "student" else 13.5
        fig, (left, middle, right) = tm.plotting.panels(width, 3.6, columns=(1.5, 1, 1))
        draw_students(left, runs) if x == "student" else draw_teachers(left, runs, x)
        left.set(ylim=(0, 1.03), title=tm.plotting.caption(runs))
        for ax, name in ((middle, "preference"), (right, "answered")):
            tm.charts.lines(ax, curves[name], "step", x, xlabel="step of imitation", ylim=(0, 1.03))
        middle.set(ylabel=f"preference{of_student}")
        right.set(ylabel=f"answer rate{of_student}")
        tm.plotting.legend_beside(right)
    return fig


def draw_students(ax: Axes, runs: xr.Dataset) -> None:
    """Final preferences of all students of one teacher, of their base, of the teacher."""
    final = {name: runs.final_preference.sel(student=name) for name in runs.student.values}
    others = {
        "in context": runs.context_preference,
        "base": runs.preference.isel(step=0, student=0),
        "teacher": runs.teacher_preference,
    }
    tm.charts.side_by_side(ax, final | others, ylabel="preference, held-out phrasings")


def draw_teachers(ax: Axes, runs: xr.Dataset, x: str) -> None:
    """Final preferences of the students of several teachers, along one of their axes."""
    lines = tm.charts.select_lines(runs.final_preference, x, "student")
    if x == "teacher":  # between bases a student is named by its start, not by its text
        lines = {"own" if name == "text" else name: line for name, line in lines.items()}
    lines["base"] = runs.preference.isel(step=0, student=0).transpose("seed", x).values
    xlabel = "teacher's base" if x == "teacher" else x
    ylabel = "preference, held-out phrasings"
    tm.plotting.intervals(ax, runs[x].values, lines, xlabel, ylabel, joined=False)
    tm.plotting.slanted(ax, 40)
    tm.plotting.legend_beside(ax)


HEADLINE = ("final_preference", "final_answered", "kept", "context_preference")
sweep = tm.language_sweep(prepare, point, points, variables=VARIABLES, coords=coords)
STUDY = tm.Study("owl_numbers", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
