"""Storage in few bits: full precision is the reference experiment, and what cannot move stays."""

import dataclasses

import numpy as np
import pytest

from experiments import storage
from experiments.storage import FULL, MOST, PARTS, Config
from tests.experiments.protocols import SMALL
from toymodels.errors import UserError
from toymodels.networks import rounding
from toymodels.study import plotting
from toymodels.training import storage as stored


@pytest.fixture(scope="module")
def tiny():
    return storage.STUDY.run(Config(**SMALL, bits=(1, 7, FULL)))


def test_full_precision_is_the_student_of_the_reference_experiment(tiny, reference_runs):
    known = reference_runs.sel(student="student_aux")
    ours = tiny.sel(start="shared", stored="weights", bits=FULL)
    np.testing.assert_allclose(ours.loss, known.loss, rtol=1e-3)
    np.testing.assert_allclose(ours.accuracy, known.accuracy, atol=0.01)


def test_the_limits_of_the_config_are_those_of_the_emulation():
    """The config repeats them, for to import them would load JAX before the command line is read."""
    assert (FULL, MOST) == (rounding.FULL, stored.MOST_BITS)


def test_in_full_precision_nothing_depends_on_what_is_stored(tiny):
    full = tiny.sel(bits=FULL)
    for name in ("accuracy", "loss", "moved", "reach"):
        first = full[name].isel(stored=[0] * len(PARTS))
        np.testing.assert_array_equal(full[name], first)


def test_a_weight_of_one_bit_is_out_of_reach_and_stays(tiny):
    """The spacing of most weights is far above two steps: Adam moves few; at random they move."""
    coarse = tiny.sel(bits=1).isel(epoch=-1)
    assert (coarse.moved.sel(stored="weights") < 0.5).all()
    assert (coarse.moved.sel(stored="stochastic") > coarse.moved.sel(stored="weights")).all()
    assert (coarse.moved.sel(stored=["moments", "products"]) > 0.9).all()
    reach = tiny.reach.sel(stored="weights")
    assert (reach.sel(bits=1) < reach.sel(bits=7)).all()
    assert (reach.sel(bits=FULL) > 0.99).all()


def test_rounding_changes_what_it_says_and_nothing_else(tiny):
    """Rounded weights are another start; moments and products leave the start alone."""
    first = tiny.isel(epoch=0)
    full = first.loss.sel(stored="weights", bits=FULL, drop=True)
    np.testing.assert_array_equal(first.loss.sel(stored="moments", bits=7, drop=True), full)
    assert (first.loss.sel(stored="both", bits=1, drop=True) != full).all()
    assert (first.loss.sel(stored="products", bits=1, drop=True) != full).all()
    assert (first.moved == 0).all()


def test_the_result_has_a_figure_and_findings(tiny):
    plotting.render(storage.STUDY.figure(tiny))
    rows = storage.STUDY.findings(tiny)
    lost = [row.at for row in rows if row.quantity == "Transfer less that in full precision"]
    assert lost == [f"{name}, bits = {bits}" for name in PARTS for bits in (1, 7)]
    rival = "Transfer less that of weights stored to the nearest"
    assert len([row for row in rows if row.quantity == rival]) == 4


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"bits": (7,)}, "bits must include 23; got .*"),
        ({"bits": (12, FULL)}, "bits must be at most 10, or 23; got 12"),
        ({"bits": (0, FULL)}, "bits must be .*"),
        ({"smallest": -127}, "smallest must be .*"),
        ({"stored": ("words",)}, "stored must be .*"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(Config(**SMALL), **change)


def test_golden_values(tiny, golden):
    golden(tiny)
