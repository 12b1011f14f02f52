"""Linear students: of one layer, which transfer exactly nothing, and of two layers, solved exactly.

One layer: every logit has weights of its own. An imitation loss sees the auxiliary logits alone, so
the gradient of the class rows is zero, to the bit: `single_layer_flow`.

Two layers: a latent W x, W (d, p), read by class rows C (k, d) and auxiliary rows A (m, d), frozen.
The teacher has moved its latent from W_0 to W_T = W_0 + change. The student descends the squared
error of the auxiliary logits (`toymodels.training.losses.mse`, a mean over m),

    dW / dt = -(2 / m) A^T A (W - W_T) S,    S = E x x^T,

which decouples: in the eigenvectors of A^T A (eigenvalues a_i^2) and of S (s_j) every entry of
W - W_T decays by itself, at the rate 2 a_i^2 s_j / m: `gradient_flow`, `gradient_descent`. At the
end, `limit`, the student has the teacher's latent on the span of A's rows and its own start on what
they do not see. Of a change without preferred direction that is the share min(1, m / d): `energy`.
Modes of linear networks: Saxe et al., arXiv 1312.6120, section 1. The setting, two heads on one
latent: Brockers et al., arXiv 2605.23645. What follows from it here is derived in the docstrings.

Averages are over auxiliary rows of independent N(0, 1 / d) entries, and exact at finite sizes where
nothing else is said.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.measure.decompositions import eigh, pinv
from toymodels.networks.models import Network, Params
from toymodels.theory.random_matrices import (
    marchenko_pastur,
    projector_moments,
    pseudo_inverse_trace,
)


def two_layers(p: int, d: int, outputs: int, trained: bool = False) -> Network:
    """The student as a network: ``latent`` (d, p) and ``heads`` (outputs, d), frozen or trained.

    Both start with N(0, 1 / fan_in) entries.

    >>> params = {"latent": jnp.eye(2), "heads": jnp.array([[1.0, 0.0], [0.0, 2.0]])}
    >>> two_layers(2, 2, 2).apply(params, jnp.ones((1, 2))).tolist()
    [[1.0, 2.0]]
    """

    def init(key: jax.Array) -> Params:
        first, second = jax.random.split(key)
        return {
            "latent": jax.random.normal(first, (d, p)) / np.sqrt(p),
            "heads": jax.random.normal(second, (outputs, d)) / np.sqrt(d),
        }

    def latent(params: Params, x: jax.Array) -> jax.Array:
        return x @ params["latent"].T

    def apply(params: Params, x: jax.Array) -> jax.Array:
        heads = params["heads"] if trained else jax.lax.stop_gradient(params["heads"])
        return latent(params, x) @ heads.T

    return Network(init, apply, latent, f"two linear layers {p}-{d}-{outputs}")


def single_layer(p: int, outputs: int) -> Network:
    """The student of one layer: ``rows`` (outputs, p), with N(0, 1 / p) entries at the start."""

    def init(key: jax.Array) -> Params:
        return {"rows": jax.random.normal(key, (outputs, p)) / np.sqrt(p)}

    def apply(params: Params, x: jax.Array) -> jax.Array:
        return x @ params["rows"].T

    return Network(init, apply, lambda params, x: x, f"a linear layer {p}-{outputs}")


def single_layer_flow(
    start: jax.Array, target: jax.Array, subset: jax.Array, covariance: jax.Array, time: float
) -> jax.Array:
    """Weights (outputs, p) of a student of one layer after gradient flow on squared error.

    Rows in ``subset``, bool (outputs,), approach the teacher's ``target``; the others stay where
    they are, bit by bit, for this and any imitation loss. ``covariance`` of the inputs: (p, p).
    """
    rate, right = eigh(covariance)
    change = (target - start) @ right * -jnp.expm1(-2 * rate * time / subset.sum()) @ right.T
    return jnp.where(subset[:, None], start + change, start)


def relax(
    start: jax.Array,
    target: jax.Array,
    aux: jax.Array,
    covariance: jax.Array,
    gain: Callable[[jax.Array], jax.Array],
) -> jax.Array:
    """A latent (d, p) of which the mode of rate r has gone ``gain(r)`` of its way to ``target``.

    ``aux``: the auxiliary rows (m, d); ``covariance`` of the inputs: (p, p).
    """
    squared, left = eigh(aux.T @ aux)
    variance, right = eigh(covariance)
    rates = 2 * jnp.maximum(squared, 0)[:, None] * jnp.maximum(variance, 0) / len(aux)
    return start + left @ (gain(rates) * (left.T @ (target - start) @ right)) @ right.T


def gradient_flow(
    start: jax.Array, target: jax.Array, aux: jax.Array, covariance: jax.Array, time: float
) -> jax.Array:
    """The latent (d, p) after a time: each mode has gone 1 - exp(-rate time) of its way."""
    return relax(start, target, aux, covariance, lambda rates: -jnp.expm1(-rates * time))


def gradient_descent(
    start: jax.Array,
    target: jax.Array,
    aux: jax.Array,
    covariance: jax.Array,
    rate: float,
    steps: int,
) -> jax.Array:
    """The latent (d, p) after full-batch steps: each mode has gone 1 - (1 - rate r)^steps.

    Exact at any step size; ``covariance`` is that of the batch, X^T X / n. Diverges where the step
    times the largest rate passes 2.
    """
    return relax(start, target, aux, covariance, lambda rates: 1 - (1 - rate * rates) ** steps)


def limit(start: jax.Array, target: jax.Array, aux: jax.Array) -> jax.Array:
    """Where gradient flow ends: ``target`` on the span of the auxiliary rows, ``start`` off it."""
    return start + pinv(aux) @ (aux @ (target - start))


def project_target(target: jax.Array, teachers: jax.Array, own: jax.Array) -> jax.Array:
    """The target of a student whose auxiliary rows ``own`` (m, d) are not the ``teachers`` (m, d).

    The error |own W x - teachers target x|^2 has the gradient of `gradient_flow` towards
    pinv(own) teachers target: pass that to the functions above in place of ``target``.
    """
    return pinv(own) @ (teachers @ target)


def energy(m: float, d: int) -> float:
    """Share of the energy |change|^2 that is recovered in the end: min(1, m / d), in expectation.

    For any change independent of the heads, even of a single direction: E P = (m / d) 1 for the
    projector P on m random directions. The class logits change by the same share, in the mean.
    """
    return min(1.0, m / d)


def mean_gain(m: float, d: int, gain: Callable[[np.ndarray], np.ndarray]) -> float:
    """Average of ``gain(rates)`` over all modes after a finite time, inputs white (S = 1).

    With the share that a mode has gained, as in `relax`, this is <dS, dT> / |dT|^2; with its
    square, |dS|^2 / |dT|^2. By Marchenko-Pastur: exact for large m and d, up to 1 / d.
    """
    x, weight = marchenko_pastur(m, d)
    return energy(m, d) * float(weight @ gain(2 * x / m))


def class_correlation(m: float, d: int, k: int) -> float:
    """Correlation of the student's change of k class logits with the teacher's, as functions of x.

    A teacher with frozen heads moves its latent along class rows alone, change = C^T G. With
    orthonormal class rows and G white (p large) the student's class logits move by C P C^T G, and

        correlation^2 = E (tr C P C^T)^2 / (k E tr (C P C^T)^2)
                      = (a k + 2 b) / (a + b (k + 1)),

    a, b the second moments of P (`random_matrices.projector_moments`). A ratio of expectations:
    exact for k = 1, where any m carries the whole trait but for its size, and for k = d or m >= d;
    between, up to the fluctuation of the trace. For d far above m it is (m + 2 / k) / (m + k + 1):
    the *amount* of transfer depends on m / d (`energy`), its *faithfulness* on m / k, whatever d.
    """
    if m >= d:
        return 1.0
    a, b = projector_moments(m, d)
    return float(np.sqrt((a * k + 2 * b) / (k * (a + b * (k + 1)))))


def latent_rotation(m: float, d: int, rho: float, init: float) -> tuple[float, float]:
    """A student with the teacher's heads whose latent starts at rho W_0 + sqrt(1 - rho^2) W'.

    The student moves by P change + P (W_0 - start): the second part, which the teacher never learnt,
    corrects the student's initialisation. With |W_0|^2 = |W'|^2 = ``init`` |change|^2 and a change
    that is uncorrelated with both inits,

        <dS, dT> / |dT|^2 = e,   |dS|^2 / |dT|^2 = e (1 + 2 (1 - rho) init),   e = min(1, m / d).

    Returns:
        Cosine of the student's and the teacher's displacement, a ratio of expectations; and
        E |W - W_T|^2 / |change|^2 at the end, (1 - e) (1 + 2 (1 - rho) init): nothing at m >= d,
        whatever the overlap.

    """
    e, extra = energy(m, d), 1 + 2 * (1 - rho) * init
    return float(np.sqrt(e / extra)), (1 - e) * extra


def head_rotation(m: float, d: int, rho: float, init: float) -> tuple[float, float]:
    """A student with the teacher's W_0 whose heads are rho A + sqrt(1 - rho^2) A', C likewise.

    Seen from its own rows the teacher's are rho own + sqrt(1 - rho^2) B, B independent of them:

        W - W_T = -(1 - P) change - (1 - rho) P W_T + sqrt(1 - rho^2) pinv(own) B W_T.

    Returns:
        The share of the teacher's change of class logits that the student's own class rows read,
        in the mean: rho^2 min(1, m / d), a factor rho for each head; and E |W - W_T|^2 /
        |change|^2. Its last part, (1 - rho^2) (1 + init) E tr (own own^T)^+ / d, diverges at m = d:
        there the rows can be inverted, but badly. ``init``: |W_0|^2 / |change|^2, uncorrelated.

    """
    e, whole = energy(m, d), 1 + init
    rotation = (1 - rho) ** 2 * e * whole
    noise = 0.0 if rho == 1 else (1 - rho**2) * pseudo_inverse_trace(m, d) * whole
    return rho**2 * e, 1 - e + rotation + noise


def trainable_heads(
    change: jax.Array, aux: jax.Array, latent: jax.Array, variance: float, time: float
) -> jax.Array:
    """Change (d, p) of the student's latent if it trains its auxiliary rows, too.

    The teacher's auxiliary rows never moved (no loss of the class logits has a gradient in them),
    yet the student's rows do: they absorb a part of the error. To first order in ``change``, with inputs
    of covariance ``variance`` 1, the error decays in the singular vectors of ``aux`` (m, d) and of
    ``latent`` (d, p), W_0, at the rates 2 variance (a_i^2 + w_j^2) / m, and the latent recovers

        a_i^2 / (a_i^2 + w_j^2) (1 - exp(-rate time))

    of the mode (i, j) of the change: less than with frozen heads, but for modes of the inputs that
    W_0 does not see (w_j = 0). The class rows still have no gradient.
    """
    squared, left = eigh(aux.T @ aux)
    variances, right = eigh(latent.T @ latent)
    total = jnp.maximum(squared, 0)[:, None] + jnp.maximum(variances, 0)
    rates = 2 * variance * total / len(aux)
    share = jnp.maximum(squared, 0)[:, None] / jnp.where(total > 0, total, 1)
    return left @ (share * -jnp.expm1(-rates * time) * (left.T @ change @ right)) @ right.T


def mean_gain_trainable(
    m: float, d: int, p: int, gain: Callable[[np.ndarray], np.ndarray]
) -> float:
    """<dS, dT> / |dT|^2 of the latent with trainable heads, averaged over heads and W_0, inputs white.

    W_0 of independent N(0, 1 / p) entries, ``gain(rates)`` of each mode of the error as in
    `mean_gain`. By Marchenko-Pastur, twice: for large m, d and p, to first order in the change.
    """
    (a2, weight_a), (w2, weight_w) = marchenko_pastur(m, d), marchenko_pastur(d, p)
    rank = min(1.0, d / p)
    w2, weight_w = np.append(w2, 0.0), np.append(rank * weight_w, 1 - rank)
    total = a2[:, None] + w2
    return energy(m, d) * float(weight_a @ (a2[:, None] / total * gain(2 * total / m)) @ weight_w)


def trainable_heads_flow(
    start: tuple[jax.Array, jax.Array],
    target: jax.Array,
    covariance: jax.Array,
    time: float,
    steps: int,
) -> tuple[jax.Array, jax.Array]:
    """Latent (d, p) and auxiliary rows (m, d) of a student with trainable heads, for any change.

    From ``start`` = (W_0, A), the teacher being (``target``, A): gradient flow of the squared error
    by Runge and Kutta's method of fourth order. A^T A - W W^T is conserved.
    """
    answers = start[1] @ target

    def velocity(at: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
        latent, aux = at
        error = 2 / len(aux) * (answers - aux @ latent) @ covariance
        return aux.T @ error, error @ latent.T

    def move(
        at: tuple[jax.Array, jax.Array], by: float, along: tuple[jax.Array, jax.Array]
    ) -> tuple[jax.Array, jax.Array]:
        return jax.tree.map(lambda x, v: x + by * v, at, along)

    def step(at: tuple[jax.Array, jax.Array], _: None) -> tuple[tuple[jax.Array, jax.Array], None]:
        h = time / steps
        v1 = velocity(at)
        v2 = velocity(move(at, h / 2, v1))
        v3 = velocity(move(at, h / 2, v2))
        v4 = velocity(move(at, h, v3))
        along = jax.tree.map(lambda a, b, c, d: (a + 2 * b + 2 * c + d) / 6, v1, v2, v3, v4)
        return move(at, h, along), None

    return jax.lax.scan(step, start, None, length=steps)[0]
