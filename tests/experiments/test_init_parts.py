"""Parts of an initialisation: all of it is the shared one, and none of it the independent one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import init_parts
from experiments.init_parts import AMOUNTS, ANGLES, Config
from tests.experiments.protocols import SMALL
from toymodels.inits.sharing import keep_largest
from toymodels.study import plotting

LAST = len(ANGLES) - 1


@pytest.fixture(scope="module")
def tiny():
    return init_parts.STUDY.run(Config(**SMALL))


def test_all_of_the_initialisation_is_the_student_of_the_reference_experiment(tiny, reference_runs):
    known = reference_runs.sel(student="student_aux")
    first = tiny.loss.sel(level=0)
    np.testing.assert_array_equal(first, first.isel(relation=[0] * len(AMOUNTS)))
    np.testing.assert_allclose(first.isel(relation=0), known.loss, rtol=1e-3)


def test_none_of_the_entries_is_the_independent_initialisation(tiny):
    """Both are W' itself: the teacher's masks keep nothing, and so do the largest entries."""
    last = tiny.loss.sel(level=LAST)
    independent = last.sel(relation=["rotation"] * 3)
    np.testing.assert_array_equal(last.sel(relation=["largest", "ticket", "moved"]), independent)


def test_the_measured_overlap_is_that_of_the_part(tiny):
    overlap = tiny.overlap.sel(part="all", drop=True).mean("seed")
    for relation in ("rotation", "orthogonal", "entries"):
        np.testing.assert_allclose(overlap.sel(relation=relation), ANGLES, atol=0.1)
    assert overlap.sel(relation="signs", level=LAST) == pytest.approx(2 / np.pi, abs=0.05)
    # The largest fifth of Gaussian numbers has .58 of their squares; a mask from elsewhere has .2.
    level = AMOUNTS["largest"].index(0.2)
    assert overlap.sel(relation="largest", level=level) > 0.45
    assert overlap.sel(relation="moved", level=level) < 0.4


def test_the_kept_entries_are_those_of_the_largest_scores():
    shape = {"a": (7, 9), "b": (5,)}
    keys = iter(jax.random.split(jax.random.key(0), 6))
    init, other, score = (
        {name: jax.random.normal(next(keys), size) for name, size in shape.items()}
        for _ in range(3)
    )
    kept = jax.jit(keep_largest)(init, other, score, jnp.float32(0.4))
    for name in shape:
        chosen = kept[name] == init[name]
        assert int(chosen.sum()) == round(0.4 * init[name].size)
        assert score[name][chosen].min() > score[name][~chosen].max()


def test_gained_accuracy_is_that_since_the_start(tiny):
    gain = tiny.accuracy.isel(epoch=-1) - tiny.accuracy.isel(epoch=0)
    np.testing.assert_allclose(tiny.gain, gain.transpose(*tiny.gain.dims), atol=1e-6)


def test_the_result_has_a_figure_and_findings(tiny):
    plotting.render(init_parts.STUDY.figure(tiny))
    rows = init_parts.STUDY.findings(tiny)
    gaps = [row.at for row in rows if "same overlap" in row.quantity]
    assert any(at.startswith("signs = 0, overlap = 0.6") for at in gaps)
    assert not any(at.startswith("rotation") for at in gaps)


def test_golden_values(tiny, golden):
    golden(tiny)
