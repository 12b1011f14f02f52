"""How long something that was learnt lasts while something else is learnt."""

import numpy as np

FLOOR = 1e-2
"""Shares below this count as this in between records: there is no logarithm of nothing."""


def half_life(steps: np.ndarray, left: np.ndarray) -> float:
    """Steps until half of what was there at the first record is left; inf where it never is.

    Between the two records around the first crossing the decay is taken as exponential.

    Args:
        steps: when ``left`` was recorded, rising, from 0 (n,).
        left: what is left, such as accuracy above the control's (n,).

    Returns:
        The steps; inf (censored) where more than half is left to the end; NaN where there was
        nothing to lose, or a value is not finite.

    >>> steps = np.array([0, 10, 20, 40])
    >>> round(half_life(steps, 0.8 * np.exp(-steps / 20)), 6), round(20 * np.log(2), 6)
    (13.862944, 13.862944)
    >>> half_life(steps, np.array([0.8, 0.7, 0.6, 0.5]))
    inf

    """
    if not np.isfinite(left).all() or left[0] <= 0:
        return np.nan
    share = np.maximum(left / left[0], FLOOR)
    below = np.flatnonzero(share <= 0.5)
    if not below.size:
        return np.inf
    i = below[0]
    fallen = np.log(share[i - 1 : i + 1])
    part = (np.log(0.5) - fallen[0]) / (fallen[1] - fallen[0])
    return float(steps[i - 1] + part * (steps[i] - steps[i - 1]))
