"""Seeds: which points count, means with intervals, paired differences."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

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


def side_by_side(dim: str, arrays: Mapping[str, xr.DataArray], description: str) -> xr.DataArray:
    """Arrays with the same dimensions under their names along a new one."""
    joined = xr.concat(
        [array.drop_vars(set(array.coords) - set(array.dims)) for array in arrays.values()],
        xr.Variable(dim, list(arrays)),
        combine_attrs="override",
    )
    joined.attrs["description"] = description
    return joined


class Interval(NamedTuple):
    """A mean over n seeds with its 95 % interval; None where n is too small to give one."""

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
        if self.ci_low is None or self.ci_high is None:
            return 0
        return int(self.ci_low > 0) - int(self.ci_high < 0)


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


def difference(a: xr.DataArray, b: xr.DataArray) -> Interval:
    """Mean of a - b over seeds with its paired interval; both have the dimension ``seed`` alone.

    >>> seeds = {"seed": [1, 2, 3]}
    >>> a, b = (xr.DataArray(v, seeds) for v in ([0.5, 0.7, 0.9], [0.4, 0.5, 0.6]))
    >>> print(difference(a, b))
    0.200 (-0.048 to 0.448, n = 3)
    """
    return mean_interval((a - b).transpose("seed").values)
