"""A linear student of n noisy answers in high dimension: thresholds in samples and in m.

The teacher's latent (d, p) moved from W_0 by ``change``, a trait of one direction or many. The
student starts at W_0, sees n inputs x ~ N(0, S) and the m auxiliary logits of the teacher on them,
each with noise of its own, and minimises

    1/n sum_i |A (W - W_0) x_i - y_i|^2 + penalty |W - W_0|^2,   y_i = A change x_i + noise_i,

A of independent N(0, 1 / d) entries, frozen and shared. Without penalty it is where gradient
descent from W_0 ends. In the singular vectors of A this is one ridge regression for each of its
min(m, d) singular values a, with penalty / a^2 and noise / a^2 in place of penalty and noise: two
random matrices, heads and inputs, and a threshold where either is square.

``noise`` is the variance of the noise on a logit over that of the change of the logit, where S = 1
(|change|^2 / d). Results are shares of |change|^2, averages over heads, inputs and noise; the
change is independent of them, and without preferred direction if S is not 1.

Double descent of ridgeless regression: Hastie et al., arXiv 1903.08560, section 3. Deterministic
equivalents: Bach, arXiv 2303.01372, proposition 1; Dobriban and Wager, arXiv 1507.03003.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from toymodels.theory.linear_network import energy
from toymodels.theory.random_matrices import marchenko_pastur, pseudo_inverse_trace


class Recovery(NamedTuple):
    """The part of the teacher's change that a student recovers."""

    overlap: float
    """<dS, dT> / |dT|^2 of the displacements of student and teacher."""
    error: float
    """|dS - dT|^2 / |dT|^2."""


def ridgeless(m: float, d: int, n: float, p: int, noise: float = 0.0) -> Recovery:
    """Without penalty, inputs white: exact at every size.

        overlap = min(1, m/d) min(1, n/p),   error = 1 - overlap + noise t(m, d) t(n, p),

    t = min / (|difference| - 1) the mean trace of the inverse Wishart matrix. Without noise each
    new sample helps up to n = p, where the student knows all that the heads see; with noise the
    error diverges at n = p and at m = d, and falls again beyond.

    >>> ridgeless(10, 20, 50, 100).overlap, ridgeless(10, 20, 200, 100).overlap
    (0.25, 0.5)
    """
    overlap = energy(m, d) * energy(n, p)
    traces = pseudo_inverse_trace(m, d) * pseudo_inverse_trace(n, p)
    return Recovery(overlap, 1 - overlap + (noise * traces if noise else 0.0))


class Equivalents(NamedTuple):
    """Ridge regression from n samples as if from infinitely many, with a larger penalty.

    With S^ the covariance of the sample, (S^ + penalty)^-1 penalty behaves as (S + kappa)^-1 kappa.
    """

    kappa: np.ndarray
    """The larger penalty, which solves penalty = kappa (1 - tr S (S + kappa)^-1 / n)."""
    overlap: np.ndarray
    """tr S^ (S^ + penalty)^-1 / p."""
    bias: np.ndarray
    """penalty^2 tr (S^ + penalty)^-2 / p."""
    variance: np.ndarray
    """tr S^ (S^ + penalty)^-2 / n."""


def equivalents(n: float, spectrum: ArrayLike, penalties: ArrayLike) -> Equivalents:
    """Deterministic equivalents for inputs with eigenvalues ``spectrum`` (p,) of their covariance.

    For each of the ``penalties`` (k,), all positive; exact for large n and p at fixed ratio, with
    errors of order 1 / p.
    """
    from scipy import optimize

    s = np.asarray(spectrum, float)
    p = len(s)
    rows = []
    for penalty in np.atleast_1d(np.asarray(penalties, float)):
        # kappa - penalty is positive and at most tr S / n.
        kappa = optimize.brentq(
            lambda k, at=penalty: k - at - k * (s / (s + k)).sum() / n,
            penalty,
            penalty + s.sum() / n,
            xtol=1e-300,
            rtol=1e-14,
        )
        once, twice = s / (s + kappa), s / (s + kappa) ** 2
        freedom = n - (once**2).sum()
        bias = kappa**2 * (((s + kappa) ** -2.0).sum() + twice.sum() ** 2 / freedom) / p
        rows.append((kappa, once.sum() / p, bias, twice.sum() / freedom))
    return Equivalents(*np.array(rows).T)


def ridge(
    m: float,
    d: int,
    n: float,
    p: int,
    noise: float = 0.0,
    penalty: float = 1.0,
    spectrum: Sequence[float] | None = None,
) -> Recovery:
    """With a penalty, inputs of any covariance (None: white): exact for large sizes.

    The mean over A's singular values is Marchenko and Pastur's; errors are of order 1 / d, 1 / p.
    ``spectrum``: the p eigenvalues of S.
    """
    x, weight = marchenko_pastur(m, d, nodes=100)
    parts = equivalents(n, np.ones(p) if spectrum is None else spectrum, penalty / x)
    visible = energy(m, d)
    error = 1 - visible + visible * weight @ (parts.bias + noise * parts.variance / x)
    return Recovery(visible * float(weight @ parts.overlap), float(error))
