"""How far means over seeds are from what a theory predicts of them."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from toymodels.stats.statistics import mean_interval

ROUNDING = 1e-5
"""Means this close to a prediction agree with it, too: what does not vary has no wider interval."""


class Agreement(NamedTuple):
    """Means over seeds beside predictions, over all points whose mean is known."""

    points: int
    """Number of points with a mean."""
    rms: float
    """Root mean square of mean less prediction; NaN where there is no point."""
    largest: float
    """Largest absolute difference; NaN where there is no point."""
    worst: float | None
    """Where the largest difference is, on the axis of the points; None: not asked."""
    intervals: int
    """Number of points with a 95 % interval."""
    holding: int
    """Number of intervals that hold the prediction."""

    def __str__(self) -> str:
        """As the end of a sentence; "are unknown" where every student failed."""
        if not self.points:
            return "are unknown, since every student failed"
        place = "" if self.worst is None else f", at x = {self.worst:.3g}"
        held = f"; {self.holding} of {self.intervals} intervals hold the theory"
        return (
            f"differ by {self.rms:.4f} (rms over {self.points} points), at most by "
            f"{self.largest:.4f}{place}{held if self.intervals else ''}"
        )


def measure_agreement(
    seeds: ArrayLike, predicted: ArrayLike = 0.0, x: ArrayLike | None = None
) -> Agreement:
    """Compare means over seeds with predictions.

    Args:
        seeds: values (seeds, points); NaN stands for a point that failed.
        predicted: predictions (points,), or one of all points.
        x: the axis of the points (points,), to say where the largest difference is.

    >>> print("They", measure_agreement([[0.9, 2.0], [1.1, 2.01]], [1.0, 1.0]))
    They differ by 0.7106 (rms over 2 points), at most by 1.0050; 1 of 2 intervals hold the theory

    """
    rows = [mean_interval(column) for column in np.asarray(seeds).T]
    mean, low, high = (
        np.array([getattr(row, end) for row in rows], float)
        for end in ("mean", "ci_low", "ci_high")
    )
    gap, known, bounded = abs(mean - predicted), np.isfinite(mean), np.isfinite(low)
    if not known.any():
        return Agreement(0, np.nan, np.nan, None, 0, 0)
    inside = (low <= predicted) & (predicted <= high) | np.isclose(mean, predicted, atol=ROUNDING)
    worst = int(np.nanargmax(gap))
    return Agreement(
        points=int(known.sum()),
        rms=float(np.sqrt(np.square(gap[known]).mean())),
        largest=float(gap[worst]),
        worst=None if x is None else float(np.asarray(x)[worst]),
        intervals=int(bounded.sum()),
        holding=int((inside & bounded).sum()),
    )
