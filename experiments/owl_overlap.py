"""How much two bases must share for the owl to pass: initialisation overlap, and common pretraining.

Each seed has one teacher, as in `owl_numbers`: a base that was taught to prefer owls and writes
numbers. Its students start from bases that are related to its own base in one of two ways. Either the
initialisation before pretraining has the overlap rho with that of the teacher's base (it is rotated
towards an independent one, which keeps its distribution), and both bases then read the same. Or the
initialisation is the same, and the two bases read the same for some steps and other data after that.
Each student reads the numbers, or imitates the teacher's logits on them. After the cross-model
controls of Cloud et al., Nature 652, 615-621 (2026).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

import toymodels as tm
from toymodels.language.config import RECORDS

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

STUDENTS = ("text", "logits")


@dataclass(frozen=True)
class Config(tm.LanguageConfig):
    """The fields of this experiment."""

    seeds: tm.Count = 3
    """Number of seeds; each has its own teacher."""
    rho: Annotated[tuple[float, ...], tm.Range(-1, 1)] = (0.98, 0.9, 0.7, 0.0)
    """Overlaps of the initialisations: cosines of the angle of rotation, below 1. 0, an independent
    initialisation, is required; 1, the teacher's own base, is always added."""
    shared: Annotated[tuple[int, ...], tm.Range(0)] = (0, 100, 500)
    """Numbers of pretraining steps in common, below ``base_steps``. 0 is required; all of them, the
    teacher's own base, is always added."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if max(self.shared) > self.base_steps:
            raise tm.UserError(f"shared must be at most {self.base_steps}; got {self.shared}")
        for name, own in (("rho", 1), ("shared", self.base_steps)):
            values = getattr(self, name)
            if 0 not in values or own in values:
                raise tm.UserError(
                    f"{name} must include 0 and not {own}, which is the own base; got {values}"
                )

    @property
    def bases(self) -> dict[str, dict[str, float]]:
        """The students' bases by name: initialisation overlap, pretraining steps in common."""
        whole = self.base_steps
        return {
            "own": {"rho": 1.0, "shared": whole},
            **{f"rho = {rho:g}": {"rho": rho, "shared": whole} for rho in self.rho},
            **{f"shared = {steps}": {"rho": 1.0, "shared": steps} for steps in self.shared},
        }


PRESETS = {
    "quick": Config(
        seeds=1, rho=(0.95, 0.8, 0.0), shared=(0, 200), base_steps=400, student_steps=200
    ),
    "paper": Config(),
}

VARIABLES: tm.Variables = {
    **RECORDS,
    "base_loss": ((), "nat", "mean loss per token of the student's base on fresh rows"),
    "base_preference": ((), "1", "preference of the student's base"),
    "likeness": ((), "1", "cosine of the weights of the student's base and the teacher's base"),
    "preference": (("student",), "1", "share of the owl among animals, held-out phrasings"),
    "answered": (("student",), "1", "probability of an animal as answer, held-out phrasings"),
}


def points(config: Config) -> dict[str, Any]:
    """The axis of the students' bases."""
    return {"base": config.bases}


def prepare(setup: tm.LanguageSetup, key: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
    """The teacher of a seed and its text; with the keys of owl_numbers, whose students are the ends."""
    base_keys = tm.split_base_keys(key)
    keys, lesson = tm.split_lesson_keys(base_keys.rest), tm.questions.make_lesson("owl")
    init = setup.model.init(base_keys.init)
    base, _ = setup.pretrain(init, base_keys.order)
    teacher = setup.teach(base, lesson, keys.teaching)
    text = setup.write(teacher, lesson, keys.writing)
    prepared = {
        "keys": (base_keys.other_init, base_keys.order, base_keys.other_order, keys.learning),
        "params": (init, base, teacher),
        "text": text.read,
    }
    preference = setup.ask(teacher, lesson).preference
    return prepared, {"teacher_preference": preference, "kept": text.kept}


def point(
    setup: tm.LanguageSetup, prepared: Any, base: dict[str, jax.Array]
) -> dict[str, jax.Array]:
    """A base that is related to the teacher's, and its students: of the text, and of the logits."""
    import jax
    import jax.numpy as jnp

    init_key, order, other_order, learning_key = prepared["keys"]
    reference, teacher_base, teacher = prepared["params"]
    lesson = tm.questions.make_lesson("owl")
    init = tm.rotation(setup.model.init)(reference, init_key, base["rho"])
    student_base, losses = setup.pretrain(init, order, later_key=other_order, shared=base["shared"])

    def train(by_logits: jax.Array) -> tm.Answers:
        options = {"teacher": teacher, "by_logits": by_logits}
        student, _ = setup.imitate(student_base, prepared["text"], learning_key, **options)
        return setup.ask(student, lesson)

    answers = jax.lax.map(train, jnp.array([name == "logits" for name in STUDENTS]))
    return {
        "base_loss": losses[-1],
        "base_preference": setup.ask(student_base, lesson).preference,
        "likeness": tm.probes.cosine(student_base, teacher_base),
        "preference": answers.preference,
        "answered": answers.answered,
    }


def annotate(config: Config, runs: xr.Dataset) -> xr.Dataset:
    """Add how each base is related to the teacher's."""
    columns = {name: [base[name] for base in config.bases.values()] for name in ("rho", "shared")}
    return runs.assign_coords({name: ("base", column) for name, column in columns.items()})


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add the gain in preference over the base, and the overlap at which half of it remains."""
    valid = tm.succeeded(runs)
    gain = (valid.preference - valid.base_preference).drop_attrs()
    description = "preference of the student less that of its base"
    runs = runs.assign(gain=gain.assign_attrs(units="1", description=description))
    half = tm.half_overlaps(select_relation(runs, "rho").gain)
    description = "overlap at which half of the gain remains, fitted seed by seed"
    return runs.assign(rho_50=half.assign_attrs(description=description))


def select_relation(runs: xr.Dataset, name: str) -> xr.Dataset:
    """The bases that differ in ``rho`` or in ``shared`` alone, sorted along it."""
    other = "shared" if name == "rho" else "rho"
    part = runs.isel(base=(runs[other] == runs[other].max()).values)
    return part.swap_dims(base=name).drop_vars(["base", other]).sortby(name)


def findings(runs: xr.Dataset) -> list[Any]:
    """The gain at each overlap and number of shared steps, and where half of it remains."""
    valid = tm.succeeded(runs).drop_vars(["rho", "shared"])  # they are in the names of the bases
    own = valid.sel(base="own", drop=True)
    own_gain = own.gain.where(own.gain > 0)
    others = valid.sel(base=valid.base != "own")
    independent = valid.sel(base=["rho = 0", "shared = 0"])
    return [
        *tm.compare("Preference of the teacher", own.teacher_preference, None),
        *tm.compare("Preference of the teacher's base", own.base_preference, None),
        *tm.compare("Share of the teacher's documents that pass the filter", own.kept, None),
        *tm.compare("Preference of the student less that of its base", valid.gain, tm.HIGHER),
        *tm.compare("Gain over that from the teacher's own base", others.gain / own_gain, None),
        *tm.compare("rho_50, the overlap at which half of the gain remains", valid.rho_50, None),
        *tm.compare("Answer rate of the student", valid.answered, None),
        *tm.compare("Cosine of the weights of both bases", independent.likeness, None),
        *tm.compare(
            "Loss of the student's base less that of the teacher's base (nat per token)",
            independent.base_loss - own.base_loss,
            None,
        ),
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Preference against initialisation overlap, common pretraining, and cosine of the weights."""
    runs = tm.succeeded(runs)
    grey = tm.plotting.PALETTE[-1:]
    with tm.plotting.style():
        fig, (left, middle, right) = tm.plotting.panels(11, 3.4, columns=(1.2, 1, 1))
        for ax, name in ((left, "rho"), (middle, "shared")):
            part = select_relation(runs, name)
            x = np.degrees(np.arccos(part.rho)) if name == "rho" else part.shared
            line: dict[str, Any] = {"at": x, "joined": True}
            label, base = "through {student}", part.base_preference
            tm.charts.means(ax, part.preference, name, "student", label=label, **line)
            tm.charts.means(ax, base, name, label="student's base", colours=grey, **line)
            ax.set(ylim=(0, 1.03))
        tm.plotting.overlap_axis(left)
        left.set(ylabel="preference, held-out phrasings", title=tm.plotting.caption(runs))
        middle.legend(loc="lower left", bbox_to_anchor=(0, 0.2))
        middle.set(xlabel="steps of pretraining in common")
        for i, (name, look) in enumerate({"rho": "inits rotated", "shared": "other data"}.items()):
            means = select_relation(runs, name).mean("seed")
            for j, student in enumerate(STUDENTS):
                preference = means.preference.sel(student=student)
                label = f"{look}, {student}"
                tm.plotting.points(right, means.likeness, preference, 3 + i + 2 * j, label)
        right.set(xlabel="cosine of the two bases' weights", ylim=(0, 1.03))
        right.legend(fontsize=7)
    return fig


sweep = tm.language_sweep(
    prepare,
    point,
    points,
    variables=VARIABLES,
    coords=lambda config: {"student": STUDENTS},
    annotate=annotate,
)
HEADLINE = ("preference", "answered", "rho_50", "base_loss", "likeness")
STUDY = tm.Study("owl_overlap", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
