"""Does transfer depend on m / width, on m alone, or on neither? Data collapse against theory.

For every m, width and number of distinct distillation inputs (with the same number of steps) three
quantities are measured: transfer; the amount of the teacher's change of class logits on test images
that the student acquires, <dS, dT> / |dT|^2, which for linear students depends on m / width; and its
faithfulness, the cosine of the two changes, which for linear students depends on m alone. One
network serves every m of a width: the student imitates its first m auxiliary logits. The control
starts from an independent initialisation and has all inputs. See `toymodels.theory.scaling`.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

QUANTITIES = {"transfer": "transfer", "amount": "amount <dS, dT> / |dT|²", "cosine": "faithfulness"}
CANDIDATES = {"m": 0.0, "m / sqrt(width)": 0.5, "m / width": 1.0}
"""Variables m * width^-b, with their b."""
LINEAR = {"amount": 1.0, "cosine": 0.0}
"""b of a linear student: `toymodels.theory.linear_network.energy` and ``class_correlation``."""
IMAGES = 2000
"""Number of test images on which changes of class logits are compared."""


@dataclass(frozen=True)
class Config(tm.ProtocolConfig):
    """The fields of this experiment."""

    m: tm.Counts = (2, 4, 8, 16, 32)
    """Numbers of auxiliary logits."""
    width: tm.Counts = (64, 128, 256)
    """Widths of the hidden layers, in units."""
    samples: tm.Counts = (200, 1000, 8000)
    """Numbers of distinct distillation inputs, rising, up to all ``noise_images`` of an epoch."""
    depth: tm.Count = 2
    """Number of hidden layers."""
    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, whose images are counted."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if list(self.samples) != sorted(self.samples):
            raise tm.UserError(f"samples must rise; got {self.samples}")
        if self.samples[-1] > self.noise_images:
            raise tm.UserError(f"samples must be at most noise_images; got {self.samples}")


WIDE: dict[str, Any] = {"dataset": "mnist", "width": (64, 128, 256, 512), "student_epochs": 6}
PRESETS = {
    "quick": Config(seeds=4, noise_images=4000, samples=(200, 4000)),
    "paper": Config(**WIDE),
    # Whether wide students lack only inputs and steps: four times as many of both.
    "long": Config(**WIDE, seeds=4, noise_images=32_000, samples=(8000, 32_000)),
}

VARIABLES = {
    "accuracy": ((), "1", "student's final test accuracy"),
    "amount": ((), "1", "student's change of class logits along the teacher's, over it"),
    "cosine": ((), "1", "cosine of student's and teacher's change of class logits"),
    "loss": None,
}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students."""
    lessons = {str(n): {"samples": n, "other": 0} for n in config.samples}
    return {
        "m": config.m,
        "lesson": lessons | {"control": {"samples": config.samples[-1], "other": 1}},
    }


def change_classes(setup: tm.Setup, end: tm.Params, start: tm.Params) -> jax.Array:
    """The change of the class logits, without their mean, to which the softmax is blind."""
    x = setup.task.pixels(setup.data.test[0][:IMAGES])
    change = setup.network.apply(end, x) - setup.network.apply(start, x)
    change = change[:, : setup.task.n_classes]
    return (change - change.mean(axis=1, keepdims=True)).ravel()


def prepare(setup: tm.Setup) -> jax.Array:
    """The teacher's change of the class logits."""
    return change_classes(setup, setup.teacher, setup.reference)


def student(setup: tm.Setup, m: jax.Array, lesson: dict[str, jax.Array]) -> dict[str, jax.Array]:
    """A student of the first m auxiliary logits on the first inputs."""
    start, batch = setup.start(lesson["other"]), setup.config.batch
    batches = tm.reshuffle(setup.lesson.answered, batch, only=lesson["samples"])
    end, _ = setup.distil(
        tm.Student(start=start, logits=setup.auxiliary(m), batches=batches),
        observe=lambda params: {},
        observe_at=(setup.config.student_epochs,),
    )
    change, target = change_classes(setup, end, start), setup.extra
    logits = setup.network.apply(end, setup.task.pixels(setup.data.test[0]))
    return {
        "accuracy": tm.probes.accuracy(logits, setup.data.test[1], setup.task.n_classes),
        "amount": change @ target / (target @ target),
        "cosine": tm.probes.cosine(change, target),
    }


def sweep(config: Config, data_dir: Path | None) -> tm.Sweep:
    """The students, and what linear theory predicts of them."""
    plan = tm.distillation_sweep(
        student, points, shapes=("width",), prepare=prepare, variables=VARIABLES
    )(config, data_dir)
    theory = predict(plan.config, plan.task)
    return dataclasses.replace(plan, annotate=lambda runs: runs.assign(theory))


def predict(config: Config, task: Any) -> dict[str, xr.DataArray]:
    """Amount and faithfulness of a linear student, and the growth of the amount with samples."""
    import xarray as xr

    def faithfulness(m: int, width: int) -> float:
        return tm.linear_network.class_correlation(m, width, task.n_classes) if m else 0.0

    laws = {"amount": tm.linear_network.energy, "cosine": faithfulness}
    # A softmax is blind to a common shift of its logits: with KL there is one direction less.
    rows = [m - (config.loss == "kl") for m in config.m]
    table = [[[law(m, width) for m in rows] for width in config.width] for law in laws.values()]
    coords = {"law": list(laws), "width": list(config.width), "m": list(config.m)}
    visible = [min(1.0, n / task.n_pixels) for n in config.samples]
    growth = tm.scaling.local_powers(
        xr.DataArray(visible, {"samples": list(config.samples)}), "samples"
    )
    about = {"units": "1", "description": "linear student with frozen heads, theory"}
    return {
        "predicted": xr.DataArray(table, coords, attrs=about),
        "predicted_growth": growth.assign_attrs(about),
    }


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add transfer, and the variables on which each quantity collapses."""
    valid = tm.succeeded(runs)
    control = valid.accuracy.sel(lesson="control", drop=True)
    teacher = valid.teacher_accuracy.isel(teacher_epoch=-1, drop=True)
    runs = runs.assign(transfer=tm.transfer(valid.accuracy, control, teacher))
    return runs.assign(measure_collapse(tm.succeeded(runs)))


def measure_collapse(valid: xr.Dataset) -> dict[str, xr.DataArray]:
    """Goodness of each collapse at all samples, powers of the width, growth with samples."""
    quantities = valid[[*QUANTITIES]].drop_sel(lesson="control", errors="ignore")
    samples = [int(name) for name in quantities.lesson.values]
    quantities = quantities.rename(lesson="samples").assign_coords(samples=samples)
    return tm.scaling.measure_scaling(quantities, CANDIDATES)


def findings(runs: xr.Dataset) -> list[Any]:
    """Which variable each quantity collapses on, with which power, and what theory predicts."""
    valid = tm.succeeded(runs)
    teacher = valid.teacher_accuracy.isel(teacher_epoch=-1, drop=True)
    explained = valid.collapse.transpose("candidate", ...)
    gap = explained.sel(candidate="m / width", drop=True) - explained.sel(candidate="m", drop=True)
    quantity = "Share that one curve of m / width explains less that of m"
    rows = [
        *tm.compare("Teacher's test accuracy", teacher, None),
        *tm.compare("Share of what seeds agree on that one curve explains", explained, None),
        *tm.compare(quantity, gap, ("better", "worse", "no difference shown")),
    ]
    for name in QUANTITIES:
        power = valid.power.sel(samples=valid.samples.values[-1], quantity=name, drop=True)
        row = tm.Finding("Best b of m / width^b with all samples", name, tm.interval(power))
        if name in LINEAR:
            theory = f"linear theory (b = {LINEAR[name]:g})"
            words = (f"above {theory}", f"below {theory}", f"as {theory}")
            row = tm.judge(row.quantity, name, row.estimate, words, LINEAR[name])
        rows.append(row)
    growth = [f"{step.step.item()}: {step.item():.3f}" for step in valid.predicted_growth]
    return [
        *rows,
        *tm.compare("Best b of m / width^b by number of samples", valid.power, None),
        *tm.compare("Growth with samples: c of samples^c", valid.growth, None),
        f"Growth of the amount with samples in linear theory: {', '.join(growth)}.",
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Transfer against the candidates; amount and faithfulness against theirs; the powers."""
    valid = tm.succeeded(runs)
    full = valid.sel(lesson=str(valid.samples.values[-1]))
    panels = [("transfer", candidate) for candidate in CANDIDATES]
    panels += [("amount", "m / width"), ("cosine", "m")]
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(11, 6.6, columns=(1, 1, 1), rows=2)
        for ax, (name, candidate) in zip(axes, panels, strict=False):
            draw_collapse(ax, full, name, candidate)
        axes[0].legend()
        axes[3].plot([], [], color="black", lw=1, ls="--", label="linear theory, nothing fitted")
        axes[3].legend()
        draw_powers(axes[5], valid)
        fig.suptitle(f"{tm.plotting.caption(runs)}, {full.lesson.item()} samples", fontsize=9)
    return fig


def draw_collapse(ax: Axes, full: xr.Dataset, name: str, candidate: str) -> None:
    """One quantity against one candidate, a line for each width, dashed in linear theory."""
    x = (full.m / full.width ** CANDIDATES[candidate]).transpose("width", "m").values
    tm.charts.means(ax, full[name], "m", "width", label="width {width}", at=x, joined=True)
    if name in LINEAR:
        theory = full.predicted.sel(law=name)
        tm.charts.predictions(ax, theory, "m", "width", label=None, at=x, lw=1, ls="--")
    share = tm.interval(full.collapse.sel(quantity=name, candidate=candidate))
    tm.plotting.log_axis(ax, "x")
    ax.set(xlabel=candidate, ylabel=QUANTITIES[name], title=f"collapse {share}")
    ax.axhline(0, color="#999999", lw=0.8)


def draw_powers(ax: Axes, valid: xr.Dataset) -> None:
    """The best power of the width for each quantity and number of samples."""
    look: dict[str, Any] = {"ylabel": "b of m / width^b", "joined": False}
    tm.charts.dots(ax, valid.power, "quantity", "samples", label="{samples} samples", **look)
    for i, name in enumerate(QUANTITIES):
        if name in LINEAR:
            ax.hlines(LINEAR[name], i - 0.3, i + 0.3, colors="black", lw=1, ls="--")
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top + 0.35 * (top - bottom))  # room for the legend
    ax.legend()


HEADLINE = ("transfer", "amount", "cosine", "collapse", "power")
STUDY = tm.Study("theory_collapse", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
