"""Labels that a teacher has memorised leak through its soft labels on other data.

The model of Behrens and Zdeborova (ICLR 2026, arXiv 2506.14457): n inputs in d dimensions with
labels of a coin, so that there is nothing to learn but the labels one by one. A logistic teacher
fits all n; a student is given the teacher's soft labels on a share rho of them and never sees the
others, nor any true label. How many of the other labels does it know?

Thresholds, with alpha = n / d: the teacher can fit every label below alpha = 2 (Cover 1965; Gardner
1988). The soft label of an input is its logit, a linear equation for the teacher's weights; rho n
of them determine the weights from alpha = 1 / rho on (`is_identified`), and then the student knows all
that the teacher knows. Below that a student that starts at zero and descends the cross-entropy with
the soft labels stays in the span of its inputs and ends in the projection of the teacher's weights
onto it. What follows is its accuracy, exact for large n and d at fixed alpha.

Derivation (cavity method for a convex teacher; checked against simulation, not proven here). Inputs
x ~ N(0, 1 / d), teacher: the minimum of sum_i loss(y_i w.x_i) + penalty |w|^2 / 2. An input taken
out sees the weights as a Gaussian field omega of variance q = |w|^2 / d; put back, its margin is
h = omega + V c, c = -loss'(h), where V = tr H^-1 / d for the Hessian H, and

    V (penalty + L) = 1,   L = -alpha E dc/domega,   q = alpha V^2 E c^2.

Let v = P w be the student's weights, P the projector on its inputs. It obeys the same equations
jointly with the teacher's, with multipliers e in place of c that make its margins on its inputs the
teacher's. Solved for the two numbers on which its field at another input depends, with u = V L:

    k = tr P H^-1 / tr H^-1 = rho (alpha - u) / (1 - rho u),
    r = |v|^2 / |w|^2       = rho (alpha - u + (1 - rho alpha)(1 - u) / (1 - rho u)) / (1 - rho u).

At an input that it never saw the student's margin is s = r omega + sqrt(q r (1 - r)) z + k V c, z
normal: a share of what the other inputs have to say by chance, and of what the teacher has done for
this input. The naive guess, r = rho alpha, the share of the dimensions, would hold if the weights
were independent of the inputs; they are not, least of all under strong regularisation.

At the end of training the temperature of the soft labels plays no part, and with several classes
each difference of logits obeys the same equations and has the same threshold; how fast a student
gets there, what hidden layers do, and finite d next to a threshold, only simulation tells.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy import optimize, special

CAPACITY = 2.0
"""Random labels per dimension that a linear teacher can fit: Cover 1965."""


class Teacher(NamedTuple):
    """A teacher of random labels at alpha = n / d, in the limit of large n and d."""

    alpha: float
    q: float
    """|w|^2 / d."""
    u: float
    """1 - penalty V: the number of dimensions that the data determine, as a share of d."""
    accuracy: float
    """Share of the labels that the teacher has memorised."""
    pull: Callable[[np.ndarray], np.ndarray]
    """``pull(omega) = V c``: what training on an input adds to its margin."""


class Student(NamedTuple):
    """A student of the soft labels of a share of the teacher's inputs."""

    overlap: float
    """Cosine of the student's weights with the teacher's: sqrt(r)."""
    response: float
    """k: the student's share of what the teacher's training on an input adds to the margin there."""
    held_out: float
    """Accuracy on the labels of inputs that the student never saw; 1/2 is chance."""


def normal(variance: float, nodes: int = 1001, width: float = 9.0) -> tuple[np.ndarray, np.ndarray]:
    """Points and weights of a Gaussian average: the trapezoidal rule, to ``width`` deviations."""
    z = np.linspace(-width, width, nodes)
    weight = np.exp(-(z**2) / 2)
    return np.sqrt(variance) * z, weight / weight.sum()


def hard_margin(alpha: float) -> Teacher:
    """The teacher of largest margin: the limit of endless gradient descent on the logistic loss.

    loss = 0 for margins above 1, else infinite: alpha E[(kappa + g)_+^2] = 1 for kappa = 1 /
    sqrt(q), g normal (Gardner 1988), and u = alpha P(g < kappa), the inputs on the margin. NaN from
    the capacity on, where no weights fit all labels.
    """
    if not 0 < alpha < CAPACITY:
        return Teacher(alpha, np.nan, np.nan, np.nan, lambda omega: np.full_like(omega, np.nan))

    def excess(kappa: float) -> float:
        density = np.exp(-(kappa**2) / 2) / np.sqrt(2 * np.pi)
        return alpha * ((1 + kappa**2) * special.ndtr(kappa) + kappa * density) - 1

    kappa = optimize.brentq(excess, 0, 1 / np.sqrt(alpha) + 1, xtol=1e-14)
    u = alpha * special.ndtr(kappa)
    return Teacher(alpha, kappa**-2, u, 1.0, lambda omega: np.maximum(1 - omega, 0))


@functools.cache
def logistic(alpha: float, penalty: float) -> Teacher:
    """The teacher that minimises sum_i log(1 + exp(-y_i w.x_i)) + penalty |w|^2 / 2.

    For every alpha; it memorises all labels below the capacity as the penalty goes to zero.
    """

    def averages(log_q: float, v: float) -> tuple[float, float]:
        """V L, and alpha V^2 E c^2."""
        omega, weight = normal(np.exp(log_q))
        pull = logistic_pull(omega, v)
        stiff = pull * (1 - pull / v)  # V times the second derivative of the loss, c (1 - c)
        return alpha * float(weight @ (stiff / (1 + stiff))), alpha * float(weight @ pull**2)

    def response(log_q: float) -> float:
        """V at a given q: penalty V + V L rises with V."""
        root = optimize.brentq(
            lambda log_v: penalty * np.exp(log_v) + averages(log_q, np.exp(log_v))[0] - 1,
            -np.log(penalty + alpha / 4) - 1,
            -np.log(penalty),
            xtol=1e-13,
        )
        return float(np.exp(root))

    log_q = optimize.brentq(
        lambda at: at - np.log(averages(at, response(at))[1]), -30, 30, xtol=1e-13
    )
    q, v = float(np.exp(log_q)), response(log_q)
    memorised = float(special.ndtr(v / (2 * np.sqrt(q))))  # h > 0 where omega > -V / 2
    return Teacher(alpha, q, 1 - penalty * v, memorised, lambda omega: logistic_pull(omega, v))


def logistic_pull(omega: np.ndarray, v: float) -> np.ndarray:
    """V c where h = omega + V c minimises log(1 + exp(-h)) + (h - omega)^2 / 2 V.

    Newton's method from h = 0, the inflection of the stationarity condition: no step overshoots.
    """
    h = np.zeros_like(omega)
    for _ in range(100):
        c = special.expit(-h)
        step = (h - omega - v * c) / (1 + v * c * (1 - c))
        h -= step
        if np.abs(step).max() < 1e-14 * (1 + np.abs(h).max()):
            break
    return v * special.expit(-h)


def is_identified(alpha: float, rho: float) -> bool:
    """Whether the soft labels of a share rho determine the teacher: alpha >= 1 / rho."""
    return alpha * rho >= 1


def student(teacher: Teacher, rho: float) -> Student:
    """What a student of the soft labels of a share ``rho`` of the inputs knows of the others."""
    alpha, u = teacher.alpha, teacher.u
    if is_identified(alpha, rho):
        return Student(1.0, 1.0, teacher.accuracy)
    k = rho * (alpha - u) / (1 - rho * u)
    r = rho * (alpha - u + (1 - rho * alpha) * (1 - u) / (1 - rho * u)) / (1 - rho * u)
    omega, weight = normal(teacher.q)
    mean = r * omega + k * teacher.pull(omega)
    known = special.ndtr(mean / np.sqrt(teacher.q * r * (1 - r)))
    return Student(float(np.sqrt(r)), float(k), float(weight @ known))


def phase_diagram(alphas: np.ndarray, rhos: np.ndarray, penalty: float) -> np.ndarray:
    """Held-out accuracy of students of a logistic teacher: (rhos, alphas)."""
    teachers = [logistic(alpha, penalty) for alpha in alphas]
    return np.array([[student(teacher, rho).held_out for teacher in teachers] for rho in rhos])
