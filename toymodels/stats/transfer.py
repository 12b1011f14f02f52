"""Transfer, and the overlap at which half of it is left."""

from typing import Any

import numpy as np
import xarray as xr

from toymodels.stats.statistics import succeeded


def transfer(accuracy: xr.DataArray, control: xr.DataArray, teacher: xr.DataArray) -> xr.DataArray:
    """Student's score above the cross-model control's, over the teacher's above it, seed by seed.

    0: no more than an unrelated student; 1: all the teacher has. NaN where the teacher does not
    exceed the control, for then there is nothing to acquire; the attribute ``describe_undefined`` says at
    how many points, and of which seeds (see `describe_undefined`).
    """
    advantage = teacher - control
    share = (accuracy - control) / advantage.where(advantage > 0)
    about = {
        "units": "1",
        "description": "transfer: accuracy above the control's, over the teacher's above it",
    }
    if where := locate_undefined((advantage <= 0) & accuracy.notnull()):
        about["undefined"] = where
    return share.drop_attrs().assign_attrs(about)


def locate_undefined(nothing: xr.DataArray) -> str:
    """In words, the points (seed, ...) where there is nothing to acquire; empty if there are none.

    >>> coords = {"seed": [3, 4], "m": [1, 2]}
    >>> locate_undefined(xr.DataArray([[True, False], [False, False]], coords))
    'at 1 of 4 points, of seed 3'
    """
    if not nothing.any():
        return ""
    beside = [dim for dim in nothing.dims if dim != "seed"]
    seeds = [str(seed) for seed in nothing.seed.values[nothing.any(beside).values]]
    plural = "s" if len(seeds) > 1 else ""
    return f"at {int(nothing.sum())} of {nothing.size} points, of seed{plural} {', '.join(seeds)}"


def describe_undefined(dataset: xr.Dataset) -> list[str]:
    """A sentence for every variable of a result that holds undefined transfer; often none."""
    return [
        f"{str(name).replace('_', ' ').capitalize()} is undefined, and in no mean, {where}: the "
        "teacher does not exceed the control there."
        for name, array in dataset.data_vars.items()
        if "transfer" in str(name) and (where := array.attrs.get("undefined", ""))
    ]


def against_control(
    dataset: xr.Dataset, along: str = "epoch", teacher: xr.DataArray | None = None
) -> xr.Dataset:
    """Add the students' final accuracy, and transfer against the control of each of them.

    The dataset has ``accuracy`` and ``teacher_accuracy``, by epoch or not, and the axis ``start``
    ("shared", "other"): every student from the reference has its cross-model control,
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


def against_point(dataset: xr.Dataset, **control: Any) -> xr.Dataset:
    """Add the students' final accuracy, and transfer against the student at one point of the axes.

    The dataset has ``accuracy`` by ``epoch`` and ``teacher_accuracy`` by ``teacher_epoch``; ``control``
    is the label of each axis that tells the control apart (``rho=0``).
    """
    final = succeeded(dataset).isel(epoch=-1, teacher_epoch=-1, drop=True)
    own, others = final.accuracy, final.accuracy.sel(control, drop=True)
    return dataset.assign(
        final_accuracy=own.assign_attrs(description="student's final test accuracy"),
        transfer=transfer(own, others, final.teacher_accuracy),
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


def contrast_at_overlap(
    transfer: xr.DataArray,
    overlap: xr.DataArray,
    relation: str,
    other: str,
    levels: slice = slice(1, -1),
) -> xr.DataArray:
    """Transfer by one relation of initialisations less that by another at the same overlap.

    The other relation's transfer is interpolated linearly in the angle between two of its amounts,
    seed by seed.

    Args:
        transfer: (seed, relation, level).
        overlap: measured overlap of the initialisations, likewise.
        relation: label of a relation.
        other: label of the relation that is interpolated.
        levels: levels of the relation that are compared: all but the two ends, where both relations
            may be the same.

    Returns:
        (seed, level), NaN outside the other's overlaps; its coordinate ``overlap`` (level,) is the mean
        overlap of ``relation``.

    """
    angle: xr.DataArray = xr.apply_ufunc(np.arccos, overlap.clip(-1, 1))

    def interpolate(angle: np.ndarray, angles: np.ndarray, transfer: np.ndarray) -> float:
        order = np.argsort(angles)
        return float(np.interp(angle, angles[order], transfer[order], left=np.nan, right=np.nan))

    interpolated = xr.apply_ufunc(
        interpolate,
        angle.sel(relation=relation, drop=True).isel(level=levels),
        angle.sel(relation=other, drop=True).rename(level="amounts"),
        transfer.sel(relation=other).rename(level="amounts"),
        input_core_dims=[[], ["amounts"], ["amounts"]],
        vectorize=True,
    )
    gap = transfer.sel(relation=relation) - interpolated
    mean_overlap = overlap.sel(relation=relation).mean("seed")
    return gap.assign_coords(overlap=("level", mean_overlap.sel(level=gap.level).values))


def collapse(transfer: xr.DataArray, measure: xr.DataArray) -> xr.DataArray:
    """How far rising curves of a measure explain mean transfer: share of its variance, a scalar.

    Means over seeds of all points at once. Each point is foretold by the best non-decreasing curve
    (isotonic regression) through all others, and so compared with the others' mean: a curve that
    had seen the point would explain part of any noise. Points that are copies of each other (the
    shared initialisation, reached by several relations) count as one, for a copy would foretell
    itself. 1: the points fall on one curve; 0: it is no better than the mean; less: it misleads.
    """
    x, y = (
        array.mean("seed").values.ravel().astype(float) for array in xr.broadcast(measure, transfer)
    )
    known = np.isfinite(x) & np.isfinite(y)
    # Rounded: the same student, computed in another way, differs in its last bits.
    points = np.unique(np.stack([x[known], y[known]], axis=1).round(6), axis=0)
    return xr.DataArray(predict_held_out(*points.T))


def predict_held_out(x: np.ndarray, y: np.ndarray) -> float:
    """Share of the variance of y (points,) that rising curves of x through the others foresee.

    NaN where there are fewer than two points, or y does not vary.

    >>> x = np.arange(40.0)
    >>> round(predict_held_out(x, np.sqrt(x)), 3), abs(round(predict_held_out(x, -np.sqrt(x)), 3))
    (0.989, 0.0)
    """
    from sklearn.isotonic import IsotonicRegression

    if len(y) < 2 or np.ptp(y) == 0:
        return np.nan
    others = ~np.eye(len(y), dtype=bool)
    curves = [IsotonicRegression(out_of_bounds="clip").fit(x[o], y[o]) for o in others]
    foretold = np.array([curve.predict([at])[0] for curve, at in zip(curves, x, strict=True)])
    means = np.array([y[o].mean() for o in others])
    return float(1 - np.square(y - foretold).sum() / np.square(y - means).sum())


def foreseen(transfer: xr.DataArray, measure: xr.DataArray) -> xr.DataArray:
    """How far rising curves of a measure foresee transfer seed by seed, as `predict_held_out`: (seed,).

    Each point of a seed is foretold from the seed's others. Only the order of the measure counts:
    a measure with many values has no advantage over one with few. 1 if all points are foretold
    exactly, 0 for a constant measure, less than 0 where the curve misleads. NaN where no two points
    differ.
    """
    from scipy.stats import rankdata

    def share(y: np.ndarray, x: np.ndarray) -> float:
        known = np.isfinite(x) & np.isfinite(y)
        return predict_held_out(rankdata(x[known], method="dense"), y[known])

    pairs = [array.transpose("seed", ...) for array in xr.broadcast(transfer, measure)]
    rows = zip(*(array.values.reshape(array.sizes["seed"], -1) for array in pairs), strict=True)
    return xr.DataArray([share(y, x.astype(float)) for y, x in rows], {"seed": transfer.seed})
