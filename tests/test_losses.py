import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, rel_entr, softmax

from toymodels.errors import UserError
from toymodels.measure import probes
from toymodels.training import losses

RNG = np.random.default_rng(0)
STUDENT, TEACHER = RNG.normal(size=(2, 6, 5)) * 3
SUBSET = np.array([False, True, True, False, True])
IMITATIONS = {"kl": losses.kl(1.7), "mse": losses.mse()}


def test_kl_equals_scipy_on_the_subset(x64):
    p = softmax(TEACHER[:, SUBSET] / 1.7, axis=-1)
    q = softmax(STUDENT[:, SUBSET] / 1.7, axis=-1)
    expected = rel_entr(p, q).sum(-1).mean()
    got = losses.kl(1.7)(jnp.asarray(STUDENT), jnp.asarray(TEACHER), jnp.asarray(SUBSET))
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_mse_equals_numpy_on_the_subset(x64):
    expected = ((STUDENT - TEACHER)[:, SUBSET] ** 2).mean()
    got = losses.mse()(jnp.asarray(STUDENT), jnp.asarray(TEACHER), jnp.asarray(SUBSET))
    np.testing.assert_allclose(got, expected, rtol=1e-12)


def test_class_cross_entropy_sees_the_class_logits_alone(x64):
    labels = np.array([0, 1, 2, 0, 1, 2])
    expected = -log_softmax(STUDENT[:, :3], axis=-1)[np.arange(6), labels].mean()
    got = losses.class_cross_entropy(jnp.asarray(STUDENT), jnp.asarray(labels), 3)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    gradient = jax.grad(losses.class_cross_entropy)(jnp.asarray(STUDENT), jnp.asarray(labels), 3)
    assert not np.any(gradient[:, 3:])


@pytest.mark.parametrize("name", IMITATIONS)
def test_gradient_by_finite_differences_and_zero_off_the_subset(name, x64):
    def loss(z):
        return IMITATIONS[name](z, jnp.asarray(TEACHER), jnp.asarray(SUBSET))

    z, v = jnp.asarray(STUDENT), jnp.asarray(RNG.normal(size=STUDENT.shape))
    gradient = jax.grad(loss)(z)
    numeric = (loss(z + 1e-5 * v) - loss(z - 1e-5 * v)) / 2e-5
    np.testing.assert_allclose((gradient * v).sum(), numeric, rtol=1e-8)
    assert not np.any(gradient[:, ~SUBSET])
    assert np.all(gradient[:, SUBSET] != 0)


@pytest.mark.parametrize("name", IMITATIONS)
def test_a_mean_over_the_batch(name, x64):
    loss, subset = IMITATIONS[name], jnp.asarray(SUBSET)
    rows = [
        loss(jnp.asarray(s[None]), jnp.asarray(t[None]), subset)
        for s, t in zip(STUDENT, TEACHER, strict=True)
    ]
    whole = loss(jnp.asarray(STUDENT), jnp.asarray(TEACHER), subset)
    np.testing.assert_allclose(whole, np.mean(rows), rtol=1e-12)


@given(st.floats(-1e4, 1e4, width=32), st.floats(-1e4, 1e4, width=32), st.floats(0.01, 100))
def test_kl_of_one_logit_has_exactly_no_gradient(student, teacher, temperature):
    subset = jnp.array([False, False, True])
    z = jnp.array([[1.0, 2.0, student]])
    t = jnp.array([[0.5, -1.0, teacher]])
    value, gradient = jax.value_and_grad(losses.kl(temperature))(z, t, subset)
    assert value == 0
    assert not np.any(gradient)


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=6, max_size=6))
def test_kl_is_finite_and_not_negative_for_any_logits(logits):
    z = jnp.array(logits, jnp.float32).reshape(2, 1, 3)
    value, gradient = jax.value_and_grad(losses.kl())(z[0], z[1], jnp.ones(3, bool))
    assert value >= -1e-6
    assert np.all(np.isfinite(gradient))


def test_labels_that_are_the_teachers_softmax_teach_what_kl_does(x64):
    """Cross-entropy is KL and an entropy that the student can't change: the same gradient."""
    student, teacher, subset = map(jnp.asarray, (STUDENT, TEACHER, SUBSET))
    p = jax.nn.softmax(jnp.where(subset, teacher, losses.OFF))
    kl, labels = (jax.grad(loss) for loss in (losses.kl(), losses.labels()))
    np.testing.assert_allclose(labels(student, p, subset), kl(student, teacher, subset), atol=1e-14)


def test_bits_pull_each_imitated_logit_by_how_wrong_its_sigmoid_is(x64):
    student, subset = jnp.asarray(STUDENT), jnp.asarray(SUBSET)
    given = (TEACHER > 0).astype(float)
    expected = np.where(SUBSET, 1 / (1 + np.exp(-STUDENT)) - given, 0) / (6 * 3)
    got = jax.grad(losses.bits())(student, jnp.asarray(given), subset)
    np.testing.assert_allclose(got, expected, atol=1e-14)


def test_comparisons_pull_the_two_logits_apart_by_how_wrong_they_are(x64):
    """Cross-entropy of the sigmoid of a difference; the logits that are not compared stay."""
    student, pairs = jnp.asarray(STUDENT), RNG.permuted(np.tile(np.arange(5), (6, 1)), axis=1)
    rows = np.arange(6)
    gap = STUDENT[rows, pairs[:, 0]] - STUDENT[rows, pairs[:, 1]]
    given = np.zeros_like(STUDENT)
    given[rows, pairs[:, 0]], given[rows, pairs[:, 1]] = 1, -1
    value, got = jax.value_and_grad(losses.comparisons())(
        student, jnp.asarray(given), jnp.asarray(SUBSET)
    )
    np.testing.assert_allclose(value, np.log1p(np.exp(-gap)).mean(), rtol=1e-12)
    np.testing.assert_allclose(got, -given / (1 + np.exp(gap))[:, None] / 6, atol=1e-14)


def test_one_of_several_is_that_one_and_may_be_traced():
    several = [losses.kl(), losses.mse(), losses.kl(3.0)]
    args = [jnp.asarray(a) for a in (STUDENT, TEACHER, SUBSET)]
    chosen = jax.jit(lambda i: losses.one_of(several, i)(*args))
    for i, alone in enumerate(several):
        np.testing.assert_allclose(chosen(i), alone(*args), rtol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_losses_of_half_precision_are_those_of_full_within_its_rounding(dtype):
    subset = jnp.asarray(SUBSET)
    student, teacher = (jnp.asarray(logits, dtype) for logits in (STUDENT, TEACHER))
    exact = [logits.astype(jnp.float32) for logits in (student, teacher)]
    value, gradient = jax.value_and_grad(losses.kl())(student, teacher, subset)
    expected, slope = jax.value_and_grad(losses.kl())(*exact, subset)
    rtol = 30 * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(float(value), expected, rtol=rtol)
    np.testing.assert_allclose(gradient.astype(jnp.float32), slope, atol=rtol)
    assert not np.any(gradient[:, ~SUBSET])
    p = jax.nn.softmax(losses.mask_logits(teacher, subset))
    assert np.isfinite(float(losses.labels()(student, p, subset)))


def test_in_single_precision_a_logit_is_taken_out_as_ever():
    np.testing.assert_array_equal(
        losses.mask_logits(jnp.zeros(2), jnp.array([True, False])), np.float32([0, losses.OFF])
    )


@pytest.mark.parametrize("wrong", [3, 4, -1, -3])
def test_a_label_that_is_no_class_has_no_loss(wrong):
    logits = jnp.asarray(STUDENT)
    labels = jnp.array([0, 1, 2, 0, 1, 2])
    assert np.isfinite(losses.class_cross_entropy(logits, labels, 3))
    loss, slope = jax.value_and_grad(losses.class_cross_entropy)(logits, labels.at[4].set(wrong), 3)
    assert np.isnan(loss)
    assert np.isnan(slope[4, :3]).all()


def test_fewer_outputs_than_classes_are_refused():
    sentence = "outputs of the network must be at least the 6 class logits; got 5"
    for function in (losses.class_cross_entropy, probes.accuracy):
        with pytest.raises(UserError, match=sentence):
            jax.eval_shape(lambda z, f=function: f(z, jnp.zeros(6, int), 6), jnp.asarray(STUDENT))
