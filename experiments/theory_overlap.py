"""Transfer against overlap, m and width: the law of lazy students beside students.

The students of `experiments.init_overlap` (all parameters rotated, overlap rho) imitate by squared
error. Each is made twice: trained by Adam, as in the protocol; and linearised at its start and
solved, as if it were infinitely wide and lazy. Beside them stands the law of
`toymodels.theory.overlap_law`, which depends on the teacher and on no student; no parameter is
fitted. Compared are transfer, and the amount of the teacher's change of class logits that the
student acquires, <dS, dT> / |dT|^2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import numpy as np

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

STUDENTS = ("trained", "linearised")
IMAGES, PAIRED = 1000, 200
"""Numbers of test images: on which models are scored and compared and the law is sampled, and over
whose pairs kernels are averaged."""


@dataclass(frozen=True)
class Config(tm.ProtocolConfig):
    """The fields of this experiment."""

    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, whose first images the linearised student is told."""
    loss: Literal["mse"] = "mse"
    """Imitation loss: squared error, of which the law is."""
    rho: Annotated[
        tuple[float, ...], tm.Range(0, 1), tm.Includes((1, 0), ("shared", "the control"))
    ] = (1.0, 0.97, 0.9, 0.8, 0.6, 0.0)
    """Overlaps: cosines of the angle of rotation. 1 (shared) and 0 (the control) are required."""
    m: tm.Counts = (4, 32)
    """Numbers of auxiliary logits."""
    width: tm.Counts = (64, 128)
    """Widths of the hidden layers, in units."""
    depth: tm.Count = 2
    """Number of hidden layers."""
    told: tm.Count = 1000
    """Number of distillation inputs of the linearised student: the first of the fixed ones."""
    solver_steps: tm.Count = 30
    """Number of steps of conjugate gradients, which solve the linearised student."""
    draws: tm.Count = 8
    """Number of samples of the law to average: other rows and other initial logits for the same
    teacher."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.told > self.noise_images:
            raise tm.UserError(f"told must be at most noise_images; got {self.told}")


PRESETS = {
    "quick": Config(seeds=3, noise_images=4000),
    "paper": Config(
        dataset="mnist",
        seeds=5,
        noise_images=8000,
        student_epochs=6,
        m=(4, 16, 64),
        width=(64, 128, 256),
        told=2000,
    ),
}

VARIABLES = {
    "teacher_accuracy": ((), "1", "teacher's accuracy there"),
    "accuracy": (("student",), "1", "student's final accuracy on the test images compared"),
    "amount": (("student",), "1", "student's change of class logits along the teacher's, over it"),
    "residual": ((), "1", "share of squared missing answers that the solver leaves"),
    "law_accuracy": ((), "1", "accuracy there that the law gives the student, mean over samples"),
    "law_amount": ((), "1", "rho^2 h(rho) min(1, m / width)"),
    "leading_amount": ((), "1", "amount to leading order in m / width, inputs as they are"),
    **dict.fromkeys(("teacher_loss", "loss")),
}


class SharedData(NamedTuple):
    """Images, only those of the test set that are compared, and a root of the NNGP kernel on them."""

    train: tm.tasks.Images
    test: tm.tasks.Images
    root: Any


def teach(protocol: tm.Protocol, config: Config, data: Any, seed: jax.Array) -> Any:
    """Train the teacher of a seed, and score it in the end."""
    lesson, curve = protocol.prepare(data, seed)
    return lesson, {"teacher_accuracy": curve["teacher_accuracy"][-1]}


def kernel_init(task: tm.tasks.Task, width: int, depth: int) -> tm.infinite_width.Init:
    """The law of a network's initialisation."""
    return tm.infinite_width.Init((task.n_pixels, *[width] * depth))


def prepare(setup: tm.Setup) -> tm.overlap_law.Teacher:
    """What the law takes from the teacher of a seed."""
    config, task = setup.config, setup.task
    x, inputs = task.pixels(setup.data.test[0]), setup.inputs[: config.told]
    init = kernel_init(task, config.width, config.depth)
    return tm.overlap_law.describe_teacher(
        setup.network, setup.reference, setup.teacher, x, inputs, init, task.n_classes
    )


def student(setup: tm.Setup, m: jax.Array, rho: jax.Array) -> dict[str, jax.Array]:
    """A trained and a linearised student of one overlap, and the law of both."""
    import jax.numpy as jnp

    config, network, task, data = setup.config, setup.network, setup.task, setup.data
    teacher, imitated, k = setup.extra, setup.auxiliary(m), task.n_classes
    start = tm.rotation(network.init)(setup.reference, setup.keys.relation, rho)
    inputs, answers = setup.inputs[: config.told], setup.answers[: config.told]
    (images, labels), key = data.test, setup.keys.probe
    x, change = task.pixels(images), teacher.change @ teacher.rows

    trained, _ = setup.distil(
        tm.Student(start=start, logits=imitated),
        observe=lambda params: {},
        observe_at=(config.student_epochs,),
    )
    lazy, residual = tm.lazy_students.lazy_student(
        network, start, inputs, answers, imitated, config.solver_steps
    )
    students = ((network, trained), (tm.approximations.tangent(network, start), lazy))

    def score(model: tm.Network, end: tm.Params) -> jax.Array:
        return tm.probes.accuracy(model.apply(end, x), labels, k)

    def amount(model: tm.Network, end: tm.Params) -> jax.Array:
        return setup.watch_amount(start, change, model)(end)["amount"]

    init, paired = kernel_init(task, config.width, config.depth), x[:PAIRED]
    law = tm.overlap_law.predict(
        key, config.draws, teacher, data.root, labels, imitated[k:], rho, init, paired
    )
    leading = tm.lazy_students.leading_order(network.latent, start, x, inputs, teacher.pull)
    leading_share = tm.probes.share(leading @ teacher.rows, change)
    return {
        "accuracy": jnp.stack([score(*student) for student in students]),
        "amount": jnp.stack([amount(*student) for student in students]),
        "residual": residual,
        "law_accuracy": law.accuracy,
        "law_amount": law.amount,
        "leading_amount": rho**2 * m / config.width * leading_share,
    }


def sweep(config: Config, data_dir: Path | None) -> tm.Sweep:
    """The students of every width, and the root of a kernel that all models read."""
    import jax.numpy as jnp

    plan = tm.distillation_sweep(
        student,
        lambda config: {"m": config.m, "rho": config.rho},
        shapes=("width",),
        teach=teach,
        prepare=prepare,
        variables=VARIABLES,
        coords=lambda config: {"student": list(STUDENTS)},
    )(config, data_dir)
    images, labels = (array[:IMAGES] for array in plan.data.test)
    x, init = plan.task.pixels(jnp.asarray(images)), kernel_init(plan.task, 1, config.depth)
    # The covariance of the outputs does not depend on the width.
    root = tm.overlap_law.square_root(tm.infinite_width.cross_kernels(init, x, x).nngp)
    return replace(plan, data=SharedData(plan.data.train, (images, labels), root))


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add transfer, simulated and by the law, and by how much the law has more of it."""
    valid = tm.succeeded(runs)
    transfer, law = (
        tm.transfer(score, score.sel(rho=0, drop=True), valid.teacher_accuracy)
        for score in (valid.accuracy, valid.law_accuracy)
    )
    law.attrs["description"] += ", by the law"
    gap = (law - transfer).where(valid.rho != 0).mean("rho")  # at rho = 0 both are 0 by definition
    about = "law less simulated transfer, mean over overlaps"
    return runs.assign(
        transfer=transfer,
        law_transfer=law,
        discrepancy=gap.assign_attrs(units="1", description=about),
    )


def findings(runs: xr.Dataset) -> list[Any]:
    """How far the law is from lazy and from trained students, where, and why."""
    valid = tm.succeeded(runs)
    shared, overlaps = valid.sel(rho=1, drop=True), valid.isel(rho=np.flatnonzero(valid.rho.values))
    sentences = []
    for name in STUDENTS:
        gaps = (overlaps.law_transfer - overlaps.transfer).sel(student=name)
        points = gaps.transpose("seed", "width", "m", "rho").values.reshape(gaps.sizes["seed"], -1)
        law = tm.measure_agreement(points)
        sentences.append(f"Transfer of the {name} student at rho > 0 and the law {law}.")
    fall = (valid.law_amount / shared.law_amount).mean("seed").isel(m=0, drop=True)
    error = (relative_amounts(valid).mean("seed") - fall).isel(rho=np.flatnonzero(valid.rho < 1))
    for name in map(str, error["of"].values):
        law = tm.measure_agreement(error.sel(of=name).values.reshape(1, -1))
        sentences.append(f"Fall of the amount with overlap, {name}: it and rho^2 h(rho) {law}.")
    gaps = valid.discrepancy.mean("width").transpose("student", "m", "seed")
    amounts = (shared.amount / shared.law_amount).transpose("student", "width", "m", "seed")
    leading = (shared.leading_amount / shared.law_amount).sel(m=valid.m.values.min(), drop=True)
    quantity = "Amount to leading order in m / width at rho = 1, over the law's"
    return [
        *sentences,
        *tm.compare("Transfer by the law less that of the student", gaps, tm.HIGHER),
        *tm.compare("Amount at rho = 1, over the law's", amounts, None),
        *tm.compare(quantity, leading, None),
    ]


def relative_amounts(valid: xr.Dataset) -> xr.DataArray:
    """Amounts over those at rho = 1, summed over m: (of, width, seed, rho)."""
    parts = {name: valid.amount.sel(student=name, drop=True) for name in STUDENTS}
    parts["leading order"] = valid.leading_amount
    sums = {name: part.sum("m", skipna=False) for name, part in parts.items()}
    amounts = tm.side_by_side("of", sums, "amounts, summed over m")
    whole = amounts.sel(rho=1)
    return amounts / whole.where(whole > 0)


GREYS = ("#000000", "#777777")
"""Colours of the students."""


def figure(runs: xr.Dataset) -> Figure:
    """Transfer by overlap for each width; amounts by m / width and by overlap; the discrepancy."""
    valid = tm.succeeded(runs)
    widths = valid.width.values
    columns = max(3, len(widths))
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(3.7 * columns, 6.8, [1] * columns, 2)
        above, below = axes[:columns], axes[columns:]
        for ax, width in zip(above, widths, strict=False):
            draw_transfer(ax, valid.sel(width=width))
        above[0].set(ylabel="transfer")
        above[0].legend()
        draw_amounts(below[0], valid)
        draw_falls(below[1], valid)
        draw_discrepancy(below[2], valid)
        for ax in [*above[len(widths) :], *below[3:]]:
            ax.set_visible(False)
        fig.suptitle(
            f"lines: law of lazy students, nothing fitted; points: means of students with 95 % "
            f"intervals, filled trained, open linearised ({tm.plotting.caption(runs)})",
            fontsize=9,
        )
    return fig


def draw_transfer(ax: Axes, valid: xr.Dataset) -> None:
    """Transfer at one width: a line and two kinds of points for every m."""
    angle = np.degrees(np.arccos(valid.rho.values))
    law = valid.law_transfer.mean("seed")
    tm.charts.predictions(ax, law, "rho", "m", label="m = {m}", at=angle, lw=1.3)
    for i, transfer in enumerate(valid.transfer.transpose("student", ...)):
        look: dict[str, Any] = {"at": angle + 2 * i - 1, "hollow": i > 0}
        tm.charts.means(ax, transfer, "rho", "m", label=None, **look)
    tm.plotting.overlap_axis(ax)
    ax.set(title=f"width {valid.width.item()}", ylim=(-0.15, 1.05))


def draw_amounts(ax: Axes, valid: xr.Dataset) -> None:
    """The amount of the teacher's change at rho = 1 against m / width: law and students."""
    at = (valid.m / valid.width).transpose("width", "m")
    look: dict[str, Any] = {"at": at, "colours": tm.plotting.PALETTE[4:]}
    trained, lazy = valid.amount.sel(rho=1).transpose("student", ...)
    tm.charts.means(ax, trained, "m", "width", label="width {width}", markers="sD^v", **look)
    tm.charts.means(ax, lazy, "m", "width", label=None, markers="sD^v", hollow=True, **look)
    leading = valid.leading_amount.sel(rho=1).mean("seed")
    leading = leading.where(leading < 1)
    tm.charts.predictions(ax, leading, "m", "width", label=None, lw=1, ls=":", **look)
    ends = [float(at.min()), 1.0]
    ax.plot(ends, ends, color="black", lw=1.3, label="law, m / width")
    ax.plot([], [], color="black", lw=1, ls=":", label="leading order, inputs as they are")
    tm.plotting.log_axis(ax, "x")
    tm.plotting.log_axis(ax, "y")
    ax.set(xlabel="m / width", ylabel="amount <dS, dT> / |dT|² at rho = 1")
    ax.set_ylim(bottom=ends[0] / 8)  # room for the legend
    ax.legend(fontsize=7, loc="lower right")


def draw_falls(ax: Axes, valid: xr.Dataset) -> None:
    """The fall of the amount with the overlap, relative to rho = 1; mean over widths, sum over m."""
    angle = np.degrees(np.arccos(valid.rho.values))
    law = (valid.law_amount / valid.law_amount.sel(rho=1)).mean("seed").isel(m=0)
    widths: dict[str, Any] = {"label": None, "colours": tm.plotting.PALETTE[4:]}
    tm.charts.predictions(ax, law, "rho", "width", at=angle, lw=1.3, **widths)
    ax.plot([], [], color="black", lw=1.3, label="law, rho² h(rho), by width")
    look: dict[str, Any] = {"markers": "oox", "hollow": (False, True, False)}
    look |= {"at": angle + np.array([[-1], [0], [1]]), "colours": (*GREYS, tm.plotting.PALETTE[1])}
    tm.charts.means(ax, relative_amounts(valid).mean("width"), "rho", "of", **look)
    ax.axhline(0, color="#999999", lw=0.8)
    tm.plotting.overlap_axis(ax)
    ax.set(ylabel="amount over that at rho = 1")
    ax.legend(fontsize=7)


def draw_discrepancy(ax: Axes, valid: xr.Dataset) -> None:
    """Law less simulated transfer against m, mean over widths and overlaps."""
    look: dict[str, Any] = {"colours": GREYS, "hollow": (False, True), "joined": True}
    tm.charts.means(ax, valid.discrepancy.mean("width"), "m", "student", **look)
    ax.axhline(0, color="#999999", lw=0.8)
    tm.plotting.log_axis(ax, "x")
    ax.set(xlabel="auxiliary logits m", ylabel="law less simulated transfer")
    ax.legend()


HEADLINE = ("discrepancy", "transfer", "law_transfer", "amount")
STUDY = tm.Study("theory_overlap", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
