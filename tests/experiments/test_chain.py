"""Chains: what a hop must keep exactly, and the fit of its contraction."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from experiments import chain
from experiments.chain import Config
from toymodels.errors import UserError
from toymodels.stats import transfer
from toymodels.study import plotting
from toymodels.sweep import RunOptions

TINY = Config(
    dataset="digits",
    seeds=2,
    m=(1, 5),
    samples=(64, 256),
    generations=3,
    widths=(16,),
    noise_images=256,
    teacher_epochs=2,
    student_epochs=2,
)


@pytest.fixture(scope="module")
def tiny():
    return chain.STUDY.run(TINY, options=RunOptions(width=4))


def test_the_first_generation_has_the_same_noise_in_both_kinds_of_chain(tiny):
    first = tiny.isel(generation=0)
    for name in ("accuracy", "cosine", "drift"):
        same, new = (first[name].sel(inputs=inputs) for inputs in chain.INPUTS)
        np.testing.assert_allclose(same, new, atol=1e-4)
    later = tiny.isel(generation=-1).cosine.sel(m=5)
    assert (later.sel(inputs="same") != later.sel(inputs="new")).all()


def test_what_is_never_taught_never_moves(tiny):
    """KL of a single logit has no gradient: every generation is its start."""
    one = tiny.sel(m=1)
    assert (one.drift == 0).all()
    assert (one.cosine == 0).all()
    np.testing.assert_array_equal(
        one.accuracy, one.accuracy.isel(generation=[0] * TINY.generations)
    )


def test_a_longer_chain_keeps_its_first_generations(tiny):
    longer = chain.STUDY.run(
        dataclasses.replace(TINY, generations=4, m=(5, 1)), options=RunOptions(width=4)
    )
    names = ["accuracy", "cosine", "drift"]
    xr.testing.assert_allclose(
        longer[names].isel(generation=slice(3)).sel(m=[1, 5]), tiny[names], atol=1e-5
    )


def test_contraction_is_fitted_and_unknown_where_nothing_is_transferred():
    generation = np.arange(6)
    assert transfer.contraction(0.3 * 0.5**generation) == pytest.approx(0.5, abs=1e-5)
    assert transfer.contraction(np.full(6, 0.9)) == pytest.approx(1.0, abs=1e-5)
    assert np.isnan(transfer.contraction(np.array([0.01, -0.02, 0.015, -0.01])))
    assert np.isnan(transfer.contraction(np.array([0.5, np.nan])))


def test_everything_can_be_drawn_and_told(tiny):
    plotting.render(chain.STUDY.figure(tiny))
    findings = [str(finding) for finding in chain.STUDY.findings(tiny)]
    assert len(findings) == 3 * 4  # both kinds of noise and their difference at every point
    assert findings[0].startswith(
        "Share of transfer that a hop keeps with same noise, m = 1, samples"
    )


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"samples": (512,)}, "samples must be at most 256; got .*"),
        ({"generations": 1}, "generations must be at least 2; got 1"),
        ({"inputs": ("old",)}, "inputs must be one of same, new; got 'old'"),
        ({"m": ()}, "m must have one value at least, and none twice; got .*"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
