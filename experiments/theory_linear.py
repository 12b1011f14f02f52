"""Exactly solvable students: every closed form as a line, beside simulated students.

Linear students of one layer, which transfer exactly nothing, and of two; noisy answers in high
dimension, with thresholds where samples or auxiliary logits are as many as dimensions; and the
leakage of memorised labels through soft labels of other data (Behrens and Zdeborova, arXiv
2506.14457). The data are Gaussian, drawn from the seeds. No line has a fitted parameter; its
distance from the simulation is part of the result. See `toymodels.theory.laws`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import numpy as np

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Name = Literal["energies", "times", "readouts", "latents", "heads", "samples", "leaks"]
POINTS, CURVES = 12, 3
"""Numbers of points and of curves of every law."""
ALPHA, SHARE = np.linspace(0.1, 3.0, 40), np.linspace(0.05, 0.95, 40)
"""Axes of the map of leakage: labels per dimension, and the share that the student receives."""


@dataclass(frozen=True)
class Config(tm.SeedConfig):
    """The fields of this experiment."""

    seeds: tm.Count = 12
    """Number of seeds; each makes one student at every point of every curve."""
    size: Annotated[int, tm.Range(16, 512)] = 16
    """Scale of all dimensions, a multiple of 8: latent and inputs have 1 to 12 sizes."""
    laws: tuple[Name, ...] = get_args(Name)
    """Laws to compare with simulation: recovered energy against m, against time, faithfulness of the
    class logits, other initialisations, other heads, number of samples, leakage of memorised
    labels."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.size % 8:
            raise tm.UserError(f"size must be a multiple of 8; got {self.size}")


PRESETS = {"quick": Config(), "paper": Config(seeds=100, size=32)}


def sweep(config: Config, data_dir: Path | None) -> tm.Sweep:
    """A student at every point of every curve; the data are drawn from the seeds."""
    import jax.numpy as jnp
    from jax import random

    laws = {str(name): tm.laws.LAWS[name]() for name in config.laws}

    def build(law: str, curve: int) -> tm.Program:
        points, simulate = laws[law].points, [*laws[law].curves.values()][curve].simulate

        def student(data: tuple[()], key: jax.Array, x: jax.Array) -> dict[str, jax.Array]:
            return {"simulation": simulate(config.size, key, jnp.array(points)[x])}

        return tm.Program(lambda data, seed: (random.key(seed), {}), student)

    return tm.Sweep(
        build,
        points={"x": range(POINTS)},
        variables={"simulation": ((), "1", "a student: what the law has on its y axis")},
        task=tm.DrawnData("gaussian"),
        shapes={"law": config.laws, "curve": range(CURVES)},
        annotate=lambda runs: add_theory(runs, laws, config.size),
    )


def add_theory(runs: xr.Dataset, laws: dict[str, Any], size: int) -> xr.Dataset:
    """Add the closed forms at the points and along fine lines, and the map of leakage."""
    runs = runs.assign(tm.curves.tabulate(laws, size))
    if "leaks" not in laws:
        return runs
    diagram = tm.leakage.phase_diagram(ALPHA, SHARE, tm.laws.PENALTY)
    about = {"description": "closed form of accuracy on memorised labels never seen"}
    return runs.assign(
        alpha=("alpha", ALPHA, {"description": "labels per dimension"}),
        share=("share", SHARE, {"description": "share that the student receives"}),
        leakage=(("share", "alpha"), diagram, about),
    )


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add the discrepancy of simulation and theory."""
    gap = (runs.simulation - runs.theory).mean("x")
    about = {"units": "1", "description": "simulation less theory, mean over the points of a curve"}
    return runs.assign(discrepancy=gap.drop_attrs().assign_attrs(about))


def findings(runs: xr.Dataset) -> list[Any]:
    """How far each line is from its students, and what is zero to the bit."""
    sentences, rows, quantity = [], [], "Simulation less theory, mean over points"
    for (law, curve), label in np.ndenumerate(runs.label.values):
        part = tm.succeeded(runs).isel(law=law, curve=curve)
        name = f"{part.law.item()}, {label}"
        sentences.append(f"{name}: {compare_curve(part)}.")
        if (part.theory != 0).any():
            gap = tm.interval((part.simulation - part.theory).mean("x", skipna=False))
            rows.append(tm.judge(quantity, name, gap))
    return [*sentences, *rows]


def compare_curve(part: xr.Dataset) -> str:
    """The distance of theory and simulation along one curve, in words."""
    students = part.simulation.transpose("seed", "x").values
    if (part.theory == 0).all():
        finite = students[np.isfinite(students)]
        size = "exactly 0" if (finite == 0).all() else f"up to {abs(finite).max():.1e}"
        return f"theory says 0; all {finite.size} students have {size}"
    agreement = tm.measure_agreement(students, part.theory.values, part["at"].values)
    return f"theory and mean over {len(students)} seeds {agreement}"


def figure(runs: xr.Dataset) -> Figure:
    """A panel for each law: lines of theory, means of students with intervals; and the map."""
    size = json.loads(runs.attrs["config"])["size"]
    count = runs.sizes["law"] + ("leakage" in runs)
    columns = min(count, 4)
    rows = -(-count // columns)
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(3.6 * columns, 3.3 * rows, [1] * columns, rows)
        for ax, law in zip(axes, runs.law.values, strict=False):
            draw_law(ax, runs.sel(law=law), tm.laws.LAWS[law]())
        if "leakage" in runs:
            draw_leakage(axes[count - 1], runs)
        for ax in axes[count:]:
            ax.set_visible(False)
        fig.suptitle(
            f"lines: theory, nothing fitted; points: means of students with 95 % intervals "
            f"({tm.plotting.caption(runs)}, size {size})",
            fontsize=9,
        )
    return fig


def draw_law(ax: Axes, runs: xr.Dataset, law: tm.curves.Law) -> None:
    """The lines of one law, and its students."""
    runs = runs.assign_coords(curve=runs.label.values)
    colours = [tm.plotting.PALETTE[1 + 3 * i // 2] for i in range(runs.sizes["curve"])]
    line: dict[str, Any] = {"at": runs.line_at, "colours": colours, "lw": 1.2}
    tm.charts.predictions(ax, runs.line, "line", "curve", **line)
    tm.charts.means(ax, runs.simulation, "x", "curve", at=runs["at"], colours=colours, label=None)
    ax.set(xlabel=law.x, ylabel=law.y, title=law.title, xscale=law.scales[0], yscale=law.scales[1])
    if law.scales[0] == "log":
        tm.plotting.log_axis(ax, "x")
    if law.scales[1] == "log":
        tm.plotting.log_axis(ax, "y")
    ax.legend(fontsize=7)


def draw_leakage(ax: Axes, runs: xr.Dataset) -> None:
    """The phase diagram of leakage, theory alone."""
    alpha, share, capacity = runs.alpha.values, runs.share.values, tm.leakage.CAPACITY
    mesh = ax.pcolormesh(alpha, share, runs.leakage, shading="nearest", vmin=0.5, vmax=1)
    inside = alpha[1 / alpha < share[-1]]
    ax.plot(inside, 1 / inside, color="white", lw=1.5)
    ax.text(1.3, 0.88, "identified", color="black", fontsize=7)
    ax.axvline(capacity, color="white", lw=1, ls="--")
    ax.text(capacity - 0.1, 0.1, "capacity", color="white", fontsize=7, rotation=90)
    ax.set(xlabel="labels per dimension n / d", ylabel="share given to the student")
    ax.set_title("theory of leakage: phase diagram")
    assert ax.figure is not None
    ax.figure.colorbar(mesh, ax=ax, label="accuracy on labels never seen")


STUDY = tm.Study(
    "theory_linear", __doc__, PRESETS, sweep, analyse, findings, figure, headline=("discrepancy",)
)

if __name__ == "__main__":
    STUDY.main()
