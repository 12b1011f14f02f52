"""Panels drawn from labelled arrays: what has the dimension ``seed`` is drawn as a mean with its interval."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import xarray as xr
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from toymodels.study import plotting


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


def means(
    ax: Axes,
    array: xr.DataArray,
    x: str,
    colour: str,
    *,
    at: ArrayLike | None = None,
    **look: Any,
) -> None:
    """Means over seeds with 95 % intervals, as points of one colour along a dimension.

    Args:
        ax: the panel.
        array: values (seed, x). With the coordinate ``clustered_trials`` they are shares of so many
            trials, with the intervals of proportions.
        x: the dimension along the horizontal axis.
        colour: colour of the points.
        at: their places (x,) (None: the values of ``x``).
        look: options of `toymodels.study.plotting.means`.

    """
    if "clustered_trials" in array.coords:
        look |= {"trials": array.clustered_trials.values, "clustered": True}
    places = array[x].values if at is None else at
    plotting.means(ax, places, array.transpose("seed", x).values, colour, **look)


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
