import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toymodels.errors import UserError
from toymodels.networks.models import MLP, functional
from toymodels.training import losses
from toymodels.training.distillation import (
    all_logits,
    answer_fresh_inputs,
    answer_inputs,
    argmax_labels,
    auxiliary_logits,
    distil,
    refuse_subset,
    sampled_labels,
)

CLASSES, M = 4, 3
AUX, ALL = auxiliary_logits(CLASSES, M), all_logits(CLASSES, M)


def setting(*hidden, m=M, seed=0):
    network = functional(lambda rngs: MLP((6, *hidden, CLASSES + m), rngs=rngs))
    reference = network.init(jax.random.key(seed))
    # Any other network with the same reference will do for a teacher.
    teacher = jax.tree.map(
        lambda a: a + 0.1 * jax.random.normal(jax.random.key(a.size), a.shape), reference
    )
    return network, reference, teacher


def noise(key, n):
    return jax.random.uniform(key, (n, 6), minval=-1.0)


def student(network, start, teacher, imitation, subset, optimiser=None, epochs=3):
    source = answer_inputs(network, teacher, noise(jax.random.key(5), 50), batch_size=16)
    return distil(
        network,
        start,
        source,
        imitation,
        subset,
        optimiser or optax.adam(1e-2),
        epochs=epochs,
        observe=lambda p: imitation(
            network.apply(p, noise(jax.random.key(6), 64)),
            network.apply(teacher, noise(jax.random.key(6), 64)),
            subset,
        ),
        key=jax.random.key(7),
    )


def same_bits(a, b):
    return jax.tree.all(jax.tree.map(jnp.array_equal, a, b))


@pytest.mark.parametrize("imitation", [losses.kl(), losses.mse()], ids=["kl", "mse"])
@pytest.mark.parametrize("subset", [AUX, ALL], ids=["aux", "all"])
def test_the_student_learns_to_imitate_unseen_inputs(imitation, subset):
    network, reference, teacher = setting(16)
    _, curve = student(network, reference, teacher, imitation, subset, epochs=20)
    assert curve.shape == (21,)
    assert curve[-1] < 0.1 * curve[0]


def test_one_auxiliary_logit_with_kl_moves_nothing_at_all():
    network, reference, teacher = setting(16, m=1)
    subset = auxiliary_logits(CLASSES, 1)
    trained, _ = student(network, reference, teacher, losses.kl(), subset)
    assert same_bits(trained, reference)
    moved, _ = student(network, reference, teacher, losses.mse(), subset)
    assert not same_bits(moved, reference)


def test_no_epoch_is_the_reference_to_the_bit():
    network, reference, teacher = setting(16)
    assert same_bits(student(network, reference, teacher, losses.kl(), AUX, epochs=0)[0], reference)


def test_a_linear_student_transfers_exactly_nothing():
    # Class rows of a linear network get no gradient from auxiliary logits.
    network, reference, teacher = setting()
    trained, _ = student(network, reference, teacher, losses.mse(), AUX)
    kernel, start = trained["head"]["kernel"], reference["head"]["kernel"]
    np.testing.assert_array_equal(kernel[:, :CLASSES], start[:, :CLASSES])
    assert np.all(kernel[:, CLASSES:] != start[:, CLASSES:])


def test_aux_only_leaves_the_class_rows_of_the_head_alone_yet_moves_the_hidden_layer():
    network, reference, teacher = setting(16)
    trained, _ = student(network, reference, teacher, losses.kl(), AUX)
    start = reference["head"]["kernel"]
    np.testing.assert_array_equal(trained["head"]["kernel"][:, :CLASSES], start[:, :CLASSES])
    assert not np.array_equal(trained["hidden1"]["kernel"], reference["hidden1"]["kernel"])


def test_fixed_and_fresh_inputs_carry_the_teachers_own_answers():
    network, _, teacher = setting(16)
    x = noise(jax.random.key(0), 20)
    sources = (
        answer_inputs(network, teacher, x, 8),
        answer_fresh_inputs(network, teacher, noise, 20, 8),
    )
    for source in sources:
        handles, _ = source.epoch(jax.random.key(1))
        inputs, answers = source.batch(handles[0])
        assert inputs.shape == (8, 6)
        np.testing.assert_allclose(answers, network.apply(teacher, inputs), rtol=1e-5, atol=1e-6)


def test_students_side_by_side_equal_students_alone():
    network, reference, teacher = setting(16)

    def one(subset):
        return student(network, reference, teacher, losses.kl(), subset)[0]

    together = jax.vmap(one)(jnp.stack([AUX, ALL]))
    for i, subset in enumerate([AUX, ALL]):
        alone = one(subset)
        for a, b in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
            np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("imitation", [losses.kl(), losses.mse()], ids=["kl", "mse"])
def test_logits_that_are_not_imitated_change_nothing(imitation):
    """A network with 5 auxiliary logits of which 2 are taught is one with 2."""
    large, reference, teacher = setting(8, m=5)
    small, _, _ = setting(8, m=2)

    def narrowed(params):
        head = jax.tree.map(lambda a: a[..., : CLASSES + 2], params["head"])
        return {**params, "head": head}

    some, _ = student(large, reference, teacher, imitation, auxiliary_logits(CLASSES, 5, first=2))
    whole, _ = student(
        small, narrowed(reference), narrowed(teacher), imitation, auxiliary_logits(CLASSES, 2)
    )
    for ours, theirs in zip(jax.tree.leaves(narrowed(some)), jax.tree.leaves(whole), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    np.testing.assert_array_equal(
        some["head"]["kernel"][:, CLASSES + 2 :], reference["head"]["kernel"][:, CLASSES + 2 :]
    )


def test_drawn_labels_have_the_softmax_for_their_mean_and_only_the_subset():
    logits = 2 * jax.random.normal(jax.random.key(0), (3, CLASSES + M))
    p = jax.nn.softmax(logits[:, CLASSES:])
    one = sampled_labels(jax.random.key(1), logits, AUX, draws=1)
    assert set(np.unique(one)) == {0.0, 1.0}
    assert (one.sum(-1) == 1).all()
    many = sampled_labels(jax.random.key(1), logits, AUX, draws=100_000)
    assert not np.any(many[:, :CLASSES])
    np.testing.assert_allclose(many[:, CLASSES:], p, atol=4 * 0.5 / np.sqrt(100_000))
    warm = sampled_labels(jax.random.key(1), logits, AUX, draws=100_000, temperature=3.0)
    np.testing.assert_allclose(
        warm[:, CLASSES:], jax.nn.softmax(logits[:, CLASSES:] / 3), atol=4 * 0.5 / np.sqrt(100_000)
    )
    largest = argmax_labels(logits, AUX)
    np.testing.assert_array_equal(largest.argmax(-1), CLASSES + p.argmax(-1))


def test_the_largest_logit_of_one_input_or_many():
    logits = jax.random.normal(jax.random.key(0), (2, 5, CLASSES + M))
    each = [[argmax_labels(one, AUX) for one in row] for row in logits]
    np.testing.assert_array_equal(argmax_labels(logits, AUX), each)
    np.testing.assert_array_equal(
        argmax_labels(logits, AUX).argmax(-1), CLASSES + logits[..., CLASSES:].argmax(-1)
    )


def test_a_student_is_looked_at_after_the_steps_that_are_named():
    network, reference, teacher = setting(8)
    source = answer_inputs(network, teacher, noise(jax.random.key(5), 32), batch_size=16)
    _, seen = distil(
        network,
        reference,
        source,
        losses.kl(),
        AUX,
        optax.adam(1e-2),
        epochs=2,
        observe=lambda params: params["head"]["kernel"],
        key=jax.random.key(0),
        record=(3,),
    )
    assert seen.shape[0] == 2  # before the first step and after the third


@pytest.mark.parametrize(
    ("m", "first", "sentence"),
    [
        (0, None, "m must be at least 1, .*; got 0"),
        (3, 0, r"first must be at least 1 and at most m \(3\); got 0"),
        (3, 4, r"first must be at least 1 and at most m \(3\); got 4"),
    ],
)
def test_auxiliary_logits_that_are_not_there_are_refused(m, first, sentence):
    with pytest.raises(UserError, match=f"^{sentence}$"):
        auxiliary_logits(CLASSES, m, first=first)


def test_a_subset_of_nothing_or_of_other_outputs_is_refused():
    student, teacher = jnp.zeros((2, 5)), jnp.zeros((2, 5))
    refuse_subset(student, teacher, jnp.ones(5, bool))
    for case, sentence in (
        ((student, teacher, jnp.zeros(5, bool)), "subset must hold one imitated logit at least"),
        ((student, teacher, jnp.ones(1, bool)), "outputs must be the 1 that .* 5 .* and 5 of"),
        ((student, teacher[:, :4], jnp.ones(5, bool)), "outputs must be the 5 .* 5 .* and 4 of"),
    ):
        with pytest.raises(UserError, match=sentence):
            refuse_subset(*case)
