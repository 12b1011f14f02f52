"""Predictors of transfer: what must hold exactly before a student is trained."""

import dataclasses

import numpy as np
import pytest

from experiments.predictors import STUDY, Config
from toymodels.errors import UserError
from toymodels.study import plotting

TINY = Config(
    dataset="digits",
    seeds=2,
    teacher_epochs=2,
    student_epochs=2,
    noise_images=256,
    m=(1, 20),
    rho=(1.0, 0.9, 0.0),
    images=(10, 256),
    widths=(16,),
    rows=256,
)


@pytest.fixture(scope="module")
def tiny():
    return STUDY.run(TINY)


def test_coverage_needs_two_logits_in_kl_and_the_shared_start(tiny):
    assert (tiny.coverage.sel(m=1) == 0).all()
    accuracy = tiny.accuracy.sel(m=1)
    np.testing.assert_array_equal(accuracy, accuracy.isel(epoch=[0] * accuracy.sizes["epoch"]))
    coverage = tiny.coverage.sel(m=20)
    assert (coverage.sel(rho=1) > coverage.sel(rho=0)).all()
    assert (coverage.sel(rho=1) > 0).all()


def test_the_control_is_no_point_and_drift_is_the_teachers_alone(tiny):
    assert (tiny.transfer.sel(rho=0) == 0).all()
    drift = tiny.drift
    np.testing.assert_array_equal(drift, drift.isel(m=[0, 0], rho=[0] * 3, images=[0, 0]))
    rates = drift.isel(m=0, rho=0, images=0)
    assert (rates.sel(teacher_rate=1e-3) > rates.sel(teacher_rate=3e-4)).all()
    assert ((tiny.visibility > 0) & (tiny.visibility < 1)).all()
    np.testing.assert_allclose(tiny.visible_drift, drift * tiny.visibility, rtol=1e-5)
    correlation = tiny.rank_correlation
    assert (abs(correlation.where(correlation.notnull(), 0)) <= 1).all()
    plotting.render(STUDY.figure(tiny))


def test_findings_rank_every_predictor_and_compare_two(tiny):
    rows = [row for row in STUDY.findings(tiny) if not isinstance(row, str)]
    # Two sets of points, three of inputs: five predictors and one difference each.
    assert len(rows) == 2 * 3 * (5 + 1)
    assert {row.estimate.n for row in rows} <= {0, 1, 2}
    published = STUDY.findings(tiny)[-1]
    assert published.endswith("0.95.")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"rho": (1.0, 0.5)}, "rho must include 1 .* and 0 .*; got .*"),
        ({"images": (512,)}, "images must be at most 256; got .*"),
        ({"teacher_rate": (0.0,)}, "teacher_rate must be a positive finite number; .*"),
        ({"noise": "fresh"}, "noise must be one of fixed; got 'fresh'"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_golden_values(tiny, golden):
    golden(tiny)
