"""Students of other shapes than their teacher's: transfer where all that fits or heads are shared.

Teacher and student have a class head and an auxiliary head on their last hidden layer. The student
starts from what fits of the teacher's own initialisation (`toymodels.inits.embedding.fitted`:
leading blocks, scaled so that every tensor keeps the law of its initialisation), from what fits of
the two heads alone, or from nothing of it. The last of these is its control, from which transfer is
measured. Whatever is not shared is the same draw in all three. Shapes differ below the last hidden
layer, so that the heads fit whole, except for ``last_wider`` and ``last_narrower``; a ``cnn`` has
its heads alone in common with the teacher. Brockers et al., arXiv 2605.23645; the preset `perlin`
has the smoother noise that Brockers et al. give the CNN.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

Shape = Literal[
    "same", "wider", "narrower", "deeper", "shallower", "last_wider", "last_narrower", "cnn"
]
SHARED = ("fitting", "heads", "nothing")


@dataclass(frozen=True)
class Config(tm.ProtocolConfig):
    """The fields of this experiment."""

    m: tm.Counts = (10, 100)
    """Numbers of auxiliary logits."""
    widths: Annotated[tuple[int, ...], tm.Range(2, repeats=True)] = (128, 128)
    """Widths of the hidden layers of the teacher's ReLU network, in units; two layers or more."""
    student: tuple[Shape, ...] = get_args(Shape)
    """Shapes of the student: the teacher's; twice or half the width in all hidden layers but the
    last; a layer more or less; the last hidden layer twice or half as wide; a CNN."""
    channels: tm.Widths = (8, 16)
    """Channels of the CNN's convolutions, under a dense layer as wide as the teacher's last."""
    inputs: str = "uniform"
    """Noise: uniform, or Perlin's on c x c cells, perlin:c."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if len(self.widths) < 2:
            raise tm.UserError(f"widths must be two at least; got {self.widths}")
        if self.inputs != "uniform" and tm.kinds.parse_kind(self.inputs)[0] != "perlin":
            raise tm.UserError(f"inputs must be uniform or perlin:cells; got {self.inputs!r}")


PAPER = Config(
    **tm.CLOUD | tm.BROCKERS | {"batch": 1000},
    seeds=10,
    m=(10,),
    widths=(256, 256),
    channels=(16, 32),
)
PRESETS = {
    "quick": Config(
        **tm.BROCKERS, seeds=3, m=(100,), student=("same", "wider", "narrower", "deeper", "cnn")
    ),
    "paper": PAPER,
    # Where the heads are reported to suffice: smooth inputs, many logits.
    "perlin": replace(
        PAPER, m=(100,), inputs="perlin:4", student=("same", "deeper", "shallower", "cnn")
    ),
}


def build_network(shape: str, config: Config, task: tm.tasks.Task) -> tm.Network:
    """The network of a shape; ``same`` is the teacher's."""
    *below, last = config.widths
    n_classes, outputs = task.n_classes, tm.count_outputs(config, task)
    if shape == "cnn":
        size = (math.isqrt(task.n_pixels), config.channels, last, outputs)
        return tm.functional(lambda rngs: tm.CNN(*size, split=n_classes, rngs=rngs))
    hidden = {
        "same": [*below, last],
        "wider": [*(2 * width for width in below), last],
        "narrower": [*(width // 2 for width in below), last],
        "deeper": [*below, last, last],
        "shallower": [*below[:-1], last],
        "last_wider": [*below, 2 * last],
        "last_narrower": [*below, last // 2],
    }[shape]
    sizes = (task.n_pixels, *hidden, outputs)
    return tm.functional(lambda rngs: tm.MLP(sizes, split=n_classes, rngs=rngs))


def change_noise(protocol: tm.protocol.Protocol, config: Config) -> tm.protocol.Protocol:
    """The protocol with the noise that the config names."""
    import jax.numpy as jnp

    def noise(key: jax.Array, n: int) -> jax.Array:
        images = jnp.zeros((1, protocol.task.n_pixels))
        return tm.distributions.draw(config.inputs, key, n, images, key)

    return replace(protocol, noise=noise)


def points(config: Config) -> dict[str, Any]:
    """The axes of the students."""
    return {"m": config.m, "shared": tm.label_axis(SHARED)}


def student(setup: tm.Setup, m: jax.Array, shared: jax.Array) -> dict[str, Any]:
    """The curves of a student of one shape, from what it shares with the teacher."""
    import jax

    network = build_network(setup.config.student, setup.config, setup.task)
    trait = tm.tasks.classification(network, setup.task)
    students = replace(setup, protocol=replace(setup.protocol, network=network, trait=trait))
    independent = students.independent
    share = functools.partial(tm.embedding.fitted, setup.reference, independent)
    starts = [share(), share(tm.HEADS), independent]
    start = jax.tree.map(functools.partial(jax.lax.select_n, shared), *starts)
    batches = setup.protocol.batches(setup.lesson)  # answered by the teacher's own network
    return students.distil(tm.Student(start, setup.auxiliary(m), batches=batches))[1]


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add final accuracy, and transfer from the student that shares nothing."""
    return tm.against_point(runs, shared="nothing")


def findings(runs: xr.Dataset) -> list[Any]:
    """Which shapes transfer with what fits and with heads alone, and which gain by the rest."""
    transfer = tm.succeeded(runs).transfer.transpose("seed", "m", "student", ...)
    fitting, heads = (transfer.sel(shared=name, drop=True) for name in ("fitting", "heads"))
    quantity = "Transfer with all that fits shared"
    return [
        *tm.compare(quantity, fitting),
        *tm.compare("Transfer with the heads alone shared", heads),
        *tm.compare(f"{quantity} less that with the heads alone", fitting - heads, tm.HIGHER),
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy of every shape by what it shares, for each m."""
    valid = tm.succeeded(runs)
    name, *_, seeds = tm.plotting.caption(runs).split(", ")
    shapes = [shape.replace("_", "\n") for shape in valid.student.values]
    accuracy = valid.final_accuracy.assign_coords(student=shapes)
    teacher = float(valid.teacher_accuracy.isel(teacher_epoch=-1).mean())
    with tm.plotting.style():
        columns = [1] * valid.sizes["m"]
        fig, axes = tm.plotting.panels(5.8 * len(columns), 3.6, columns)
        for ax, m in zip(axes, valid.m.values, strict=True):
            tm.charts.dots(ax, accuracy.sel(m=m), "student", "shared", joined=False)
            ax.set(xlabel="student's shape", ylabel="test accuracy")
            ax.axhline(teacher, color="#999999", lw=0.8, ls="--", label="teacher")
            ax.set(ylim=(0, 1.05), title=f"{name}, m = {m}, {seeds}")
            ax.legend().set_visible(False)
        axes[-1].legend(bbox_to_anchor=(1, 1), loc="upper left")
    return fig


sweep = tm.distillation_sweep(
    student,
    points,
    shapes=("student",),
    network=functools.partial(build_network, "same"),
    protocol=change_noise,
)
HEADLINE = ("transfer", "final_accuracy")
STUDY = tm.Study("student_shape", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
