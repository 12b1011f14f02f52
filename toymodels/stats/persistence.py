"""How long a trait persists while a network is trained on something else."""

import numpy as np
import xarray as xr

from toymodels.stats.statistics import succeeded

FLOOR = 1e-2
"""Smallest fraction that is interpolated: there is no logarithm of zero."""


def half_life(steps: np.ndarray, values: np.ndarray) -> float:
    """Number of steps until half of the initial value remains; inf if more than half remains.

    The decay is taken as exponential between the two records around the first crossing.

    Args:
        steps: steps of the records, rising from 0 (n,).
        values: recorded values, such as accuracy above the control's (n,).

    Returns:
        The number of steps; inf (censored) where more than half remains to the end; NaN where the
        initial value is not positive, or a value is not finite.

    >>> steps = np.array([0, 10, 20, 40])
    >>> round(half_life(steps, 0.8 * np.exp(-steps / 20)), 6), round(20 * float(np.log(2)), 6)
    (13.862944, 13.862944)
    >>> half_life(steps, np.array([0.8, 0.7, 0.6, 0.5]))
    inf

    """
    if not np.isfinite(values).all() or values[0] <= 0:
        return np.nan
    fraction = np.maximum(values / values[0], FLOOR)
    below = np.flatnonzero(fraction <= 0.5)
    if not below.size:
        return np.inf
    i = below[0]
    start, end = np.log(fraction[i - 1 : i + 1])
    position = (np.log(0.5) - start) / (end - start)
    return float(steps[i - 1] + position * (steps[i] - steps[i - 1]))


def measure_persistence(dataset: xr.Dataset) -> xr.Dataset:
    """Add the retained fraction of every trait: of each ``student`` except "control".

    ``retained`` is the accuracy above the control's at the same step, divided by its initial value
    (NaN where that is not positive); ``kept`` its mean over the steps; ``kept_at_end`` its last
    value. ``half_life`` is in steps, and NaN where ``censored`` is 1: its mean over seeds must not
    be taken, since it would be the mean of the short half-lives alone. `median_half_life` gives
    ``median_half_life`` over seeds.
    """
    accuracy = succeeded(dataset).accuracy.transpose(..., "step")
    control = accuracy.sel(student="control", drop=True)
    above = (accuracy.drop_sel(student="control") - control).rename(student="trait")
    initial = above.isel(step=0)
    retained = above / initial.where(initial > 0)
    half = xr.apply_ufunc(
        lambda values: half_life(dataset.step.values, values),
        above,
        input_core_dims=[["step"]],
        vectorize=True,
    )
    censored = np.isinf(half)
    variables = {
        "retained": (retained, "1", "retained fraction of the accuracy above the control's"),
        "kept": (retained.mean("step"), "1", "retained fraction, mean over fine-tuning"),
        "kept_at_end": (retained.isel(step=-1, drop=True), "1", "retained fraction at the end"),
        "half_life": (half.where(~censored), "steps", "steps until half is lost; NaN: censored"),
        "censored": (
            censored.astype(float).where(~np.isnan(half)),
            "1",
            "whether more than half remains to the end",
        ),
        "median_half_life": (
            median_half_life(half),
            "steps",
            "steps until half is lost, median over seeds; NaN: after the end",
        ),
    }
    dataset = dataset.assign(
        {
            name: array.assign_attrs(units=units, description=description)
            for name, (array, units, description) in variables.items()
        }
    )
    dataset.censored.attrs["trials"] = 1  # of a seed: its mean over seeds is a proportion
    return dataset


def median_half_life(half: xr.DataArray) -> xr.DataArray:
    """Median over the dimension ``seed`` of half-lives, in which inf marks a censored seed.

    All seeds are observed for the same number of steps, so this is the Kaplan-Meier median: a
    censored half-life, whatever its value, exceeds all others. The median is NaN where it is itself
    censored: half of the seeds, or more, retain more than half. Seeds without a half-life (NaN) are
    left out.

    >>> halves = [[10.0, np.inf], [20.0, np.inf], [np.inf, 30.0]]
    >>> median_half_life(xr.DataArray(halves, dims=("seed", "tuning"))).values
    array([20., nan])
    """
    median = half.median("seed", skipna=True)
    return median.where(np.isfinite(median))


def describe_half_lives(dataset: xr.Dataset) -> str:
    """Median half-life of each trait over seeds, and how many seeds are censored, in words.

    Args:
        dataset: a result of `measure_persistence` at one point of all axes but ``seed`` and ``trait``.

    """
    parts = []
    for trait in map(str, dataset.trait.values):
        part = dataset.sel(trait=trait)
        censored, n = int((part.censored == 1).sum()), int(part.censored.notnull().sum())
        median = float(part.median_half_life)
        steps = f"{median:.0f}" if np.isfinite(median) else f"more than {part.step.values[-1]}"
        half_life = f"{steps} steps" if n else "unknown"
        parts.append(f"{trait} {half_life} ({censored} of {n} seeds never lose half)")
    return "; ".join(parts)
