"""Which parts of the student must move: each part frozen, each part alone, and trained heads.

The parts are the hidden layers, the class head and the auxiliary head. For each part there is a
student in which this part keeps its start, and one in which this part alone moves: all other steps of
the optimiser are set to zero. Two more students start with the class head, or with both heads, of
the trained teacher. Every student has its cross-model control, from an independent initialisation;
that of a student with trained heads has these heads, too.

After every epoch each student is also read by the teacher's trained class head in place of its own:
this separates what the hidden layers have acquired from what the student's own head can read. The
class head of a student gets no gradient: to freeze it changes exactly nothing, and a student in
which it alone moves is the untrained one, which is left out. The auxiliary head of the teacher gets
no gradient either: it is that of the reference. Protocol: Cloud et al., Nature 652, 615-621 (2026),
MNIST experiment. Chauhan & Shah (arXiv 2607.04432) freeze layers of the student.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment."""


PRESETS = {"quick": Config(seeds=3, student_epochs=5), "paper": Config(**tm.CLOUD, seeds=10)}

VARIABLES = {
    "accuracy_by_teacher": (
        ("epoch",),
        "1",
        "student's test accuracy with the teacher's trained class head in place of its own",
    ),
    "teacher_by_initial_head": (
        ("teacher_epoch",),
        "1",
        "teacher's test accuracy with its initial class head in place of the trained one",
    ),
}
"""Dimensions behind the axes, unit and meaning of what is recorded beside the usual curves."""


class Recipe(NamedTuple):
    """What differs between a student and that of the protocol."""

    frozen: tuple[str, ...] = ()
    """Parts that keep their start."""
    trained: tuple[str, ...] = ()
    """Parts that start as the trained teacher's."""


def name_parts(config: Config) -> list[str]:
    """Names of the parts of the network: its hidden layers and its two heads."""
    return [*(f"hidden{i + 1}" for i in range(len(config.widths))), "class_head", "aux_head"]


def list_students(config: Config) -> dict[str, Recipe]:
    """The students by name."""
    parts = name_parts(config)
    others = {part: tuple(name for name in parts if name != part) for part in parts}
    return {
        "all move": Recipe(),
        **{f"{part} frozen": Recipe(frozen=(part,)) for part in parts},
        **{f"only {part}": Recipe(frozen=others[part]) for part in parts if part != "class_head"},
        "trained class_head": Recipe(trained=("class_head",)),
        "trained heads": Recipe(trained=("class_head", "aux_head")),
    }


def points(config: Config) -> dict[str, Any]:
    """The axes of the students: whether each part is frozen and trained, and where others start."""
    parts = name_parts(config)
    students = {
        name: {
            field: {part: part in chosen for part in parts}
            for field, chosen in recipe._asdict().items()
        }
        for name, recipe in list_students(config).items()
    }
    return {"student": students, "start": tm.STARTS}


def score_with_head(
    protocol: tm.Protocol, params: tm.Params, head: tm.Params, data: Any
) -> jax.Array:
    """Test accuracy of a network with the class head of another one."""
    return protocol.trait.score(tm.where(protocol.groups["class_head"], head, params), data.test)


def teach(protocol: tm.Protocol, config: Config, data: Any, seed: jax.Array) -> Any:
    """Train a teacher, and read it by its initial class head, too."""
    reference = protocol.network.init(tm.protocol.seed_keys(seed).init)

    def observe(params: tm.Params) -> dict[str, Any]:
        accuracy = score_with_head(protocol, params, reference, data)
        return {"teacher_by_initial_head": accuracy}

    return protocol.prepare(data, seed, observe)


def student(setup: tm.Setup, student: dict[str, Any], start: jax.Array) -> tm.Student:
    """A student with some parts frozen and some parts trained."""
    frozen, trained = (tm.unite_groups(setup.groups, student[key]) for key in Recipe._fields)

    def observe(params: tm.Params) -> dict[str, Any]:
        accuracy = score_with_head(setup.protocol, params, setup.teacher, setup.data)
        return {"accuracy_by_teacher": accuracy}

    return tm.Student(
        start=tm.where(trained, setup.teacher, setup.start(start)),
        optimiser=tm.optimisers.freeze(setup.protocol.student_optimiser, frozen),
        observe=observe,
    )


def findings(runs: xr.Dataset) -> list[Any]:
    """Transfer of every student, what a change of it costs, and what the teacher's head reads.

    A student with the trained class head is the one where all parts move, read by that head.
    """
    valid = tm.succeeded(runs)
    accuracy = valid.final_accuracy.sel(start="shared", drop=True)
    rivals = accuracy.sel(student=[name for name in valid.student.values if name != "all move"])
    plain = valid.accuracy_by_teacher.sel(student="all move", drop=True)
    start, end = (plain.isel(epoch=i, drop=True) for i in (0, -1))
    other = valid.final_accuracy.sel(start="other", drop=True)
    aux_head = tm.contrast(other, student=("trained heads", "trained class_head"))
    teacher = valid.isel(teacher_epoch=-1, drop=True)
    kept = teacher.teacher_by_initial_head - teacher.teacher_accuracy
    by_head = "Test accuracy by the teacher's class head"
    return [
        *tm.compare("Transfer", valid.transfer),
        *tm.compare(
            "Test accuracy less that where all parts move",
            rivals - accuracy.sel(student="all move", drop=True),
            tm.HIGHER,
        ),
        *tm.compare(f"{by_head} before distillation", start, None),
        *tm.compare(f"{by_head}, gain by distillation", end - start),
        *tm.compare(
            "Control of trained heads: test accuracy less that of the trained class head", aux_head
        ),
        *tm.compare(
            "Teacher's accuracy by its initial class head less by its own", kept, tm.HIGHER
        ),
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy of every student and its control, and accuracy by either class head."""
    runs = tm.succeeded(runs)
    last = runs.isel(teacher_epoch=-1)
    with tm.plotting.style():
        fig, (left, right) = tm.plotting.panels(10, 3.8, columns=(1.6, 1))
        accuracy = runs.final_accuracy.sel(start=["shared", "other"])
        tm.charts.dots(left, accuracy, "student", "start", label="{start} init", joined=False)
        levels = {
            "teacher": (last.teacher_accuracy, ":"),
            "teacher, its initial class head": (last.teacher_by_initial_head, "--"),
        }
        for ax in (left, right):
            for name, (level, line) in levels.items():
                ax.axhline(float(level.mean()), color="#999999", lw=0.8, ls=line, label=name)
            ax.set_ylim(0, 1.05)
        tm.plotting.slanted(left, 40)
        left.legend(*left.get_legend_handles_labels(), ncols=2, bbox_to_anchor=(1, 0.87))
        left.set(ylabel="test accuracy", title=tm.plotting.caption(runs))
        curves = {
            f"{start} init, {head} class head": runs[name]
            .sel(student="all move", start=start)
            .transpose("seed", "epoch")
            .values
            for start in ("shared", "other")
            for head, name in (("own", "accuracy"), ("teacher's", "accuracy_by_teacher"))
        }
        tm.plotting.curves(right, runs.epoch.values, curves)
        right.set(xlabel="distillation epoch", title="all parts move")
        tm.plotting.legend_beside(right)
    return fig


sweep = tm.distillation_sweep(student, points, teach=teach, variables=VARIABLES)
HEADLINE = ("transfer", "final_accuracy")
STUDY = tm.Study(
    "who_moves", __doc__, PRESETS, sweep, tm.against_control, findings, figure, HEADLINE
)

if __name__ == "__main__":
    STUDY.main()
