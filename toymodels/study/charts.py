"""Panels drawn from labelled arrays: what has the dimension ``seed`` is drawn as a mean with its interval."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from toymodels.study import plotting
from toymodels.training.config import CLOUD, follows


def select_lines(
    array: xr.DataArray, x: str, hue: str | Sequence[str] = (), label: str = ""
) -> dict[str, np.ndarray]:
    """The lines (seeds, x) of an array by name, one for every combination of the dimensions ``hue``.

    Args:
        array: values with the dimensions ``seed``, ``x`` and those in ``hue``.
        x: the dimension along the horizontal axis.
        hue: dimensions that tell lines apart.
        label: format of a line's name, with its labels by name ("m = {m}, {loss}"); empty: the
            labels, separated by commas.

    >>> array = xr.DataArray(np.zeros((1, 2, 3)), dims=("seed", "m", "epoch"), coords={"m": [1, 3]})
    >>> list(select_lines(array, "epoch", "m", "m = {m}"))
    ['m = 1', 'm = 3']

    """
    names = (hue,) if isinstance(hue, str) else tuple(hue)
    lines = {}
    for values in itertools.product(*(array[name].values for name in names)):
        place = dict(zip(names, values, strict=True))
        plain = {
            name: value.item() if hasattr(value, "item") else value for name, value in place.items()
        }
        name = label.format(**plain) if label else ", ".join(map(str, plain.values()))
        lines[name] = array.sel(place).transpose("seed", x).values
    return lines


def lines(
    ax: Axes,
    array: xr.DataArray,
    x: str,
    hue: str | Sequence[str] = (),
    *,
    label: str = "",
    also: Mapping[str, np.ndarray] | None = None,
    **properties: Any,
) -> None:
    """Means over seeds against a numeric dimension, with 95 % bands.

    ``also`` are more lines (seeds, x) by name, ``properties`` those of the axes (``ylabel``,
    ``ylim``); the other arguments are those of `select_lines`.
    """
    plotting.curves(ax, array[x].values, select_lines(array, x, hue, label) | dict(also or {}))
    ax.set(**properties)


def dots(
    ax: Axes,
    array: xr.DataArray,
    x: str,
    hue: str | Sequence[str] = (),
    *,
    label: str = "",
    xlabel: str = "",
    ylabel: str = "",
    also: Mapping[str, np.ndarray] | None = None,
    **look: Any,
) -> None:
    """Means over seeds with 95 % intervals at evenly spaced labels of a dimension.

    ``also`` are more sets of points (seeds, x) by name, ``look`` the options of
    `toymodels.study.plotting.intervals`; the other arguments are those of `select_lines`.
    """
    values = select_lines(array, x, hue, label) | dict(also or {})
    plotting.intervals(ax, array[x].values, values, xlabel, ylabel, **look)


def labelled_lines(ax: Axes, labels: Sequence[Any], values: Mapping[str, np.ndarray]) -> None:
    """Means of lines (seeds, labels) by name, with 95 % bands, at evenly spaced labels."""
    places = np.arange(len(labels))
    plotting.curves(ax, places, values)
    ax.set_xticks(places, [str(label) for label in labels])


def means(
    ax: Axes,
    array: xr.DataArray,
    x: str,
    hue: str | Sequence[str] = (),
    *,
    label: str | None = "",
    at: ArrayLike | None = None,
    colours: Sequence[str] = plotting.PALETTE[1:],
    markers: str = "o",
    hollow: bool | Sequence[bool] = False,
    **look: Any,
) -> None:
    """Means over seeds with 95 % intervals, as points of one colour for every line.

    Args:
        ax: the panel.
        array: values with the dimensions ``seed``, ``x`` and those in ``hue``. With the coordinate
            ``clustered_trials`` they are shares of so many trials, with the intervals of proportions.
        x: the dimension along the horizontal axis.
        hue: dimensions that tell lines apart.
        label: format of a line's name in the legend, as in `select_lines`; None: no name.
        at: where the points stand, (x,) or (lines, x); None: at the labels of the dimension.
        colours: of the lines, in turn.
        markers: of the lines, in turn.
        hollow: whether the points are open, of all lines or of each.
        look: other options of `toymodels.study.plotting.means`.

    """
    if "clustered_trials" in array.coords:
        look |= {"trials": array.clustered_trials.values, "clustered": True}
    placed = place_lines(array, x, hue, label, at)
    is_open = np.broadcast_to(hollow, len(placed))
    for i, (name, places, seeds) in enumerate(placed):
        colour, marker = colours[i % len(colours)], markers[i % len(markers)]
        plotting.means(ax, places, seeds, colour, name, marker, bool(is_open[i]), **look)


def predictions(
    ax: Axes,
    array: xr.DataArray,
    x: str,
    hue: str | Sequence[str] = (),
    *,
    label: str | None = "",
    at: ArrayLike | None = None,
    colours: Sequence[str] = plotting.PALETTE[1:],
    **look: Any,
) -> None:
    """What a theory predicts, as lines; beside them `means` draws the students in the same colours.

    ``array`` has the dimensions ``x`` and those in ``hue``, and no seeds; ``look`` are options of
    Matplotlib's ``plot``, the other arguments those of `means`.
    """
    placed = place_lines(array.expand_dims("seed"), x, hue, label, at)
    for i, (name, places, (line,)) in enumerate(placed):
        ax.plot(places, line, color=colours[i % len(colours)], label=name, **look)


def place_lines(
    array: xr.DataArray,
    x: str,
    hue: str | Sequence[str],
    label: str | None,
    at: ArrayLike | None,
) -> list[tuple[str | None, np.ndarray, np.ndarray]]:
    """Name (None: none), places (x,) and values (seeds, x) of every line; arguments as of `means`."""
    lines = select_lines(array, x, hue, label or "")
    places = np.broadcast_to(array[x].values if at is None else at, (len(lines), array.sizes[x]))
    names = lines if label is not None else [None] * len(lines)
    return list(zip(names, places, lines.values(), strict=True))


def band(
    ax: Axes, array: xr.DataArray, x: str, fmt: str, colour: str, label: str, **look: Any
) -> None:
    """A line through the means over seeds, with the 95 % interval as a band of its colour.

    Args:
        ax: the panel.
        array: values with the dimensions ``seed`` and ``x`` alone.
        x: the dimension along the horizontal axis.
        fmt: Matplotlib's format of the line.
        colour: of the line.
        label: in the legend.
        look: options of Matplotlib's ``plot``.

    """
    seeds = array.transpose("seed", x).values
    plotting.band(ax, array[x].values, seeds, fmt, colour=colour, label=label, **look)


def published(
    ax: Axes,
    runs: xr.Dataset,
    labels: Sequence[Any],
    known: Mapping[Any, float],
    *,
    label: str = "published",
    protocol: Mapping[str, Any] = CLOUD,
) -> None:
    """Published values at evenly spaced labels of an axis, where the result follows their protocol.

    Args:
        ax: a panel that `dots` has drawn.
        runs: the result, with its config.
        labels: the labels along the axis (x,).
        known: published values by label; a label that is not on the axis is left out.
        label: in the legend.
        protocol: the fields of a config by which the values were obtained.

    """
    if "parts" not in runs.attrs and follows(json.loads(runs.attrs["config"]), protocol):
        at = {i: known[name] for i, name in enumerate(labels) if name in known}
        plotting.reported(ax, list(at), list(at.values()), label)


def side_by_side(
    ax: Axes, arrays: Mapping[str, xr.DataArray], *, ylabel: str = "", degrees: float = 40
) -> None:
    """Means over seeds with 95 % intervals at evenly spaced names, and a grey point for each seed.

    Args:
        ax: the panel.
        arrays: values (seed,) by name, from left to right.
        ylabel: what the values are.
        degrees: slope of the names.

    """
    seeds = np.stack([array.transpose("seed").values for array in arrays.values()], axis=1)
    plotting.intervals(ax, [*arrays], {"": seeds}, "", ylabel, joined=False)
    for i, column in enumerate(seeds.T):
        ax.plot([i + 0.15] * len(column), column, ".", ms=3, color="#999999", zorder=0)
    plotting.slanted(ax, degrees)
