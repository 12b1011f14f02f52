"""The other experiments on shared initialisations: what must hold exactly, and the findings."""

import dataclasses

import numpy as np
import pytest
import xarray as xr

from experiments import behavioural_cloning, head_overlap, overlap_modes
from toymodels.stats.transfer import contrast_at_overlap
from toymodels.study import plotting, results

SMALL = {
    "dataset": "digits",
    "widths": (16,),
    "noise_images": 256,
    "teacher_epochs": 2,
    "student_epochs": 2,
}


@pytest.fixture(scope="module")
def modes():
    return overlap_modes.STUDY.run(overlap_modes.Config(**SMALL, seeds=2))


def test_level_zero_is_the_shared_init_for_every_relation(modes):
    start = modes.isel(level=0)
    np.testing.assert_array_equal(
        start.accuracy, start.accuracy.sel(relation=["rotation"] * start.sizes["relation"])
    )
    assert (abs(start.overlap.sel(part="all") - 1) < 1e-5).all()


def test_a_permuted_student_learns_what_the_shared_one_learns(modes):
    """Training commutes with a permutation of units: other parameters, the same functions."""
    permuted = modes.sel(relation="permutation")
    assert (permuted.overlap.sel(part="all").isel(level=-1) < 0.5).all()
    for level in permuted.level.values:
        student, start = permuted.sel(level=level), permuted.sel(level=0)
        np.testing.assert_allclose(student.loss, start.loss, rtol=1e-3)
        np.testing.assert_allclose(student.accuracy, start.accuracy, atol=0.02)
        np.testing.assert_allclose(student.aux_agreement, 1, atol=1e-5)


def test_matching_units_undoes_a_permutation_to_the_bit(modes):
    aligned = modes.accuracy.sel(relation="aligned")
    np.testing.assert_array_equal(aligned, aligned.sel(level=[0] * aligned.sizes["level"]))


def test_collapse_is_at_most_all_of_it_and_can_be_drawn(modes):
    assert (modes.collapse <= 1).all()
    assert modes.amount.sel(relation="noise", level=0) == 0
    plotting.render(overlap_modes.STUDY.figure(modes))


def test_transfer_is_compared_at_the_same_overlap(modes):
    """Rotation's between two of its amounts, linearly in the angle."""
    angles = {"rotation": np.linspace(0, 70, 8), "interpolation": np.linspace(0, 63, 8)}
    fake = modes.isel(seed=[0, 1]).copy(deep=True)
    for name, degrees in angles.items():
        at = xr.DataArray(degrees, {"level": fake.level})
        fake["overlap"].loc[{"relation": name, "part": "all"}] = np.cos(np.radians(at))
        above = 0.1 if name == "interpolation" else 0.0
        fake["transfer"].loc[{"relation": name}] = above + 1 - at / 100 + 0.2 * fake.seed
    overlap = overlap_modes.select_measure(fake, "overlap")
    gaps = contrast_at_overlap(fake.transfer, overlap, "interpolation", "rotation")
    expected = np.cos(np.radians(np.linspace(9, 54, 6)))
    np.testing.assert_allclose(gaps.overlap, expected, rtol=1e-6)
    np.testing.assert_allclose(gaps, 0.1, atol=1e-5)
    (*_, last) = overlap_modes.STUDY.findings(fake)
    assert (last.quantity, last.at, last.verdict) == (
        "Transfer by interpolation less that by rotation",
        "overlap = 0.59",
        "higher",
    )


@pytest.mark.slow
def test_random_class_head_gives_chance_and_random_hidden_layers_recover(golden):
    quick = head_overlap.PRESETS["quick"]
    small = {"dataset": "digits", "seeds": 2, "m": (100,), "widths": (64, 64)}
    dataset = head_overlap.STUDY.run(dataclasses.replace(quick, student_epochs=10, **small))
    golden(dataset)
    accuracy = dataset.final_accuracy.sel(m=100)
    places = dict.fromkeys(head_overlap.PARTS, "shared")
    assert (accuracy.sel(places) > 0.8).all()
    assert accuracy.sel(places | {"class_head": "random"}).mean() < 0.3
    # The layers of an initialisation are independent: another teacher's are as good as random.
    for source in ("random", "other"):
        assert accuracy.sel(places | {"hidden": source}).mean() > 0.5
        assert accuracy.sel(places | {"aux_head": source, "hidden": source}).mean() < 0.3
    plotting.render(head_overlap.STUDY.figure(dataset))


def test_overlap_of_heads_is_measured_where_it_was_shared():
    config = head_overlap.Config(**SMALL, seeds=1, m=(4,))
    start = head_overlap.STUDY.run(config).isel(m=0, seed=0).overlap
    place = {"hidden": "random", "class_head": "shared", "aux_head": "other"}
    parts = start.sel(place)
    assert parts.sel(part="class_head") == pytest.approx(1, abs=1e-5)
    assert abs(parts.sel(part="hidden")) < 0.2
    assert abs(parts.sel(part="aux_head")) < 0.6


@pytest.fixture(scope="module")
def cloned():
    config = behavioural_cloning.Config(
        **SMALL, seeds=2, m=20, matching_epochs=(0, 2, 20), matching_inputs=(32, 512)
    )
    return behavioural_cloning.STUDY.run(config)


def test_no_matching_is_the_same_control_whatever_the_inputs(cloned):
    start = cloned.accuracy.sel(epochs=0)
    first = start.isel(inputs=[0, 0], n=[0, 0])
    np.testing.assert_array_equal(start, first)
    assert (cloned.transfer.sel(epochs=0) == 0).all()


def test_matching_makes_the_functions_alike_and_not_the_parameters(cloned):
    agreement = cloned.aux_agreement.sel(inputs="noise", n=512)
    assert (agreement.diff("epochs") > 0.005).all()
    more, fewer = (cloned.aux_agreement.sel(inputs="noise", n=n, epochs=20) for n in (512, 32))
    assert (more > fewer).all()
    assert (abs(cloned.overlap.sel(part="all")) < 0.3).all()
    assert results.failed_seeds(cloned) == []
    plotting.render(behavioural_cloning.STUDY.figure(cloned))


def test_golden_values(modes, cloned, golden):
    golden(modes)
    golden(cloned)
