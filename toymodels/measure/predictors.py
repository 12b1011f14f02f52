"""What foretells transfer before any student is trained, and how well it ranks it afterwards."""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
import xarray as xr

from toymodels.measure.probes import cosine
from toymodels.networks.models import Network, Params
from toymodels.trees import flatten


def coverage(
    loss: Callable[[Params], jax.Array],
    student: Params,
    displacement: Params,
    optimiser: optax.GradientTransformation,
) -> jax.Array:
    """Cosine of the student's first distillation update with the teacher's displacement.

    Madl 2026 (arXiv 2606.22019). Of plain gradient descent the update is minus the gradient; of
    Adam nearly its sign.

    >>> to_one = lambda p: ((p["w"] - 1) ** 2).sum()
    >>> w, taught = {"w": jnp.zeros(2)}, {"w": jnp.array([1.0, 0.0])}
    >>> round(float(coverage(to_one, w, taught, optax.sgd(0.1))), 4)
    0.7071
    """
    update, _ = optimiser.update(jax.grad(loss)(student), optimiser.init(student), student)
    return cosine(flatten(update), flatten(displacement))


def drift(init: Params, displacement: Params) -> jax.Array:
    """Length of the teacher's displacement in units of its initialisation's.

    >>> float(drift({"w": jnp.array([3.0, 4.0])}, {"w": jnp.array([0.0, 2.5])}))
    0.5
    """
    return jnp.linalg.norm(flatten(displacement)) / jnp.linalg.norm(flatten(init))


def visibility(
    network: Network, params: Params, displacement: Params, x: jax.Array, subset: jax.Array
) -> jax.Array:
    """Share of a drift that shows in the imitated logits: ||J_a d||^2 / ||J d||^2 over inputs.

    J is the Jacobian of all logits at ``params`` on x (n, pixels), J_a its rows in ``subset`` (bool
    (outputs,)), d the displacement; no Jacobian is formed. 0 where no logit moves. After Zhang &
    Chen 2026 (arXiv 2605.29557): drift times the fraction of it visible in the public outputs.

    >>> linear = Network(lambda key: {}, lambda p, x: x @ p["w"], lambda p, x: x)
    >>> zero, moved = {"w": jnp.zeros((1, 2))}, {"w": jnp.array([[1.0, 2.0]])}
    >>> share = visibility(linear, zero, moved, jnp.ones((5, 1)), jnp.array([False, True]))
    >>> round(float(share), 6)
    0.8
    """
    _, moved = jax.jvp(lambda p: network.apply(p, x), (params,), (displacement,))
    seen, all_of_it = (jnp.where(subset, moved, 0.0) ** 2).sum(), (moved**2).sum()
    return jnp.where(all_of_it > 0, seen / jnp.where(all_of_it > 0, all_of_it, 1.0), 0.0)


def rank_correlation(
    predictor: xr.DataArray, outcome: xr.DataArray, over: Sequence[str]
) -> xr.DataArray:
    """Spearman's rank correlation over some dimensions, for all else (the seed) by itself.

    Points where either is NaN are left out; NaN where what is left is fewer than three points, or
    does not vary.

    >>> x = xr.DataArray([[1.0, 2.0, 5.0]], dims=("seed", "m"))
    >>> rank_correlation(x, -(x**3), ["m"]).values.tolist()
    [-1.0]
    """
    from scipy import stats

    def one(x: np.ndarray, y: np.ndarray) -> float:
        known = np.isfinite(x) & np.isfinite(y)
        x, y = x[known], y[known]
        if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
            return np.nan
        return float(stats.spearmanr(x, y).statistic)

    x, y = (array.stack(point=over) for array in xr.broadcast(predictor, outcome))
    return xr.apply_ufunc(one, x, y, input_core_dims=[["point"], ["point"]], vectorize=True)
