import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toymodels.networks.models import MLP, functional
from toymodels.theory.counterexamples import minimise
from toymodels.theory.one_step import first_step, gradient_step, limit_cosine
from toymodels.training import losses
from toymodels.training.distillation import all_logits, auxiliary_logits
from toymodels.trees import flatten

CLASSES, M, TEMPERATURE = 4, 3, 1.7
IMITATIONS = {"kl": losses.kl(TEMPERATURE), "mse": losses.mse()}
SUBSETS = {"aux": auxiliary_logits(CLASSES, M), "all": all_logits(CLASSES, M)}
pytestmark = pytest.mark.usefixtures("x64")


def setting(eps):
    network = functional(lambda rngs: MLP((6, 12, 10, CLASSES + M), rngs=rngs))

    def init(seed):
        return jax.tree.map(lambda a: a.astype(jnp.float64), network.init(jax.random.key(seed)))

    x = jax.random.uniform(jax.random.key(2), (32, 6), jnp.float64, -1, 1)
    labels = jax.random.randint(jax.random.key(3), (32,), 0, CLASSES)
    reference = init(0)
    step = gradient_step(
        lambda p: losses.class_cross_entropy(network.apply(p, x), labels, CLASSES), reference, eps
    )
    inputs = jax.random.normal(jax.random.key(4), (20, 6), jnp.float64)
    return network, reference, init(1), step, inputs


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("name", IMITATIONS)
def test_right_hand_side_equals_the_explicit_jacobian_and_hessian(name, subset):
    network, reference, _, step, x = setting(0.1)
    mask = np.asarray(SUBSETS[subset])
    got = first_step(network, reference, reference, step, x, IMITATIONS[name], SUBSETS[subset])

    jacobian = jax.jacobian(lambda p: network.apply(p, x))(reference)
    leaves = [a.reshape(20, CLASSES + M, -1) for a in jax.tree.leaves(jacobian)]
    moved = np.asarray(jnp.concatenate(leaves, -1) @ flatten(step))
    logits = np.asarray(network.apply(reference, x))
    total = 0.0
    for z, v in zip(logits[:, mask], moved[:, mask], strict=True):
        if name == "mse":
            hessian = 2 * np.eye(len(z)) / len(z)
        else:
            p = np.exp(z / TEMPERATURE) / np.exp(z / TEMPERATURE).sum()
            hessian = (np.diag(p) - np.outer(p, p)) / TEMPERATURE**2
        total += v @ hessian @ v / len(x)
    np.testing.assert_allclose(got.inner_theory, total, rtol=1e-10)


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("name", IMITATIONS)
def test_identity_holds_to_first_order_and_its_error_falls_with_the_step(name, subset):
    def error(eps):
        network, reference, _, step, x = setting(eps)
        got = first_step(network, reference, reference, step, x, IMITATIONS[name], SUBSETS[subset])
        assert got.inner_theory > 0
        assert got.cosine > 0
        return float(got.inner / got.inner_theory - 1)

    # The relative error is linear in eps: so is its ratio to eps, up to the next order.
    assert abs(error(1e-4)) < 1e-2
    np.testing.assert_allclose(error(2e-4) / error(1e-4), 2, rtol=0.02)


def test_identity_fails_for_another_initialisation():
    network, reference, other, step, x = setting(1e-4)
    got = first_step(network, other, reference, step, x, losses.kl(), SUBSETS["aux"])
    assert abs(got.inner / got.inner_theory - 1) > 10


def test_one_logit_has_no_step_with_kl():
    network, reference, _, step, x = setting(0.1)
    subset = jnp.arange(CLASSES + M) == CLASSES
    got = first_step(network, reference, reference, step, x, losses.kl(), subset)
    assert got == (0, 0, 0)


@pytest.mark.parametrize("name", IMITATIONS)
def test_the_limit_is_where_finite_steps_go(name):
    network, reference, _, step, x = setting(1e-6)
    subset, imitation = SUBSETS["aux"], IMITATIONS[name]
    limit = limit_cosine(network, reference, step, x, imitation, subset)
    finite = first_step(network, reference, reference, step, x, imitation, subset)
    np.testing.assert_allclose(finite.cosine, limit, rtol=1e-5)
    assert limit > 0


def test_no_inputs_make_the_limit_negative_and_some_make_another_inits_cosine():
    network, reference, other, step, x = setting(1e-3)
    subset, imitation = SUBSETS["aux"], IMITATIONS["mse"]

    @jax.jit
    def search():
        def at(student):
            return lambda x: (
                first_step(network, student, reference, step, x, imitation, subset).cosine
            )

        def limit(x):
            return limit_cosine(network, reference, step, x, imitation, subset)

        return limit(x), minimise(limit, x, 40, 0.2), minimise(at(other), x, 40, 0.2)

    before, found, elsewhere = search()
    assert 0 <= found < before
    assert elsewhere < -0.01
