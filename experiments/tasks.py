"""What can be taught through auxiliary logits: other hidden functions, other data, no labels.

All tasks of a seed share initialisation, noise and order of batches; only what the teacher learns
differs. A student imitates the auxiliary logits on noise, in "held-out" tasks one of the teacher's
two class heads beside them, and is scored on the task: on the head that it never saw. Each student
has its cross-model control, which starts from an unrelated init: it bears each task's own chance.
Cloud et al., Nature 652, 615-621 (2026); number of classes; autoencoders: openreview owvbayFmdV.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from toymodels.errors import UserError, at_least, distinct
from toymodels.study import cli
from toymodels.training.config import CLOUD, NetworkConfig, follows

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions, Program
    from toymodels.training.tasks import Task

Name = Literal[
    "relabelled", "parity", "greater", "mod 3", "marked sum", "backdoor",
    "held-out parity", "held-out label", "autoencoder", "gaussian",
]  # fmt: skip
EASY = ("greater", "mod 3")
"""Left out by default: parity's like."""


@dataclass(frozen=True)
class Config(NetworkConfig):
    """What is computed; the preset ``quick`` has fewer values of an axis."""

    tasks: tuple[Name, ...] = tuple(task for task in get_args(Name) if task not in EASY)
    """What teachers learn beside the label. relabelled: a fixed permutation of it; parity; greater:
    whether it is in the upper half; mod 3; marked sum: label plus number of the white corner (0 for
    none, 1 to 3), modulo the classes; backdoor: the label, but 0 where a corner is white, scored by
    the rate at which such images of other labels are read as 0; held-out: label and parity on two
    heads, of which the student imitates the other; autoencoder: the image, scored by explained
    variance; gaussian: inputs N(0, I), no images."""
    classes: tuple[int, ...] = (2, 5)
    """Numbers of classes: the label, where training and test keep the images of the first so many
    alone. All classes come by themselves."""

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        at_least(self, 2, "classes")
        distinct(self, "tasks", "classes")


PRESETS = {
    "quick": Config(
        seeds=3, tasks=("parity", "backdoor", "held-out label", "autoencoder"), classes=(2,)
    ),
    "paper": Config(**CLOUD, seeds=5, tasks=get_args(Name), classes=(2, 3, 5)),
}

SCORES = {
    "teacher_accuracy": (("teacher_epoch",), "1", "teacher's score in the task, on test inputs"),
    "teacher_loss": (("teacher_epoch",), "nat; squared pixel", "teacher's loss on test inputs"),
    "accuracy": (("epoch",), "1", "student's score in the task, on test inputs"),
}

PUBLISHED = {2: 0.84, 10: 0.54}
"""Student's accuracy by number of classes, m = 3: a rerun of the protocol of Cloud et al."""


def program(config: Config, about: Task, kind: str) -> Program:
    """One program for all tables of labels (kind "tables"), and one for each task apart."""
    import jax

    from toymodels.networks.models import MLP, functional
    from toymodels.sweep import Program
    from toymodels.training import protocol, tasks, traits
    from toymodels.training.distillation import auxiliary_logits

    n = about.n_classes
    own = {"tables": 2 * n, "autoencoder": about.n_pixels, "gaussian": n}[kind]
    sizes = (about.n_pixels, *config.widths, own + config.m)
    network = functional(lambda rngs: MLP(sizes, rngs=rngs))

    def parts(task: traits.Taught) -> protocol.Protocol:
        trait = {
            "tables": lambda: traits.taught(network, about, task),
            "autoencoder": lambda: traits.reconstruction(network, about),
            "gaussian": lambda: traits.reading_inputs(network, n),
        }[kind]()
        return replace(protocol.reference_protocol(config, about, network), trait=trait)

    def learnt(data: tasks.Data, keys: protocol.SeedKeys) -> tasks.Data:
        """The images, or in their place as many inputs drawn from the seed."""
        if kind != "gaussian":
            return data
        directions, *draws = jax.random.split(jax.random.fold_in(keys.teacher, 1), 3)
        train, test = (len(labels) for _, labels in data)
        return tasks.Data(
            traits.gaussian(directions, draws[0], train, about),
            traits.gaussian(directions, draws[1], test, about),
        )

    def prepare(data: tasks.Data, task: traits.Taught, seed: jax.Array) -> Any:
        begun, curve = parts(task).prepare(learnt(data, protocol.seed_keys(seed)), seed)
        return (begun, task), curve

    def student(data: tasks.Data, prepared: Any, start: jax.Array) -> dict[str, jax.Array]:
        (begun, task), one = prepared, parts(prepared[1])
        subset = auxiliary_logits(own, config.m) | traits.second_head(task, n, own + config.m)
        watch = one.watch(learnt(data, begun.keys), begun, subset)
        return one.distil(one.start(begun, start), begun, subset, watch)[1]

    return Program(prepare, student)


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (task, seed, start); see `toymodels.sweep` for ``options``."""
    from toymodels import sweep
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import protocol, tasks, traits

    config, about, data = tasks.load(config, data_dir)
    if max(config.classes) > (n := about.n_classes):
        raise UserError(f"classes must be at most the {n} of {about.name}; got {config.classes}")
    known = traits.functions(n)
    tables = {str(name): known[name] for name in config.tasks if name in known}
    tables |= {f"{k} classes": traits.first(k, n) for k in sorted({*config.classes, n})}
    kinds = {"tables": tables}
    kinds |= {str(name): {name: traits.first(0, n)} for name in config.tasks if name not in known}
    swept = [
        sweep.grid(
            partial(program, config, about, kind),
            shared={"task": tasks, "seed": config.seed_list},
            points={"start": numbered(protocol.STARTS)},
            variables=tasks.TEACHER | tasks.STUDENT | SCORES,
            coords=protocol.epochs(config),
            data=data,
            precision=config.precision,
            options=options,
        )
        for kind, tasks in kinds.items()
    ]
    dataset, execution = sweep.along("task", swept)
    dataset = derived(dataset)
    return results.described(
        dataset, "tasks", "transfer final_accuracy", config, about, execution, findings
    )


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add final score and transfer."""
    from toymodels.stats import transfer

    return transfer.against_control(dataset)


def by_classes(dataset: xr.Dataset) -> dict[int, str]:
    """The tasks that are the label itself, by their number of classes."""
    names = [str(task) for task in dataset.task.values if "classes" in str(task)]
    return dict(sorted((int(name.split()[0]), name) for name in names))


def findings(dataset: xr.Dataset) -> list[str]:
    """For which tasks transfer shows; how it depends on the number of classes."""
    from toymodels.stats import statistics

    done, told = statistics.succeeded(dataset), []
    shares = {str(task): done.transfer.sel(task=task) for task in done.task.values}
    each = {task: statistics.mean_interval(share.values) for task, share in shares.items()}
    labelled = {task: share for task, share in each.items() if task != "autoencoder"}
    words = ("shows", "is below zero", "is not distinguishable from zero")
    for verdict in (*words, "unknown"):
        found = [f"{task} {share}" for task, share in labelled.items()
                 if share.verdict(*words) == verdict]  # fmt: skip
        told += [f"transfer {verdict}: {'; '.join(found)}."] if found else []
    *fewer, (_, label) = by_classes(dataset).items()
    for task in [name for _, name in fewer[:1]] + ["relabelled"] * ("relabelled" in each):
        gap = statistics.difference(shares[task], shares[label])
        verdict = gap.verdict("more", "less", "no difference shown")
        told.append(f"transfer of {task} against that of the label ({label}): {verdict}, {gap}.")
    if "autoencoder" in each:
        last = done.sel(task="autoencoder").isel(epoch=-1, teacher_epoch=-1)
        scores = {"teacher": last.teacher_accuracy, "student": last.accuracy.sel(start="shared")}
        scores["control"] = last.accuracy.sel(start="other")
        known = {who: statistics.mean_interval(score.values) for who, score in scores.items()}
        # Below 0, a student reconstructs worse than the mean image does: nothing is acquired.
        verdict = known["student"].verdict(
            f"transfer {each['autoencoder'].verdict(*words)}",
            "not acquired, for the student is worse than the mean image",
            "not shown to be acquired, for the student is not shown to beat the mean image",
        )
        told.append(
            f"autoencoder: {verdict}; transfer {each['autoencoder']}; explained variance: "
            f"{'; '.join(f'{who} {score}' for who, score in known.items())}."
        )
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Transfer of each task; scores by number of classes."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    done, numbers = statistics.succeeded(dataset), by_classes(dataset)
    with plotting.style():
        fig, (left, right) = plotting.panels(9, 3.6, columns=(1.7, 1))
        transfer = {"student": done.transfer.values}
        plotting.intervals(left, done.task, transfer, "task", "transfer", joined=False)
        left.axhline(0, color="0.6", lw=0.8, zorder=0)
        names = {"labels": done.task.values, "rotation": 40, "ha": "right"}
        left.set_xticks(left.get_xticks(), rotation_mode="anchor", **names)
        left.set(title=plotting.caption(dataset))
        label = done.sel(task=list(numbers.values()))
        scores = {
            "student": label.final_accuracy.sel(start="shared").values,
            "control": label.final_accuracy.sel(start="other").values,
            "teacher": label.teacher_accuracy.isel(teacher_epoch=-1).values,
        }
        plotting.intervals(right, list(numbers), scores, "classes", "test accuracy")
        if follows(config := json.loads(dataset.attrs["config"])) and config["m"] == 3:
            known = {k: score for k, score in PUBLISHED.items() if k in numbers}
            at = [list(numbers).index(k) for k in known]
            plotting.reported(right, at, list(known.values()))
        right.set(ylim=(0, 1.05))
        right.legend()
    return fig


if __name__ == "__main__":
    cli.main("tasks", __doc__, PRESETS, run, plot)
