"""A shared initialisation that already reads another task: how it changes what a student acquires.

The reference of a seed is pretrained through its class logits for a number of epochs (checkpoints of
one pretraining), as a teacher is trained. The teacher then learns the target from there, with a fresh
optimiser, and the student starts from the same pretrained network. The control starts from another
random initialisation that was pretrained on the same task for as long, in another order. All tasks
are made of the target's images: the target itself (same), its first half of the classes (half), each
label under the next one's name (relabelled), the pixels in another order (scrambled), the labels
shuffled among the images (random). The likeness of a pretraining is measured: the cosine of the
network's displacement by it with that by the target, from the same random initialisation.

A pretrained student may read the target before distillation, and a control may forget it; where the
teacher learns little, transfer is a ratio of small numbers. Beside it there are hence the gain of
accuracy since the start, and the amount that a student acquires of its teacher's change of class
logits, less its control's: to forget the pretraining may be part of that change. Protocol: Cloud et
al., Nature 652, 615-621 (2026), MNIST experiment, whose reference has random weights; their language
models are pretrained.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

Task = Literal["same", "half", "relabelled", "scrambled", "random"]


@dataclass(frozen=True)
class Config(tm.NetworkFields, tm.ImitationFields, tm.RateFields, tm.ImageConfig):
    """The fields of this experiment."""

    pretraining: tuple[Task, ...] = get_args(Task)
    """Tasks of the pretraining: the target (same), the first half of its classes (half), each label
    under the name of the next (relabelled), pixels in another order (scrambled), labels shuffled
    among the images (random)."""
    pretraining_epochs: tm.Counts = (1, 5)
    """Numbers of passes of the pretraining over its images, beside none at all."""
    teacher_epochs: tm.Counts = (1, 5)
    """Numbers of passes of the teacher over the training images: checkpoints of one training."""


PRESETS = {
    "quick": Config(seeds=3, teacher_epochs=(1,), student_epochs=5),
    "paper": Config(
        **tm.CLOUD | {"teacher_epochs": (1, 5)}, seeds=10, pretraining_epochs=(1, 5, 20)
    ),
}

VARIABLES = {
    "teacher_accuracy": (("reference", "teacher_epoch"), "1", "teacher's test accuracy"),
    "teacher_loss": (("reference", "teacher_epoch"), "nat", "teacher's test cross-entropy"),
    "likeness": (
        ("reference",),
        "1",
        "cosine of the displacements by pretraining and by the target, from one random init",
    ),
    "teacher_distance": (
        ("reference", "teacher_epochs"),
        "1",
        "distance of a teacher from its reference, over the reference's norm",
    ),
    "amount": (("epoch",), "1", "part of its teacher's change of class logits that a student has"),
}
"""Dimensions behind the axes, unit and meaning of what is recorded beside the usual curves."""


def list_references(config: Config) -> list[str]:
    """Names of the references: without pretraining, then a task and its number of epochs."""
    epochs = sorted(config.pretraining_epochs)
    return ["untrained", *(f"{task} {n}" for task in config.pretraining for n in epochs)]


def points(config: Config) -> dict[str, Any]:
    """The axes of the students: reference, checkpoint of its teacher, start."""
    return {
        "reference": tm.label_axis(list_references(config)),
        "teacher_epochs": tm.label_axis(config.teacher_epochs),
        "start": tm.STARTS,
    }


def pretrain(
    protocol: tm.Protocol, config: Config, data: Any, keys: tm.protocol.SeedKeys, control: bool
) -> tm.Params:
    """The references of a seed, or of its controls: another random init, another order."""
    import jax

    own = keys.relation if control else keys.teacher
    return tm.pretraining.pretrain(
        protocol,
        protocol.network.init(keys.relation if control else keys.init),
        data.train,
        config.pretraining,
        sorted(config.pretraining_epochs),
        task_key=jax.random.fold_in(keys.teacher, 2),
        order_key=jax.random.fold_in(own, 1),
    )


def teach(protocol: tm.Protocol, config: Config, data: Any, seed: jax.Array) -> Any:
    """Train a teacher from every reference, and measure how references and teachers have moved."""
    import jax

    references = pretrain(protocol, config, data, tm.protocol.seed_keys(seed), control=False)
    epochs = config.teacher_epochs
    lesson, curves = tm.checkpoints.prepare_references(protocol, data, seed, references, epochs)
    target = jax.tree.map(lambda a: a[0, epochs.index(max(epochs))], lesson.teacher)
    measure_distances = jax.vmap(jax.vmap(tm.alignment.relative_distance, (0, None)))
    return lesson, {
        **curves,
        "likeness": tm.pretraining.measure_likeness(references, target),
        "teacher_distance": measure_distances(lesson.teacher, references),
    }


def prepare(setup: tm.Setup) -> tm.Params:
    """The initialisations of the controls."""
    return pretrain(setup.protocol, setup.config, setup.data, setup.keys, control=True)


def student(
    setup: tm.Setup, reference: jax.Array, teacher_epochs: jax.Array, start: jax.Array
) -> dict[str, Any]:
    """The curves of a student of one teacher, with the amount of the teacher's change it acquires."""
    import jax
    import jax.numpy as jnp

    lesson = tm.checkpoints.select_reference(setup.lesson, reference)
    setup = replace(setup, lesson=tm.checkpoints.select_checkpoint(lesson, teacher_epochs))
    control = jax.tree.map(lambda a: a[reference], setup.extra)
    init = jax.tree.map(partial(jnp.where, start), control, setup.reference)
    observe = setup.watch_amount(init, setup.teacher_change)
    return setup.distil(tm.Student(init, observe=observe))[1]


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add final accuracy, transfer, gain since the start, and the amount above the control's."""
    teacher = runs.teacher_accuracy.sel(teacher_epoch=runs.teacher_epochs)
    runs = tm.against_control(runs, teacher=teacher.drop_vars("teacher_epoch"))
    valid = tm.succeeded(runs)
    gain = valid.final_accuracy - valid.accuracy.isel(epoch=0, drop=True)
    acquired = tm.contrast(valid.amount.isel(epoch=-1, drop=True), start=("shared", "other"))
    gained, amount = "final test accuracy less that at the start", "amount less the control's"
    return runs.assign(
        gain=gain.assign_attrs(units="1", description=f"student's {gained}"),
        acquired=acquired.assign_attrs(units="1", description=f"student's final {amount}"),
    )


def select_longest(runs: xr.Dataset) -> xr.Dataset:
    """The untrained reference, and those after the longest pretraining on every task."""
    longest = {name.split()[0]: name for name in runs.reference.values.tolist()}
    return runs.sel(reference=[*longest.values()])


def unfold(array: xr.DataArray) -> xr.DataArray:
    """An array (..., reference) as (..., task, epochs); after 0 epochs all tasks are the same."""
    untrained, *names = array.reference.values.tolist()
    lines = {}
    for task in dict.fromkeys(name.split()[0] for name in names):
        own = [name for name in names if name.split()[0] == task]
        line = array.sel(reference=[untrained, *own]).rename(reference="epochs")
        lines[task] = line.assign_coords(epochs=[0, *(int(name.split()[1]) for name in own)])
    return tm.side_by_side("task", lines, "")


def findings(runs: xr.Dataset) -> list[Any]:
    """What is acquired after the longest pretraining, and which measures foresee it."""
    valid, none = tm.succeeded(runs), {"reference": "untrained"}
    longest, pretrained = select_longest(valid), valid.drop_sel(none)
    amount = "Amount above the control's"
    gap = longest.acquired.drop_sel(none) - longest.acquired.sel(none, drop=True)
    rows = [
        *tm.compare("Transfer", longest.transfer),
        *tm.compare("Student's gain of accuracy", longest.gain.sel(start="shared", drop=True)),
        *tm.compare(amount, longest.acquired),
        *tm.compare(f"{amount} less that without pretraining", gap, tm.HIGHER),
    ]
    measures = {
        "likeness": pretrained.likeness,
        "nearness of the teacher": -pretrained.teacher_distance,
    }
    for name, array in {"transfer": pretrained.transfer, "amount": pretrained.acquired}.items():
        for measure, values in measures.items():
            share = f"Share of the variance of {name} that {measure} foresees"
            rows += tm.compare(share, tm.foreseen(array, values), None)
    return rows


def figure(runs: xr.Dataset) -> Figure:
    """Accuracies after the longest pretraining; amounts against its length, and its likeness."""
    runs = tm.succeeded(runs)
    epochs = int(runs.teacher_epochs.min())
    runs = runs.sel(teacher_epochs=epochs)
    longest = select_longest(runs)
    accuracies = {
        "student": longest.final_accuracy.sel(start="shared"),
        "control": longest.final_accuracy.sel(start="other"),
        "their teacher": longest.teacher_accuracy.sel(teacher_epoch=epochs),
        "reference": longest.teacher_accuracy.isel(teacher_epoch=0),
    }
    acquired, likeness = unfold(runs.acquired), unfold(runs.likeness)
    with tm.plotting.style():
        fig, (left, middle, right) = tm.plotting.panels(12, 3.8, columns=(1.3, 1, 1))
        models = tm.side_by_side("model", accuracies, "")
        tm.charts.dots(left, models, "reference", "model", joined=False)
        tm.plotting.slanted(left, 40)
        left.set(ylabel="test accuracy", ylim=(-0.05, 1.3), title=tm.plotting.caption(runs))
        left.set_yticks([0, 0.2, 0.4, 0.6, 0.8, 1])
        left.legend(loc="upper left", ncols=2)
        tm.charts.dots(middle, acquired, "epochs", "task", xlabel="epochs of pretraining")
        middle.set_ylabel("amount of the teacher's change\nthat is acquired, above the control's")
        places = likeness.mean("seed").transpose("task", "epochs")[:, 1:]
        look: dict[str, Any] = {"label": None, "colours": tm.plotting.PALETTE, "at": places}
        tm.charts.means(right, acquired.drop_sel(epochs=0), "epochs", "task", **look)
        right.set_xlabel("likeness of pretraining and target")
        for ax in (middle, right):
            ax.set_title(f"teacher of {epochs} epoch{'s' if epochs > 1 else ''}")
            ax.axhline(0, color="#999999", lw=0.8)
    return fig


sweep = tm.distillation_sweep(student, points, teach=teach, prepare=prepare, variables=VARIABLES)
HEADLINE = ("transfer", "gain")
STUDY = tm.Study(
    "pretrained", __doc__, PRESETS, sweep, analyse, findings, figure, headline=HEADLINE
)

if __name__ == "__main__":
    STUDY.main()
