"""Predictors of transfer, computed before any student is trained, and their rank correlation."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

from toymodels.measure.probes import cosine, inner
from toymodels.networks.models import Network, Params


def coverage(
    loss: Callable[[Params], jax.Array],
    student: Params,
    displacement: Params,
    optimiser: optax.GradientTransformation,
) -> jax.Array:
    """Cosine between the student's first distillation update and the teacher's displacement.

    Madl 2026 (arXiv 2606.22019). The update of plain gradient descent is minus the gradient; the
    update of Adam is nearly its sign.

    Args:
        loss: ``loss(params)``, the imitation loss.
        student: initialisation of the student.
        displacement: trained teacher minus its initialisation.
        optimiser: the optimiser of the first update.

    >>> quadratic = lambda p: ((p["w"] - 1) ** 2).sum()
    >>> w, displacement = {"w": jnp.zeros(2)}, {"w": jnp.array([1.0, 0.0])}
    >>> round(float(coverage(quadratic, w, displacement, optax.sgd(0.1))), 4)
    0.7071

    """
    update, _ = optimiser.update(jax.grad(loss)(student), optimiser.init(student), student)
    return cosine(update, displacement)


def drift(init: Params, displacement: Params) -> jax.Array:
    """Norm of the teacher's displacement divided by the norm of its initialisation.

    >>> float(drift({"w": jnp.array([3.0, 4.0])}, {"w": jnp.array([0.0, 2.5])}))
    0.5
    """
    return jnp.sqrt(inner(displacement, displacement) / inner(init, init))


def visibility(
    network: Network, params: Params, displacement: Params, x: jax.Array, logits: jax.Array
) -> jax.Array:
    """Fraction of a drift that is visible in the imitated logits: ||J_a d||^2 / ||J d||^2.

    J is the Jacobian of all logits at ``params`` on inputs x (n, pixels), J_a its rows in the mask
    ``logits``, bool (outputs,), d the displacement; no Jacobian is formed. 0 where no logit moves.
    After Zhang & Chen 2026 (arXiv 2605.29557): drift times its fraction visible in public outputs.

    >>> linear = Network(lambda key: {}, lambda p, x: x @ p["w"], lambda p, x: x)
    >>> params, displacement = {"w": jnp.zeros((1, 2))}, {"w": jnp.array([[1.0, 2.0]])}
    >>> imitated = jnp.array([False, True])
    >>> round(float(visibility(linear, params, displacement, jnp.ones((5, 1)), imitated)), 6)
    0.8
    """
    _, change = jax.jvp(lambda p: network.apply(p, x), (params,), (displacement,))
    visible, total = (jnp.where(logits, change, 0.0) ** 2).sum(), (change**2).sum()
    return jnp.where(total > 0, visible / jnp.where(total > 0, total, 1.0), 0.0)


def rank_correlation(
    predictor: xr.DataArray, outcome: xr.DataArray, dims: Sequence[str]
) -> xr.DataArray:
    """Spearman's rank correlation over some dimensions, for every value of the others (the seed).

    Points where either array is NaN are left out. NaN where fewer than three points remain, or
    where the predictor or the outcome does not vary.

    >>> x = xr.DataArray([[1.0, 2.0, 5.0]], dims=("seed", "m"))
    >>> rank_correlation(x, -(x**3), ["m"]).values.tolist()
    [-1.0]
    """
    from scipy import stats

    def correlate(x: np.ndarray, y: np.ndarray) -> float:
        finite = np.isfinite(x) & np.isfinite(y)
        x, y = x[finite], y[finite]
        if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
            return np.nan
        return float(stats.spearmanr(x, y).statistic)

    x, y = (array.stack(point=dims) for array in xr.broadcast(predictor, outcome))
    return xr.apply_ufunc(correlate, x, y, input_core_dims=[["point"], ["point"]], vectorize=True)
