import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toymodels.networks.models import MLP, functional
from toymodels.theory.counterexamples import minimise
from toymodels.theory.one_step import first_step, gradient_step, limit_cosine, split_alignment
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


def scale(tree, factor):
    return jax.tree.map(lambda a: factor * a, tree)


@pytest.mark.parametrize("subset", SUBSETS)
@pytest.mark.parametrize("name", IMITATIONS)
def test_signal_and_mismatch_are_the_orders_of_the_measured_inner_product(name, subset):
    """inner(eps) / eps = eps signal - mismatch + O(eps^2), at any two initialisations."""
    network, reference, other, direction, x = setting(1.0)
    start = jax.tree.map(lambda w, v: 0.8 * w + 0.6 * v, reference, other)
    pair = IMITATIONS[name], SUBSETS[subset]
    alignment = split_alignment(network, start, reference, direction, x, *pair)

    def measure(eps):
        step = scale(direction, eps)
        return float(first_step(network, start, reference, step, x, *pair).inner) / eps

    eps = 1e-4
    slope = (measure(eps) - measure(-eps)) / (2 * eps)
    np.testing.assert_allclose((measure(eps) + measure(-eps)) / 2, -alignment.mismatch, rtol=1e-6)
    np.testing.assert_allclose(slope, alignment.signal, rtol=1e-6)


def test_of_a_shared_initialisation_only_the_signal_is_left():
    network, reference, _, direction, x = setting(1.0)
    arguments = network, reference, reference, direction, x, losses.kl(), SUBSETS["aux"]
    alignment = split_alignment(*arguments)
    np.testing.assert_allclose(alignment.signal, first_step(*arguments).inner_theory, rtol=1e-10)
    assert abs(alignment.mismatch) < 1e-14 * alignment.signal
    assert alignment.crossing < 1e-14


def test_the_inner_product_changes_its_sign_at_the_crossing():
    """A start so close to the reference that the crossing is at a small step of the teacher."""
    network, reference, other, direction, x = setting(1.0)
    for sign in (1, -1):
        start = jax.tree.map(lambda w, v, s=sign: w + s * 1e-5 * v, reference, other)
        pair = losses.mse(), SUBSETS["aux"]
        crossing = float(split_alignment(network, start, reference, direction, x, *pair).crossing)
        steps = [scale(direction, share * crossing) for share in (0.9, 1.1)]
        inner = [float(first_step(network, start, reference, s, x, *pair).inner) for s in steps]
        if crossing:
            assert inner[0] < 0 < inner[1]
        else:
            tiny = scale(direction, 1e-9)
            assert first_step(network, start, reference, tiny, x, *pair).inner > 0


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
