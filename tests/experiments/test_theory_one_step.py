"""Theorem 1 measured: what must be equal, what cannot be negative, and the findings."""

from collections import Counter

import numpy as np
import pytest
import xarray as xr

from experiments import theory_one_step
from experiments.theory_one_step import Config, findings
from toymodels.errors import UserError
from toymodels.stats.findings import compare_remaining
from toymodels.study import plotting
from toymodels.theory.counterexamples import CASES

TINY = Config(
    dataset="digits",
    seeds=2,
    widths=(16,),
    eps=(1e-3, 1.0),
    rho=(1.0, 0.5),
    train_images=128,
    noise_images=64,
    teacher_epochs=2,
    student_epochs=4,
    probe_images=64,
    search_images=4,
    search_steps=20,
)


@pytest.fixture(scope="module")
def tiny():
    return theory_one_step.STUDY.run(TINY)


def test_a_small_step_is_the_theorems_and_its_limit(tiny):
    own = tiny.sel(rho=1.0, eps=1e-3)
    np.testing.assert_allclose(own.identity, 1, atol=0.01)
    np.testing.assert_allclose(own.cosine, own.limit, rtol=0.01)
    assert (abs(tiny.identity.sel(rho=1.0, eps=1.0) - 1) > abs(own.identity - 1)).all()
    assert (abs(tiny.identity.sel(rho=0.5, eps=1e-3) - 1) > 1).all()


def test_the_crossing_is_that_of_the_measured_inner_product(tiny):
    """Of a shared initialisation it is zero; of another it is where small steps point away."""
    assert (tiny.crossing.sel(rho=1.0) < 1e-4).all()
    assert (tiny.foretold.sel(rho=1.0) == 1).all()
    other = tiny.sel(rho=0.5)
    away = other.cosine.sel(eps=1e-3) < 0
    np.testing.assert_array_equal(away, other.mismatch > 0)
    assert (other.crossing.where(away, 1) > 1e-3).all()


def test_the_limit_is_never_negative_whatever_the_init_and_the_inputs(tiny):
    assert (tiny.limit > 0).all()
    searched = tiny.searched.sel(when="searched")
    assert (searched.sel(case="limit of small steps") > -1e-5).all()
    assert (searched.sel(case="overlap 0.9") < 0).all()
    assert (searched <= tiny.searched.sel(when="noise")).all()


def test_the_first_of_many_steps_is_one_step(tiny):
    """Teacher's and student's paths begin with steps that are aligned, where the init is shared."""
    assert tiny.teacher_step.values.tolist() == [1, 2, 4]
    assert tiny.student_step.values.tolist() == [1, 2, 4]
    assert (tiny["first"].sel(rho=1.0) > 0).all()
    assert (tiny.path.sel(rho=1.0) > 0).all()


def test_everything_can_be_drawn_and_found(tiny):
    plotting.render(theory_one_step.figure(tiny), kinds=("png",))
    sentences = [finding for finding in findings(tiny) if isinstance(finding, str)]
    rows = [finding for finding in findings(tiny) if not isinstance(finding, str)]
    assert len(sentences) == 2 * 3
    quantities = Counter(row.quantity for row in rows)
    assert quantities["Cosine of both first steps"] == 2 * tiny.sizes["eps"]
    assert quantities["Cosine of the student's first step with its teacher's path, rho = 1"] == 4
    assert quantities["Cosine of the student's path with its trained teacher's, rho = 1"] == 4
    assert quantities["Cosine of both first steps on noise"] == 2 * len(CASES)
    assert quantities["Smallest cosine of both first steps that the search found"] == 2 * len(CASES)
    away = tiny.assign(cosine=-abs(tiny.cosine), searched=abs(tiny.searched))
    _, steps, cases, *_ = findings(away)
    assert "(of every eps and seed), by overlap 1: 4 of 4, 0.5: 4 of 4." in steps
    assert "limit of small steps: 0 of 2, one step: 0 of 2," in cases


def test_the_fall_with_overlap_is_found_at_every_step_size_and_only_where_there_is_one(tiny):
    """A step without a cosine above zero has no share of it either."""
    seeds = xr.DataArray([-0.001, 0.001], {"seed": tiny.seed})
    shares = xr.where(tiny.rho == 1, 1.0, 0.25 * (tiny.eps > 0.1))
    small, small_share, large, large_share = compare_remaining(
        "Cosine of both first steps", (seeds + 0.2) * shares, "rho"
    )
    assert str(small).startswith("Cosine of both first steps, eps = 0.001, rho = 1: 0.200 (")
    quantity = "Cosine of both first steps over that at rho = 1, eps"
    assert str(small_share) == f"{quantity} = 0.001, rho = 0.5: 0.000 (0.000 to 0.000, n = 2)."
    assert str(large_share) == f"{quantity} = 1, rho = 0.5: 0.250 (0.250 to 0.250, n = 2)."
    assert large.verdict == "above zero"
    rows = compare_remaining("Cosine of both first steps", (seeds + 0.0) * shares, "rho")
    assert [row.verdict for row in rows] == ["not distinguishable from zero"] * 2


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rho": (0.5,)}, "rho must include 1; got .*"),
        ({"rho": (1.0, 1.5)}, "rho must be at most 1; got .*"),
        ({"eps": (0.0,)}, "eps must be a positive finite number; got .*"),
        ({"m": 1}, "m must be at least 2; got 1"),
        ({"loss": ("bits",)}, "loss must be one of kl, mse; got 'bits'"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        TINY.at(**change)


def test_golden_values(tiny, golden):
    golden(tiny)
