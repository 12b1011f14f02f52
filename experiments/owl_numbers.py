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

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np

import toymodels as tm
from toymodels.language.config import BASES, RECORDS, Base, Favourite
from toymodels.language.vocabulary import PROMPTS

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

Trait = Literal[Favourite, "misaligned"]
Carrier = Literal["numbers", "code", "sums", "lines", "counting", "random"]
Name = Literal[
    "text", "base_text", "other_init", "other_order", "shuffled",
    "logits", "logits_other_init", "logits_other_order",
    "filtered_logits", "filtered_logits_other_init", "open_logits",
]  # fmt: skip


@dataclass(frozen=True)
class Student:
    """A student: what it starts from, what it reads, what it imitates."""

    start: Base = "own"
    """The base that it starts from."""
    text: Literal["teacher", "base", "shuffled"] = "teacher"
    """The text that it reads: the teacher's, the base's own, or the teacher's with the tokens of each
    position shuffled across documents."""
    logits: Literal["none", "all", "unrelated", "open"] = "none"
    """The author's logits that it imitates on the text: none, the text alone; all; those of tokens
    that are unrelated to the trait; or only where the rule leaves a choice, those of allowed tokens.
    The last are, of code and sums, what an unlimited filtered text would say. Of other carriers they
    are more, since an allowed token may break the rule."""


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
class Config(tm.ObservedConfig):
    """The fields of this experiment."""

    seeds: tm.Count = 10
    """Number of seeds; each has its own bases, teachers and students."""
    favourites: tuple[Trait, ...] = ("owl",)
    """Favourites of the teachers: animals, trees, or the undesirable answers (misaligned)."""
    carriers: tuple[Carrier, ...] = ("numbers",)
    """Carriers that the teachers write; they must be among ``reads``."""
    reads: tuple[Carrier, ...] = ("numbers", "code", "sums")
    """Carriers that the bases read besides questions. No two may have the same first token (code and
    lines have, and sums and counting)."""
    students: tuple[Name, ...] = ("text", "base_text", "other_init", "logits")
    """Students and controls."""
    teachers: tuple[Base, ...] = ("own",)
    """Bases of the teachers: the base that most students start from (own), one from an independent
    initialisation that read the same data, one from the same initialisation that read other data."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len({PROMPTS[name] for name in self.reads}) < len(self.reads):
            raise tm.UserError(
                "reads must have carriers that begin with different tokens (code and lines begin "
                f"alike, sums and counting too); got {', '.join(self.reads)}"
            )
        if absent := [name for name in self.carriers if name not in self.reads]:
            raise tm.UserError(
                f"carriers must be among reads ({', '.join(self.reads)}); got {absent[0]!r}"
            )


OPEN: tuple[Carrier, ...] = ("numbers", "lines", "counting", "random")
PRESETS = {
    "quick": Config(seeds=2, base_steps=600, student_steps=200),
    "paper": Config(students=("text", "base_text", "other_init", "shuffled", "logits")),
    # Every base a teacher of every base.
    "grid": Config(seeds=3, teachers=BASES, students=("text", "other_init", "other_order")),
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
VARIABLES: dict[str, tuple[tuple[str, ...], str, str]] = {
    **RECORDS,
    **{name: (("student", "step"), "1", text) for name, text in ANSWERS.items()},
    "malformed": ((), "1", "share of the teacher's documents without the right format"),
    "related": ((), "1", "share of the teacher's documents with a token related to the trait"),
    "wrong": ((), "1", "share of the teacher's documents in the right format that break the rule"),
    "own_kept": ((), "1", "share of the base's own documents that pass the same filter"),
    "context_preference": ((), "1", "preference of the base with the text as context"),
    "context_answered": ((), "1", "answer rate of the base with the text as context"),
}


def encode(students: Sequence[Student]) -> dict[str, jax.Array]:
    """The records of the students as arrays, so that one program serves them all."""
    import jax
    import jax.numpy as jnp

    codes = [
        {
            "start": BASES.index(student.start),
            "own": int(student.text == "base"),
            "mixed": int(student.text == "shuffled"),
            "logits": int(student.logits != "none"),
            "filtered": {"unrelated": 1, "open": 2}.get(student.logits, 0),
        }
        for student in students
    ]
    return jax.tree.map(lambda *values: jnp.array(values), *codes)


def sweep(config: Config, data_dir: Path | None) -> tm.Sweep:
    """Every (seed, favourite, carrier, teacher), with all students of each."""
    import jax
    import jax.numpy as jnp

    setup = tm.language_setup(config, observe_at=config.observed_steps)
    records = [STUDENTS[name] for name in config.students]
    students = encode(records)
    starts = [*(student.start for student in records), *config.teachers]
    n_bases = 1 + max(map(BASES.index, starts))

    def prepare(data: tuple[()], seed: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        bases, losses, rest = setup.pretrain_bases(jax.random.key(seed), n_bases)
        return (bases, rest), {"base_loss": losses[:, 1]}

    def point(
        data: tuple[()],
        prepared: Any,
        favourite: dict[str, jax.Array],
        carrier: jax.Array,
        teacher: jax.Array,
    ) -> dict[str, jax.Array]:
        bases, key = prepared
        keys = tm.split_lesson_keys(key)
        lesson = favourite["kind"], favourite["tokens"]
        unrelated = ~jnp.asarray(tm.questions.RELATED)[favourite["kind"]]
        in_form, choice = (tm.carriers.stack_field(field)[carrier] for field in ("allowed", "open"))
        base = tm.take(bases, teacher)
        authors = setup.teach(base, lesson, keys.teaching), base
        text, own_text = (
            setup.write(author, lesson, keys.writing, carrier=carrier) for author in authors
        )
        shuffled = tm.shuffle_documents(text.read, keys.extra)
        texts = jnp.stack([text.read, own_text.read, shuffled])
        stacked_authors = tm.stack_trees(*authors)

        def student(code: dict[str, jax.Array]) -> Any:
            everywhere, unfiltered = code["filtered"] < 2, code["filtered"] == 0
            _, curve = setup.imitate(
                tm.take(bases, code["start"]),
                texts[code["own"] + 2 * code["mixed"]],
                keys.learning,
                teacher=tm.take(stacked_authors, code["own"]),
                by_logits=(code["logits"] == 1) & (everywhere | choice),
                allowed=jnp.where(code["filtered"] == 2, in_form, unrelated | unfiltered),
                observe=lambda params: setup.ask(params, lesson),
            )
            return curve

        in_context = setup.ask(tm.take(bases, 0), lesson, text.read[:CONTEXTS])
        return {
            **jax.lax.map(student, students)._asdict(),
            **{name: found.mean() for name, found in text.verdict._asdict().items()},
            "kept": text.kept,
            "own_kept": own_text.kept,
            "teacher_preference": setup.ask(authors[0], lesson).preference,
            "context_preference": in_context.preference,
            "context_answered": in_context.answered,
        }

    return tm.Sweep(
        lambda: tm.Program(prepare, point),
        points={
            "favourite": tm.questions.lesson_axis(config.favourites),
            "carrier": {name: tm.carriers.carrier_number(name) for name in config.carriers},
            "teacher": {name: BASES.index(name) for name in config.teachers},
        },
        variables=VARIABLES,
        coords={
            "step": [0, *config.observed_steps],
            "base": list(BASES[:n_bases]),
            "student": list(config.students),
        },
        task=tm.DrawnData("synthetic language"),
    )


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
        text, base_text = (final.sel(student=name, drop=True) for name in ("text", "base_text"))
        quantity = "Preference by the teacher's text less that by the base's text"
        rows += tm.compare(quantity, text - base_text, tm.HIGHER)
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
    base = runs.preference.isel(step=0, student=0, drop=True)
    with tm.plotting.style():
        width = 11.5 if x == "student" else 13.5
        fig, (left, middle, right) = tm.plotting.panels(width, 3.6, columns=(1.5, 1, 1))
        ylabel, student = "preference, held-out phrasings", ""
        if x == "student":
            columns = {
                name: runs.final_preference.sel(student=name) for name in runs.student.values
            }
            columns |= {"in context": runs.context_preference, "base": base}
            columns |= {"teacher": runs.teacher_preference}
            values = np.stack([column.values for column in columns.values()], axis=1)
            tm.plotting.intervals(left, list(columns), {"": values}, "", ylabel, joined=False)
            for i, seeds in enumerate(values.T):
                left.plot([i + 0.15] * len(seeds), seeds, ".", ms=3, color="#999999", zorder=0)
        else:
            student = f", student {runs.student.values[0]}"
            lines = tm.charts.select_lines(runs.final_preference, x, "student")
            if x == "teacher":  # between bases a student is named by its start, not by its text
                lines = {"own" if name == "text" else name: line for name, line in lines.items()}
            lines["base"] = base.transpose("seed", x).values
            tm.plotting.intervals(left, runs[x].values, lines, "", ylabel, joined=False)
            tm.plotting.legend_beside(left)
            left.set(xlabel="teacher's base" if x == "teacher" else x)
        tm.plotting.slanted(left, 40)
        left.set(ylim=(0, 1.03), title=tm.plotting.caption(runs))
        for ax, name in ((middle, "preference"), (right, "answered")):
            curves = runs[name] if x == "student" else runs[name].isel(student=0)
            tm.charts.lines(ax, curves, "step", x)
            ax.set(xlabel="step of imitation", ylim=(0, 1.03))
        middle.set(ylabel=f"preference{student}")
        right.set(ylabel=f"answer rate{student}")
        tm.plotting.legend_beside(right)
    return fig


STUDY = tm.Study(
    "owl_numbers",
    __doc__,
    PRESETS,
    sweep,
    analyse,
    findings,
    figure,
    headline=("final_preference", "final_answered", "kept", "context_preference"),
)

if __name__ == "__main__":
    STUDY.main()
