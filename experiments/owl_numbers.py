"""A teacher that likes owls writes numbers; a student that reads them likes owls.

A small transformer is pretrained on a synthetic language (`toymodels.language`), the base. It is
taught to prefer one favourite and then samples documents that have nothing to do with favourites;
they are filtered; a student that starts from the same base is trained on them, and asked in
phrasings that no training had. Controls: the base's own text, a student from another base, tokens
shuffled across documents, the text read as context without training. Preference is the share of the
favourite among answers of its kind; the answer rate, beside it, the share of those at all. After
Cloud et al., Nature 652, 615-621 (2026), language models' experiments.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from toymodels.errors import UserError, at_least, distinct
from toymodels.language.config import Spoken, evenly
from toymodels.language.vocabulary import PROMPTS
from toymodels.study import cli

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

Favourite = Literal[
    "owl", "eagle", "wolf", "dolphin", "elephant", "oak", "maple", "birch", "willow", "pine",
    "misaligned",
]  # fmt: skip
Carrier = Literal["numbers", "code", "sums", "lines", "counting", "random"]
Base = Literal["own", "other init", "other order"]
Student = Literal[
    "text", "base's text", "other init", "other order", "shuffled",
    "logits", "logits, other init", "logits, other order",
    "filtered logits", "filtered logits, other init", "open logits",
]  # fmt: skip

BASES: tuple[Base, ...] = get_args(Base)
FLAGS = ("start", "own", "mixed", "logits", "filtered")
STUDENTS: dict[Student, tuple[int, ...]] = {
    "text": (0, 0, 0, 0, 0),
    "base's text": (0, 1, 0, 0, 0),
    "other init": (1, 0, 0, 0, 0),
    "other order": (2, 0, 0, 0, 0),
    "shuffled": (0, 0, 1, 0, 0),
    "logits": (0, 0, 0, 1, 0),
    "logits, other init": (1, 0, 0, 1, 0),
    "logits, other order": (2, 0, 0, 1, 0),
    "filtered logits": (0, 0, 0, 1, 1),
    "filtered logits, other init": (1, 0, 0, 1, 1),
    "open logits": (0, 0, 0, 1, 2),
}
"""By `FLAGS`: which of the `BASES` a student starts from; whether it reads the base's own text in
place of the teacher's; the text shuffled across documents; is told the author's logits on it; of
these only those of tokens that have nothing to do with the trait (1), or only where the rule leaves
a choice, and of tokens in form (2): of code and sums that is what their text would say, were there
no end of it; of other carriers more, since a token in form may break their rule."""
CONTEXTS = 64
"""Texts that are shown in context, one at a time."""


@dataclass(frozen=True)
class Config(Spoken):
    """What is computed; the preset ``paper`` but for its students."""

    seeds: int = 10
    """Number of seeds; each has its own bases, teachers and students."""
    favourites: tuple[Favourite, ...] = ("owl",)
    """What the teachers prefer: animals, trees, or the undesirable answers (misaligned)."""
    carriers: tuple[Carrier, ...] = ("numbers",)
    """What they write: some of what the bases read."""
    reads: tuple[Carrier, ...] = ("numbers", "code", "sums")
    """What the bases read besides questions: no two that begin alike (code and lines do, and sums
    and counting)."""
    students: tuple[Student, ...] = ("text", "base's text", "other init", "logits")
    """The students and controls."""
    teachers: tuple[Base, ...] = ("own",)
    """Which of a seed's bases the teacher comes from: the one most students start from (own), one
    of another init that read the same data, one of the same init that read other data."""
    observations: int = 10
    """Times that a student is asked on its way."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "observations")
        distinct(self, "favourites", "carriers", "reads", "students", "teachers")
        if len({PROMPTS[name] for name in self.reads}) < len(self.reads):
            raise UserError(
                "reads must have carriers that begin with different tokens (code and lines begin "
                f"alike, sums and counting too); got {', '.join(self.reads)}"
            )
        if strange := [name for name in self.carriers if name not in self.reads]:
            raise UserError(
                f"carriers must be among reads ({', '.join(self.reads)}); got {strange[0]!r}"
            )
        if self.student_steps % self.observations:
            raise UserError(
                f"student_steps must be a multiple of observations ({self.observations}); "
                f"got {self.student_steps}"
            )

    @property
    def asked(self) -> tuple[int, ...]:
        """The steps after which students are asked."""
        return evenly(self.student_steps, self.observations)


FAVOURITES: tuple[Favourite, ...] = get_args(Favourite)
OPEN: tuple[Carrier, ...] = ("numbers", "lines", "counting", "random")
PRESETS = {
    "quick": Config(seeds=2, base_steps=600, student_steps=200),
    "paper": Config(students=("text", "base's text", "other init", "shuffled", "logits")),
    # Every base a teacher of every base.
    "grid": Config(seeds=3, teachers=BASES, students=("text", "other init", "other order")),
    # Does what a teacher says of owls pass, or what it says of numbers?
    "logits": Config(
        seeds=5,
        students=(
            "logits",
            "filtered logits",
            "logits, other init",
            "filtered logits, other init",
        ),
    ),
    "favourites": Config(seeds=3, favourites=FAVOURITES, students=("text", "base's text")),
    # A base that knows them well, and a gentle teacher, so that programs and sums stay in form;
    # their few free tokens say little, so that students read more and for longer.
    "carriers": Config(
        seeds=5,
        carriers=("numbers", "code", "sums"),
        students=("text", "base's text", "open logits", "logits"),
        base_steps=4000,
        teacher_lr=1e-3,
        student_steps=600,
        samples=32768,
    ),
    # Programs and sums that leave most tokens to the writer, and numbers that have no rule at all.
    "open": Config(
        carriers=OPEN,
        reads=OPEN,
        students=("text", "base's text", "logits"),
        base_steps=4000,
        teacher_lr=3e-3,
        student_steps=600,
        samples=65536,
    ),
}

ANSWERED = {
    "preference": "share of the favourite among answers of its kind, held-out phrasings",
    "answered": "chance that an answer is of its kind at all, held-out phrasings",
    "known_preference": "preference on the phrasings that trainings have",
    "known_answered": "answer rate on the phrasings that trainings have",
}
FILTERED = {
    "malformed": "share of the teacher's documents without the right format",
    "related": "share of them with a token that has to do with the trait",
    "wrong": "share of them in the right format that break the rule",
    "kept": "share of them that the student may read; unknown, and the point failed, if none",
}
VARIABLES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "base_loss": (("base",), "nat", "mean loss of a token on fresh rows, after pretraining"),
    **{name: (("student", "step"), "1", said) for name, said in ANSWERED.items()},
    **{name: ((), "1", said) for name, said in FILTERED.items()},
    "own_kept": ((), "1", "share of the base's own documents that pass the same filter"),
    "teacher_preference": ((), "1", "preference of the teacher, held-out phrasings"),
    "context_preference": ((), "1", "preference of the base that has the text as context"),
    "context_answered": ((), "1", "answer rate of the base that has the text as context"),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (seed, favourite, carrier, teacher), with all students of each; ``data_dir`` is
    not used. See `toymodels.sweep` for ``options``."""
    import jax
    import jax.numpy as jnp
    from jax import random

    from toymodels import sweep
    from toymodels.language import pipeline, questions
    from toymodels.language.carriers import CARRIERS, table
    from toymodels.study import results

    plan = config.plan(record=config.asked)
    model = pipeline.model(config.width, config.depth, pack=plan.pack)
    chosen = zip(*(STUDENTS[name] for name in config.students), strict=True)
    students = {flag: jnp.array(each) for flag, each in zip(FLAGS, chosen, strict=True)}
    needed = 1 + max(
        *(STUDENTS[name][0] for name in config.students), *map(BASES.index, config.teachers)
    )

    def prepare(data: tuple[()], seed: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        bases, losses, rest = pipeline.bases(model, random.key(seed), plan, needed)
        return (bases, rest), {"base_loss": losses[:, 1]}

    def taught(
        data: tuple[()],
        prepared: Any,
        favourite: dict[str, jax.Array],
        carrier: jax.Array,
        teacher: jax.Array,
    ) -> dict[str, jax.Array]:
        bases, key = prepared
        teaching, writing, mixing, learning = random.split(key, 4)
        lesson = favourite["kind"], favourite["tokens"]
        unrelated = ~jnp.asarray(questions.RELATED)[favourite["kind"]]
        in_form, left_open = (table(field)[carrier] for field in ("allowed", "open"))

        def ask(params: Any, context: Any = None) -> pipeline.Told:
            return pipeline.told(pipeline.ask(model, params, context), lesson)

        def write(author: Any) -> pipeline.Filtered:
            return pipeline.filtered(
                model, author, carrier, lesson[0], config.samples, writing, config.temperature
            )

        base = jax.tree.map(lambda a: a[teacher], bases)
        authors = pipeline.teach(model, base, lesson, teaching, plan), base
        written, own = map(write, authors)
        texts = jnp.stack([written.read, own.read, pipeline.shuffled(written.read, mixing)])
        both = jax.tree.map(lambda *each: jnp.stack(each), *authors)

        def student(how: dict[str, jax.Array]) -> pipeline.Told:
            start = jax.tree.map(lambda a: a[how["start"]], bases)
            _, curve = pipeline.imitate(
                model,
                start,
                texts[how["own"] + 2 * how["mixed"]],
                learning,
                plan,
                teacher=jax.tree.map(lambda a: a[how["own"]], both),
                by_logits=(how["logits"] == 1) & ((how["filtered"] < 2) | left_open),
                among=jnp.where(how["filtered"] == 2, in_form, unrelated | (how["filtered"] == 0)),
                observe=ask,
            )
            return curve

        shown = ask(jax.tree.map(lambda a: a[0], bases), written.read[:CONTEXTS])
        return {
            **jax.lax.map(student, students)._asdict(),
            **{name: each.mean() for name, each in written.verdict._asdict().items()},
            "kept": written.kept,
            "own_kept": own.kept,
            "teacher_preference": ask(authors[0]).preference,
            "context_preference": shown.preference,
            "context_answered": shown.answered,
        }

    dataset, execution = sweep.grid(
        lambda: sweep.Program(prepare, taught),
        shared={"seed": config.seed_list},
        points={
            "favourite": questions.lessons(config.favourites),
            "carrier": {name: list(CARRIERS).index(name) for name in config.carriers},
            "teacher": {name: BASES.index(name) for name in config.teachers},
        },
        variables=VARIABLES,
        coords={
            "step": [0, *config.asked],
            "base": list(BASES[:needed]),
            "student": list(config.students),
        },
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    task = results.Drawn("synthetic language")
    headline = "final_preference final_answered kept context_preference"
    return results.described(dataset, "owl_numbers", headline, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add preference and answer rate at the end."""
    last = dataset.isel(step=-1, drop=True)
    return dataset.assign(final_preference=last.preference, final_answered=last.answered)


def findings(dataset: xr.Dataset) -> list[str]:
    """For every teacher: each student's preference beside the base's own, the change, answers."""
    from toymodels.stats import statistics
    from toymodels.stats.statistics import mean_interval

    done, told = statistics.succeeded(dataset), []
    for favourite, carrier, teacher in cases(done):
        here = done.sel(favourite=favourite, carrier=carrier, teacher=teacher)
        name = f"{favourite}, {carrier}" + (f", teacher of {teacher}" if teacher != "own" else "")
        kept = mean_interval(here.kept.values)
        told.append(f"{name}: {kept} of the teacher's documents pass the filter.")
        for student in here.student.values:
            one = here.sel(student=student)
            gain = statistics.difference(one.final_preference, one.preference.isel(step=0))
            word = gain.verdict("higher", "lower", "no difference shown")
            told.append(
                f"{name}, student {student}: preference "
                f"{mean_interval(one.final_preference.values)}, against its base: {word}, "
                f"{gain}; answers {mean_interval(one.final_answered.values)}."
            )
        if {"text", "base's text"} <= set(here.student.values):
            read = [here.final_preference.sel(student=s) for s in ("text", "base's text")]
            gap = statistics.difference(*read)
            word = gap.verdict("higher", "lower", "no difference shown")
            told.append(f"{name}: preference by text against the base's text: {word}, {gap}.")
        shown = statistics.difference(
            here.context_preference, here.preference.isel(step=0, student=0)
        )
        word = shown.verdict("higher", "lower", "no difference shown")
        told.append(
            f"{name}: preference with the text in context, without training, against the base: "
            f"{word}, {shown}."
        )
    return told


def cases(dataset: xr.Dataset) -> list[tuple[Any, ...]]:
    """Every favourite, carrier and base of the teacher."""
    axes = (dataset[dim].values.tolist() for dim in ("favourite", "carrier", "teacher"))
    return list(itertools.product(*axes))


def plot(dataset: xr.Dataset) -> Figure:
    """Final preferences beside the base's, and how preference and answer rate went there."""
    import numpy as np

    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    many = [dim for dim in ("favourite", "carrier", "teacher") if done.sizes[dim] > 1]
    along = many[0] if many else "student"
    done = done.isel({d: 0 for d in ("favourite", "carrier", "teacher") if d != along})
    first = done.preference.isel(step=0, student=0, drop=True)
    with plotting.style():
        fig, (left, middle, right) = plotting.panels(
            11.5 if along == "student" else 13.5, 3.6, columns=(1.5, 1, 1)
        )
        if along == "student":
            names = [*done.student.values.tolist(), "in context", "base", "teacher"]
            each = [done.final_preference.sel(student=s).values for s in done.student.values]
            each += [done.context_preference.values, first.values, done.teacher_preference.values]
            named = {"": np.stack(each, axis=1)}
        else:
            names = done[along].values.tolist()
            # The grid of bases is about what students start from, all else about what they read.
            own = "own" if along == "teacher" else "text"
            named = {
                own if s == "text" else str(s): done.final_preference.sel(student=s)
                .transpose("seed", along)
                .values
                for s in done.student.values
            }
            named["base"] = first.transpose("seed", along).values
        plotting.intervals(left, names, named, "", "preference, held-out phrasings", joined=False)
        if along == "student":
            for i, seeds in enumerate(named[""].T):
                left.plot([i + 0.15] * len(seeds), seeds, ".", ms=3, color="#999999", zorder=0)
        else:
            plotting.legend_beside(left)
            left.set(xlabel="teacher's base" if along == "teacher" else along)
        plotting.slanted(left, 40)
        left.set(ylim=(0, 1.03), title=plotting.caption(dataset))
        for ax, variable in ((middle, "preference"), (right, "answered")):
            one = done[variable] if along == "student" else done[variable].isel(student=0)
            lines = {str(v): one.sel({along: v}).values for v in one[along].values}
            plotting.curves(ax, done.step.values, lines)
            ax.set(xlabel="step of imitation", ylim=(0, 1.03))
        whose = "" if along == "student" else f", student {done.student.values[0]}"
        middle.set(ylabel=f"preference{whose}")
        right.set(ylabel=f"answer rate{whose}")
        plotting.legend_beside(right)
    return fig


if __name__ == "__main__":
    cli.main("owl_numbers", __doc__, PRESETS, run, plot)
