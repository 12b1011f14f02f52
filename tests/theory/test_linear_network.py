"""Linear students: closed forms against explicit training and integration, and exact zeros."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toymodels.theory import linear_network as theory
from toymodels.training import losses
from toymodels.training.distillation import answer_inputs, distil

K, M, D, P, N = 3, 4, 7, 6, 12
SUBSET = jnp.arange(K + M) >= K


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def train_student(network, start, teacher, x, imitation, rate, steps):
    """Full-batch gradient descent on the auxiliary logits alone."""
    params, _ = distil(
        network,
        jax.tree.map(jnp.asarray, start),
        answer_inputs(network, jax.tree.map(jnp.asarray, teacher), jnp.asarray(x), len(x)),
        imitation,
        SUBSET,
        optax.sgd(rate),
        epochs=steps,
        observe=lambda params: (),
        key=jax.random.key(0),
    )
    return params


@pytest.mark.parametrize("imitation", [losses.mse(), losses.kl(2.0)], ids=["mse", "kl"])
@pytest.mark.parametrize("optimiser", [optax.sgd(0.3), optax.adam(0.1)], ids=["sgd", "adam"])
def test_a_student_of_one_layer_transfers_nothing_to_the_bit(imitation, optimiser):
    """In float32: the class rows are the bits they were, whatever the auxiliary rows do."""
    network, x = theory.single_layer(P, K + M), jnp.float32(draw(0, N, P))
    start, teacher = ({"rows": jnp.float32(draw(seed, K + M, P))} for seed in (1, 2))
    student, _ = distil(
        network,
        start,
        answer_inputs(network, teacher, x, 5),
        imitation,
        SUBSET,
        optimiser,
        epochs=7,
        observe=lambda params: (),
        key=jax.random.key(0),
    )
    np.testing.assert_array_equal(student["rows"][:K], start["rows"][:K])
    assert (student["rows"][K:] != start["rows"][K:]).all()


@pytest.mark.usefixtures("x64")
class TestFloat64:
    covariance = draw(5, N, P).T @ draw(5, N, P) / N
    start, target = draw(6, D, P), draw(7, D, P)
    aux, x = draw(8, M, D) / np.sqrt(D), draw(5, N, P)

    def test_one_layer_is_its_own_training(self):
        start, target = draw(1, K + M, P), draw(2, K + M, P)
        found = theory.single_layer_flow(start, target, SUBSET, self.covariance, 0.8)
        small = train_student(
            theory.single_layer(P, K + M),
            {"rows": start},
            {"rows": target},
            self.x,
            losses.mse(),
            1e-4,
            8000,
        )
        np.testing.assert_allclose(found, small["rows"], atol=1e-3)
        np.testing.assert_array_equal(found[:K], start[:K])
        ended = theory.single_layer_flow(start, target, SUBSET, self.covariance, 1e4)
        np.testing.assert_allclose(ended[K:], target[K:], atol=1e-10)

    def test_gradient_descent_is_the_training_of_the_network_step_by_step(self):
        heads = np.concatenate([draw(9, K, D), self.aux])
        student = train_student(
            theory.two_layers(P, D, K + M),
            {"latent": self.start, "heads": heads},
            {"latent": self.target, "heads": heads},
            self.x,
            losses.mse(),
            0.1,
            50,
        )
        found = theory.gradient_descent(self.start, self.target, self.aux, self.covariance, 0.1, 50)
        np.testing.assert_allclose(student["latent"], found, rtol=0, atol=1e-10)
        np.testing.assert_array_equal(student["heads"], heads)

    def test_a_student_with_other_heads_sees_another_target(self):
        own = self.aux + draw(10, M, D)
        classes = draw(9, K, D)
        student = train_student(
            theory.two_layers(P, D, K + M),
            {"latent": self.start, "heads": np.concatenate([classes, own])},
            {"latent": self.target, "heads": np.concatenate([classes, self.aux])},
            self.x,
            losses.mse(),
            0.02,
            40,
        )
        target = theory.project_target(self.target, self.aux, own)
        found = theory.gradient_descent(self.start, target, own, self.covariance, 0.02, 40)
        np.testing.assert_allclose(student["latent"], found, rtol=0, atol=1e-10)

    def test_flow_solves_its_equation_and_ends_in_its_limit(self):
        at = [
            theory.gradient_flow(self.start, self.target, self.aux, self.covariance, t)
            for t in (0.0, 0.5, 0.5 + 1e-6)
        ]
        np.testing.assert_allclose(at[0], self.start, atol=1e-12)
        slope = -2 / M * self.aux.T @ self.aux @ (at[1] - self.target) @ self.covariance
        np.testing.assert_allclose((at[2] - at[1]) / 1e-6, slope, atol=1e-5)
        end = theory.limit(self.start, self.target, self.aux)
        late = theory.gradient_flow(self.start, self.target, self.aux, self.covariance, 1e7)
        np.testing.assert_allclose(late, end, rtol=0, atol=1e-10)
        np.testing.assert_allclose(self.aux @ end, self.aux @ self.target, rtol=0, atol=1e-10)
        _, _, rows = np.linalg.svd(self.aux)
        unseen = rows[M:]
        np.testing.assert_allclose(unseen @ end, unseen @ self.start, rtol=0, atol=1e-10)

    def test_many_small_steps_are_the_flow(self):
        flow = theory.gradient_flow(self.start, self.target, self.aux, self.covariance, 1.0)
        steps = theory.gradient_descent(
            self.start, self.target, self.aux, self.covariance, 1e-6, 10**6
        )
        np.testing.assert_allclose(flow, steps, rtol=0, atol=1e-5)

    def test_trained_heads_follow_their_flow_to_first_order_in_the_change(self):
        latent, variance, time = draw(11, D, P) / np.sqrt(P), 0.7, 2.0

        def error(size):
            change = size * self.target
            found = theory.trainable_heads(change, self.aux, latent, variance, time)
            moved, heads = theory.trainable_heads_flow(
                (latent, self.aux), latent + change, variance * jnp.eye(P), time, 400
            )
            kept = heads.T @ heads - moved @ moved.T
            conserved = self.aux.T @ self.aux - latent @ latent.T
            np.testing.assert_allclose(kept, conserved, rtol=0, atol=1e-10)
            return float(jnp.abs(found - (moved - latent)).max() / size)

        assert error(1e-8) < 1e-6
        assert error(1e-4) / error(1e-5) == pytest.approx(10, rel=0.05)

    def test_trained_heads_are_the_training_of_the_network(self):
        heads = np.concatenate([draw(9, K, D), self.aux])
        student = train_student(
            theory.two_layers(P, D, K + M, trained=True),
            {"latent": self.start, "heads": heads},
            {"latent": self.target, "heads": heads},
            self.x,
            losses.mse(),
            1e-4,
            5000,
        )
        moved, aux = theory.trainable_heads_flow(
            (self.start, self.aux), self.target, self.covariance, 0.5, 500
        )
        np.testing.assert_allclose(student["latent"], moved, atol=1e-3)
        np.testing.assert_allclose(student["heads"][K:], aux, atol=1e-3)
        np.testing.assert_array_equal(student["heads"][:K], heads[:K])

    def test_what_the_latent_does_not_see_is_recovered_as_with_frozen_heads(self):
        latent = jnp.zeros((D, P)).at[:, :2].set(draw(11, D, 2))
        change = jnp.zeros((D, P)).at[:, 2:].set(draw(12, D, P - 2))
        found = theory.trainable_heads(change, self.aux, latent, 0.7, 2.0)
        frozen = theory.gradient_flow(0 * change, change, self.aux, 0.7 * jnp.eye(P), 2.0)
        np.testing.assert_allclose(found, frozen, rtol=0, atol=1e-10)


def averages(samples):
    """Mean and standard error."""
    samples = np.array(samples)
    return samples.mean(0), samples.std(0, ddof=1) / np.sqrt(len(samples))


def heads(rng, m, d):
    return rng.normal(size=(m, d)) / np.sqrt(d)


def project(rows):
    return np.linalg.pinv(rows) @ rows


@pytest.mark.parametrize("m", [1, 4, 9, 15])
def test_recovered_energy_is_the_share_of_the_rows_in_expectation(m):
    """Of a change of a single direction as of one of all."""
    rng, d = np.random.default_rng(m), 9
    one = np.eye(d)[:, :1]
    found = [np.square(project(heads(rng, m, d)) @ one).sum() for _ in range(2000)]
    mean, error = averages(found)
    assert abs(mean - theory.energy(m, d)) <= 4 * error + 1e-12
    change = np.eye(d)
    found = np.square(project(heads(rng, m, d)) @ change).sum() / d
    assert found == pytest.approx(theory.energy(m, d), abs=1e-10)


@pytest.mark.parametrize(("m", "d"), [(60, 200), (300, 200)])
def test_the_gain_after_a_time_by_marchenko_and_pastur(m, d):
    rng = np.random.default_rng(0)
    rates = 2 * np.linalg.svd(heads(rng, m, d), compute_uv=False) ** 2 / m

    def gain(rates):
        return 1 - np.exp(-rates * m / 3)

    expected = gain(rates).sum() / d
    assert theory.mean_gain(m, d, gain) == pytest.approx(expected, rel=0.01)
    assert theory.mean_gain(m, d, np.ones_like) == pytest.approx(theory.energy(m, d))


def test_trained_heads_by_marchenko_and_pastur():
    rng, m, d, p = np.random.default_rng(0), 60, 120, 240
    a = np.linalg.svd(heads(rng, m, d), compute_uv=False)
    w = np.linalg.svd(rng.normal(size=(d, p)) / np.sqrt(p), compute_uv=False)
    w = np.append(w, np.zeros(p - d))
    both = a[:, None] ** 2 + w**2

    def gain(rates):
        return 1 - np.exp(-rates * m / 2)

    expected = (a[:, None] ** 2 / both * gain(2 * both / m)).sum() / (d * p)
    assert theory.mean_gain_trainable(m, d, p, gain) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(("m", "k"), [(3, 1), (3, 4), (10, 4), (24, 4), (5, 25)])
def test_class_logits_change_as_correlated_as_said(m, k):
    """Ratio of expectations, not the mean of a ratio: a few per cent where k is small."""
    rng, d, found = np.random.default_rng(m), 25, []
    for _ in range(400):
        frame = np.linalg.qr(rng.normal(size=(d, k)))[0].T
        moved = frame @ project(heads(rng, m, d)) @ frame.T
        found.append([np.trace(moved) ** 2, k * np.square(moved).sum(), np.trace(moved) / k])
    (square, norm, share), error = averages(found)
    exact = theory.class_correlation(m, d, k)
    assert exact == pytest.approx(np.sqrt(square / norm), rel=0.03)
    assert abs(share - theory.energy(m, d)) <= 4 * error[2] + 1e-12
    if k in (1, d):  # exact: all of it, and the share of the energy
        assert exact**2 == pytest.approx(1 if k == 1 else m / d, rel=1e-12)


def test_far_from_the_width_the_correlation_knows_nothing_of_it():
    for m, k in ((2, 10), (20, 10)):
        limit = np.sqrt((m + 2 / k) / (m + k + 1))
        assert theory.class_correlation(m, 10**7, k) == pytest.approx(limit, rel=1e-5)
    assert theory.class_correlation(10, 10, 3) == 1.0


@pytest.mark.parametrize(("m", "d"), [(3, 10), (12, 10), (25, 10)])
def test_rotated_latents_and_heads_in_expectation(m, d):
    rng, p, rho, init = np.random.default_rng(m), 200, 0.8, 4.0
    turn = np.sqrt(1 - rho**2)
    latents, others = [], []
    for _ in range(400):
        change = rng.normal(size=(d, p)) / np.sqrt(d * p)
        first, second = np.sqrt(init) * rng.normal(size=(2, d, p)) / np.sqrt(d * p)
        aux, aux2 = heads(rng, m, d), heads(rng, m, d)
        start = rho * first + turn * second
        seen = project(aux)
        step = seen @ (first + change - start)
        latents.append(
            [(step * change).sum(), (step**2).sum(), ((start + step - first - change) ** 2).sum()]
        )
        own = rho * aux + turn * aux2
        target = first + change
        end = first + np.linalg.pinv(own) @ (aux @ target - own @ first)
        others.append(np.square(end - target).sum())
    (inner, norm, error), spread = averages(latents)
    cosine, expected = theory.latent_rotation(m, d, rho, init)
    assert inner / np.sqrt(norm) == pytest.approx(cosine, rel=0.02)
    assert abs(error - expected) <= 4 * spread[2] + 1e-12
    mean, spread = averages(others)
    _, expected = theory.head_rotation(m, d, rho, init)
    if m != 12:  # next to the threshold the mean is ruled by samples that do not come
        assert abs(mean - expected) < 4 * spread


def test_heads_that_are_shared_are_those_of_the_base_case_and_others_diverge_at_m_equal_d():
    assert theory.head_rotation(10, 10, 1.0, 4.0) == (1.0, 0.0)
    assert theory.head_rotation(5, 10, 1.0, 4.0) == (0.5, 0.5)
    assert theory.head_rotation(10, 10, 0.99, 4.0)[1] == np.inf
    assert theory.latent_rotation(20, 10, 0.0, 4.0)[1] == 0


def test_a_head_each_takes_a_factor_rho_of_the_class_change():
    rng, d, m, rho = np.random.default_rng(0), 12, 6, 0.7
    turn, shares = np.sqrt(1 - rho**2), []
    for _ in range(4000):
        a, a2, c, c2 = (heads(rng, rows, d) for rows in (m, m, 1, 1))
        own, read = rho * a + turn * a2, rho * c + turn * c2
        shares.append((read @ np.linalg.pinv(own) @ a @ c.T).item() / np.square(c).sum())
    mean, error = averages(shares)
    assert abs(mean - theory.head_rotation(m, d, rho, 0.0)[0]) < 4 * error
