"""Curves on a logarithmic axis: where one first reaches a level, and its height between its points."""

import numpy as np
import xarray as xr


def first_crossing(x: np.ndarray, y: np.ndarray, level: float) -> float:
    """The least x at which y reaches a level, interpolated linearly in the logarithm of x.

    Args:
        x: positive numbers, rising (n,).
        y: a curve at each of them (n,).
        level: the level to be reached.

    Returns:
        A number between the first and the last x; inf where the level is never reached; 0 where the
        first y is at the level already, so that less than the first x would do; NaN where the level
        or a value of the curve is not finite.

    >>> x, y = np.array([1.0, 10.0, 1000.0]), np.array([0.0, 0.2, 0.6])
    >>> round(first_crossing(x, y, 0.4), 6)
    100.0
    >>> first_crossing(x, y, 0.7), first_crossing(x, y, 0.0)
    (inf, 0.0)

    """
    if not np.isfinite([*y, level]).all():
        return np.nan
    reached = np.flatnonzero(y >= level)
    if not reached.size:
        return np.inf
    i = reached[0]
    if i == 0:
        return 0.0
    share = (level - y[i - 1]) / (y[i] - y[i - 1])
    return float(x[i - 1] * (x[i] / x[i - 1]) ** share)


def first_crossings(
    x: xr.DataArray, y: xr.DataArray, level: xr.DataArray, dim: str
) -> xr.DataArray:
    """`first_crossing` along a dimension that x and y have, for all else that y and level have.

    >>> n = {"n": [1, 10]}
    >>> x, y = xr.DataArray([1.0, 10.0], n), xr.DataArray([[0.0, 1.0]], {"seed": [0], **n})
    >>> first_crossings(x, y, xr.DataArray(1.0), "n").values.tolist()
    [10.0]
    """
    dims = [[dim], [dim], []]
    return xr.apply_ufunc(first_crossing, x, y, level, input_core_dims=dims, vectorize=True)


def read_at(x: xr.DataArray, y: xr.DataArray, at: float | xr.DataArray, dim: str) -> xr.DataArray:
    """Curves y at a place x, interpolated linearly in the logarithm of x along a dimension.

    Args:
        x: positive numbers that rise along the dimension.
        y: the curves.
        at: the place, one number or one for each curve.
        dim: the dimension of x and y that goes; all others stay.

    Returns:
        The interpolated values; NaN where ``at`` lies outside of x, or x does not rise.

    >>> n = {"n": [1, 100]}
    >>> x, y = xr.DataArray([1.0, 100.0], n), xr.DataArray([0.0, 1.0], n)
    >>> round(read_at(x, y, 10.0, "n").item(), 6), read_at(x, y, 101.0, "n").item()
    (0.5, nan)

    """

    def interpolate(x: np.ndarray, y: np.ndarray, at: float) -> float:
        if not (np.diff(x) > 0).all():
            return np.nan
        return float(np.interp(np.log(at), np.log(x), y, left=np.nan, right=np.nan))

    dims = [[dim], [dim], []]
    return xr.apply_ufunc(interpolate, x, y, xr.DataArray(at), input_core_dims=dims, vectorize=True)
