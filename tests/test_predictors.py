import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr
from scipy import stats

from toymodels.measure import predictors
from toymodels.networks.models import MLP, functional
from toymodels.theory import one_step
from toymodels.training import losses
from toymodels.training.distillation import all_logits, auxiliary_logits

KEYS = jax.random.split(jax.random.key(0), 4)
NETWORK = functional(lambda rngs: MLP((6, 16, 7), rngs=rngs))


def test_coverage_of_a_quadratic_is_the_cosine_with_the_direction_of_its_minimum():
    target = {"a": jnp.array([3.0, 0.0]), "b": jnp.array([[4.0]])}
    start = jax.tree.map(jnp.zeros_like, target)

    def loss(params):
        return sum(((params[name] - target[name]) ** 2).sum() for name in params)

    sgd = optax.sgd(1e-3)
    assert predictors.coverage(loss, start, target, sgd) == pytest.approx(1)
    opposite = jax.tree.map(jnp.negative, target)
    assert predictors.coverage(loss, start, opposite, sgd) == pytest.approx(-1)
    orthogonal = {"a": jnp.array([0.0, 2.0]), "b": jnp.zeros((1, 1))}
    assert predictors.coverage(loss, start, orthogonal, sgd) == 0
    # Adam's first update is the sign: (1, 0, 1) against (3, 0, 4).
    adam = predictors.coverage(loss, start, target, optax.adam(1e-3))
    assert adam == pytest.approx(7 / 5 / np.sqrt(2), rel=1e-5)


def test_coverage_is_the_cosine_of_theorem_1_and_zero_with_one_logit_in_kl():
    start, x = NETWORK.init(KEYS[0]), jax.random.normal(KEYS[1], (40, 6))
    displacement = jax.tree.map(lambda w: 0.01 * jnp.cos(9 * w), start)
    for m, kl in ((2, losses.kl()), (1, losses.kl())):
        subset = auxiliary_logits(5, 2, first=m)
        teacher = jax.tree.map(jnp.add, start, displacement)
        answers = NETWORK.apply(teacher, x)

        def loss(params, answers=answers, subset=subset, kl=kl):
            return kl(NETWORK.apply(params, x), answers, subset)

        got = predictors.coverage(loss, start, displacement, optax.sgd(1.0))
        first = one_step.first_step(NETWORK, start, start, displacement, x, kl, subset)
        assert got == pytest.approx(float(first.cosine), rel=1e-4, abs=1e-7)
        assert (got > 0) == (m == 2)


def test_visibility_is_a_ratio_of_jacobians():
    params = NETWORK.init(KEYS[0])
    displacement, x = NETWORK.init(KEYS[1]), jax.random.normal(KEYS[2], (9, 6))
    jacobian = jax.jacobian(lambda p: NETWORK.apply(p, x))(params)
    products = jax.tree.map(lambda j, d: jnp.tensordot(j, d, d.ndim), jacobian, displacement)
    change = sum(jax.tree.leaves(products))
    expected = (change[:, 5:] ** 2).sum() / (change**2).sum()
    got = predictors.visibility(NETWORK, params, displacement, x, auxiliary_logits(5, 2))
    np.testing.assert_allclose(got, expected, rtol=1e-5)
    total = predictors.visibility(NETWORK, params, displacement, x, all_logits(5, 2))
    assert total == pytest.approx(1)
    still = jax.tree.map(jnp.zeros_like, displacement)
    assert predictors.visibility(NETWORK, params, still, x, all_logits(5, 2)) == 0


def test_rank_correlation_is_spearmans_of_each_seed():
    rng = np.random.default_rng(0)
    x, y = (xr.DataArray(rng.normal(size=(3, 4, 5)), dims=("seed", "m", "rho")) for _ in "xy")
    got = predictors.rank_correlation(x, y, ["m", "rho"])
    for seed in range(3):
        expected = stats.spearmanr(x[seed].values.ravel(), y[seed].values.ravel()).statistic
        assert got[seed] == pytest.approx(expected)
    rising = predictors.rank_correlation(x, np.exp(x).where(x > -1), ["m", "rho"])
    np.testing.assert_allclose(rising, 1)
    assert predictors.rank_correlation(x * 0, y, ["m", "rho"]).isnull().all()
