"""Frozen heads: what stays, matched epochs, and pixels as the reported protocol has them."""

import dataclasses

import jax
import numpy as np
import pytest
import xarray as xr

from experiments import frozen_heads
from experiments.frozen_heads import MEAN, PRESETS, PROTOCOL, PUBLISHED, SPREAD, Config
from toymodels.errors import UserError
from toymodels.study import plotting
from toymodels.training import tasks
from toymodels.training.config import follows
from toymodels.training.protocol import reference_protocol, seed_keys

TINY = Config(
    dataset="digits",
    seeds=2,
    loss="mse",
    widths=(16,),
    noise_images=256,
    teacher_epochs=(1, 3),
    student_epochs=3,
)


@pytest.fixture(scope="module")
def tiny():
    return frozen_heads.STUDY.run(TINY)


@pytest.fixture(scope="module")
def protocol():
    config, task, data = tasks.load(TINY, None)
    config = config.at(teacher_epochs=1, noise_images=64)
    network = frozen_heads.network(config, task)
    changed = frozen_heads.change_noise(reference_protocol(config, task, network), config)
    return changed, jax.tree.map(lambda a: a[:128], data)


@pytest.mark.parametrize("frozen", [True, False])
def test_heads_are_orthonormal_and_stay_so_where_they_are_frozen(protocol, frozen):
    changed, data = protocol
    changed = frozen_heads.freeze_heads(changed, np.array(frozen))
    lesson, _ = jax.jit(changed.prepare)(data, 0)
    start, end = lesson.reference["head"], lesson.teacher["head"]
    np.testing.assert_allclose(start["kernel"].T @ start["kernel"], np.eye(13), atol=1e-5)
    assert not start["bias"].any()
    for name in ("kernel", "bias"):
        moved = np.asarray(start[name] != end[name])
        assert moved[..., :10].any() == (not frozen)
        assert not moved[..., 10:].any()  # no gradient
    hidden = [lesson.reference["hidden1"]["kernel"], lesson.teacher["hidden1"]["kernel"]]
    assert (hidden[0] != hidden[1]).any()


def test_noise_is_standard_normal_in_standardised_pixels(protocol):
    x = protocol[0].noise(seed_keys(0).noise, 1000)
    standard = ((x + 1) / 2 - MEAN) / SPREAD
    assert float(standard.mean()) == pytest.approx(0, abs=0.02)
    assert float(standard.std()) == pytest.approx(1, abs=0.02)


def test_matched_pairs_have_as_many_epochs_of_both(tiny):
    for n in TINY.teacher_epochs:
        ours = tiny.matched_accuracy.sel(teacher_epochs=n)
        expected = tiny.accuracy.sel(teacher_epochs=n, epoch=n, drop=True)
        np.testing.assert_array_equal(ours, expected.transpose(*ours.dims))
        own, other = (expected.sel(start=start, drop=True) for start in ("shared", "other"))
        teacher = tiny.teacher_accuracy.sel(teacher_epoch=n, drop=True)
        share = ((own - other) / (teacher - other)).where(teacher > other)
        xr.testing.assert_allclose(
            tiny.transfer.sel(teacher_epochs=n, drop=True), share.transpose("seed", "heads")
        )


def test_a_checkpoint_is_the_teacher_that_stops_and_no_pair_depends_on_the_others(tiny):
    alone = dataclasses.replace(TINY, teacher_epochs=(1,), student_epochs=1, heads=("free",))
    alone = frozen_heads.STUDY.run(alone)
    whole = tiny.sel(heads=["free"], teacher_epochs=[1])
    for name in ("matched_accuracy", "transfer"):
        np.testing.assert_allclose(alone[name], whole[name], atol=1e-5, err_msg=name)
    np.testing.assert_allclose(alone.loss, whole.loss.sel(epoch=[0, 1]), rtol=1e-3)


def test_the_heads_that_are_frozen_start_as_those_that_are_free(tiny):
    first = tiny.isel(epoch=0, teacher_epoch=0)
    frozen, free = (first.sel(heads=heads) for heads in ("frozen", "free"))
    for name in ("accuracy", "teacher_accuracy"):
        np.testing.assert_array_equal(frozen[name], free[name])
    last = tiny.loss.isel(epoch=-1)
    assert (last.sel(heads="frozen") != last.sel(heads="free")).any()


def test_findings_and_figure(tiny):
    plotting.render(frozen_heads.STUDY.figure(tiny))
    rows = frozen_heads.findings(tiny)
    at = [row.at for row in rows if row.quantity == "Test accuracy less that at 3 epochs of both"]
    assert at == ["frozen", "free"]
    single = tiny.sel(heads=["frozen"], teacher_epochs=[3])
    assert len(frozen_heads.findings(single)) == 1
    plotting.render(frozen_heads.STUDY.figure(single))


def test_reported_points_stand_only_beside_the_reported_protocol():
    paper = PRESETS["paper"]
    assert follows(dataclasses.asdict(paper), PROTOCOL)
    assert not follows(dataclasses.asdict(PRESETS["quick"]), PROTOCOL)
    assert set(PUBLISHED) <= set(paper.teacher_epochs)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            {"student_epochs": 2},
            "student_epochs must be at least the largest of teacher_epochs; got 2 and 3",
        ),
        ({"heads": ("cold",)}, "heads must be one of frozen, free; got 'cold'"),
        ({"teacher_epochs": (0,)}, "teacher_epochs must be at least 1; got .*"),
    ],
)
def test_bad_config_is_one_sentence(change, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        dataclasses.replace(TINY, **change)


def test_a_network_too_narrow_for_orthonormal_heads_is_refused():
    with pytest.raises(UserError, match=r"^width of the last hidden layer .* 13 logits.*; got 12$"):
        frozen_heads.STUDY.run(dataclasses.replace(TINY, widths=(12,)))


def test_golden_values(tiny, golden):
    golden(tiny)
