"""Losses of one model on one batch: class cross-entropy, and imitation of a teacher's logits.

Every loss is a mean over the batch and never over a model axis: what one model sees does not
depend on how many run beside it.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import optax

from toymodels.networks.layers import class_logits

# Takes a logit out of a softmax: exp(OFF) is exactly zero, yet OFF * 0 is no NaN as -inf * 0 is.
OFF = -1e30

Imitation = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
"""``loss(student_logits, teacher_logits, subset) -> scalar``, logits (batch, outputs); the subset,
bool (outputs,), says which of them are imitated."""


def mask_logits(logits: jax.Array, subset: jax.Array) -> jax.Array:
    """Logits (..., outputs) with those outside the subset, bool (outputs,), taken out of a softmax.

    >>> mask_logits(jnp.array([1.0, 2.0], jnp.float16), jnp.array([True, False])).tolist()
    [1.0, -32752.0]
    """
    # Half of the lowest number, where OFF is none: a logit's difference to another is finite, too.
    off = max(OFF, float(jnp.finfo(logits.dtype).min) / 2)
    return jnp.where(subset, logits, off)


def class_cross_entropy(logits: jax.Array, labels: jax.Array, n_classes: int) -> jax.Array:
    """Mean cross-entropy of the first n_classes of logits (batch, outputs) with labels (batch,).

    NaN, and so are its gradients, if a label is no class. Raises a UserError if there are fewer
    outputs than classes.
    """
    each = optax.losses.softmax_cross_entropy_with_integer_labels(
        class_logits(logits, n_classes), labels
    )
    return (each * factor(labels, n_classes)).mean()


def factor(labels: jax.Array, n_classes: int) -> jax.Array:
    """1 where a label is one of n_classes, NaN where it is none: the loss, too, and its gradients.

    >>> factor(jnp.array([-1, 0, 2, 3]), 3).tolist()
    [nan, 1.0, 1.0, nan]
    """
    return jnp.where((labels >= 0) & (labels < n_classes), 1.0, jnp.nan)


def kl(temperature: float | jax.Array = 1.0) -> Imitation:
    """KL(teacher || student) of softmaxes over the imitated logits, both divided by temperature.

    No factor temperature**2 is applied (Hinton et al. 2015 do): Adam is blind to it up to its
    epsilon. With a single imitated logit both softmaxes are 1, and the gradient is exactly zero.

    >>> student, teacher = jnp.array([[0.0, 0.0, 9.0]]), jnp.array([[5.0, 5.0, 0.0]])
    >>> float(kl()(student, teacher, jnp.array([True, True, False])))
    0.0
    """

    def loss(student: jax.Array, teacher: jax.Array, subset: jax.Array) -> jax.Array:
        log_q = jax.nn.log_softmax(mask_logits(student / temperature, subset))
        p = jax.nn.softmax(mask_logits(teacher / temperature, subset))
        return optax.losses.kl_divergence(log_q, p).mean()

    return loss


def mse() -> Imitation:
    """Mean over batch and imitated logits of the squared difference.

    >>> float(mse()(jnp.array([[1.0, 5.0]]), jnp.array([[3.0, 0.0]]), jnp.array([True, False])))
    4.0
    """

    def loss(student: jax.Array, teacher: jax.Array, subset: jax.Array) -> jax.Array:
        squared = jnp.where(subset, student - teacher, 0.0) ** 2
        return squared.sum(-1).mean() / subset.sum()

    return loss


def imitation(name: str, temperature: float = 1.0) -> Imitation:
    """The loss that configs call ``kl`` or ``mse``; the temperature is that of the former.

    >>> logits, subset = jnp.array([[1.0, 5.0]]), jnp.array([True, False])
    >>> float(imitation("mse")(logits, jnp.zeros((1, 2)), subset))
    1.0
    """
    return {"kl": kl(temperature), "mse": mse()}[name]


def labels() -> Imitation:
    """Cross-entropy of the student's softmax with labels: rows of probabilities, zero off subset.

    >>> given = jnp.array([[0.0, 1.0, 0.0]])
    >>> round(float(labels()(jnp.zeros((1, 3)), given, jnp.array([True, True, False]))), 6)
    0.693147
    """

    def loss(student: jax.Array, given: jax.Array, subset: jax.Array) -> jax.Array:
        return optax.losses.softmax_cross_entropy(mask_logits(student, subset), given).mean()

    return loss


def bits() -> Imitation:
    """Cross-entropy of each imitated logit's sigmoid with its bit, mean over batch and logits.

    >>> given = jnp.array([[1.0, 0.0]])
    >>> round(float(bits()(jnp.zeros((1, 2)), given, jnp.array([True, True]))), 6)
    0.693147
    """

    def loss(student: jax.Array, given: jax.Array, subset: jax.Array) -> jax.Array:
        each = optax.losses.sigmoid_binary_cross_entropy(student, given)
        return jnp.where(subset, each, 0.0).sum(-1).mean() / subset.sum()

    return loss


def comparisons() -> Imitation:
    """Cross-entropy of which of two logits is larger: the sigmoid of their difference, batch mean.

    The answers are 1 at the larger logit of each row, -1 at the smaller, and 0 elsewhere (Bradley
    and Terry 1952). The subset has no effect: the answers name the logits.

    >>> given = jnp.array([[1.0, -1.0, 0.0]])
    >>> round(float(comparisons()(jnp.zeros((1, 3)), given, jnp.ones(3, bool))), 6)
    0.693147
    """

    def loss(student: jax.Array, given: jax.Array, subset: jax.Array) -> jax.Array:
        return jax.nn.softplus(-(given * student).sum(-1)).mean()

    return loss


def one_of(imitations: Sequence[Imitation], i: int | jax.Array) -> Imitation:
    """The i-th of several losses; i may be traced. All are computed, of logits alone: it is cheap.

    >>> logits, subset = jnp.array([[1.0, 5.0]]), jnp.array([True, False])
    >>> float(one_of([kl(), mse()], 1)(logits, jnp.zeros((1, 2)), subset))
    1.0
    """
    return lambda student, teacher, subset: jnp.stack(
        [imitation(student, teacher, subset) for imitation in imitations]
    )[i]
