"""How long something that was learnt lasts while something else is learnt."""

import numpy as np
import xarray as xr

from toymodels.stats.statistics import succeeded

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
    >>> round(half_life(steps, 0.8 * np.exp(-steps / 20)), 6), round(20 * float(np.log(2)), 6)
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


def against_control(dataset: xr.Dataset) -> xr.Dataset:
    """Add what is kept of a trait, by ``trait``: every ``student`` but the one named "control".

    ``retained``: accuracy above the control's at the same step, over what it was at first (NaN
    where it was not above); ``kept``: its mean over the steps; ``kept_at_end``; ``half_life`` in
    steps, NaN where ``censored`` is 1: no mean over seeds should be taken of it, for it would be of
    the fast ones alone; ``median_half_life`` over seeds, see `median_half_life`.
    """
    accuracy = succeeded(dataset).accuracy.transpose(..., "step")
    control = accuracy.sel(student="control", drop=True)
    above = (accuracy.drop_sel(student="control") - control).rename(student="trait")
    first = above.isel(step=0)
    retained = above / first.where(first > 0)
    half = xr.apply_ufunc(
        lambda left: half_life(dataset.step.values, left),
        above,
        input_core_dims=[["step"]],
        vectorize=True,
    )
    never = np.isinf(half)
    about = {
        "retained": (retained, "1", "share kept of the accuracy above the control's"),
        "kept": (retained.mean("step"), "1", "share kept, mean over fine-tuning"),
        "kept_at_end": (retained.isel(step=-1, drop=True), "1", "share kept at the end"),
        "half_life": (half.where(~never), "steps", "until half is lost; NaN: censored"),
        "censored": (never.astype(float).where(~np.isnan(half)), "1", "whether half is never lost"),
        "median_half_life": (
            median_half_life(half),
            "steps",
            "until half is lost, median over seeds; NaN: after the end",
        ),
    }
    dataset = dataset.assign(
        {
            name: array.assign_attrs(units=units, description=description)
            for name, (array, units, description) in about.items()
        }
    )
    dataset.censored.attrs["trials"] = 1  # of a seed: its mean over seeds is a proportion
    return dataset


def median_half_life(half: xr.DataArray) -> xr.DataArray:
    """Median over the dimension ``seed`` of half-lives, inf where a seed never loses half.

    All seeds are watched for the same number of steps, so that this is Kaplan and Meier's median:
    whatever a censored half-life is, it lies beyond all others. NaN where the median itself does:
    half of the seeds, or more, never lose half. Seeds that had nothing to lose (NaN) are left out.

    >>> halves = [[10.0, np.inf], [20.0, np.inf], [np.inf, 30.0]]
    >>> median_half_life(xr.DataArray(halves, dims=("seed", "tuning"))).values
    array([20., nan])
    """
    middle = half.median("seed", skipna=True)
    return middle.where(np.isfinite(middle))
