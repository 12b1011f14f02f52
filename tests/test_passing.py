"""What passes from one network to another: shares in closed form, and what is undefined."""

import numpy as np
import xarray as xr

from toymodels.stats.passing import measure_passing

NAMES = ["teacher", "student", "unrelated"]


def make(success, images=(100.0, 100.0), failed=(False, False)):
    """A result of two seeds with these shares (victim, source, eps) of changed images."""
    images, ones = np.array(images), np.ones(2)
    success = np.asarray(success, float)
    changed = images[None, :, None, None, None] * success
    dims = ("poison", "seed")
    about = {"description": "words"}
    return xr.Dataset(
        {
            "changed": ((*dims, "victim", "source", "eps"), changed),
            "images": (dims, images[None]),
            "distance": ((*dims, "victim"), np.ones((1, 2, 3)), about),
            "distance_agreement": ((*dims, "other"), np.ones((1, 2, 2)), about),
            "read_as_target": (
                (*dims, "corner", "victim"),
                np.array([0.1, 0.7])[None, None, :, None] * ones[None, :, None, None] * np.ones(3),
            ),
            "failed": (dims, np.array([failed])),
        },
        {"poison": [0.0], "seed": [0, 1], "victim": NAMES, "source": [*NAMES, "random"]}
        | {"eps": [0.1, 0.2], "other": ["teacher", "unrelated"], "corner": ["plain", "white"]},
    )


def table(**values):
    """Shares (victim, source, eps): 0 but for pairs such as teacher_student (source, victim)."""
    success = np.zeros((3, 4, 2))
    for name, share in values.items():
        source, victim = name.split("_")
        success[NAMES.index(victim), [*NAMES, "random"].index(source)] = share
    return success


SHARES = table(
    teacher_student=(0.4, 0.8),
    unrelated_student=(0.2, 0.4),
    student_student=(0.6, 1.0),
    student_teacher=(0.1, 0.3),
    student_unrelated=(0.1, 0.1),
    teacher_teacher=(0.5, 0.7),
)


def test_excess_and_the_share_that_passes_have_their_closed_forms():
    runs = measure_passing(make(SHARES))
    there, back = ("teacher to student", "student to teacher")
    np.testing.assert_allclose(runs.excess.sel(direction=there, seed=0), [0.2, 0.4])
    np.testing.assert_allclose(runs.excess.sel(direction=back, seed=0), [0.0, 0.2])
    np.testing.assert_allclose(runs.passed.sel(direction=there), 0.6 / 1.0)
    np.testing.assert_allclose(runs.passed.sel(direction=back), 0.2 / 1.0)
    np.testing.assert_allclose(runs.trigger_rise, 0.6)
    assert runs.passed.attrs["units"] == runs.success.attrs["units"] == "1"


def test_a_student_that_is_its_teacher_is_as_good_a_source_and_a_stranger_is_not():
    own, foreign = (0.5, 0.9), (0.1, 0.3)
    same = {f"{a}_{b}": own for a in NAMES[:2] for b in NAMES[:2]}
    strangers = {f"unrelated_{b}": foreign for b in NAMES[:2]}
    strangers |= {f"{a}_unrelated": foreign for a in NAMES[:2]}
    np.testing.assert_allclose(measure_passing(make(table(**same, **strangers))).passed, 1)
    apart = {"student_student": own, "teacher_teacher": own, "teacher_student": foreign}
    apart |= {"student_teacher": foreign}
    np.testing.assert_allclose(measure_passing(make(table(**apart, **strangers))).passed, 0)


def test_what_rests_on_too_few_images_or_on_no_advantage_is_undefined():
    runs = measure_passing(make(SHARES, images=(0.0, 2.0)))
    for name in ("success", "excess", "passed", "distance"):
        assert runs[name].sel(seed=0).isnull().all(), name
        assert runs[name].sel(seed=1).notnull().all(), name
    assert runs.distance_agreement.isnull().all()
    none = measure_passing(make(table(teacher_student=0.1, unrelated_student=0.1)))
    assert none.passed.isnull().all()
    assert (none.excess == 0).all()


def test_a_point_that_failed_counts_nowhere():
    runs = measure_passing(make(SHARES, failed=(True, False)))
    for name in ("success", "excess", "passed", "distance", "distance_agreement", "trigger_rise"):
        assert runs[name].sel(seed=0).isnull().all(), name
        assert runs[name].sel(seed=1).notnull().all(), name
