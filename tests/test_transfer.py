import numpy as np
import pytest
import xarray as xr

from toymodels.stats.transfer import (
    collapse,
    contractions,
    curve,
    describe_undefined,
    foreseen,
    half_overlap,
    half_overlaps,
    predict_held_out,
    transfer,
)

RHO = np.cos(np.radians(np.linspace(0, 90, 15)))


@pytest.mark.parametrize("height", [0.2, 0.6, 1.0])
@pytest.mark.parametrize(("degrees", "power"), [(15, 2.0), (30, 1.3), (60, 3.0)])
def test_the_half_of_a_curve_is_found(height, degrees, power):
    values = curve(RHO, height, np.radians(degrees), power)
    assert half_overlap(RHO, values) == pytest.approx(np.cos(np.radians(degrees)), abs=1e-6)


def test_the_curve_is_half_as_high_at_its_half():
    np.testing.assert_allclose(curve(np.cos([0.0, 0.4]), 0.8, 0.4, 1.7), [0.8, 0.4])


def test_noise_moves_the_half_by_little_and_without_bias():
    rng = np.random.default_rng(0)
    clean = curve(RHO, 0.6, 0.4, 2.0)
    found = [half_overlap(RHO, clean + 0.02 * rng.normal(size=len(RHO))) for _ in range(100)]
    error = np.arccos(found) - 0.4
    assert np.abs(error).max() < 0.1
    assert abs(error.mean()) < 4 * error.std() / 10


def test_what_has_no_half_has_none():
    rng = np.random.default_rng(1)
    assert np.isnan(half_overlap(RHO, np.zeros_like(RHO)))
    assert np.isnan(half_overlap(RHO, np.full_like(RHO, 0.5)))  # never halved
    assert np.isnan(half_overlap(RHO, curve(RHO, 0.6, 3.0, 2.0)))  # not within what was measured
    assert np.isnan(half_overlap(RHO, np.where(RHO > 0.9, np.nan, 0.5)))
    noise = [half_overlap(RHO, 0.03 * rng.normal(size=len(RHO))) for _ in range(20)]
    assert np.isnan(noise).mean() > 0.5


def test_a_transfer_above_one_does_no_harm():
    """A teacher that hardly beats the control gives large quotients."""
    assert half_overlap(RHO, curve(RHO, 25.0, 0.5, 2.0)) == pytest.approx(np.cos(0.5))


def test_a_curve_steeper_than_the_overlaps_resolve_has_no_half():
    assert np.isnan(half_overlap(RHO, curve(RHO, 0.5, 0.02, 2.0)))


def test_halves_are_found_seed_by_seed_in_any_order_of_dimensions():
    halves = np.array([[0.3, 0.5], [0.4, 0.2], [0.6, 0.7]])
    values = np.stack([[curve(RHO, 0.5, h, 2.0) for h in row] for row in halves])
    array = xr.DataArray(values, dims=("seed", "m", "rho"), coords={"rho": RHO})
    for turned in (array, array.transpose("rho", "seed", "m")):
        found = half_overlaps(turned).transpose("seed", "m")
        np.testing.assert_allclose(found, np.cos(halves), atol=1e-5)


def test_transfer_is_nothing_at_the_control_and_all_at_the_teacher():
    accuracy = xr.DataArray([[0.1, 0.5, 0.9]], dims=("seed", "rho"))
    control, teacher = xr.DataArray([0.1], dims="seed"), xr.DataArray([0.9], dims="seed")
    np.testing.assert_allclose(transfer(accuracy, control, teacher), [[0, 0.5, 1]])


def test_transfer_is_undefined_where_the_teacher_does_not_exceed_the_control():
    """x / 0 was inf, and no JSON; 0 / 0 was NaN without a word."""
    seeds, levels = {"seed": [4, 5, 6, 7]}, {"m": [1, 2]}
    accuracy = xr.DataArray([[0.1, 0.5], [0.1, 0.5], [0.1, 0.5], [np.nan, 0.5]], seeds | levels)
    control = xr.DataArray([0.1, 0.1, 0.9, 0.1], seeds)
    teacher = xr.DataArray([0.9, 0.1, 0.5, 0.9], seeds)
    found = transfer(accuracy, control, teacher)
    np.testing.assert_allclose(found, [[0, 0.5], [np.nan] * 2, [np.nan] * 2, [np.nan, 0.5]])
    assert found.undefined == "at 4 of 8 points, of seeds 5, 6"
    (sentence,) = describe_undefined(xr.Dataset({"transfer": found}))
    assert sentence.startswith("Transfer is undefined, and in no mean, at 4 of 8 points, of seeds")
    assert (
        describe_undefined(xr.Dataset({"transfer": transfer(accuracy, control * 0, teacher)})) == []
    )


def test_what_is_fitted_to_undefined_transfer_is_undefined_too():
    values = np.stack([np.full(len(RHO), np.nan), curve(RHO, 0.5, 0.4, 2.0)])
    array = xr.DataArray(values, {"seed": [0, 1], "rho": RHO})
    np.testing.assert_allclose(half_overlaps(array), [np.nan, np.cos(0.4)], atol=1e-6)
    hops = xr.DataArray(values[:, :3], {"seed": [0, 1], "generation": [1, 2, 3]})
    assert np.isfinite(contractions(hops)).values.tolist() == [False, True]
    alone = float(collapse(array.isel(seed=[1]), array.rho))
    assert float(collapse(array, array.rho)) == alone > 0.9
    assert np.isnan(float(collapse(array.isel(seed=[0]), array.rho)))


def test_points_of_one_rising_curve_collapse_and_those_of_two_do_not():
    x = xr.DataArray(np.linspace(0, 1, 40)[None], dims=("seed", "level"))
    kinds = xr.DataArray([1.0, 1.0], dims="relation")
    assert float(collapse(x**3 * kinds, x)) > 0.99
    apart = xr.DataArray([1.0, 0.2], dims="relation")
    assert float(collapse(x**3 * apart, x)) < 0.6
    assert np.isnan(float(collapse(x * 0, x)))
    assert float(collapse(-x, x)) == pytest.approx(0)  # a falling curve is no rising one


def test_every_point_is_foretold_by_the_others_alone():
    """By hand: 0, 4, 6 and 10 from their neighbours; the ends from the nearest, held level."""
    x, y = np.array([0.0, 1, 2, 3]), np.array([0.0, 4, 6, 10])
    missed = np.array([0 - 4, 4 - 3, 6 - 7, 10 - 6])
    spread = y - (y.sum() - y) / 3
    assert predict_held_out(x, y) == pytest.approx(1 - (missed**2).sum() / (spread**2).sum())


def test_copies_of_a_point_do_not_foretell_it():
    x = xr.DataArray([[0.0, 1, 2, 3, 3, 3]], dims=("seed", "point"))
    y = xr.DataArray([[0.0, 4, 6, 10, 10 + 1e-8, 10]], dims=("seed", "point"))
    alone = float(collapse(y[:, :4], x[:, :4]))
    assert float(collapse(y, x)) == pytest.approx(alone)
    assert predict_held_out(x.values[0], y.values[0]) > alone + 0.1
    other = y.copy(data=[[0.0, 4, 6, 10, 2, 10]])  # as near, but no copy
    assert float(collapse(other, x)) < alone - 0.3


def test_a_curve_through_the_others_foresees_what_collapses_and_nothing_else():
    m = xr.DataArray([2.0, 4, 8, 16], dims="m")
    width = xr.DataArray([16.0, 32, 64, 128], dims="width")
    ratio = np.log2(m / width)
    seeds = xr.DataArray([1.0, 2.0], {"seed": [0, 1]})
    # A ramp between two plateaus: every point lies on the line between its neighbours.
    ramp = seeds * np.clip(ratio, -4, -2) + 5
    np.testing.assert_allclose(foreseen(ramp, m / width), 1, atol=1e-12)
    np.testing.assert_allclose(foreseen(ramp, ratio**3), 1, atol=1e-12)  # the order alone counts
    np.testing.assert_allclose(foreseen(ramp, 0 * m), 0, atol=1e-12)
    assert (foreseen(ramp, m) < 0.8).all()
    assert (foreseen(ramp, -width) < 0.8).all()
    assert (foreseen(ramp, -m / width) < 0.1).all()  # a falling curve is no rising one
    assert np.isnan(foreseen(0 * ramp, m)).all()
    turned = foreseen(ramp.transpose("width", "seed", "m"), m)
    xr.testing.assert_allclose(turned, foreseen(ramp, m))


def test_many_values_of_a_measure_foresee_no_noise():
    noise = np.random.default_rng(0).normal(size=(30, 18))
    array = xr.DataArray(noise, dims=("seed", "x"), coords={"seed": range(30), "x": range(18)})
    seen = [float(collapse(array.sel(seed=[seed]), array.x)) for seed in array.seed]
    assert np.mean(seen) < 0
    assert foreseen(array, array.x).mean() < 0
