"""Seeds: which points count, means with intervals, paired differences."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr


def succeeded(dataset: xr.Dataset) -> xr.Dataset:
    """The result with NaN, which no mean counts, for all values of points that failed.

    What belongs to several points (a teacher to its students) fails if all of them do.
    """

    def masked(array: xr.DataArray) -> xr.DataArray:
        if array.dtype.kind != "f" or not set(array.dims) & set(dataset.failed.dims):
            return array
        beside = [dim for dim in dataset.failed.dims if dim not in array.dims]
        return array.where(~dataset.failed.all(beside))

    return dataset.map(masked, keep_attrs=True)


def keep_finite(array: xr.DataArray) -> xr.DataArray:
    """The array in float64, with NaN, which no mean counts, for what is not finite.

    >>> keep_finite(xr.DataArray([1.0, np.inf], dims="seed")).values.tolist()
    [1.0, nan]
    """
    array = array.astype(np.float64)
    return array.where(np.isfinite(array))


def side_by_side(dim: str, arrays: Mapping[Any, xr.DataArray], description: str) -> xr.DataArray:
    """Arrays with the same dimensions under their names along a new one."""
    joined = xr.concat(
        [array.drop_vars(set(array.coords) - set(array.dims)) for array in arrays.values()],
        xr.Variable(dim, list(arrays)),
        combine_attrs="override",
    )
    joined.attrs["description"] = description
    return joined


class Interval(NamedTuple):
    """A mean over n seeds with its 95 % interval; None where n is too small to give one.

    Of a proportion (`proportion_interval`) n is the number of trials.
    """

    mean: float | None
    ci_low: float | None
    ci_high: float | None
    n: int

    def __str__(self) -> str:
        """As a sentence gives it.

        >>> print(mean_interval([0.5, 0.6, 0.7]))
        0.600 (0.352 to 0.848, n = 3)
        """
        if self.mean is None:
            return "unknown (n = 0)"
        if self.ci_low is None:
            return f"{self.mean:.3f} (n = 1)"
        return f"{self.mean:.3f} ({self.ci_low:.3f} to {self.ci_high:.3f}, n = {self.n})"

    @property
    def sign(self) -> int:
        """1 or -1 where the whole interval lies above or below zero, 0 where it holds zero."""
        return self.against(0.0)

    def against(self, value: float) -> int:
        """1 or -1 where the whole interval lies above or below a value, 0 where it holds it.

        0, too, where there is no interval.
        """
        if self.ci_low is None or self.ci_high is None:
            return 0
        return int(self.ci_low > value) - int(self.ci_high < value)

    def verdict(self, above: str, below: str, neither: str, value: float = 0.0) -> str:
        """The word for where it lies; "unknown" where there is no interval, and so no verdict.

        >>> mean_interval([0.5, 0.6, 0.7]).verdict("more", "less", "no difference shown")
        'more'
        >>> mean_interval([0.5]).verdict("more", "less", "no difference shown")
        'unknown'
        """
        if self.ci_low is None:
            return "unknown"
        return {1: above, -1: below, 0: neither}[self.against(value)]


def mean_interval(values: Sequence[float] | np.ndarray, level: float = 0.95) -> Interval:
    """Mean and Student-t interval, which keeps its level at every n where a bootstrap does not.

    NaN stands for a point that failed: it is left out, and not counted in n.

    >>> interval = mean_interval([1.0, 2.0, 3.0])
    >>> round(interval.ci_low, 4), interval.mean, round(interval.ci_high, 4), interval.n
    (-0.4841, 2.0, 4.4841, 3)
    """
    from scipy import stats  # half a second that only a finished result needs

    x = np.asarray(values, np.float64)
    x = x[~np.isnan(x)]
    if len(x) == 0:
        return Interval(None, None, None, 0)
    mean = float(x.mean())
    if len(x) == 1:
        return Interval(mean, None, None, 1)
    half = float(stats.t.ppf((1 + level) / 2, len(x) - 1) * x.std(ddof=1) / np.sqrt(len(x)))
    return Interval(mean, mean - half, mean + half, len(x))


def proportion_interval(
    shares: Sequence[float] | np.ndarray, trials: int, clustered: bool = False
) -> Interval:
    """Proportion of successes, with Wilson's interval, which stays within [0, 1].

    18 successes in 18 trials leave room for failures; the standard deviation of three seeds with 6
    of 6 each does not.

    Args:
        shares: share of successes of each seed (seeds,); NaN, a seed that failed, is left out. A
            share need not be a whole number of trials: a tie counts in part.
        trials: independent trials of a seed.
        clustered: whether the seeds are the sample, since their own rates may differ. Then the
            interval is that of as many trials as have the variance of the seeds' mean, fewer by the
            square of Student's t over the normal law (Korn and Graubard 1998), and of no more than
            there are.

    Returns:
        The interval; its n is the number of trials of all seeds, or of seeds if they are clustered.

    Raises:
        ValueError: a share is not one, such as a difference of shares.

    >>> print(proportion_interval([1.0, 1.0, 1.0], 6))
    1.000 (0.824 to 1.000, n = 18)

    """
    from scipy import stats

    x = np.asarray(shares, np.float64)
    x = x[~np.isnan(x)]
    if len(x) == 0:
        return Interval(None, None, None, 0)
    if x.min() < 0 or x.max() > 1:
        raise ValueError(f"shares must lie in [0, 1]; got {x.min():g} to {x.max():g}")
    mean, n, z = float(x.mean()), float(trials * len(x)), stats.norm.ppf(0.975)
    if clustered and len(x) == 1:
        return Interval(mean, None, None, 1)
    if clustered and (variance := x.var(ddof=1) / len(x)) > 0:
        wider = stats.t.ppf(0.975, len(x) - 1) / z
        n = min(n, mean * (1 - mean) / (variance * wider**2))
    centre = (mean + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(mean * (1 - mean) / n + z**2 / (4 * n**2))
    # At 0 and at 1 an end is the mean itself, but for its last bit.
    low, high = min(mean, max(0.0, float(centre - half))), max(mean, min(1.0, float(centre + half)))
    return Interval(mean, low, high, len(x) if clustered else int(n))


def proportion_difference(a: Interval, b: Interval) -> Interval:
    """Difference a - b of two proportions of different trials, with Newcombe's interval (1998).

    It joins Wilson's intervals of both, and so is no point where both are 1. Its n is the smaller
    number of trials.

    >>> print(proportion_difference(*(proportion_interval([1.0, 1.0], 9) for _ in range(2))))
    0.000 (-0.176 to 0.176, n = 18)
    """
    if a.mean is None or b.mean is None:
        return Interval(None, None, None, 0)
    (p, p_low, p_high), (q, q_low, q_high) = (np.array(x[:3], float) for x in (a, b))
    below, above = np.hypot(p - p_low, q_high - q), np.hypot(p_high - p, q - q_low)
    return Interval(float(p - q), float(p - q - below), float(p - q + above), min(a.n, b.n))


def interval(array: xr.DataArray) -> Interval:
    """The interval of an array (seed,): of a proportion where it says of how many trials.

    The independent trials of a seed are its attribute ``trials``, or its coordinate
    ``clustered_trials`` if the seeds are the sample (see `proportion_interval`).

    >>> hits = xr.DataArray([1.0, 1.0, 1.0], {"seed": [0, 1, 2]})
    >>> print(interval(hits), "|", interval(hits.assign_attrs(trials=6)))
    1.000 (1.000 to 1.000, n = 3) | 1.000 (0.824 to 1.000, n = 18)
    """
    seeds = array.transpose("seed").values
    if "trials" in array.attrs:
        return proportion_interval(seeds, int(array.attrs["trials"]))
    if "clustered_trials" in array.coords:
        return proportion_interval(seeds, int(array.clustered_trials), clustered=True)
    return mean_interval(seeds)


def difference(a: xr.DataArray, b: xr.DataArray) -> Interval:
    """Mean of a - b over seeds with its paired interval; both have the dimension ``seed`` alone.

    >>> seeds = {"seed": [1, 2, 3]}
    >>> a, b = (xr.DataArray(v, seeds) for v in ([0.5, 0.7, 0.9], [0.4, 0.5, 0.6]))
    >>> print(difference(a, b))
    0.200 (-0.048 to 0.448, n = 3)
    """
    return mean_interval((a - b).transpose("seed").values)


def unpaired_difference(
    a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray
) -> Interval:
    """Difference of the means of a and b, whose seeds are different ones, with Welch's interval.

    NaN is left out; the n is the smaller number of seeds. There is no interval where one of them has
    a single seed.

    >>> print(unpaired_difference([0.5, 0.7, 0.9], [0.4, 0.5, 0.6]))
    0.200 (-0.216 to 0.616, n = 3)
    """
    from scipy import stats

    x, y = (np.asarray(values, np.float64) for values in (a, b))
    x, y = x[~np.isnan(x)], y[~np.isnan(y)]
    n = min(len(x), len(y))
    if n == 0:
        return Interval(None, None, None, 0)
    mean = float(x.mean() - y.mean())
    if n == 1:
        return Interval(mean, None, None, 1)
    if not x.var() and not y.var():  # no variance, no degrees of freedom
        return Interval(mean, mean, mean, n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # seeds that are equal but for last bits
        low, high = stats.ttest_ind(x, y, equal_var=False).confidence_interval(0.95)
    return Interval(mean, float(low), float(high), n)


def contrast(array: xr.DataArray, **labels: tuple[Any, Any]) -> xr.DataArray:
    """An array at one label of a dimension less the array at another one: the other dimensions.

    >>> array = xr.DataArray([[3.0, 1.0]], {"seed": [0], "loss": ["mse", "kl"]})
    >>> contrast(array, loss=("mse", "kl")).values.tolist()
    [2.0]
    """
    ((dim, pair),) = labels.items()
    first, second = (array.sel({dim: label}, drop=True) for label in pair)
    return first - second


def ratio(a: xr.DataArray, b: xr.DataArray) -> Interval:
    """Ratio of the means of a and b over seeds with its paired interval, to first order.

    Both have the dimension ``seed`` alone; a seed that failed in one of them is left out. Where the
    mean of b is not far from zero the interval means nothing: ask for its sign first.

    >>> seeds = {"seed": [1, 2, 3]}
    >>> a, b = (xr.DataArray(v, seeds) for v in ([0.2, 0.3, 0.4], [0.4, 0.6, 1.0]))
    >>> print(ratio(a, b))
    0.450 (0.288 to 0.612, n = 3)
    """
    known = a.notnull() & b.notnull()
    a, b = a.where(known, drop=True), b.where(known, drop=True)
    if not a.size:
        return mean_interval([])
    share = float(a.mean() / b.mean())
    # Residuals of the line through zero have mean 0: the ratio itself is the mean.
    return mean_interval((share + (a - share * b) / b.mean()).transpose("seed").values)
