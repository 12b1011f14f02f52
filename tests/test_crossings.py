"""Crossings of curves on a logarithmic axis: closed forms, and what is never reached."""

import numpy as np
import pytest
import xarray as xr

from toymodels.stats.crossings import first_crossing, first_crossings, read_at

X = np.array([1.0, 3.0, 10.0, 100.0])


@pytest.mark.parametrize("level", [0.1, 0.5, 1.9])
def test_a_line_in_the_logarithm_is_crossed_exactly(level):
    assert first_crossing(X, np.log10(X), level) == pytest.approx(10**level)


def test_the_first_of_several_crossings_counts():
    assert first_crossing(X, np.array([0.0, 1.0, 0.0, 1.0]), 1.0) == pytest.approx(3.0)


@pytest.mark.parametrize(
    ("y", "level", "expected"),
    [
        ([0.0, 0.1, 0.2, 0.3], 0.4, np.inf),
        ([0.5, 0.1, 0.2, 0.3], 0.4, 0.0),
        ([0.0, np.nan, 0.2, 0.5], 0.4, np.nan),
        ([0.0, 0.1, 0.2, 0.5], np.nan, np.nan),
    ],
)
def test_never_already_and_unknown_are_told_apart(y, level, expected):
    np.testing.assert_equal(first_crossing(X, np.array(y), level), expected)


def test_curves_are_read_seed_by_seed_in_any_order_of_dimensions():
    x = xr.DataArray([X, 2 * X], dims=("form", "n"))
    heights = xr.DataArray([1.0, 2.0], dims="seed")
    y = (heights * np.log10(x)).transpose("n", "seed", "form")
    found = first_crossings(x, y, heights, "n").transpose("seed", "form")
    np.testing.assert_allclose(found, 10.0)
    read = read_at(x, y, 20.0, "n").transpose("seed", "form")
    np.testing.assert_allclose(read, np.log10(20) * np.array([[1.0, 1.0], [2.0, 2.0]]))
    assert read_at(x, y, 1.5, "n").isnull().sel(form=1).all()  # below the second form's first x
