"""Data collapse: 1 where data collapse, less where they do not; intervals hold the truth."""

import numpy as np
import pytest
import xarray as xr
from scipy.interpolate import CubicSpline

from toymodels.stats import statistics
from toymodels.theory import scaling

M = xr.DataArray([2.0, 4, 8, 16, 32, 64], dims="m")
WIDTH = xr.DataArray([64.0, 128, 256, 512], dims="width")


def sigmoid(variable):
    """A curve of log(variable) between 0 and 0.9, centred where the variables are."""
    x = np.log(variable)
    return 0.9 / (1 + np.exp(-1.2 * (x - x.mean())))


def noisy(truth, seeds, rng, size=0.06):
    """Seeds with noise of their own, and noise that all m of a width share."""
    own = rng.normal(size=(seeds, 6, 4))
    shared = rng.normal(size=(seeds, 1, 4))
    noise = xr.DataArray(own + shared, dims=("seed", "m", "width"), coords={"seed": range(seeds)})
    return truth + size * noise


def test_residuals_are_those_of_curves_that_never_saw_the_point():
    """The leverage formula against a refit without the point, on the full curve's knots."""
    rng = np.random.default_rng(0)
    x, y = np.sort(rng.uniform(0, 3, 15)), rng.normal(size=15)
    missed = scaling.leave_one_out(x) @ y
    knots = np.linspace(x.min(), x.max(), scaling.KNOTS)
    basis = CubicSpline(knots, np.eye(scaling.KNOTS), bc_type="natural")(x)
    for i in range(15):
        others = np.arange(15) != i
        fitted = np.linalg.lstsq(basis[others], y[others], rcond=None)[0]
        assert missed[i] == pytest.approx(y[i] - basis[i] @ fitted, abs=1e-10)
    constant = scaling.leave_one_out(np.zeros(15)) @ y
    np.testing.assert_allclose(constant, (y - y.mean()) * 15 / 14, atol=1e-12)


def test_pairs_of_seeds_see_the_mean_and_no_noise():
    rng = np.random.default_rng(0)
    mean = rng.normal(size=7)
    agreed = [scaling.agreement(mean + rng.normal(size=(3, 7))) for _ in range(4000)]
    error = np.std(agreed, ddof=1) / np.sqrt(len(agreed))
    assert abs(np.mean(agreed) - mean @ mean) < 4 * error
    assert scaling.agreement(np.tile(mean, (5, 1))) == pytest.approx(mean @ mean, rel=1e-12)


def test_the_jackknife_of_a_mean_is_the_mean_and_that_of_a_square_has_no_bias():
    rows = np.random.default_rng(0).normal(size=(6, 2))
    np.testing.assert_allclose(scaling.jackknife(lambda r: r.mean(axis=0), rows), rows)
    squares = scaling.jackknife(lambda r: r.mean(axis=0) ** 2, rows).mean(axis=0)
    expected = rows.mean(axis=0) ** 2 - rows.var(axis=0, ddof=1) / 6
    np.testing.assert_allclose(squares, expected, rtol=1e-10)


def test_one_curve_is_a_collapse_of_one_and_several_are_less():
    seeds = xr.DataArray([1.0, 1.1, 0.9, 1.2], {"seed": range(4)})
    x = np.log(M / WIDTH)
    knots = np.linspace(x.min().item(), x.max().item(), scaling.KNOTS)
    spline = CubicSpline(knots, [0.0, 0.1, 0.5, 0.8, 0.9], bc_type="natural")
    exact = seeds * xr.apply_ufunc(spline, x)
    np.testing.assert_allclose(scaling.collapse(exact, M / WIDTH), 1, atol=1e-10)
    curve = seeds * sigmoid(M / WIDTH)
    assert scaling.collapse(curve, M / WIDTH).mean() > 0.999
    assert (scaling.collapse(curve, M) < 0.7).all()
    assert (scaling.collapse(curve, WIDTH) < 0.5).all()
    assert (scaling.collapse(curve, M * WIDTH) < 0.4).all()
    turned = scaling.collapse(curve.transpose("width", "seed", "m"), M)
    np.testing.assert_allclose(turned, scaling.collapse(curve, M))
    np.testing.assert_allclose(scaling.collapse(curve, 0 * M + 1), 0, atol=1e-10)


def test_points_where_a_seed_failed_are_left_out_and_two_seeds_are_too_few():
    rng = np.random.default_rng(0)
    data = noisy(sigmoid(M / WIDTH), 5, rng)
    failed = data.where((data.m != 8) | (data.width != 64) | (data.seed > 0))
    assert np.isfinite(scaling.collapse(failed, M)).all()
    lost = data.where(data.seed > 0)  # a seed that failed altogether costs no point
    both = [scaling.collapse(each, M) for each in (lost, data.isel(seed=slice(1, None)))]
    np.testing.assert_array_equal(both[0].isel(seed=slice(1, None)), both[1])
    powers = scaling.exponents(lost, M, {"width": WIDTH})
    assert np.isnan(powers[0]).all()
    assert np.isfinite(powers[1:]).all()
    assert np.isnan(scaling.collapse(data.where(data.seed < 0), M)).all()
    few = data.isel(seed=[0, 1])
    assert np.isnan(scaling.collapse(few, M)).all()
    assert np.isnan(scaling.exponents(few, M, {"width": WIDTH})).all()


@pytest.mark.parametrize("variable", [M / WIDTH**0.5, M], ids=["collapses", "does not"])
def test_the_interval_of_a_collapse_holds_the_truth(variable):
    rng, truth, held, means = np.random.default_rng(0), sigmoid(M / WIDTH**0.5), [], []
    rows, (x,) = scaling.tabulate(truth.expand_dims(seed=[0]), variable)
    missed, off = (
        np.square(scaling.leave_one_out(at) @ rows[0]).sum() for at in (np.log(x), 0 * x)
    )
    expected = 1 - missed / off
    for _ in range(50):
        interval = statistics.mean_interval(scaling.collapse(noisy(truth, 6, rng), variable).values)
        held.append(interval.ci_low <= expected <= interval.ci_high)
        means.append(interval.mean)
    assert np.mean(held) > 0.85
    assert abs(np.mean(means) - expected) < 4 * np.std(means) / np.sqrt(50)
    assert (expected > 0.999) == (variable is not M)


def test_the_interval_of_an_exponent_holds_the_truth():
    rng, truth, held, found = np.random.default_rng(1), sigmoid(M / WIDTH**0.5), [], []
    for _ in range(10):
        each = scaling.exponents(noisy(truth, 5, rng), M, {"width": WIDTH})
        interval = statistics.mean_interval(each.sel(exponent="width").values)
        held.append(interval.ci_low <= 0.5 <= interval.ci_high)
        found.append(interval.mean)
    assert sum(held) >= 8
    assert np.mean(found) == pytest.approx(0.5, abs=0.15)


def test_two_exponents_without_noise_are_found():
    samples = xr.DataArray([100.0, 400, 1600], dims="samples")
    seeds = xr.DataArray([1.0, 1.1, 0.9], {"seed": range(3)})
    data = seeds * sigmoid(M / WIDTH**0.75 * samples**0.4)
    found = scaling.exponents(data, M, {"width": WIDTH, "samples": samples})
    assert found.dims == ("seed", "exponent")
    np.testing.assert_allclose(found.sel(exponent="width"), 0.75, atol=0.02)
    np.testing.assert_allclose(found.sel(exponent="samples"), -0.4, atol=0.02)
