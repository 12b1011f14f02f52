"""Averages over random heads and inputs: Marchenko-Pastur, inverse Wishart, Haar projectors."""

import numpy as np


def marchenko_pastur(
    rows: float, columns: float, nodes: int = 400
) -> tuple[np.ndarray, np.ndarray]:
    """The law of the non-zero eigenvalues of Z Z^T / columns, Z (rows, columns) of N(0, 1) entries.

    The limiting law as a quadrature: points (nodes,) and weights (nodes,) that sum to 1. The law
    depends on rows / columns alone; corrections at finite size are of order 1 / size for smooth
    averages. Where rows equal columns, 1 / x has no mean.

    Marchenko and Pastur, Math. USSR-Sb. 1, 457 (1967). With x = 1 + c + 2 sqrt(c) cos(theta) the
    density becomes 2 sin(theta)^2 / (pi x), periodic: the midpoint rule converges exponentially.

    >>> x, weight = marchenko_pastur(50, 100)
    >>> round(float(weight @ x), 10), round(float(weight @ x**2), 10)
    (1.0, 1.5)
    """
    shorter, longer = sorted((rows, columns))
    c = shorter / longer
    theta = (np.arange(nodes) + 0.5) * np.pi / nodes
    x = 1 + c + 2 * np.sqrt(c) * np.cos(theta)
    return x * longer / columns, 2 * np.sin(theta) ** 2 / (x * nodes)


def pseudo_inverse_trace(rows: float, columns: float) -> float:
    """E tr (Z Z^T)^+ for Z (rows, columns) of independent N(0, 1) entries: exact at every size.

    The mean of the inverse Wishart matrix, min / (|rows - columns| - 1); infinite where rows and
    columns differ by no more than 1.

    >>> pseudo_inverse_trace(3, 8), pseudo_inverse_trace(8, 3), pseudo_inverse_trace(8, 9)
    (0.75, 0.75, inf)
    """
    gap = abs(rows - columns) - 1
    return min(rows, columns) / gap if gap > 0 else np.inf


def projector_moments(m: float, d: int) -> tuple[float, float]:
    """Second moments of the projector P on m random directions of d: two numbers, a and b.

    E P_ij P_kl = a 1_ij 1_kl + b (1_ik 1_jl + 1_il 1_jk). Exact for 0 < m <= d, d > 1.

    Of the most general invariant form tr P = m and P P = P leave these two numbers.

    >>> a, b = projector_moments(2, 5)
    >>> round(5 * a + 2 * b, 12), round(a + 6 * b, 12)  # E P_ii tr P = m m / d, E (P P)_ii = m / d
    (0.8, 0.4)
    """
    scale = m / (d * (d - 1) * (d + 2))
    return scale * ((d + 1) * m - 2), scale * (d - m)
