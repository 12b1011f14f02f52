"""What auxiliary logits can transfer: other hidden functions, other data, no labels.

All tasks of a seed share initialisation, noise and order of batches; only what the teacher learns
differs. A student imitates the auxiliary logits on noise, and in the held-out tasks one of the
teacher's two class heads as well. It is scored on the task: on the head that it never imitates.
Each student has its cross-model control, which starts from an independent initialisation: its score
is the chance level of the task. Cloud et al., Nature 652, 615-621 (2026); number of classes;
autoencoders: openreview owvbayFmdV.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

Name = Literal[
    "relabelled", "parity", "greater", "mod_3", "marked_sum", "backdoor",
    "held_out_parity", "held_out_label", "autoencoder", "gaussian",
]  # fmt: skip
EASY = ("greater", "mod_3")
"""Tasks left out by default, because they resemble parity."""


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment."""

    tasks: tuple[Name, ...] = tuple(task for task in get_args(Name) if task not in EASY)
    """What teachers learn beside the label. relabelled: a fixed permutation of it; parity; greater:
    whether it is in the upper half; mod_3; marked_sum: label plus number of the white corner (0 for
    none, 1 to 3), modulo the classes; backdoor: the label, but 0 where a corner is white, scored by
    the rate at which such images of other labels are read as 0; held_out_parity, held_out_label:
    label and parity on two heads, the named one scored, the other imitated by the student;
    autoencoder: the image, scored by explained variance; gaussian: inputs N(0, I), no images."""
    classes: Annotated[tuple[int, ...], tm.Range(2)] = (2, 5)
    """Numbers of classes k: the label, where training and test have the images of the first k labels
    alone. The task with all classes is always run."""


PRESETS = {
    "quick": Config(
        seeds=3, tasks=("parity", "backdoor", "held_out_label", "autoencoder"), classes=(2,)
    ),
    "paper": Config(**tm.CLOUD, seeds=5, tasks=get_args(Name), classes=(2, 3, 5)),
}

SCORES = {
    "teacher_accuracy": (("teacher_epoch",), "1", "teacher's score in the task, on test inputs"),
    "teacher_loss": (("teacher_epoch",), "nat; squared pixel", "teacher's loss on test inputs"),
    "accuracy": (("epoch",), "1", "student's score in the task, on test inputs"),
}
"""Dimensions behind the axes, unit and meaning of what is recorded."""

PUBLISHED = {2: 0.84, 10: 0.54}
"""The student's accuracy with m = 3, by number of classes, in a rerun of Cloud et al.'s protocol."""


def build_program(config: Config, task: tm.tasks.Task, kind: str) -> tm.Program:
    """The program of all tables of labels (kind "tables"), or of a task that needs its own."""
    import jax

    n = task.n_classes
    n_targets = {"tables": 2 * n, "autoencoder": task.n_pixels, "gaussian": n}[kind]
    sizes = (task.n_pixels, *config.widths, n_targets + config.m)
    network = tm.functional(lambda rngs: tm.MLP(sizes, rngs=rngs))

    def protocol(function: Any) -> tm.protocol.Protocol:
        traits = {
            "tables": lambda: tm.traits.build_trait(network, task, function),
            "autoencoder": lambda: tm.traits.reconstruction(network, task),
            "gaussian": lambda: tm.traits.reading_inputs(network, n),
        }
        return replace(tm.protocol.reference_protocol(config, task, network), trait=traits[kind]())

    def select_data(data: tm.tasks.Data, keys: tm.protocol.SeedKeys) -> tm.tasks.Data:
        """The images, or in their place as many inputs drawn from the seed."""
        if kind != "gaussian":
            return data
        directions, *draws = jax.random.split(jax.random.fold_in(keys.teacher, 1), 3)
        train, test = (len(labels) for _, labels in data)
        return tm.tasks.Data(
            tm.traits.gaussian(directions, draws[0], train, task),
            tm.traits.gaussian(directions, draws[1], test, task),
        )

    def prepare(data: tm.tasks.Data, task: Any, seed: jax.Array) -> Any:
        inputs = select_data(data, tm.protocol.seed_keys(seed))
        lesson, curves = protocol(task).prepare(inputs, seed)
        return (lesson, task), curves

    def student(data: tm.tasks.Data, prepared: Any, start: jax.Array) -> dict[str, jax.Array]:
        lesson, function = prepared
        setup = tm.Setup(config, protocol(function), select_data(data, lesson.keys), lesson)
        logits = tm.auxiliary_logits(n_targets, config.m)
        logits = logits | tm.traits.second_head(function, n, n_targets + config.m)
        return setup.distil(tm.Student(setup.start(start), logits))[1]

    return tm.Program(prepare, student)


def sweep(config: Config, data_dir: Path | None) -> tm.JoinedSweeps:
    """One sweep for all tables of labels, and one for each task that is no table."""
    config, task, data = tm.tasks.load(config, data_dir)
    n = task.n_classes
    if max(config.classes) > n:
        raise tm.UserError(f"classes must be at most the {n} of {task.name}; got {config.classes}")
    known = tm.traits.functions(n)
    tables: dict[str, Any] = {name: known[name] for name in config.tasks if name in known}
    tables |= {f"{k} classes": tm.traits.first(k, n) for k in sorted({*config.classes, n})}
    kinds = {"tables": tables}
    kinds |= {name: {name: tm.traits.first(0, n)} for name in config.tasks if name not in known}

    def sweep_kind(kind: str) -> tm.Sweep:
        return tm.Sweep(
            lambda: build_program(config, task, kind),
            points={"start": tm.STARTS},
            shared={"task": kinds[kind]},
            variables=tm.tasks.TEACHER | tm.tasks.STUDENT | SCORES,
            coords=tm.protocol.epochs(config),
            task=task,
            config=config,
            data=data,
        )

    return tm.JoinedSweeps("task", [sweep_kind(kind) for kind in kinds])


def select_label_tasks(runs: xr.Dataset) -> dict[int, str]:
    """The tasks that are the label itself, by their number of classes."""
    names = [str(task) for task in runs.task.values if "classes" in str(task)]
    return dict(sorted((int(name.split()[0]), name) for name in names))


def findings(runs: xr.Dataset) -> list[Any]:
    """Which tasks transfer; whether fewer classes, or other labels, transfer more."""
    valid = tm.succeeded(runs)
    names = valid.task.values.tolist()
    labels = [name for name in names if name != "autoencoder"]
    findings: list[Any] = tm.compare("Transfer", valid.transfer.sel(task=labels))
    *fewer, (_, label) = select_label_tasks(runs).items()
    for name in [name for _, name in fewer[:1]] + ["relabelled"] * ("relabelled" in names):
        quantity = f"Transfer of {name} less that of the label ({label})"
        gap = valid.transfer.sel(task=name) - valid.transfer.sel(task=label)
        findings += tm.compare(quantity, gap, tm.HIGHER)
    return findings + (describe_autoencoder(valid) if "autoencoder" in names else [])


def describe_autoencoder(runs: xr.Dataset) -> list[tm.Finding]:
    """Whether a student acquires reconstruction: a transfer of scores below zero is none."""
    final = runs.sel(task="autoencoder").isel(epoch=-1, teacher_epoch=-1)
    scores = {
        "teacher": final.teacher_accuracy,
        "student": final.accuracy.sel(start="shared"),
        "control": final.accuracy.sel(start="other"),
    }
    explained, transfer = "Explained variance", tm.interval(final.transfer)
    # Below 0, a student reconstructs worse than the mean image does: nothing is acquired.
    verdict = tm.interval(scores["student"]).verdict(
        transfer.verdict(*tm.ABOVE_ZERO),
        "not acquired: the student is worse than the mean image",
        "not shown to be acquired: the student is not shown to beat the mean image",
    )
    return [
        tm.Finding("Transfer", "autoencoder", transfer, verdict),
        *(
            tm.Finding(explained, f"autoencoder, {model}", tm.interval(score))
            for model, score in scores.items()
        ),
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Transfer of each task; scores by number of classes."""
    valid, names = tm.succeeded(runs), select_label_tasks(runs)
    with tm.plotting.style():
        fig, (left, right) = tm.plotting.panels(9, 3.6, columns=(1.7, 1))
        transfer = {"student": valid.transfer.values}
        tm.plotting.intervals(left, valid.task, transfer, "task", "transfer", joined=False)
        left.axhline(0, color="0.6", lw=0.8, zorder=0)
        tm.plotting.slanted(left, 40)
        left.set(title=tm.plotting.caption(runs))
        label = valid.sel(task=[*names.values()])
        scores = {
            "student": label.final_accuracy.sel(start="shared").values,
            "control": label.final_accuracy.sel(start="other").values,
            "teacher": label.teacher_accuracy.isel(teacher_epoch=-1).values,
        }
        tm.plotting.intervals(right, [*names], scores, "classes", "test accuracy")
        tm.charts.published(right, runs, [*names], PUBLISHED, protocol=tm.CLOUD | {"m": 3})
        right.set(ylim=(0, 1.05))
        right.legend()
    return fig


HEADLINE = ("transfer", "final_accuracy")
STUDY = tm.Study("tasks", __doc__, PRESETS, sweep, tm.against_control, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
