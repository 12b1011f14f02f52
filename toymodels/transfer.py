"""Transfer, and the overlap at which half of it is left."""

import numpy as np
import xarray as xr

from toymodels.statistics import succeeded


def transfer(accuracy: xr.DataArray, control: xr.DataArray, teacher: xr.DataArray) -> xr.DataArray:
    """Student's score above the cross-model control's, over the teacher's above it, seed by seed.

    0: no more than an unrelated student; 1: all the teacher has.
    """
    share = (accuracy - control) / (teacher - control)
    about = "transfer: accuracy above the control's, over the teacher's above it"
    return share.assign_attrs(units="1", description=about)


def against_control(
    dataset: xr.Dataset, along: str = "epoch", teacher: xr.DataArray | None = None
) -> xr.Dataset:
    """Add the students' final accuracy, and transfer against the control of each of them.

    The dataset has ``accuracy`` and ``teacher_accuracy``, by epoch or not, and the axis ``start``
    (`toymodels.protocol.STARTS`): every student from the reference has its cross-model control,
    that differs in the initialisation alone. The students' last accuracy counts, ``along`` what
    they were recorded; and the teacher's last, if not another accuracy is given for it.
    """
    done = succeeded(dataset)
    final = done.accuracy.isel({along: -1}, drop=True, missing_dims="ignore")
    if teacher is None:
        last = {"teacher_epoch": -1}
        teacher = done.teacher_accuracy.isel(last, drop=True, missing_dims="ignore")
    own, others = (final.sel(start=start, drop=True) for start in ("shared", "other"))
    return dataset.assign(
        final_accuracy=final.assign_attrs(description="student's final test accuracy"),
        transfer=transfer(own, others, teacher),
    )


def curve(rho: np.ndarray, height: float, half: float, power: float) -> np.ndarray:
    """``height * 2 ** -(phi / half) ** power``, phi = arccos(rho) the angle between the inits.

    With power 2 a Gaussian in the angle, close to rho ** k with k = 2 ln 2 / half ** 2.
    """
    return height * 2.0 ** -((np.arccos(np.clip(rho, -1, 1)) / half) ** power)


def half_overlap(rho: np.ndarray, transfer: np.ndarray) -> float:
    """rho_50, the overlap at which transfer has fallen to half: least squares of `curve`.

    Args:
        rho: overlaps (n,), with 1 among them.
        transfer: transfer of one seed at each of them (n,).

    Returns:
        The fitted overlap; NaN where there is no transfer to halve (a fitted height below a
        thousandth, or below twice the residuals' standard deviation), or where it is halved outside
        the range of overlaps measured (below the least, or above the largest that is not 1).

    >>> rho = np.cos(np.linspace(0, np.pi / 2, 9))
    >>> round(half_overlap(rho, curve(rho, 0.6, 0.5, 2.0)), 4), round(float(np.cos(0.5)), 4)
    (0.8776, 0.8776)

    """
    from scipy import optimize

    if not np.isfinite(transfer).all():
        return np.nan
    angles = np.arccos(np.clip(rho, -1, 1))
    widest, narrowest = float(angles.max()), float(angles[angles > 0].min())
    start = (max(float(transfer[rho.argmax()]), 1e-3), widest / 3, 2.0)
    bounds = ((0.0, 1e-3, 0.5), (np.inf, 4 * widest, 8.0))
    found = optimize.least_squares(lambda p: curve(rho, *p) - transfer, start, bounds=bounds)
    height, half, _ = found.x
    spread = np.sqrt(2 * found.cost / max(len(rho) - 3, 1))
    known = height > max(2 * spread, 1e-3) and narrowest < half < widest
    return float(np.cos(half)) if known else np.nan


def contraction(transfer: np.ndarray) -> float:
    """The r of ``a r**g`` nearest to transfer in generations g = 1, 2, ... (g,): least squares.

    NaN where there is no transfer to lose: a below a thousandth, or below twice the residuals'
    standard deviation, or transfer that is not finite.

    >>> round(contraction(0.8 * 0.6 ** np.arange(5)), 6)
    0.6
    """
    from scipy import optimize

    if not np.isfinite(transfer).all():
        return np.nan
    g = np.arange(len(transfer))
    found = optimize.least_squares(
        lambda p: p[0] * p[1] ** g - transfer,
        (max(float(transfer[0]), 1e-3), 0.9),
        bounds=((0.0, 1e-6), (np.inf, 2.0)),
        ftol=1e-12,
        xtol=1e-12,
        gtol=1e-12,
    )
    first, ratio = found.x
    spread = np.sqrt(2 * found.cost / max(len(g) - 2, 1))
    return float(ratio) if first > max(2 * spread, 1e-3) else np.nan


def contractions(transfer: xr.DataArray) -> xr.DataArray:
    """Per-hop contraction along the dimension ``generation``, for every seed and all else."""
    each = xr.apply_ufunc(contraction, transfer, input_core_dims=[["generation"]], vectorize=True)
    about = "share of transfer that a hop keeps: r of a r^generation, fitted seed by seed"
    return each.assign_attrs(units="1", description=about)


def half_overlaps(transfer: xr.DataArray) -> xr.DataArray:
    """rho_50 along the dimension ``rho``, for every seed and all else by itself."""
    halves = xr.apply_ufunc(
        lambda t: half_overlap(transfer.rho.values, t),
        transfer,
        input_core_dims=[["rho"]],
        vectorize=True,
    )
    about = "rho_50: overlap at which half of the transfer is left, fitted seed by seed"
    return halves.assign_attrs(units="1", description=about)


def collapse(transfer: xr.DataArray, measure: xr.DataArray) -> xr.DataArray:
    """How far one rising curve of a measure explains transfer: share of its variance, a scalar.

    Means over seeds of all points at once; the curve is the best non-decreasing one (isotonic
    regression). 1: they fall on one curve; 0: it is no better than their mean.
    """
    from sklearn.isotonic import IsotonicRegression

    x, y = (
        array.mean("seed").values.ravel().astype(float) for array in xr.broadcast(measure, transfer)
    )
    known = np.isfinite(x) & np.isfinite(y)
    x, y = x[known], y[known]
    if len(y) < 2 or np.ptp(y) == 0:
        return xr.DataArray(np.nan)
    fitted = IsotonicRegression(out_of_bounds="clip").fit_transform(x, y)
    return xr.DataArray(1 - (y - fitted).var() / y.var())


def foreseen(transfer: xr.DataArray, measure: xr.DataArray) -> xr.DataArray:
    """How far rising curves of a measure foresee transfer: share of the variance, (seed,).

    Each point of a seed is foretold by isotonic regression on the seed's others, and so compared
    with their mean. Only the order of the measure counts. Other than in `collapse`, a measure with
    many values has no advantage over one with few: 1 if all are foretold exactly, 0 for a constant
    measure, less than 0 where the curve misleads. NaN where no two points differ.
    """
    from scipy.stats import rankdata
    from sklearn.isotonic import IsotonicRegression

    def share(y: np.ndarray, x: np.ndarray) -> float:
        known = np.isfinite(x) & np.isfinite(y)
        y, x = y[known], rankdata(x[known], method="dense")
        if len(y) < 2 or np.ptp(y) == 0:
            return np.nan
        others = ~np.eye(len(y), dtype=bool)
        curves = [IsotonicRegression(out_of_bounds="clip").fit(x[o], y[o]) for o in others]
        foretold = np.array([curve.predict([at])[0] for curve, at in zip(curves, x, strict=True)])
        means = np.array([y[o].mean() for o in others])
        return float(1 - np.square(y - foretold).sum() / np.square(y - means).sum())

    pairs = [array.transpose("seed", ...) for array in xr.broadcast(transfer, measure)]
    rows = zip(*(array.values.reshape(array.sizes["seed"], -1) for array in pairs), strict=True)
    return xr.DataArray([share(y, x.astype(float)) for y, x in rows], {"seed": transfer.seed})
