"""Memorised labels that leak: limits with closed forms, identities, and explicit simulation."""

import numpy as np
import pytest
from scipy import optimize, special

from toymodels.theory import leakage as theory


def teacher_at(rng, d, alpha, penalty):
    """Inputs signed by their labels (n, d), and the weights of a logistic teacher (d,)."""
    n = round(alpha * d)
    x = rng.normal(size=(n, d)) / np.sqrt(d)
    y = rng.choice([-1.0, 1.0], size=n)
    z = x * y[:, None]

    def loss(w):
        return np.logaddexp(0, -z @ w).sum() + penalty * w @ w / 2

    def slope(w):
        return penalty * w - special.expit(-z @ w) @ z

    def curvature(w):
        p = special.expit(z @ w)
        return (z.T * (p * (1 - p))) @ z + penalty * np.eye(d)

    found = optimize.minimize(loss, np.zeros(d), jac=slope, hess=curvature, method="trust-exact")
    return z, found.x


@pytest.mark.parametrize(
    ("alpha", "rho", "penalty"), [(0.8, 0.5, 0.01), (1.5, 0.4, 0.1), (3.0, 0.2, 1.0)]
)
def test_teacher_and_student_are_as_said(alpha, rho, penalty):
    rng, d, found = np.random.default_rng(0), 60, []
    for _ in range(25):
        z, w = teacher_at(rng, d, alpha, penalty)
        seen = round(rho * len(z))
        v = np.linalg.pinv(z[:seen]) @ (z[:seen] @ w)
        known = (z[seen:] @ v > 0).mean()
        found.append([w @ w / d, (z @ w > 0).mean(), v @ v / (w @ w), known])
    mean, error = np.mean(found, 0), np.std(found, 0, ddof=1) / np.sqrt(len(found))
    teacher = theory.logistic(alpha, penalty)
    student = theory.student(teacher, rho)
    expected = np.array([teacher.q, teacher.accuracy, student.overlap**2, student.held_out])
    # Corrections of order 1 / d beside the spread over seeds.
    np.testing.assert_array_less(abs(mean / expected - 1), 4 * error / expected + 2 / d)


def test_the_cavity_field_of_the_training_inputs_solves_the_teachers_equation():
    teacher = theory.logistic(1.3, 0.05)
    omega, weight = theory.normal(teacher.q)
    v = (1 - teacher.u) / 0.05
    c = teacher.pull(omega) / v
    np.testing.assert_allclose(c, special.expit(-omega - v * c), atol=1e-12)
    assert teacher.q == pytest.approx(1.3 * v**2 * weight @ c**2, rel=1e-10)
    # u = V L = -alpha V E dc/domega, by parts: -alpha V E[omega c] / q.
    assert teacher.u == pytest.approx(-1.3 * v * weight @ (omega * c) / teacher.q, rel=1e-10)


@pytest.mark.parametrize("omega", [-30.0, -1.0, 0.0, 2.0, 40.0])
@pytest.mark.parametrize("v", [1e-6, 1.0, 1e6])
def test_the_pull_of_an_input_is_the_minimum_of_its_loss(omega, v):
    pull = theory.logistic_pull(np.array([omega]), v)[0]
    at = np.longdouble(pull)
    assert pull == pytest.approx(v / (1 + np.exp(np.longdouble(omega) + at)), rel=1e-9)


def test_as_the_penalty_goes_to_zero_the_margin_is_the_largest():
    """|w| grows without end, but only its direction counts: slowly, as 1 / log(1 / penalty)."""
    hard = theory.student(theory.hard_margin(1.0), 0.6)
    gaps = [
        abs(theory.student(theory.logistic(1.0, penalty), 0.6).held_out - hard.held_out)
        for penalty in (1e-2, 1e-5, 1e-10)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.004


def test_a_strong_penalty_makes_a_teacher_that_sums_its_inputs_up():
    """w ~ sum_i y_i x_i: the student's projection keeps rho whole and rho alpha of the rest."""
    alpha, rho = 0.9, 0.5
    student = theory.student(theory.logistic(alpha, 1e6), rho)
    assert student.overlap**2 == pytest.approx(rho + (1 - rho) * rho * alpha, rel=1e-5)
    assert student.response == pytest.approx(rho * alpha, rel=1e-5)


def test_a_teacher_that_interpolates_squares_is_known_in_closed_form():
    """u = alpha: |w|^2 / d = alpha / (1 - alpha), and the same of rho alpha for the student."""
    alpha, rho = 0.7, 0.4
    squares = theory.Teacher(alpha, alpha / (1 - alpha), alpha, 1.0, lambda omega: 1 - omega)
    student = theory.student(squares, rho)
    assert student.response == 0
    ratio = rho * alpha / (1 - rho * alpha) / squares.q
    assert student.overlap**2 == pytest.approx(ratio, rel=1e-12)


def test_memory_ends_at_the_capacity():
    assert theory.hard_margin(1.99).q > 1e3
    assert np.isnan(theory.hard_margin(2.0).q)
    accuracies = [theory.logistic(alpha, 1e-4).accuracy for alpha in (1.5, 1.9, 3.0)]
    assert accuracies[0] > 0.9999 > accuracies[1] > 0.98 > accuracies[2]


@pytest.mark.parametrize("rho", [0.3, 0.6, 0.9])
def test_leakage_is_complete_from_the_threshold_on_and_continuous_there(rho):
    alpha = 1 / rho
    teacher = theory.logistic(alpha, 0.01)
    assert theory.is_identified(alpha, rho)
    assert theory.student(teacher, rho) == (1.0, 1.0, teacher.accuracy)
    below = theory.student(theory.logistic(alpha * (1 - 1e-6), 0.01), rho)
    assert not theory.is_identified(alpha * (1 - 1e-6), rho)
    assert below.overlap == pytest.approx(1, abs=1e-5)
    assert below.held_out == pytest.approx(teacher.accuracy, abs=2e-3)
    little = theory.student(theory.logistic(0.01, 0.01), rho)
    assert little.held_out == pytest.approx(0.5, abs=0.03)


def test_gradient_descent_on_the_soft_labels_ends_in_the_projection():
    """Cross-entropy with the teacher's probabilities, from zero, at any temperature."""
    rng = np.random.default_rng(0)
    z, w = teacher_at(rng, 12, 1.0, 0.5)
    x, v = z[:5], np.zeros(12)
    for _ in range(20_000):
        v -= 2.0 * (special.expit(x @ v) - special.expit(x @ w)) @ x
    np.testing.assert_allclose(v, np.linalg.pinv(x) @ x @ w, rtol=0, atol=1e-10)
