"""What is done to documents, and what they tell: by hand, exactly, and against other code."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from toymodels.language import audit, carriers, defences, filters, pipeline
from toymodels.language.vocabulary import IDS, NUMBERS
from toymodels.networks.sampling import sample

KEY, OTHER = jax.random.split(jax.random.key(0))


@pytest.fixture(scope="module")
def model():
    model = pipeline.model(width=8, depth=1, heads=2, pack=1)
    return model._replace(init=jax.jit(model.init))


@pytest.fixture(scope="module")
def params(model):
    return model.init(KEY)


@pytest.fixture(scope="module")
def documents():
    return carriers.write_numbers(KEY, 300)


@pytest.fixture(scope="module")
def rewrite(model, params):
    return jax.jit(lambda rows, key, share: defences.rewrite_ends(model, params, rows, key, share))


@pytest.fixture(scope="module")
def likelihood(model):
    return jax.jit(lambda params, rows: audit.log_likelihood(model, params, rows))


def test_log_likelihood_is_the_sum_over_tokens(model, params, documents, likelihood, monkeypatch):
    logits = np.asarray(jax.jit(model.apply)(params, documents), np.float64)
    log_p = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    by_hand = [
        sum(log_p[i, at, document[at + 1]] for at in range(15))
        for i, document in enumerate(np.asarray(documents))
    ]
    np.testing.assert_allclose(likelihood(params, documents), by_hand, rtol=1e-5)
    monkeypatch.setattr(audit, "AT_ONCE", 7)  # which does not divide 300
    in_parts = jax.jit(lambda: audit.log_likelihood(model, params, documents))()
    np.testing.assert_allclose(in_parts, by_hand, rtol=1e-5)


def test_a_model_that_knows_nothing_gives_every_document_the_same(params, documents, likelihood):
    blank = jax.tree.map(jnp.zeros_like, params)
    np.testing.assert_allclose(likelihood(blank, documents), -15 * np.log(len(IDS)), rtol=1e-6)


def test_the_filter_takes_the_highest_of_those_that_count():
    scores = jnp.array([3.0, -1.0, 7.0, 7.0, 5.0, 0.0, 9.0])
    candidates = jnp.array([True, True, True, True, True, True, False])
    taken = {
        share: defences.select_highest(scores, candidates, share) for share in (0, 1 / 6, 0.5, 1)
    }
    assert not taken[0].any()
    assert np.flatnonzero(taken[1 / 6]).tolist() == [2]  # the first of two that are equal
    assert np.flatnonzero(taken[0.5]).tolist() == [2, 3, 4]
    np.testing.assert_array_equal(taken[1], candidates)
    for tenths in range(11):
        count = defences.select_highest(jnp.arange(10.0), jnp.ones(10, bool), tenths / 10).sum()
        assert count == tenths


def test_shifted_numbers_keep_their_steps(documents):
    np.testing.assert_array_equal(defences.shift_numbers(documents, KEY, 0.0), documents)
    moved = defences.shift_numbers(documents, KEY, 1.0)
    assert filters.judge(moved, 0, 0).kept.all()
    by = (moved - documents)[:, 1:] % NUMBERS
    assert (by == by[:, :1]).all()
    assert (by > 0).all()
    assert len(np.unique(by)) > 40
    half = defences.shift_numbers(documents, KEY, 0.5)
    changed = (half != documents).any(1)
    assert 100 < changed.sum() < 200
    np.testing.assert_array_equal(half[changed], moved[changed])


def test_a_document_rewritten_whole_is_a_sample_and_not_at_all_is_itself(
    model, params, documents, rewrite
):
    np.testing.assert_array_equal(rewrite(documents, KEY, 0.0), documents)
    whole = rewrite(documents, KEY, 1.0)
    drawn = jax.jit(lambda rows: sample(model, params, rows, 16, KEY))(documents[:, :1])
    np.testing.assert_array_equal(whole, drawn)
    half = rewrite(documents, KEY, 7 / 15)
    np.testing.assert_array_equal(half[:, :9], documents[:, :9])
    assert ((half != documents)[:, 9:].mean(0) > 0.5).all()


def test_bags_are_sums_and_nested():
    scores = jnp.stack([jnp.arange(5.0), jnp.ones(5)])
    sums = audit.sum_bags(scores, KEY, (1, 3, 64), 200)
    assert sums.shape == (2, 200, 3)
    np.testing.assert_array_equal(sums[1], [[1, 3, 64]] * 200)
    assert set(np.asarray(sums[0, :, 0])) == set(range(5))
    assert (sums[0, :, 0] <= sums[0, :, 1]).all()
    assert sums[0, :, 2].mean() == pytest.approx(64 * 2, rel=0.05)


def test_a_teacher_that_is_the_base_is_not_detected(params, documents, likelihood):
    ratio = likelihood(params, documents) - likelihood(params, documents)
    np.testing.assert_array_equal(ratio, 0)
    sums = audit.sum_bags(ratio, KEY, (1, 16), 50)
    np.testing.assert_array_equal(audit.roc_area(sums, sums), 0.5)
    np.testing.assert_array_equal(audit.attribution_rate(jnp.stack([sums] * 4), 2), 0.25)


def test_detection_is_the_area_under_the_curve():
    guilty = jnp.round(2 * jax.random.normal(KEY, (40, 2)) + 1)
    innocent = jnp.round(2 * jax.random.normal(OTHER, (30, 2)))
    labels = np.repeat([1, 0], [40, 30])
    scores = np.concatenate([guilty, innocent])
    area = [roc_auc_score(labels, column) for column in scores.T]
    np.testing.assert_allclose(audit.roc_area(guilty, innocent), area, rtol=1e-6)


def test_the_likeliest_candidate_is_named(model, params, likelihood):
    """Of two models from independent inits, each is the likeliest of its own samples, if there are enough."""
    both = [params, model.init(OTHER)]
    judges = jax.tree.map(lambda *a: jnp.stack(a), *both)
    write = jax.jit(lambda params: pipeline.write(model, params, 0, 400, KEY))
    texts = jnp.stack([write(author) for author in both])
    trials = jax.jit(lambda: audit.score_bags(model, judges, texts, KEY, (1, 16), 100))()
    for source, totals in enumerate(trials):
        assert totals.shape == (2, 100, 2)
        right = audit.attribution_rate(totals, source)
        assert 0.6 < right[0] <= right[1]
        assert right[1] == 1
    singles = [float(likelihood(judge, texts[1]).mean()) for judge in both]
    np.testing.assert_allclose(trials[1][:, :, 1].mean(1) / 16, singles, rtol=0.02)
