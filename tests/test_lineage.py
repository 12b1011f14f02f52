import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from toymodels.measure import probes
from toymodels.measure.representations import subspace_cka
from toymodels.networks.models import MLP, functional
from toymodels.training import lineage
from toymodels.training.distillation import auxiliary_logits

NETWORK = functional(lambda rngs: MLP((6, 16, 7), rngs=rngs))
KEYS = jax.random.split(jax.random.key(0), 4)
QUERIES, K = (1, 8, 30), 3
SETS = [jax.random.normal(key, (30, 6)) for key in KEYS[2:]]


def query(params):
    return lineage.query(NETWORK, params, SETS, QUERIES, K)


@pytest.fixture(scope="module")
def candidates():
    references = jax.vmap(NETWORK.init)(jax.random.split(KEYS[0], 4))
    teachers = jax.vmap(NETWORK.init)(jax.random.split(KEYS[1], 4))
    return lineage.Candidates(references, teachers, jax.vmap(query)(teachers))


def test_the_teacher_itself_scores_highest_by_every_informative_probe(candidates):
    subset = auxiliary_logits(5, 2)
    teacher = jax.tree.map(lambda a: a[2], candidates.teachers)
    score = lineage.score_candidates(teacher, query(teacher), candidates, QUERIES, 5, subset)
    assert score.shape == (4, len(lineage.PROBES), 2, 3)
    best = dict.fromkeys(lineage.PROBES, 1.0) | {"distance": 0.0}
    for i, probe in enumerate(lineage.PROBES):
        # One row minus its mean is zero.
        expected = np.array([0 if probe == "cka" else 1, 1, 1]) * best[probe]
        np.testing.assert_allclose(score[2, i], [expected] * 2, atol=1e-5, err_msg=probe)
    assert (score[:, :, :, 2].argmax(0) == 2).all()


def test_scores_equal_the_probes(candidates):
    student, subset = NETWORK.init(jax.random.key(9)), auxiliary_logits(5, 2)
    score = lineage.score_candidates(student, query(student), candidates, QUERIES, 5, subset)
    teacher = jax.tree.map(lambda a: a[1], candidates.teachers)
    for j, x in enumerate(SETS):
        a, b = (NETWORK.latent(params, x[:8]) for params in (student, teacher))
        u, v = (np.asarray(NETWORK.apply(params, x[:8])) for params in (student, teacher))
        cosines = []
        for columns in (slice(5), slice(5, 7)):
            p, q = (z[:, columns] - z[:, columns].mean(1, keepdims=True) for z in (u, v))
            cosines.append((p * q).sum() / np.sqrt((p**2).sum() * (q**2).sum()))
        equal = (u[:, :5].argmax(1) == v[:, :5].argmax(1)).mean()
        expected = [probes.cka(a, b), subspace_cka(a, b, K), cosines[0], equal, cosines[1]]
        np.testing.assert_allclose(score[1, 3:, j, 1], expected, rtol=1e-4)


def test_a_tie_counts_in_part_and_a_failed_score_is_unknown():
    rows = [[1.0, 1.0, 1.0], [0.0, 2.0, 1.0], [3.0, 1.0, 3.0], [5.0, 1.0, 1.0], [np.nan] * 3]
    coords = {"student": range(5), "candidate": range(3), "source": ("student", [0, 1, 2, 1, 0])}
    score = xr.DataArray(rows, coords, dims=("student", "candidate"))
    got = lineage.identify(score)
    np.testing.assert_allclose(got, [1 / 3, 1, 1 / 2, 0, np.nan])
    assert jnp.isnan(got[-1].item())
