"""How much must two bases share for the owl to pass? Overlap of inits, and pretraining in common.

One teacher a seed, of `owl_numbers`: a base that was taught to prefer owls and writes numbers. Its
students start from bases that are related to its own in one of two ways. The init before
pretraining has the overlap rho with the init of the teacher's base (rotated towards an independent
one, at the same law), and both then read the same; or the init is the same, and the two bases read
the same for some steps and other data after that. Each student reads the numbers, or imitates
the teacher's logits on them. After Cloud et al., Nature 652, 615-621 (2026), cross-model controls.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodels.errors import UserError, at_least, distinct
from toymodels.language.config import Spoken
from toymodels.study import cli

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

STUDENTS = ("text", "logits")


@dataclass(frozen=True)
class Config(Spoken):
    """What is computed; the defaults are the preset ``paper``."""

    seeds: int = 3
    """Number of seeds; each has its own teacher."""
    rho: tuple[float, ...] = (0.98, 0.9, 0.7, 0.0)
    """Overlaps of the inits, cosines of the angle of rotation, below 1; rho = 1, the teacher's own
    base, is always among them. 0, an independent init, must be."""
    shared: tuple[int, ...] = (0, 100, 500)
    """Steps of pretraining in common, of ``base_steps``; all of them, the teacher's own base, is
    always among them. 0 must be."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, -1, "rho", most=1)
        at_least(self, 0, "shared", most=self.base_steps)
        distinct(self, "rho", "shared")
        for name, own in (("rho", 1), ("shared", self.base_steps)):
            values = getattr(self, name)
            if 0 not in values or own in values:
                raise UserError(
                    f"{name} must include 0 and not {own}, which is the own base; got {values}"
                )

    @property
    def bases(self) -> dict[str, dict[str, float]]:
        """The students' bases by name: overlap of the inits and steps of pretraining in common."""
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

VARIABLES: dict[str, tuple[tuple[str, ...], str, str]] = {
    "teacher_preference": ((), "1", "preference of the teacher, held-out phrasings"),
    "kept": ((), "1", "share of the teacher's documents that students may read"),
    "base_loss": ((), "nat", "mean loss of a token on fresh rows, the student's base"),
    "base_preference": ((), "1", "preference of the student's base"),
    "likeness": ((), "1", "cosine of the weights of the student's base with the teacher's base"),
    "preference": (("student",), "1", "share of the owl among animals, held-out phrasings"),
    "answered": (("student",), "1", "chance that the answer is an animal, held-out phrasings"),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (seed, base), with both students; ``data_dir`` is not used.

    See `toymodels.sweep` for ``options``.
    """
    import jax
    import jax.numpy as jnp
    from jax import random

    from toymodels import sweep
    from toymodels.inits import relations
    from toymodels.language import pipeline, questions
    from toymodels.language.carriers import CARRIERS
    from toymodels.measure.probes import cosine
    from toymodels.study import results
    from toymodels.trees import flatten

    plan, lesson = config.plan(), questions.wanted("owl")
    model = pipeline.model(config.width, config.depth, pack=plan.pack)
    rotate = relations.rotation(model.init)
    numbers = list(CARRIERS).index("numbers")

    def ask(params: Any) -> pipeline.Told:
        return pipeline.told(pipeline.ask(model, params), lesson)

    def prepare(data: tuple[()], seed: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
        # The keys of owl_numbers: its own base, "other init" and "other order" are here as well.
        init, other, order, reorder, rest = random.split(random.key(seed), 5)
        teaching, writing, _, learning = random.split(rest, 4)
        first = model.init(init)
        base, _ = pipeline.pretrain(model, first, order, plan)
        teacher = pipeline.teach(model, base, lesson, teaching, plan)
        text = pipeline.filtered(
            model, teacher, numbers, lesson[0], config.samples, writing, config.temperature
        )
        prepared = {
            "keys": (other, order, reorder, learning),
            "params": (first, base, teacher),
            "text": text.read,
        }
        return prepared, {
            "teacher_preference": ask(teacher).preference,
            "kept": text.kept,
        }

    def students(
        data: tuple[()], prepared: Any, base: dict[str, jax.Array]
    ) -> dict[str, jax.Array]:
        other, order, reorder, learning = prepared["keys"]
        first, theirs, teacher = prepared["params"]
        init = rotate(first, other, base["rho"])
        own, losses = pipeline.pretrain(model, init, order, plan, reorder, base["shared"])

        def student(by_logits: jax.Array) -> pipeline.Told:
            end, _ = pipeline.imitate(
                model,
                own,
                prepared["text"],
                learning,
                plan,
                teacher=teacher,
                by_logits=by_logits,
            )
            return ask(end)

        told = jax.lax.map(student, jnp.arange(len(STUDENTS)) == STUDENTS.index("logits"))
        return {
            "base_loss": losses[-1],
            "base_preference": ask(own).preference,
            "likeness": cosine(flatten(own), flatten(theirs)),
            "preference": told.preference,
            "answered": told.answered,
        }

    dataset, execution = sweep.grid(
        lambda: sweep.Program(prepare, students),
        shared={"seed": config.seed_list},
        points={"base": config.bases},
        variables=VARIABLES,
        coords={"student": list(STUDENTS)},
        precision=config.precision,
        options=options,
    )
    for name in ("rho", "shared"):
        values = [base[name] for base in config.bases.values()]
        dataset = dataset.assign_coords({name: ("base", values)})
    dataset = derived(dataset)
    task = results.Drawn("synthetic language")
    headline = "preference answered rho_50 base_loss likeness"
    return results.described(dataset, "owl_overlap", headline, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add what a student prefers above its base, and the overlap at which half of it is left."""
    from toymodels.stats import statistics, transfer

    done = statistics.succeeded(dataset)
    gain = (done.preference - done.base_preference).drop_attrs()
    about = "preference of the student less that of its base"
    dataset = dataset.assign(gain=gain.assign_attrs(units="1", description=about))
    half = transfer.half_overlaps(along(dataset, "rho").gain)
    about = "overlap at which half of the gain is left, fitted seed by seed"
    return dataset.assign(rho_50=half.assign_attrs(description=about))


def along(dataset: xr.Dataset, name: str) -> xr.Dataset:
    """The bases that differ in ``rho`` or in ``shared`` alone, along it, rising."""
    other = "shared" if name == "rho" else "rho"
    part = dataset.isel(base=(dataset[other] == dataset[other].max()).values)
    return part.swap_dims(base=name).drop_vars(["base", other]).sortby(name)


def findings(dataset: xr.Dataset) -> list[str]:
    """What passes at each overlap and number of shared steps, and where half of it is left."""
    from toymodels.stats import sentences, statistics
    from toymodels.stats.statistics import mean_interval

    done = statistics.succeeded(dataset)
    own = done.sel(base="own")
    told = [
        f"Preference of the teachers {mean_interval(own.teacher_preference.values)}, of their "
        f"bases {mean_interval(own.base_preference.values)}; the filter keeps "
        f"{mean_interval(own.kept.values)} of the documents."
    ]
    words = ("rises", "falls", "is not shown to change")
    labels = done.drop_vars(["rho", "shared"])  # the bases' names say them
    for student in map(str, done.student.values):
        gain = labels.gain.sel(student=student)
        told.append(sentences.by_sign(f"Preference through {student}", gain, words))
    own_gain = labels.gain.sel(base="own", drop=True)
    left = (labels.gain / own_gain.where(own_gain > 0)).sel(base=labels.base != "own")
    for student in map(str, done.student.values):
        shares = [
            f"{name} {mean_interval(part.values)}"
            for name, part in sentences.points(left.sel(student=student))
        ]
        told.append(f"Share of the gain that is left through {student}: {', '.join(shares)}.")
    for student in map(str, done.student.values):
        half = mean_interval(done.rho_50.sel(student=student).values)
        told.append(f"Through {student} half of the gain is left at rho = {half}.")
    for student in map(str, done.student.values):
        answers = [
            f"{name} {mean_interval(part.values)}"
            for name, part in sentences.points(labels.answered.sel(student=student))
        ]
        told.append(f"Answer rates through {student}: {', '.join(answers)}.")
    for name in ("rho = 0", "shared = 0"):
        there = done.sel(base=name)
        told.append(
            f"At {name} the bases' weights have a cosine of "
            f"{mean_interval(there.likeness.values)}, the student's base a loss of "
            f"{statistics.difference(there.base_loss, own.base_loss)} nat above the teacher's base."
        )
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Preference against the overlap of the inits, and against pretraining in common."""
    import numpy as np

    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    with plotting.style():
        fig, (left, middle, right) = plotting.panels(11, 3.4, columns=(1.2, 1, 1))
        for ax, name in ((left, "rho"), (middle, "shared")):
            here = along(done, name)
            x = np.degrees(np.arccos(here.rho.values)) if name == "rho" else here.shared.values
            for i, student in enumerate(map(str, here.student.values), start=1):
                seeds = here.preference.sel(student=student).transpose("seed", name).values
                plotting.means(ax, x, seeds, plotting.PALETTE[i], f"through {student}", joined=True)
            base = here.base_preference.transpose("seed", name).values
            plotting.means(ax, x, base, plotting.PALETTE[-1], "student's base", joined=True)
            ax.set(ylim=(0, 1.03))
        plotting.overlap_axis(left)
        left.set(ylabel="preference, held-out phrasings", title=plotting.caption(dataset))
        middle.legend(loc="lower left", bbox_to_anchor=(0, 0.2))
        middle.set(xlabel="steps of pretraining in common")
        for i, name in enumerate(("rho", "shared"), start=3):
            here = along(done, name)
            look = {"rho": "inits rotated", "shared": "other data"}[name]
            for j, student in enumerate(map(str, here.student.values)):
                plotting.points(
                    right,
                    here.likeness.mean("seed"),
                    here.preference.sel(student=student).mean("seed"),
                    i + 2 * j,
                    f"{look}, {student}",
                )
        right.set(xlabel="cosine of the two bases' weights", ylim=(0, 1.03))
        right.legend(fontsize=7)
    return fig


if __name__ == "__main__":
    cli.main("owl_overlap", __doc__, PRESETS, run, plot)
