"""Exactly solvable students: every closed form as a line beside students made one by one.

Linear students of one layer, which transfer exactly nothing, and of two; noisy answers in high
dimension, with thresholds where samples or auxiliary logits are as many as dimensions; and the
leakage of memorised labels through soft labels of other data (Behrens and Zdeborova, arXiv
2506.14457). The data are Gaussian, drawn from the seeds. No line has a parameter that was fitted;
how far it lies from the simulation is part of the result. See `toymodels.theory.laws`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from toymodels.errors import UserError, at_least, distinct
from toymodels.study import cli
from toymodels.training.config import SeedConfig

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

Name = Literal["energies", "times", "readouts", "latents", "heads", "samples", "leaks"]
CURVES, LINE, MAP = 3, 61, 40
"""Curves of a law, points of a theory line, and of a side of the map of leakage."""


@dataclass(frozen=True)
class Config(SeedConfig):
    """What is computed; the defaults are the preset ``quick``."""

    seeds: int = 12
    """Number of seeds; each makes one student at every point of every curve."""
    size: int = 16
    """Scale of all dimensions: latent and inputs have 1 to 12 sizes. A multiple of 8."""
    laws: tuple[Name, ...] = get_args(Name)
    """Which: recovered energy against m, against time, faithfulness of the class logits, other
    inits, other heads, number of samples, leakage of memorised labels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 16, "size", most=512)
        distinct(self, "laws")
        if self.size % 8:
            raise UserError(f"size must be a multiple of 8; got {self.size}")


PRESETS = {"quick": Config(), "paper": Config(seeds=100, size=32)}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Make every student; ``data_dir`` is not used. See `toymodels.sweep` for ``options``."""
    import jax.numpy as jnp
    from jax import random

    from toymodels import sweep
    from toymodels.study import results
    from toymodels.theory.laws import LAWS

    laws = {str(name): LAWS[name]() for name in config.laws}

    def build(law: str, curve: int) -> sweep.Program:
        made = list(laws[law].curves.values())[curve].made

        def student(data: tuple[()], key: jax.Array, x: jax.Array) -> dict[str, jax.Array]:
            return {"simulation": made(config.size, key, jnp.array(laws[law].at)[x])}

        return sweep.Program(lambda data, seed: (random.key(seed), {}), student)

    dataset, execution = sweep.grid(
        build,
        shapes={"law": config.laws, "curve": range(CURVES)},
        shared={"seed": config.seed_list},
        points={"x": range(len(next(iter(laws.values())).at))},
        variables={"simulation": ((), "1", "a student: what the law has on its y axis")},
        precision=config.precision,
        options=options,
    )
    dataset = dataset.assign(said(laws, config.size))
    dataset = derived(dataset)
    task = results.Drawn("gaussian")
    return results.described(
        dataset, "theory_linear", "discrepancy", config, task, execution, findings
    )


def said(laws: dict[str, Any], size: int) -> dict[str, tuple[Any, ...]]:
    """What theory says at the points, along fine lines, and of leakage at every share; float64."""
    import numpy as np

    from toymodels.theory import leakage
    from toymodels.theory.laws import PENALTY

    def each(axes: list[Any]) -> np.ndarray:
        """(law, curve, point of its axis)."""
        return np.array(
            [
                [[curve.said(size, float(x)) for x in axis] for curve in law.curves.values()]
                for law, axis in zip(laws.values(), axes, strict=True)
            ]
        )

    at = [law.at for law in laws.values()]
    fine = [
        (np.geomspace if law.scales[0] == "log" else np.linspace)(law.at[0], law.at[-1], LINE)
        for law in laws.values()
    ]
    found: dict[str, tuple[Any, ...]] = {
        "at": (("law", "x"), np.array(at), {"description": "the law's x axis"}),
        "theory": (("law", "curve", "x"), each(at), {"description": "closed form at the points"}),
        "line_at": (("law", "line"), np.array(fine), {"description": "x axis of the lines"}),
        "line": (("law", "curve", "line"), each(fine), {"description": "closed form, finely"}),
        "label": (("law", "curve"), [list(law.curves) for law in laws.values()]),
    }
    if "leaks" in laws:
        alpha, share = np.linspace(0.1, 3.0, MAP), np.linspace(0.05, 0.95, MAP)
        teachers = [leakage.logistic(a, PENALTY) for a in alpha]
        known = [[leakage.student(teacher, s).held_out for teacher in teachers] for s in share]
        about = {"description": "closed form of accuracy on memorised labels never seen"}
        found["alpha"] = ("alpha", alpha, {"description": "labels per dimension"})
        found["share"] = ("share", share, {"description": "share that the student is given"})
        found["leakage"] = (("share", "alpha"), np.array(known), about)
    return found


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add the discrepancy of simulation and theory."""
    gap = (dataset.simulation - dataset.theory).mean("x")
    about = {"units": "1", "description": "simulation less theory, mean over the points of a curve"}
    return dataset.assign(discrepancy=gap.drop_attrs().assign_attrs(about))


def findings(dataset: xr.Dataset) -> list[str]:
    """How far each line is from its students, and what is zero to the bit."""
    import numpy as np

    from toymodels.stats import statistics
    from toymodels.study.plotting import means_and_ends

    told, done = [], statistics.succeeded(dataset)
    for law in dataset.law.values:
        here = done.sel(law=law)
        for curve in dataset.curve.values:
            made = here.simulation.sel(curve=curve).transpose("seed", "x").values
            theory = here.theory.sel(curve=curve).values
            name = f"{law}, {here.label.sel(curve=curve).item()}"
            if (theory == 0).all():
                alive = made[np.isfinite(made)]
                word = "exactly 0" if (alive == 0).all() else f"up to {abs(alive).max():.1e}"
                told.append(f"{name}: theory says 0; all {alive.size} students have {word}.")
                continue
            mean, low, high = means_and_ends(made)
            known = np.isfinite(mean)
            if not known.any():
                told.append(f"{name}: unknown, since every student failed.")
                continue
            off = np.where(known, abs(mean - theory), 0.0)
            # What needs no average (all of it, at m >= d) agrees up to float32.
            held = (low <= theory) & (theory <= high) | np.isclose(mean, theory, atol=1e-5)
            worst = int(np.argmax(off))
            told.append(
                f"{name}: theory and mean over {len(made)} seeds differ by "
                f"{np.sqrt(np.square(off[known]).mean()):.4f} (rms over {known.sum()} points), at "
                f"most by {off[worst]:.4f}, at x = {float(here['at'][worst]):.3g}; "
                f"{held[known].sum()} of {known.sum()} intervals hold the theory; mean discrepancy "
                f"{statistics.mean_interval((made - theory).mean(axis=1))}."
            )
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """A panel for each law: lines of theory, means of students with intervals; and the map."""
    from toymodels.study import plotting
    from toymodels.theory.laws import LAWS

    size = json.loads(dataset.attrs["config"])["size"]
    count = dataset.sizes["law"] + ("leakage" in dataset)
    columns = min(count, 4)
    rows = -(-count // columns)
    with plotting.style():
        fig, axes = plotting.panels(3.6 * columns, 3.3 * rows, [1] * columns, rows)
        for ax, law in zip(axes, dataset.law.values, strict=False):
            panel(ax, dataset.sel(law=law), LAWS[law]())
        if "leakage" in dataset:
            leakage_map(axes[count - 1], dataset)
        for ax in axes[count:]:
            ax.set_visible(False)
        fig.suptitle(
            f"lines: theory, nothing fitted; points: means of students with 95 % intervals "
            f"({plotting.caption(dataset)}, size {size})",
            fontsize=9,
        )
    return fig


def panel(ax: Axes, here: xr.Dataset, law: Any) -> None:
    """One law: its lines, and its students."""
    from toymodels.study import plotting

    for i in here.curve.values:
        colour, one = plotting.PALETTE[1 + 3 * i // 2], here.sel(curve=i)
        ax.plot(here.line_at, one.line, color=colour, lw=1.2, label=one.label.item())
        made = one.simulation.transpose("seed", "x").values
        mean, low, high = plotting.means_and_ends(made)
        ends = [mean - low, high - mean]
        ax.errorbar(here["at"], mean, ends, fmt="o", ms=3.5, elinewidth=1, color=colour)
    ax.set(xlabel=law.x, ylabel=law.y, title=law.title, xscale=law.scales[0], yscale=law.scales[1])
    if law.scales[0] == "log":
        plotting.log_axis(ax, "x")
    if law.scales[1] == "log":
        plotting.log_axis(ax, "y")
    ax.legend(fontsize=7)


def leakage_map(ax: Axes, dataset: xr.Dataset) -> None:
    """The phase diagram of leakage, theory alone."""
    from toymodels.theory.leakage import CAPACITY

    alpha, share = dataset.alpha.values, dataset.share.values
    mesh = ax.pcolormesh(alpha, share, dataset.leakage, shading="nearest", vmin=0.5, vmax=1)
    inside = alpha[1 / alpha < share[-1]]
    ax.plot(inside, 1 / inside, color="white", lw=1.5)
    ax.text(1.3, 0.88, "identified", color="black", fontsize=7)
    ax.axvline(CAPACITY, color="white", lw=1, ls="--")
    ax.text(CAPACITY - 0.1, 0.1, "capacity", color="white", fontsize=7, rotation=90)
    ax.set(xlabel="labels per dimension n / d", ylabel="share given to the student")
    ax.set_title("theory of leakage: phase diagram")
    assert ax.figure is not None
    ax.figure.colorbar(mesh, ax=ax, label="accuracy on labels never seen")


if __name__ == "__main__":
    cli.main("theory_linear", __doc__, PRESETS, run, plot)
