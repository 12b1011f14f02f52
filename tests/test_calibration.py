"""Calibration: networks that are right as often as they say, and a reference in NumPy."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toymodels.measure.calibration import calibration_error, overconfidence

RNG = np.random.default_rng(0)


def confident(p, n=1):
    """Logits (n, 2) whose first class has the probability p."""
    return jnp.tile(jnp.log(jnp.array([p, 1 - p])), (n, 1))


def test_a_network_that_is_right_as_often_as_it_says_has_no_error(x64):
    logits = jnp.concatenate([confident(0.75, 4), confident(0.9, 10)])
    labels = jnp.array([0, 0, 0, 1] + [0] * 9 + [1])
    assert calibration_error(logits, labels) == pytest.approx(0, abs=1e-12)
    assert overconfidence(logits, labels) == pytest.approx(0, abs=1e-12)


def test_errors_of_opposite_signs_do_not_cancel_in_different_bins(x64):
    logits = jnp.concatenate([confident(0.75, 4), confident(0.95, 4)])
    labels = jnp.array([0, 0, 0, 0, 0, 0, 0, 1])  # right in 4 and 3 of 4
    assert calibration_error(logits, labels) == pytest.approx(0.5 * 0.25 + 0.5 * 0.2)
    assert overconfidence(logits, labels) == pytest.approx(-0.5 * 0.25 + 0.5 * 0.2)


def test_it_is_the_mean_over_bins_of_accuracy_and_confidence_apart(x64):
    logits, labels = RNG.normal(size=(300, 5)), RNG.integers(0, 5, 300)
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    confidence, right = p.max(1), p.argmax(1) == labels
    edges = np.linspace(0, 1, 11)
    expected = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (confidence >= low) & (confidence < high)
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    np.testing.assert_allclose(calibration_error(logits, labels, 10), expected, rtol=1e-12)
    signed = overconfidence(logits, labels)
    np.testing.assert_allclose(signed, confidence.mean() - right.mean(), rtol=1e-12)
    assert abs(signed) <= calibration_error(logits, labels, 10) + 1e-12
    np.testing.assert_allclose(calibration_error(logits, labels, 1), abs(signed), rtol=1e-12)


def test_certainty_falls_into_the_last_bin():
    sure = 1000 * jax.nn.one_hot(jnp.arange(3), 3)
    assert calibration_error(sure, jnp.arange(3)) == 0
    assert calibration_error(sure, (jnp.arange(3) + 1) % 3) == 1
