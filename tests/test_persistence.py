"""Half-lives with a closed form; the retained fraction is measured against the control."""

import numpy as np
import pytest
import xarray as xr

from toymodels.stats.persistence import half_life, measure_persistence

STEPS = np.array([0, 3, 5, 17, 40, 100])


@pytest.mark.parametrize("rate", [0.01, 0.03, 0.1])
def test_half_life_of_an_exponential_does_not_depend_on_the_records(rate):
    np.testing.assert_allclose(half_life(STEPS, 0.7 * np.exp(-rate * STEPS)), np.log(2) / rate)


def test_first_crossing_counts_and_other_cases_are_marked():
    assert half_life(STEPS, np.array([0.8, 0.4, 0.8, 0.1, 0.0, 0.0])) == pytest.approx(3)
    assert half_life(STEPS, np.array([0.8, 0.8, 0.8, 0.8, 0.5, 0.41])) == np.inf
    assert np.isnan(half_life(STEPS, np.array([0.0, 0.1, 0, 0, 0, 0])))
    assert np.isnan(half_life(STEPS, np.array([1.0, np.nan, 0, 0, 0, 0])))
    # Below zero: the crossing still lies between the two records.
    assert 3 < half_life(STEPS, np.array([1.0, 0.9, -0.2, 0, 0, 0])) < 5


def test_the_retained_fraction_is_above_the_control_and_no_censored_value_is_averaged():
    control = 0.1 + 0.02 * np.sin(STEPS)
    fast, slow = (s * np.exp(-r * STEPS) for s, r in ((0.5, 0.1), (0.8, 0.001)))
    accuracy = np.stack([control + fast, control + slow, control])[None]
    dims = {"seed": [0], "student": ["fast", "slow", "control"], "step": STEPS}
    dataset = xr.Dataset({"accuracy": (tuple(dims), accuracy)}, dims)
    dataset["failed"] = xr.zeros_like(dataset.accuracy.isel(step=0), bool)
    got = measure_persistence(dataset).isel(seed=0)
    assert got.trait.values.tolist() == ["fast", "slow"]
    np.testing.assert_allclose(got.retained.sel(trait="fast"), np.exp(-0.1 * STEPS), atol=1e-12)
    np.testing.assert_allclose(got.kept, got.retained.mean("step"))
    np.testing.assert_allclose(got.kept_at_end.sel(trait="slow"), np.exp(-0.1))
    assert got.censored.values.tolist() == [0, 1]
    np.testing.assert_allclose(got.half_life.sel(trait="fast"), 10 * np.log(2))
    assert np.isnan(got.half_life.sel(trait="slow"))
