"""Does transfer depend on m / width, on m alone, or on neither? Data collapse against theory.

Every m, width and number of distinct distillation inputs (of which the same number of steps is
made): the student's transfer, and two things that linear theory tells apart. How much it has of the
teacher's change of the class logits on test images, <dS, dT> / |dT|^2, which should go by m /
width; and how faithful it is, the cosine of the two changes, which should go by m alone. One
network serves every m of a width: the student imitates its first m auxiliary logits. The control
starts from an unrelated initialisation and has all inputs. See `toymodels.theory.scaling`.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodels.errors import UserError, at_least, distinct
from toymodels.study import cli
from toymodels.training.config import ProtocolConfig

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

QUANTITIES = {"transfer": "transfer", "amount": "amount <dS, dT> / |dT|²", "cosine": "faithfulness"}
CANDIDATES = {"m": 0.0, "m / sqrt(width)": 0.5, "m / width": 1.0}
"""Variables m * width^-b."""
PREDICTED = {"amount": 1.0, "cosine": 0.0}
"""b of a linear student: `toymodels.theory.linear_network.energy` and ``class_correlation``."""
IMAGES = 2000
"""Test images on which changes of class logits are compared."""


@dataclass(frozen=True)
class Config(ProtocolConfig):
    """What is computed; the defaults are the preset ``quick``."""

    m: tuple[int, ...] = (2, 4, 8, 16, 32)
    """Numbers of auxiliary logits."""
    width: tuple[int, ...] = (64, 128, 256)
    """Widths of the hidden layers, in units."""
    samples: tuple[int, ...] = (200, 1000, 8000)
    """Numbers of distinct distillation inputs, up to all ``noise_images`` of an epoch."""
    depth: int = 2
    """Number of hidden layers."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "m", "width", "samples", "depth")
        distinct(self, "m", "width", "samples")
        if list(self.samples) != sorted(self.samples):
            raise UserError(f"samples must rise; got {self.samples}")
        if self.samples[-1] > self.noise_images:
            raise UserError(f"samples must be at most noise_images; got {self.samples}")
        if self.noise != "fixed":
            raise UserError(f"noise must be fixed: samples are counted; got {self.noise}")


WIDTHS = (64, 128, 256, 512)
PRESETS = {
    "quick": Config(seeds=4, noise_images=4000, samples=(200, 4000)),
    "paper": Config(dataset="mnist", width=WIDTHS, student_epochs=6),
    # Whether wide students are only short of inputs and steps: four times as many of both.
    "long": Config(
        dataset="mnist",
        seeds=4,
        width=WIDTHS,
        student_epochs=6,
        noise_images=32_000,
        samples=(8000, 32_000),
    ),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (width, seed, m, samples or control); see `toymodels.sweep` for ``options``."""
    from toymodels import sweep
    from toymodels.measure.probes import accuracy, cosine
    from toymodels.networks.models import MLP, functional
    from toymodels.study import results
    from toymodels.training import protocol, tasks
    from toymodels.training.distillation import auxiliary_logits
    from toymodels.training.loop import reshuffle

    config, task, data = tasks.load(config, data_dir)
    most, k = max(config.m), task.n_classes

    def build(width: int) -> sweep.Program:
        sizes = (task.n_pixels, *[width] * config.depth, k + most)
        network = functional(lambda rngs: MLP(sizes, rngs=rngs))
        parts = protocol.reference_protocol(config, task, network)

        def moved(end: Any, start: Any, data: tasks.Data) -> jax.Array:
            """Change of the class logits, less what all share: the softmax is blind to it."""
            x = task.pixels(data.test[0][:IMAGES])
            change = (network.apply(end, x) - network.apply(start, x))[:, :k]
            return (change - change.mean(axis=1, keepdims=True)).ravel()

        def prepare(data: tasks.Data, seed: jax.Array) -> tuple[Any, dict[str, jax.Array]]:
            begun, curve = parts.prepare(data, seed)
            return (begun, moved(begun.teacher, begun.reference, data)), curve

        def student(
            data: tasks.Data, prepared: Any, m: jax.Array, lesson: dict[str, jax.Array]
        ) -> dict[str, jax.Array]:
            begun, teachers = prepared
            start = parts.start(begun, lesson["other"])
            end, _ = parts.distil(
                start,
                begun,
                auxiliary_logits(k, most, first=m),
                observe=lambda params: (),
                source=reshuffle(begun.answered, config.batch, only=lesson["samples"]),
                record=(config.student_epochs,),
            )
            own = moved(end, start, data)
            logits = network.apply(end, task.pixels(data.test[0]))
            return {
                "accuracy": accuracy(logits, data.test[1], k),
                "amount": own @ teachers / (teachers @ teachers),
                "cosine": cosine(own, teachers),
            }

        return sweep.Program(prepare, student)

    lessons = {str(n): {"samples": n, "other": 0} for n in config.samples}
    control = {"control": {"samples": config.samples[-1], "other": 1}}
    dataset, execution = sweep.grid(
        build,
        shapes={"width": config.width},
        shared={"seed": config.seed_list},
        points={"m": config.m, "lesson": lessons | control},
        variables=tasks.TEACHER
        | {
            "accuracy": ((), "1", "student's final test accuracy"),
            "amount": ((), "1", "student's change of class logits along the teacher's, over it"),
            "cosine": ((), "1", "cosine of student's and teacher's change of class logits"),
        },
        coords={"teacher_epoch": range(config.teacher_epochs + 1)},
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    dataset = dataset.assign(predicted(config, task))
    headline = "transfer amount cosine collapse power"
    return results.described(
        dataset, "theory_collapse", headline, config, task, execution, findings
    )


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add transfer, and on what each quantity collapses."""
    from toymodels.stats import statistics, transfer

    done = statistics.succeeded(dataset)
    control = done.accuracy.sel(lesson="control", drop=True)
    teacher = done.teacher_accuracy.isel(teacher_epoch=-1, drop=True)
    dataset = dataset.assign(transfer=transfer.transfer(done.accuracy, control, teacher))
    samples = tuple(int(name) for name in dataset.lesson.values if name != "control")
    return dataset.assign(collapsed(statistics.succeeded(dataset), samples))


def predicted(config: Config, task: Any) -> dict[str, xr.DataArray]:
    """What a linear student of the same m, width and classes has, and its growth with samples."""
    import numpy as np
    import xarray as xr

    from toymodels.theory import linear_network

    said = {
        "amount": linear_network.energy,
        "cosine": lambda m, d: linear_network.class_correlation(m, d, task.n_classes) if m else 0.0,
    }
    # A softmax is blind to what its logits share: KL teaches a row less.
    rows = [m - (config.loss == "kl") for m in config.m]
    table = [[[law(m, width) for m in rows] for width in config.width] for law in said.values()]
    coords = {"law": list(said), "width": list(config.width), "m": list(config.m)}
    about = {"units": "1", "description": "linear student with frozen heads, theory"}
    seen = [min(1.0, n / task.n_pixels) for n in config.samples]
    rise = np.diff(np.log(seen)) / np.diff(np.log(config.samples))
    return {
        "predicted": xr.DataArray(table, coords, attrs=about),
        "predicted_growth": xr.DataArray(rise, {"step": steps(config.samples)}, attrs=about),
    }


def steps(samples: tuple[int, ...]) -> list[str]:
    """Names of the steps from one number of samples to the next."""
    return [f"{a} to {b}" for a, b in itertools.pairwise(samples)]


def collapsed(done: xr.Dataset, samples: tuple[int, ...]) -> dict[str, xr.DataArray]:
    """Goodness of each collapse at all samples, powers of the width, growth with samples."""
    import numpy as np
    import xarray as xr

    from toymodels.theory.scaling import collapse, exponents

    m, width, most = done.m, done.width, str(samples[-1])

    def along(name: str, parts: dict[str, xr.DataArray]) -> xr.DataArray:
        return xr.concat(list(parts.values()), xr.Variable(name, list(parts)))

    goodness = {
        name: along(
            "candidate",
            {c: collapse(done[name].sel(lesson=most), m / width**b) for c, b in CANDIDATES.items()},
        )
        for name in QUANTITIES
    }
    powers, growth = {}, {}
    for name in QUANTITIES:
        at = [done[name].sel(lesson=str(n)) for n in samples]
        each = [exponents(one, m, {"width": width}).isel(exponent=0, drop=True) for one in at]
        powers[name] = xr.concat(each, xr.Variable("samples", list(samples)))
        sums = np.stack([one.sum(["m", "width"]).values for one in at])  # (samples, seed)
        rise = np.diff(np.log(np.where(sums > 0, sums, np.nan)), axis=0)
        rise = rise / np.diff(np.log(samples))[:, None]
        growth[name] = xr.DataArray(rise, {"step": steps(samples), "seed": done.seed})
    about = "jackknife pseudo-values: their mean and Student-t interval count"
    return {
        "collapse": along("quantity", goodness).assign_attrs(
            units="1", description=f"share that one curve of a variable explains; {about}"
        ),
        "power": along("quantity", powers).assign_attrs(
            units="1", description=f"b of m / width^b at a number of samples; {about}"
        ),
        "growth": along("quantity", growth).assign_attrs(
            units="1", description="c of samples^c from one number to the next, of sums over points"
        ),
    }


def findings(dataset: xr.Dataset) -> list[str]:
    """Which variable each quantity collapses on, with which power, and what theory says to it."""
    from toymodels.stats import statistics

    done, told = statistics.succeeded(dataset), []
    teacher = done.teacher_accuracy.isel(teacher_epoch=-1)
    each = [
        f"{w} {statistics.mean_interval(teacher.sel(width=w).values)}" for w in done.width.values
    ]
    told.append(f"Teacher's accuracy by width: {', '.join(each)}.")
    samples = done.samples.values
    for name in QUANTITIES:
        shares = done.collapse.sel(quantity=name)
        listed = [
            f"{c} {statistics.mean_interval(shares.sel(candidate=c).values)}" for c in CANDIDATES
        ]
        gap = statistics.difference(*(shares.sel(candidate=c) for c in ("m / width", "m")))
        word = gap.verdict("better", "worse", "no difference shown")
        told.append(
            f"{name}, all samples: share that one curve explains of what seeds agree on: "
            f"{', '.join(listed)}; m / width against m: {word}, {gap}."
        )
        power = statistics.mean_interval(done.power.sel(quantity=name, samples=samples[-1]).values)
        inside = [c for c, b in CANDIDATES.items() if holds(power, b)]
        verdict = f"of the candidates, {' and '.join(inside) or 'none'} within the interval"
        if name in PREDICTED:
            told_by = "as" if holds(power, PREDICTED[name]) else "not as"
            verdict += f"; {told_by} linear theory has it (b = {PREDICTED[name]:g})"
        told.append(f"{name}, all samples: best on m / width^b with b = {power}: {verdict}.")
    for name in QUANTITIES:
        at = done.power.sel(quantity=name)
        each = [f"{n}: {statistics.mean_interval(at.sel(samples=n).values)}" for n in samples]
        told.append(f"{name}: b by number of samples: {', '.join(each)}.")
        for step in done.step.values:
            rise = statistics.mean_interval(done.growth.sel(quantity=name, step=step).values)
            linear = float(done.predicted_growth.sel(step=step))
            theory = f"; linear theory: {linear:.3f}" if name == "amount" else ""
            told.append(f"{name}, from {step} samples: grows like samples^{rise}{theory}.")
    return told


def holds(interval: Any, value: float) -> bool:
    """Whether an interval holds a value."""
    return interval.ci_low is not None and interval.ci_low <= value <= interval.ci_high


def plot(dataset: xr.Dataset) -> Figure:
    """Transfer against the candidates; amount and faithfulness against theirs; the powers."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    full = done.sel(lesson=str(done.samples.values[-1]))
    shown = [("transfer", candidate) for candidate in CANDIDATES]
    shown += [("amount", "m / width"), ("cosine", "m")]
    with plotting.style():
        fig, axes = plotting.panels(11, 6.6, columns=(1, 1, 1), rows=2)
        for ax, (name, candidate) in zip(axes, shown, strict=False):
            for i, width in enumerate(done.width.values):
                at = {"width": width}
                x = done.m.values / width ** CANDIDATES[candidate]
                mean, low, high = plotting.means_and_ends(
                    full[name].sel(at).transpose("seed", "m").values
                )
                ends, colour = [mean - low, high - mean], plotting.PALETTE[1 + i]
                ax.errorbar(
                    x, mean, ends, fmt="o-", ms=4, lw=1, color=colour, label=f"width {width}"
                )
                if name in PREDICTED:
                    ax.plot(
                        x,
                        done.predicted.sel(at | {"law": name}),
                        color=colour,
                        lw=1,
                        ls="--",
                    )
            share = done.collapse.sel(quantity=name, candidate=candidate).values
            title = f"collapse {statistics.mean_interval(share)}"
            plotting.log_axis(ax, "x")
            ax.set(xlabel=candidate, ylabel=QUANTITIES[name], title=title)
            ax.axhline(0, color="#999999", lw=0.8)
        axes[0].legend()
        axes[3].plot([], [], color="black", lw=1, ls="--", label="linear theory, nothing fitted")
        axes[3].legend()
        powers = done.power.transpose("seed", "quantity", "samples")
        lines = {f"{n} samples": powers.sel(samples=n).values for n in done.samples.values}
        plotting.intervals(axes[5], list(QUANTITIES), lines, "", "b of m / width^b", joined=False)
        for i, name in enumerate(QUANTITIES):
            if name in PREDICTED:
                axes[5].hlines(PREDICTED[name], i - 0.3, i + 0.3, colors="black", lw=1, ls="--")
        bottom, top = axes[5].get_ylim()
        axes[5].set_ylim(bottom, top + 0.35 * (top - bottom))  # room for the legend
        axes[5].legend()
        fig.suptitle(f"{plotting.caption(dataset)}, {full.lesson.item()} samples", fontsize=9)
    return fig


if __name__ == "__main__":
    cli.main("theory_collapse", __doc__, PRESETS, run, plot)
