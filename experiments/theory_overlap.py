"""Transfer against overlap, m and width: the law of lazy students beside students.

The students of `experiments.init_overlap` (everything rotated, overlap rho), imitating by squared
error, each twice: trained by Adam, as the protocol has it, and linearised at its start and solved,
as it would be if it were infinitely wide and lazy. Beside them what `toymodels.theory.overlap_law`
says of each, knowing the teacher and nothing of any student; no parameter is fitted. Compared are
transfer, and how much of the teacher's change of class logits arrives, <dS, dT> / |dT|^2.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from toymodels.errors import UserError, at_least, distinct
from toymodels.study import cli
from toymodels.training.config import ProtocolConfig

if TYPE_CHECKING:
    import jax
    import numpy as np
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions
    from toymodels.training.tasks import Data, Images

STUDENTS = ("trained", "linearised")
IMAGES, PAIRED = 1000, 200
"""Test images on which all models are scored and compared, and the law is drawn; those over whose
pairs kernels are averaged."""


@dataclass(frozen=True)
class Config(ProtocolConfig):
    """What is computed; the defaults are the preset ``quick``."""

    seeds: int = 3
    """Number of seeds; each has its own reference, teacher, noise and students."""
    noise_images: int = 4000
    """Distillation inputs in an epoch, in images of U(-1, 1) noise."""
    loss: Literal["kl", "mse"] = "mse"
    """Imitation: the law is one of squared error, mse."""
    rho: tuple[float, ...] = (1.0, 0.97, 0.9, 0.8, 0.6, 0.0)
    """Overlaps, cosines of the angle of rotation; 1 (shared) and 0 (the control) must be among
    them."""
    m: tuple[int, ...] = (4, 32)
    """Numbers of auxiliary logits."""
    width: tuple[int, ...] = (64, 128)
    """Widths of the hidden layers, in units."""
    depth: int = 2
    """Number of hidden layers."""
    told: int = 1000
    """Distillation inputs of the linearised student: the first of the fixed ones."""
    solver_steps: int = 30
    """Of conjugate gradients, which solve the linearised student."""
    draws: int = 8
    """Of the law, averaged: other rows and other initial logits for the same teacher."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "m", "width", "depth", "told", "solver_steps", "draws")
        at_least(self, 0, "rho", most=1)
        distinct(self, "rho", "m", "width")
        if not {0.0, 1.0} <= set(self.rho):
            raise UserError(f"rho must include 1 (shared) and 0 (the control); got {self.rho}")
        if self.loss != "mse":
            raise UserError(f"loss must be mse, of which the law is; got {self.loss}")
        if self.noise != "fixed":
            raise UserError(f"noise must be fixed: its first images are told; got {self.noise}")
        if self.told > self.noise_images:
            raise UserError(f"told must be at most noise_images; got {self.told}")


PRESETS = {
    "quick": Config(),
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


class Given(NamedTuple):
    """What every model reads; a pytree."""

    images: Data
    root: jax.Array
    """Of the NNGP kernel on the test images that are compared (N, N)."""


class Taught(NamedTuple):
    """What students of a seed share; a pytree."""

    begun: Begun
    change: jax.Array
    """Of the teacher's latent on test images (N, n)."""
    logits: jax.Array
    """Initial class logits there (N, k)."""
    pull: jax.Array
    """K^-1 times the change of the latent on the inputs told (told, n)."""


VARIABLES = {
    "accuracy": (("student",), "1", "student's final accuracy on the test images compared"),
    "amount": (("student",), "1", "student's change of class logits along the teacher's, over it"),
    "residual": ((), "1", "share of squared missing answers that the solver leaves"),
    "law_accuracy": ((), "1", "accuracy there that the law gives the student, mean over draws"),
    "law_amount": ((), "1", "rho^2 h(rho) min(1, m / width)"),
    "leading_amount": ((), "1", "amount to leading order in m / width, inputs as they are"),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (width, seed, m, rho); see `toymodels.sweep` for ``options``."""
    import jax
    import jax.numpy as jnp

    from toymodels import sweep
    from toymodels.inits import relations
    from toymodels.measure import probes
    from toymodels.networks.models import MLP, Network, Params, functional
    from toymodels.study import results
    from toymodels.theory import overlap_law
    from toymodels.theory.infinite_width import Init, cross_kernels
    from toymodels.theory.linearised import tangent
    from toymodels.training import protocol, tasks
    from toymodels.training.distillation import auxiliary_logits

    config, task, data = tasks.load(config, data_dir)
    most, k = max(config.m), task.n_classes
    tests = task.pixels(jnp.asarray(data.test[0][:IMAGES]))
    any_width = Init(
        (task.n_pixels, *[1] * config.depth)
    )  # of which outputs' covariance knows none
    root = square_root(cross_kernels(any_width, tests, tests).nngp)

    def build(width: int) -> sweep.Program:
        hidden = (task.n_pixels, *[width] * config.depth)
        network = functional(lambda rngs: MLP((*hidden, k + most), rngs=rngs))
        parts, init = protocol.reference_protocol(config, task, network), Init(hidden)
        rotate = relations.rotation(network.init)

        def rows(params: Params) -> jax.Array:
            return params["head"]["kernel"][:, :k]

        def prepare(given: Given, seed: jax.Array) -> tuple[Taught, dict[str, jax.Array]]:
            begun, _ = parts.prepare(given.images, seed)
            assert begun.answered is not None
            compared = first_images(given.images)
            x = task.pixels(compared[0])
            inputs = begun.answered[0][: config.told]
            change, told = (
                network.latent(begun.teacher, z) - network.latent(begun.reference, z)
                for z in (x, inputs)
            )
            kernel = cross_kernels(init, inputs, inputs).ntk()
            pull = jax.scipy.linalg.solve(kernel, told, assume_a="pos")
            logits = network.apply(begun.reference, x)[:, :k]
            score = parts.trait.score(begun.teacher, compared)
            return Taught(begun, change, logits, pull), {"teacher_accuracy": score}

        def student(
            given: Given, taught: Taught, m: jax.Array, rho: jax.Array
        ) -> dict[str, jax.Array]:
            begun, subset = taught.begun, auxiliary_logits(k, most, first=m)
            assert begun.answered is not None
            inputs, answers = (array[: config.told] for array in begun.answered)
            reference, (images, root) = begun.reference, given
            compared = first_images(images)
            x, labels = task.pixels(compared[0]), compared[1]
            start = rotate(reference, begun.keys.relation, rho)
            trained, _ = parts.distil(
                start, begun, subset, lambda p: (), record=(config.student_epochs,)
            )
            lazy, left = overlap_law.lazy_student(
                network, start, inputs, answers, subset, config.solver_steps
            )
            ends = ((network, trained), (tangent(network, start), lazy))
            whole = taught.change @ rows(reference)

            def share(change: jax.Array) -> jax.Array:
                return (change * whole).sum() / jnp.square(whole).sum()

            def amount(net: Network, end: Params) -> jax.Array:
                return share((net.apply(end, x) - network.apply(start, x))[:, :k])

            passed = overlap_law.hidden_overlap(init, x[:PAIRED], [rho] * config.depth)
            logits = overlap_law.logit_overlap(init, x[:PAIRED], [rho] * (config.depth + 1))

            def drawn(key: jax.Array) -> jax.Array:
                teacher = taught.change, rows(reference), taught.logits, root
                said, _ = overlap_law.drawn(key, *teacher, subset[k:], rho, rho * passed, logits)
                return probes.accuracy(said, labels, k)

            first = overlap_law.leading_order(network.latent, start, x, inputs, taught.pull)
            return {
                "accuracy": jnp.stack(
                    [tasks.classification(net, task).score(end, compared) for net, end in ends]
                ),
                "amount": jnp.stack([amount(net, end) for net, end in ends]),
                "residual": left,
                "law_accuracy": jax.lax.map(
                    drawn, jax.random.split(begun.keys.probe, config.draws)
                ).mean(),
                "law_amount": rho**2 * passed * jnp.minimum(1.0, m / width),
                "leading_amount": rho**2 * m / width * share(first @ rows(reference)),
            }

        return sweep.Program(prepare, student)

    dataset, execution = sweep.grid(
        build,
        shapes={"width": config.width},
        shared={"seed": config.seed_list},
        points={"m": config.m, "rho": config.rho},
        variables={"teacher_accuracy": ((), "1", "teacher's accuracy there"), **VARIABLES},
        coords={"student": list(STUDENTS)},
        data=Given(data, root),
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    headline = "discrepancy transfer law_transfer amount"
    return results.described(dataset, "theory_overlap", headline, config, task, execution, findings)


def first_images(images: Data) -> Images:
    """The test images, with their labels, on which law and students are scored alike."""
    x, labels = images.test
    return x[:IMAGES], labels[:IMAGES]


def square_root(kernel: jax.Array) -> Any:
    """R with R R^T = kernel, symmetric and positive up to rounding."""
    import numpy as np

    values, vectors = np.linalg.eigh(np.asarray(kernel, np.float64))
    return np.float32(vectors * np.sqrt(np.maximum(values, 0)))


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add transfer, simulated and by the law, and by how much the law has more of it."""
    from toymodels.stats import statistics, transfer

    done = statistics.succeeded(dataset)
    teacher = done.teacher_accuracy
    told = {
        name: transfer.transfer(done[of], done[of].sel(rho=0, drop=True), teacher)
        for name, of in (("transfer", "accuracy"), ("law_transfer", "law_accuracy"))
    }
    told["law_transfer"].attrs["description"] += ", as the law has it"
    shared = done.rho != 0  # where both are 0 by definition
    gap = (told["law_transfer"] - told["transfer"]).where(shared).mean("rho")
    about = "law less simulated transfer, mean over overlaps"
    told["discrepancy"] = gap.assign_attrs(units="1", description=about)
    return dataset.assign(told)


def findings(dataset: xr.Dataset) -> list[str]:
    """How far the law is from lazy and from trained students, where, and why."""
    import numpy as np

    from toymodels.stats import statistics
    from toymodels.stats.statistics import mean_interval
    from toymodels.study.plotting import means_and_ends

    done, told = statistics.succeeded(dataset), []
    shared, widths = done.sel(rho=1), done.width.values

    def listed(values: xr.DataArray, along: str) -> str:
        """Intervals of (seed, along)."""
        each = values.transpose(along, "seed")
        return ", ".join(f"{at}: {mean_interval(each.sel({along: at}).values)}" for at in
                         each[along].values)  # fmt: skip

    for name in STUDENTS:
        here = done.sel(student=name).isel(rho=np.flatnonzero(done.rho.values))
        gaps = (here.law_transfer - here.transfer).transpose("seed", "width", "m", "rho").values
        mean, low, high = means_and_ends(gaps.reshape(len(gaps), -1))
        known, held = int(np.isfinite(low).sum()), int(((low <= 0) & (high >= 0)).sum())
        told.append(
            f"Transfer of the {name} student and the law differ by {rms(mean)} (rms over "
            f"{np.isfinite(mean).sum()} points with rho > 0); {held} of {known} intervals hold the "
            f"law; law less simulation by m: {listed(here.discrepancy.mean('width'), 'm')}."
        )
    for name in STUDENTS:
        over = (shared.amount / shared.law_amount).sel(student=name)
        each = "; ".join(f"width {w}: {listed(over.sel(width=w), 'm')}" for w in widths)
        told.append(f"Amount of the {name} student at rho = 1, over the law's, by m: {each}.")
    seen = (shared.leading_amount / shared.law_amount).sel(m=done.m.values.min())
    told.append(
        "Leading order in m / width, with all that the inputs show and not linear functions alone, "
        f"over the law at rho = 1, by width: {listed(seen, 'width')}."
    )
    law = (done.law_amount / shared.law_amount).mean("seed").isel(m=0, drop=True)
    off = (fallen(done).mean("seed") - law).isel(rho=np.flatnonzero(done.rho.values < 1))
    for name in off["of"].values:
        gaps = off.sel(of=name).values
        told.append(
            f"Fall of the amount with overlap, {str(name).replace('_amount', ' order')}: it and "
            f"rho^2 h(rho) differ by {rms(gaps)} (rms over widths and overlaps), at most by "
            f"{np.nanmax(abs(gaps), initial=0):.3f}."
        )
    return told


def rms(values: np.ndarray) -> str:
    """Root mean square of what is not NaN, in words."""
    import numpy as np

    known = values[np.isfinite(values)]
    return f"{np.sqrt(np.square(known).mean()):.3f}" if known.size else "unknown"


def fallen(done: xr.Dataset) -> xr.DataArray:
    """Amounts over those at rho = 1, summed over m: (of, width, seed, rho)."""
    import xarray as xr

    parts = {name: done.amount.sel(student=name, drop=True) for name in STUDENTS}
    parts["leading_amount"] = done.leading_amount
    each = [part.sum("m", skipna=False) for part in parts.values()]
    sums = xr.concat(each, xr.Variable("of", list(parts)))
    whole = sums.sel(rho=1)
    return sums / whole.where(whole > 0)


def plot(dataset: xr.Dataset) -> Figure:
    """Transfer by overlap for each width; amounts by m / width and by overlap; the discrepancy."""
    import numpy as np

    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    columns = max(3, done.sizes["width"])
    angle = np.degrees(np.arccos(done.rho.values))
    with plotting.style():
        fig, axes = plotting.panels(3.7 * columns, 6.8, [1] * columns, 2)
        for ax, width in zip(axes, done.width.values, strict=False):
            by_overlap(ax, angle, done.sel(width=width))
        axes[0].set(ylabel="transfer")
        axes[0].legend()
        below = axes[columns:]
        amounts(below[0], done)
        falls(below[1], angle, done)
        for i, name in enumerate(STUDENTS):
            gap = done.discrepancy.sel(student=name).mean("width").transpose("seed", "m").values
            plotting.means(below[2], done.m, gap, GREYS[i], name, hollow=i > 0, joined=True)
        below[2].axhline(0, color="#999999", lw=0.8)
        plotting.log_axis(below[2], "x")
        below[2].set(xlabel="auxiliary logits m", ylabel="law less simulated transfer")
        below[2].legend()
        for ax in [*axes[done.sizes["width"] : columns], *below[3:]]:
            ax.set_visible(False)
        fig.suptitle(
            f"lines: law of lazy students, nothing fitted; points: means of students with 95 % "
            f"intervals, filled trained, open linearised ({plotting.caption(dataset)})",
            fontsize=9,
        )
    return fig


GREYS = ("#000000", "#777777")


def by_overlap(ax: Axes, angle: Any, here: xr.Dataset) -> None:
    """Transfer at one width: a line and two kinds of points for every m."""
    from toymodels.study import plotting

    for i, m in enumerate(here.m.values):
        colour, one = plotting.PALETTE[1 + i % 7], here.sel(m=m)
        ax.plot(angle, one.law_transfer.mean("seed"), color=colour, lw=1.3, label=f"m = {m}")
        for j, name in enumerate(STUDENTS):
            seeds = one.transfer.sel(student=name).transpose("seed", "rho").values
            plotting.means(ax, angle + 2 * j - 1, seeds, colour, hollow=j > 0)
    plotting.overlap_axis(ax)
    ax.set(title=f"width {here.width.item()}", ylim=(-0.15, 1.05))


def amounts(ax: Axes, done: xr.Dataset) -> None:
    """What arrives of the teacher's change at rho = 1, against m / width: law and students."""
    from toymodels.study import plotting

    here = done.sel(rho=1)
    for i, width in enumerate(done.width.values):
        one, x = here.sel(width=width), done.m.values / width
        colour, marker = plotting.PALETTE[4 + i % 4], "sD^v"[i % 4]
        for j, name in enumerate(STUDENTS):
            seeds = one.amount.sel(student=name).transpose("seed", "m").values
            label = None if j else f"width {width}"
            plotting.means(ax, x, seeds, colour, label, marker, hollow=j > 0)
        lead = one.leading_amount.mean("seed").values
        ax.plot(x[lead < 1], lead[lead < 1], color=colour, lw=1, ls=":")
    ends = [float(done.m.min() / done.width.max()), 1.0]
    ax.plot(ends, ends, color="black", lw=1.3, label="law, m / width")
    ax.plot([], [], color="black", lw=1, ls=":", label="leading order, inputs as they are")
    plotting.log_axis(ax, "x")
    plotting.log_axis(ax, "y")
    ax.set(xlabel="m / width", ylabel="amount <dS, dT> / |dT|² at rho = 1")
    ax.set_ylim(bottom=ends[0] / 8)  # room for the legend
    ax.legend(fontsize=7, loc="lower right")


def falls(ax: Axes, angle: Any, done: xr.Dataset) -> None:
    """How the amount falls with the overlap, relative to rho = 1; mean over widths, sum over m."""
    from toymodels.study import plotting

    law = (done.law_amount / done.law_amount.sel(rho=1)).mean("seed").isel(m=0)
    for i, width in enumerate(done.width.values):
        ax.plot(angle, law.sel(width=width), color=plotting.PALETTE[4 + i % 4], lw=1.3)
    ax.plot([], [], color="black", lw=1.3, label="law, rho² h(rho), by width")
    colours = (*GREYS, plotting.PALETTE[1])
    share = fallen(done)
    for i, (name, colour) in enumerate(zip(share["of"].values, colours, strict=True)):
        seeds = share.sel(of=name).mean("width").transpose("seed", "rho").values
        label, marker = str(name).replace("_amount", " order"), "oox"[i]
        plotting.means(ax, angle + i - 1, seeds, colour, label, marker, hollow=i == 1)
    ax.axhline(0, color="#999999", lw=0.8)
    plotting.overlap_axis(ax)
    ax.set(ylabel="amount over that at rho = 1")
    ax.legend(fontsize=7)


if __name__ == "__main__":
    cli.main("theory_overlap", __doc__, PRESETS, run, plot)
