"""Students of other shapes than their teacher's: transfer where all that fits or heads are shared.

Teacher and student have a class head and an auxiliary head on their last hidden layer. The student
begins with what fits of the teacher's own initialisation (`toymodels.inits.embedding.fitted`: leading
blocks, scaled so that every tensor keeps the law of its init), with what fits of the two heads
alone, or with nothing of it: its control, that transfer is measured from. Whatever is not shared
is the same draw in all three. Shapes differ below the last hidden layer, so that the heads fit
whole, but for ``last_wider`` and ``last_narrower``; a ``cnn`` has its heads alone in common.
Brockers et al., arXiv 2605.23645; the preset `perlin` has the smoother noise they give the CNN.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from toymodels.data.kinds import parsed
from toymodels.errors import UserError, at_least, distinct
from toymodels.study import cli
from toymodels.training.config import CLOUD, ProtocolConfig

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.networks.models import Network
    from toymodels.sweep import RunOptions
    from toymodels.training.tasks import Task

Student = Literal[
    "same", "wider", "narrower", "deeper", "shallower", "last_wider", "last_narrower", "cnn"
]
SHARED = ("fitting", "heads", "nothing")


@dataclass(frozen=True)
class Config(ProtocolConfig):
    """What is computed; the preset ``quick`` has fewer values of an axis."""

    m: tuple[int, ...] = (10, 100)
    """Numbers of auxiliary logits."""
    widths: tuple[int, ...] = (128, 128)
    """Hidden widths of the teacher's ReLU network, in units; two or more."""
    student: tuple[Student, ...] = get_args(Student)
    """Shapes of the student: the teacher's; twice or half the width in all hidden layers but the
    last; a layer more or less; the last hidden layer twice or half as wide; a CNN."""
    channels: tuple[int, ...] = (8, 16)
    """Channels of the CNN's convolutions, under a dense layer as wide as the teacher's last."""
    inputs: str = "uniform"
    """Noise: uniform, or Perlin's on c x c cells, perlin:c."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "m", "channels")
        at_least(self, 2, "widths")
        distinct(self, "m", "student")
        if len(self.widths) < 2:
            raise UserError(f"widths must be two at least; got {self.widths}")
        if self.inputs != "uniform" and parsed(self.inputs)[0] != "perlin":
            raise UserError(f"inputs must be uniform or perlin:cells; got {self.inputs!r}")


# Section 2 of the paper: MSE, fresh noise at every step, Adam 1e-3, 60 steps of 1,000 an epoch.
BROCKERS: dict[str, Any] = {"loss": "mse", "noise": "fresh", "teacher_lr": 1e-3, "student_lr": 1e-3}
PAPER = Config(
    **CLOUD | BROCKERS | {"batch": 1000}, seeds=8, m=(10,), widths=(256, 256), channels=(16, 32)
)
PRESETS = {
    "quick": Config(
        **BROCKERS, seeds=3, m=(100,), student=("same", "wider", "narrower", "deeper", "cnn")
    ),
    "paper": PAPER,
    # Where the heads are reported to suffice: smooth inputs, many logits.
    "perlin": replace(
        PAPER, m=(100,), inputs="perlin:4", student=("same", "deeper", "shallower", "cnn")
    ),
}


def shaped(student: str, config: Config, task: Task, outputs: int) -> Network:
    """The student's network; ``same`` is the teacher's."""
    from toymodels.networks.models import CNN, MLP, functional

    *below, last = config.widths
    if student == "cnn":
        size = (math.isqrt(task.n_pixels), config.channels, last, outputs)
        return functional(lambda rngs: CNN(*size, split=task.n_classes, rngs=rngs))
    hidden = {
        "same": [*below, last],
        "wider": [*(2 * width for width in below), last],
        "narrower": [*(width // 2 for width in below), last],
        "deeper": [*below, last, last],
        "shallower": [*below[:-1], last],
        "last_wider": [*below, 2 * last],
        "last_narrower": [*below, last // 2],
    }[student]
    sizes = (task.n_pixels, *hidden, outputs)
    return functional(lambda rngs: MLP(sizes, split=task.n_classes, rngs=rngs))


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (student, seed, m, what is shared); see `toymodels.sweep` for ``options``."""
    import jax
    import jax.numpy as jnp

    from toymodels import sweep
    from toymodels.data import distributions
    from toymodels.inits.embedding import fitted
    from toymodels.networks.layers import HEADS
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import protocol, tasks
    from toymodels.training.distillation import auxiliary_logits

    config, task, data = tasks.load(config, data_dir)
    most = max(config.m)

    def noise(key: jax.Array, n: int) -> jax.Array:
        return distributions.draw(config.inputs, key, n, jnp.zeros((1, task.n_pixels)), key)

    def build(student: str) -> sweep.Program:
        teachers, own = (
            shaped(shape, config, task, task.n_classes + most) for shape in ("same", student)
        )
        parts = replace(protocol.reference_protocol(config, task, teachers), noise=noise)
        students = replace(parts, network=own, trait=tasks.classification(own, task))

        def distilled(
            data: tasks.Data, begun: protocol.Lesson, m: jax.Array, shared: jax.Array
        ) -> dict[str, jax.Array]:
            subset = auxiliary_logits(task.n_classes, most, first=m)
            fresh = students.independent_init(begun)
            inits = [fitted(begun.reference, fresh), fitted(begun.reference, fresh, HEADS), fresh]
            init = jax.tree.map(partial(jax.lax.select_n, shared), *inits)
            watch, source = students.watch(data, begun, subset), parts.batches(begun)
            return students.distil(init, begun, subset, watch, source=source)[1]

        return sweep.Program(parts.prepare, distilled)

    dataset, execution = sweep.grid(
        build,
        shapes={"student": config.student},
        shared={"seed": config.seed_list},
        points={"m": config.m, "shared": numbered(SHARED)},
        variables=tasks.TEACHER | tasks.STUDENT,
        coords=protocol.epochs(config),
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    headline = "transfer final_accuracy"
    return results.described(dataset, "student_shape", headline, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add final accuracy and transfer."""
    from toymodels.stats import statistics, transfer

    done = statistics.succeeded(dataset).isel(epoch=-1, teacher_epoch=-1, drop=True)
    control = done.accuracy.sel(shared="nothing", drop=True)
    return dataset.assign(
        final_accuracy=done.accuracy.assign_attrs(description="student's final accuracy"),
        transfer=transfer.transfer(done.accuracy, control, done.teacher_accuracy),
    )


def findings(dataset: xr.Dataset) -> list[str]:
    """Which shapes transfer with what fits and with heads alone, and which gain by the rest."""
    from toymodels.stats import statistics
    from toymodels.stats.sentences import by_sign

    share, told = statistics.succeeded(dataset).transfer, []
    for m, kept in itertools.product(share.m.values, SHARED[:2]):
        shown: list[str] = []
        rest: list[str] = []
        for student in share.student.values:
            at = share.sel(m=m, shared=kept, student=student)
            interval = statistics.mean_interval(at.values)
            (shown if interval.sign > 0 else rest).append(f"{student} {interval}")
        told.append(
            f"m = {m}, {kept} shared: transfer shows in {', '.join(shown) or 'none'}; "
            f"not in {', '.join(rest) or 'none'}."
        )
    more, heads = (share.sel(shared=kept, drop=True) for kept in SHARED[:2])
    words = ("more transfer", "less transfer", "no difference shown")
    for m in share.m.values:
        gain = (more - heads).sel(m=m)
        told.append(by_sign(f"m = {m}: all that fits shared, against the heads alone", gain, words))
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Accuracy of every shape by what it shares, for each m."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    name, *_, seeds = plotting.caption(dataset).split(", ")
    names = [student.replace("_", "\n") for student in done.student.values]
    with plotting.style():
        fig, axes = plotting.panels(5.8 * done.sizes["m"], 3.6, columns=[1] * done.sizes["m"])
        for ax, m in zip(axes, done.m.values, strict=True):
            at = done.final_accuracy.sel(m=m).transpose("seed", "student", "shared")
            shown = {kept: at.sel(shared=kept).values for kept in SHARED}
            label = "student's shape"
            plotting.intervals(ax, names, shown, label, "test accuracy", joined=False)
            teacher = float(done.teacher_accuracy.isel(teacher_epoch=-1).mean())
            ax.axhline(teacher, color="#999999", lw=0.8, ls="--", label="teacher")
            ax.set(ylim=(0, 1.05), title=f"{name}, m = {m}, {seeds}")
            ax.legend().set_visible(False)
        axes[-1].legend(bbox_to_anchor=(1, 1), loc="upper left")
    return fig


if __name__ == "__main__":
    cli.main("student_shape", __doc__, PRESETS, run, plot)
