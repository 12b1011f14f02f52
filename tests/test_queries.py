"""Answers from logits to one bit: what rounding loses, what entropy is, what is asked first."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from toymodels.errors import UserError
from toymodels.training import losses, queries
from toymodels.training.distillation import argmax_labels, auxiliary_logits

CLASSES, M = 4, 3
AUX = auxiliary_logits(CLASSES, M)
LOGITS = jnp.asarray(np.random.default_rng(0).normal(size=(200, CLASSES + M)) * 3, jnp.float32)
ALL = jnp.ones(len(LOGITS), bool)


@pytest.mark.parametrize("bits", [1, 2, 5])
def test_b_bits_have_two_to_the_b_values_and_an_error_of_half_a_cell(bits):
    values, codes = queries.round_logits(LOGITS, AUX, bits)
    kept = np.asarray(LOGITS)[:, CLASSES:]
    cell = np.ptp(kept) / 2**bits
    assert len(np.unique(np.asarray(values)[:, CLASSES:])) <= 2**bits
    assert set(np.unique(codes)) <= set(range(2**bits))
    assert abs(np.asarray(values)[:, CLASSES:] - kept).max() <= cell / 2 * (1 + 1e-5)
    assert not np.any(values[:, :CLASSES])
    assert not np.any(codes[:, :CLASSES])


def test_both_ends_of_the_range_are_in_a_cell():
    _, codes = queries.round_logits(LOGITS, AUX, 2)
    kept = np.asarray(LOGITS)[:, CLASSES:]
    assert np.asarray(codes)[:, CLASSES:].ravel()[[kept.argmin(), kept.argmax()]].tolist() == [0, 3]


def test_very_many_bits_are_the_logits_themselves():
    values, _ = queries.round_logits(LOGITS, AUX, 24)
    np.testing.assert_allclose(values[:, CLASSES:], LOGITS[:, CLASSES:], rtol=0, atol=2e-6)


def test_equal_logits_are_rounded_to_themselves():
    values, codes = queries.round_logits(jnp.full((2, CLASSES + M), 1.5), AUX, 3)
    np.testing.assert_array_equal(values[:, CLASSES:], 1.5)
    assert not np.any(codes)


def test_the_logits_outside_the_subset_are_not_read():
    other = LOGITS.at[:, :CLASSES].set(1e6)
    pairs = queries.draw_pairs(jax.random.key(0), len(LOGITS), AUX)
    for read in (
        lambda x: queries.round_logits(x, AUX, 3),
        lambda x: queries.lead(x, AUX),
        lambda x: queries.compare_logits(x, pairs),
    ):
        same = jax.tree.map(jnp.array_equal, read(LOGITS), read(other))
        assert jax.tree.all(same)


def test_pairs_are_all_pairs_of_the_subset_equally_often():
    pairs = np.asarray(queries.draw_pairs(jax.random.key(0), 3000, AUX))
    kinds, counts = np.unique(pairs, axis=0, return_counts=True)
    assert kinds.tolist() == [[4, 5], [4, 6], [5, 6]]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_a_pair_needs_two_logits():
    with pytest.raises(UserError, match=r"^subset must hold two logits at least; got 1$"):
        queries.draw_pairs(jax.random.key(0), 3, auxiliary_logits(CLASSES, 1))


def test_a_comparison_names_the_larger_logit_and_says_nothing_of_how_much():
    pairs = queries.draw_pairs(jax.random.key(0), len(LOGITS), AUX)
    values, codes = queries.compare_logits(LOGITS, pairs)
    first, second = (np.take_along_axis(np.asarray(LOGITS), pairs[:, [i]], 1)[:, 0] for i in (0, 1))
    np.testing.assert_allclose((values * LOGITS).sum(-1), abs(first - second), rtol=1e-5, atol=1e-6)
    assert set(np.unique(values)) == {-1, 0, 1}
    winner = np.where(first > second, *pairs.T)
    np.testing.assert_array_equal(codes[:, 0] // (CLASSES + M), winner)


def test_with_two_logits_a_comparison_is_the_largest_and_has_its_loss():
    two = auxiliary_logits(CLASSES + M - 2, 2)
    pairs = queries.draw_pairs(jax.random.key(0), len(LOGITS), two)
    given, _ = queries.compare_logits(LOGITS, pairs)
    labels = argmax_labels(LOGITS, two)
    np.testing.assert_array_equal(given == 1, labels == 1)
    student = LOGITS[::-1]
    ours = losses.comparisons()(student, given, two)
    np.testing.assert_allclose(ours, losses.labels()(student, labels, two), rtol=1e-5)
    np.testing.assert_allclose(queries.lead(LOGITS, two), abs(queries.difference(LOGITS, pairs)))


def test_the_lead_is_that_of_the_sorted_logits():
    ranked = np.sort(np.asarray(LOGITS)[:, CLASSES:], axis=-1)
    np.testing.assert_array_equal(queries.lead(LOGITS, AUX), ranked[:, -1] - ranked[:, -2])


@pytest.mark.parametrize("counts", [[5, 0, 0], [4, 4, 0], [1, 2, 5]])
def test_the_entropy_of_known_answers(counts):
    codes = jnp.asarray(np.repeat(np.arange(3), counts))[:, None]
    told = jnp.ones(len(codes), bool)
    expected = stats.entropy(counts)
    np.testing.assert_allclose(queries.entropy(codes, 8, told), expected, rtol=1e-5, atol=1e-7)
    both = jnp.concatenate([codes, codes[::-1]], axis=1)  # entropies of parts are summed
    np.testing.assert_allclose(queries.entropy(both, 8, told), 2 * expected, rtol=1e-5, atol=1e-7)


def test_only_what_is_told_has_entropy_and_a_constant_has_none():
    codes = queries.number_labels(argmax_labels(LOGITS, AUX)).codes
    few = queries.entropy(codes[:50], CLASSES + M, ALL[:50])
    np.testing.assert_allclose(queries.entropy(codes, CLASSES + M, jnp.arange(200) < 50), few)
    assert queries.entropy(codes, CLASSES + M, jnp.arange(200) < 1) == 0


def test_no_answer_of_k_values_has_more_than_ln_k():
    for bits in (1, 3):
        codes = queries.round_logits(LOGITS, AUX, bits).codes
        assert 0 < queries.entropy(codes, 2**bits, ALL) <= M * bits * np.log(2)
