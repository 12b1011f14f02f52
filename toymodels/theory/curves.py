"""Closed forms as curves, each beside a simulation of such a student.

A `Law` is an axis with three curves. Each curve has a function that simulates a student at a point
of the axis, and another that predicts its expectation. ``size``, a multiple of 8, scales all
dimensions, so that all numbers of rows are whole. `toymodels.theory.laws` lists the laws.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import numpy as np


class Curve(NamedTuple):
    """A quantity of a student, by simulation and by theory."""

    simulate: Callable[[int, jax.Array, jax.Array], jax.Array]
    """``simulate(size, key, x) -> scalar``: one student at a point of the axis; x may be traced."""
    predict: Callable[[int, float], float]
    """``predict(size, x)``: the expectation."""


class Law(NamedTuple):
    """Three curves along one axis."""

    title: str
    x: str
    y: str
    points: tuple[float, ...]
    """Points of the axis: 12 for every law."""
    curves: Mapping[str, Curve]
    scales: tuple[str, str] = ("linear", "linear")
    """Scales of x and y."""


def tabulate(laws: Mapping[str, Law], size: int, line: int = 61) -> dict[str, tuple[Any, ...]]:
    """The closed forms at the points of several laws, and along finer lines; float64.

    Args:
        laws: laws by name.
        size: scale of all dimensions.
        line: number of points of each line.

    Returns:
        Variables of a dataset. ``at`` (law, x) and ``theory`` (law, curve, x): axis and closed form
        at the points; ``line_at`` (law, line) and ``line`` (law, curve, line): the same along the
        lines; ``label`` (law, curve): names of the curves.

    """

    def space_points(law: Law) -> np.ndarray:
        space = np.geomspace if law.scales[0] == "log" else np.linspace
        return space(law.points[0], law.points[-1], line)

    def evaluate(axes: np.ndarray) -> np.ndarray:
        return np.array(
            [
                [[curve.predict(size, float(x)) for x in axis] for curve in law.curves.values()]
                for law, axis in zip(laws.values(), axes, strict=True)
            ]
        )

    at = np.array([law.points for law in laws.values()])
    fine = np.array([space_points(law) for law in laws.values()])
    labels = [list(law.curves) for law in laws.values()]
    about = "closed form at the points", "closed form along the lines"
    return {
        "at": (("law", "x"), at, {"description": "the law's x axis"}),
        "theory": (("law", "curve", "x"), evaluate(at), {"description": about[0]}),
        "line_at": (("law", "line"), fine, {"description": "x axis of the lines"}),
        "line": (("law", "curve", "line"), evaluate(fine), {"description": about[1]}),
        "label": (("law", "curve"), labels, {"description": "names of the curves"}),
    }
