"""One house style for every figure, and the few shapes that experiments share.

Figures are made without pyplot: no global state, half a second less to import.
"""

import io
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

import matplotlib as mpl
import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter
from numpy.typing import ArrayLike

from toymodels.stats.statistics import mean_interval, proportion_interval
from toymodels.study.looks import CHOSEN, arrange
from toymodels.study.looks import restyle as restyle

COLOURS = {
    "reference": "#999999",
    "teacher": "#000000",
    "student_aux": "#0072B2",
    "student_all": "#56B4E9",
    "cross_aux": "#D55E00",
    "cross_all": "#E69F00",
}
"""One colour for a model everywhere (Okabe and Ito's set, safe for the colour-blind)."""
PALETTE = ("#000000", "#0072B2", "#56B4E9", "#009E73", "#D55E00", "#E69F00", "#CC79A7", "#999999")
"""Colours of whatever is no model, in turn."""

LABELS = {
    "reference": "reference",
    "teacher": "teacher",
    "student_aux": "student\n(aux only)",
    "student_all": "student\n(all logits)",
    "cross_aux": "cross-model\n(aux only)",
    "cross_all": "cross-model\n(all logits)",
}

STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 9,
    "axes.titlelocation": "left",
    "legend.frameon": False,
    "legend.fontsize": 8,
    "savefig.dpi": 200,
    "pdf.fonttype": 42,
    # The same figure must give the same bytes.
    "svg.hashsalt": "toymodels",
}


class _Shown(Figure):
    """A figure that a notebook shows when it is the last thing in a cell."""

    def _repr_png_(self) -> bytes:
        return render(self, ("png",))["figure.png"]


def style() -> AbstractContextManager[None]:
    """The house style, or what a user wants in its place, for the length of a ``with``."""
    return mpl.rc_context(STYLE | dict(CHOSEN.get().parameters))


def panels(
    width: float, height: float, columns: Sequence[float], rows: int = 1
) -> tuple[Figure, list[Axes]]:
    """A row of panels, or several; sizes in inches, ``columns`` their relative widths."""
    n = rows * len(columns)
    size, columns, rows = arrange(width, height, columns, rows)
    fig = _Shown(figsize=size, layout="constrained")
    axes = fig.subplots(rows, len(columns), width_ratios=list(columns), squeeze=False)
    for ax in axes.flat[n:]:
        ax.remove()
    return fig, list(axes.flat[:n])


def caption(dataset: xr.Dataset) -> str:
    """Data set, number of auxiliary logits if it is one, of seeds: what every figure has to say."""
    name = json.loads(dataset.attrs["dataset"])["name"]
    m = np.atleast_1d(json.loads(dataset.attrs["config"]).get("m", []))
    n = dataset.sizes["seed"]
    parts = [name, *([f"m = {m[0]}"] if len(m) == 1 else []), f"n = {n} seed{'s' if n > 1 else ''}"]
    return ", ".join(parts)


def published(dataset: xr.Dataset) -> dict[str, float]:
    """The paper's own values by metric, where the result was made by its protocol; else empty."""
    if "published" not in dataset:
        return {}
    row = dataset.published.isel(source=0)
    return {str(name): float(row.sel(model=name)) for name in row.model.values}


def bars(
    ax: Axes, values: Mapping[str, np.ndarray], published: Mapping[str, float] | None = None
) -> None:
    """A bar with its 95 % interval for each model, a point for each seed, diamonds as published."""
    jitter = np.random.default_rng(0)  # sideways only, to keep points apart
    for i, (name, seeds) in enumerate(values.items()):
        mean, low, high, _ = mean_interval(seeds)
        beside = i + jitter.uniform(-0.32, -0.08, len(seeds))
        if mean is None:
            continue
        ax.bar(i, mean, width=0.7, color=COLOURS[name], alpha=0.55, linewidth=0)
        ax.plot(beside, seeds, ".", ms=3, mew=0, color=COLOURS[name], alpha=0.8, zorder=2)
        if low is not None and high is not None:
            error = [[mean - low], [high - mean]]
            ax.errorbar(i, mean, error, color="black", capsize=3, lw=1.2, zorder=3)
    if published:
        at = [i + 0.22 for i, name in enumerate(values) if name in published]
        known = [published[name] for name in values if name in published]
        reported(ax, at, known)
        ax.legend(loc="upper right")
    ax.set_xticks(range(len(values)), [LABELS[name] for name in values], fontsize=6.5)


def means_and_ends(
    seeds: np.ndarray, trials: Sequence[int] | None = None, clustered: bool = False
) -> tuple[np.ndarray, ...]:
    """Means of (seeds, x) over seeds and the ends of their 95 % intervals, each (x,).

    NaN, which is not drawn, where there is no seed, or only one. With ``trials`` (x,) of a seed the
    values are shares of so many, and their intervals those of proportions (see
    `toymodels.stats.statistics.proportion_interval`).
    """
    if trials is None:
        rows = [mean_interval(column) for column in seeds.T]
    else:
        pairs = zip(seeds.T, trials, strict=True)
        rows = [proportion_interval(column, n, clustered) for column, n in pairs]
    ends = ("mean", "ci_low", "ci_high")
    return tuple(np.array([getattr(row, end) for row in rows], float) for end in ends)


def band(ax: Axes, x: ArrayLike, seeds: np.ndarray, fmt: str, *, colour: str, **look: Any) -> None:
    """A line through the means of (seeds, x), with the 95 % interval as a band of its colour."""
    mean, low, high = means_and_ends(seeds)
    ax.plot(x, mean, fmt, color=colour, **look)
    ax.fill_between(x, low, high, color=colour, alpha=0.15, linewidth=0)


def curves(ax: Axes, x: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
    """Mean over seeds of curves (seeds, x) with the 95 % interval as a band, one for each name."""
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    for i, (name, seeds) in enumerate(values.items()):
        label = LABELS.get(name, name).replace("\n", " ")
        colour = COLOURS.get(name, PALETTE[i % len(PALETTE)])
        # Lines that coincide are both seen: every other one is dashed, but for the models' own.
        dashed = (i + i // len(PALETTE)) % 2 and name not in COLOURS
        band(ax, x, seeds, "--" if dashed else "-", colour=colour, label=label, lw=1.6)


def means(
    ax: Axes,
    x: ArrayLike,
    seeds: np.ndarray,
    colour: str,
    label: str | None = None,
    marker: str = "o",
    hollow: bool = False,
    joined: bool = False,
    trials: Sequence[int] | None = None,
    clustered: bool = False,
) -> None:
    """Means of (seeds, x) with their 95 % intervals at x, as points of one colour."""
    mean, low, high = means_and_ends(seeds, trials, clustered)
    ax.errorbar(
        np.asarray(x),
        mean,
        [mean - low, high - mean],
        fmt=marker + "-" * joined,
        ms=4,
        lw=1,
        elinewidth=1,
        color=colour,
        mfc="white" if hollow else colour,
        label=label,
    )


def points(ax: Axes, x: ArrayLike, y: ArrayLike, i: int, label: str) -> None:
    """The i-th of several sets of points, each with a colour and a marker of its own."""
    marker = "osD^vPX*<>"[i % 10]
    ax.plot(
        x, y, ls="", marker=marker, ms=5, alpha=0.8, color=PALETTE[i % len(PALETTE)], label=label
    )


OVERLAPS = (1.0, 0.98, 0.9, 0.8, 0.65, 0.5, 0.25, 0.0)


def overlap_axis(ax: Axes, along: Literal["x", "y"] = "x") -> None:
    """An axis of angles in degrees, labelled by the overlap that they are the arccos of."""
    degrees = np.degrees(np.arccos(OVERLAPS))
    ax.set(
        **{
            f"{along}ticks": degrees,
            f"{along}ticklabels": [f"{rho:g}" for rho in OVERLAPS],
            f"{along}label": "initialisation overlap rho (spaced by angle)",
        }
    )


def intervals(
    ax: Axes,
    x: ArrayLike,
    values: Mapping[str, np.ndarray],
    xlabel: str,
    ylabel: str,
    joined: bool = True,
    trials: int | None = None,
) -> None:
    """Means of (seeds, x) with their 95 % intervals, one colour a name; x is evenly spaced.

    Joined by lines, unless x are mere names. With ``trials``, they are shares of so many a seed.
    """
    names = [str(value) for value in np.asarray(x)]
    for i, (name, seeds) in enumerate(values.items()):
        beside = np.arange(len(names)) + 0.12 * (i - (len(values) - 1) / 2)
        each = None if trials is None else [trials] * len(names)
        means(ax, beside, seeds, PALETTE[i % len(PALETTE)], name, joined=joined, trials=each)
    ax.set_xticks(range(len(names)), names)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    if any(values):
        ax.legend()


def slanted(ax: Axes, degrees: float) -> None:
    """Long names below an axis, turned, each ending at its tick."""
    for name in ax.get_xticklabels():
        name.set(rotation=degrees, ha="right", rotation_mode="anchor")


def log_axis(ax: Axes, along: Literal["x", "y"]) -> None:
    """A logarithmic axis with plain numbers at 1, 2 and 5."""
    ax.set(**{f"{along}scale": "log"})
    axis = ax.xaxis if along == "x" else ax.yaxis
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def legend_beside(ax: Axes) -> None:
    """The legend to the right of a panel, where it hides nothing."""
    ax.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))


def reported(ax: Axes, x: ArrayLike, y: ArrayLike, label: str = "published") -> None:
    """Published points: open diamonds, the same in every figure."""
    ax.scatter(x, y, 26, marker="D", fc="white", ec="#CC79A7", lw=1.3, zorder=4, label=label)


def heat(
    ax: Axes, x: ArrayLike, angle: np.ndarray, values: ArrayLike, xlabel: str, label: str
) -> None:
    """A map of values (angle, x), the angle between initialisations upwards; x is evenly spaced."""
    order = np.argsort(angle)
    names = [str(value) for value in np.asarray(x)]
    columns = np.arange(len(names))
    mesh = ax.pcolormesh(
        columns, angle[order], np.asarray(values)[order], shading="nearest", cmap="viridis", vmin=0
    )
    ax.set_xticks(columns, names)
    overlap_axis(ax, "y")
    ax.set(xlabel=xlabel)
    assert ax.figure is not None
    ax.figure.colorbar(mesh, ax=ax, label=label)


KINDS = ("png", "pdf")
"""Formats in which every figure is kept."""


def render(fig: Figure, kinds: Sequence[str] = KINDS) -> dict[str, bytes]:
    """The figure as {"figure.png": ..., "figure.pdf": ...}; the same figure, the same bytes.

    A logarithmic axis with nothing above zero on it, since all points failed, becomes linear.
    """
    for ax in fig.axes:
        for along in "xy":
            logarithmic = getattr(ax, f"get_{along}scale")() == "log"
            if logarithmic and min(getattr(ax, f"get_{along}lim")()) <= 0:
                ax.set(**{f"{along}scale": "linear"})
    files = {}
    for kind in kinds:
        buffer = io.BytesIO()
        with style():
            undated = {"CreationDate": None} if kind == "pdf" else {}
            fig.savefig(buffer, format=kind, metadata=undated)
        files[f"figure.{kind}"] = buffer.getvalue()
    return files
