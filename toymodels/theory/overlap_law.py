"""The transfer to a lazy student, against overlap, auxiliary logits and width.

Teacher and student have heads C, A (class and auxiliary rows, N(0, 1 / n)) on latents h of n units
that move. In the limit of infinite width the tangent kernel between different outputs is zero: the
visibility of a change of the latent through A, and its effect on C, are effects of finite width, of
m random directions among n. Assume that

1. the student's latent moves along its own auxiliary rows, by as little as the answers ask for;
2. the answers on noise are a function that has the same meaning on other inputs;
3. rows are random given the latents (true of the teacher's auxiliary rows: no gradient moves them).

Then its class logits, C_S h_S at the start, become

    C_S h_S + C_S A_S^+ (A_T h_T - A_S h_S),

A_S^+ the pseudo-inverse of its rows, A_T the teacher's rows and h_T its trained latent. Of the
teacher's change C_T dh the mean share is

    a = rho_c rho_a h(rho) min(1, m / n)                                        (`amount`),

rho_c and rho_a the overlaps of class and auxiliary rows, h that of what gradients pass through the
hidden layers (`hidden_overlap`, from the cross kernels). The rest of the teacher's visible
|dh|^2 arrives as noise, sqrt(m) / n for a change of size 1 (`sample_class_logits` samples it): the
ratio of signal to noise, rho_c rho_a h sqrt(m), depends on m, not on m / n. The difference of two
random functions at initialisation, A_T h_T - A_S h_S, replaces a part of the student's own logits,
whose size hardly changes.

Nothing is fitted. `toymodels.theory.lazy_students.leading_order` is the share without the second
assumption.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.measure import probes
from toymodels.measure.decompositions import pinv
from toymodels.measure.probes import accuracy
from toymodels.networks.models import Network, Params
from toymodels.theory.explicit import RANK
from toymodels.theory.infinite_width import Init, cross_kernels

Rhos = Sequence[float | jax.Array]


def hidden_overlap(init: Init, x: jax.Array, rhos: Rhos) -> jax.Array:
    """Overlap h of the gradients through two networks' hidden layers, mean over pairs of x.

    A gradient passes through both teacher and student, from a class row to an auxiliary row and
    back, so that the weights above a layer count twice: with the tangent kernel between the two
    networks (overlap 1 of the heads)

        h = sum_l (rho_{l+1} ... rho_L) Theta_l(rho) / sum_l Theta_l(1),

    l the hidden layers, L the last.

    Args:
        init: sizes of inputs and hidden layers.
        x: test inputs (n, d), a few hundred.
        rhos: overlap of each hidden layer's weights.

    Returns:
        A scalar; 1 if all overlaps are. Not 0 where they are 0: ReLU slopes agree by chance.

    >>> x = jax.random.normal(jax.random.key(0), (5, 30))
    >>> float(hidden_overlap(Init((30, 10, 10)), x, (1.0, 1.0)))
    1.0

    """
    parts = []
    for overlaps in (rhos, [1.0] * len(rhos)):
        kernel = cross_kernels(init, x, x, [*overlaps, 1.0])
        by_layer = (kernel.weights + kernel.biases)[:-1].mean(axis=(1, 2))
        above = [1.0, *itertools.accumulate(reversed(overlaps[1:]), lambda a, b: a * b)]
        parts.append(
            by_layer @ jnp.stack([jnp.asarray(a, by_layer.dtype) for a in reversed(above)])
        )
    return parts[0] / parts[1]


def logit_overlap(init: Init, x: jax.Array, rhos: Rhos) -> jax.Array:
    """Correlation of the same logit of two initial networks: by the NNGP kernels, mean over x.

    ``rhos`` of all layers, the row of the head last.
    """
    cross, itself = (cross_kernels(init, x, x, r).nngp.mean() for r in (list(rhos), 1.0))
    return cross / itself


class Teacher(NamedTuple):
    """What the law takes from a teacher, on N test inputs."""

    change: jax.Array
    """Change of the latent in training (N, n)."""
    rows: jax.Array
    """Initial class rows (n, k)."""
    logits: jax.Array
    """Initial class logits (N, k)."""
    pull: jax.Array
    """K^-1 times the change of the latent on the distillation inputs (inputs, n); see
    `toymodels.theory.lazy_students.leading_order`."""


def describe_teacher(
    network: Network,
    reference: Params,
    teacher: Params,
    x: jax.Array,
    inputs: jax.Array,
    init: Init,
    n_classes: int,
) -> Teacher:
    """Describe a teacher to the law.

    Args:
        network: an MLP.
        reference: the teacher's initial parameters.
        teacher: its trained parameters.
        x: test inputs (N, d).
        inputs: distillation inputs (inputs, d).
        init: sizes of inputs and hidden layers.
        n_classes: number k of class logits.

    """
    change, answers = (
        network.latent(teacher, z) - network.latent(reference, z) for z in (x, inputs)
    )
    kernel = cross_kernels(init, inputs, inputs).ntk()
    pull = jax.scipy.linalg.solve(kernel, answers, assume_a="pos")
    rows = reference["head"]["kernel"][:, :n_classes]
    return Teacher(change, rows, network.apply(reference, x)[:, :n_classes], pull)


def amount(m: float, n: int, rho_class: float, rho_aux: float, hidden: float = 1.0) -> float:
    """Mean share of the teacher's change of class logits that the student acquires.

    >>> amount(16, 64, 0.9, 0.9, 0.5)
    0.10125
    """
    return rho_class * rho_aux * hidden * min(1.0, m / n)


def sample_class_logits(
    key: jax.Array,
    change: jax.Array,
    rows: jax.Array,
    init_logits: jax.Array,
    root: jax.Array,
    imitated: jax.Array,
    rho_class: float | jax.Array,
    rho_answers: float | jax.Array,
    rho_logits: float | jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Sample a student's class logits from the law.

    Args:
        key: of the student's rows and initial logits.
        change: change of the teacher's latent in training, on test inputs (N, n).
        rows: the teacher's initial class rows (n, k).
        init_logits: the teacher's initial class logits on the same inputs (N, k).
        root: a root of the NNGP kernel K on them: root root^T = K, (N, N).
        imitated: the m imitated auxiliary rows, bool (rows,).
        rho_class: overlap of the class rows.
        rho_answers: rho_a h, the overlap of the auxiliary rows times that of the hidden layers.
        rho_logits: correlation of the initial class logits, `logit_overlap`.

    Returns:
        Logits (N, k), and the student's part of the teacher's change, <dS, dT> / |dT|^2, a scalar.

    """
    (n, k), keys = rows.shape, jax.random.split(key, 4)

    def gaussian(i: int, *shape: int) -> jax.Array:
        return jax.random.normal(keys[i], shape)

    def beside(rho: float | jax.Array) -> jax.Array:
        return jnp.sqrt(jnp.maximum(1 - jnp.square(rho), 0))  # a full overlap may round above 1

    own = rho_class * rows.T + beside(rho_class) * gaussian(0, k, n) / np.sqrt(n)
    aux, independent = gaussian(1, 2, len(imitated), n) / np.sqrt(n) * imitated[:, None]
    readout = own @ pinv(aux, rtol=RANK)  # (k, rows): from answers to class logits
    teacher_aux = rho_answers * aux + beside(rho_answers) * independent
    displacement = change @ (readout @ teacher_aux).T

    # Variance of C_S h_S without its part along the rows, and of the part from the answers.
    along = jnp.square(readout @ aux).sum(1)
    unseen = jnp.square(own).sum(1) - along
    size = jnp.sqrt(unseen + jnp.square(readout @ teacher_aux).sum(1))
    start = rho_logits * init_logits + beside(rho_logits) * root @ gaussian(3, len(root), k)
    whole = change @ rows
    return size * start + displacement, probes.share(displacement, whole)


class Prediction(NamedTuple):
    """What the law predicts of one student; scalars."""

    accuracy: jax.Array
    """Test accuracy, mean over samples."""
    amount: jax.Array
    """Part of the teacher's change of class logits, rho^2 h(rho) min(1, m / n)."""


def predict(
    key: jax.Array,
    samples: int,
    teacher: Teacher,
    root: jax.Array,
    labels: jax.Array,
    imitated: jax.Array,
    rho: jax.Array,
    init: Init,
    x: jax.Array,
) -> Prediction:
    """Predict a student all of whose parameters have the overlap rho with the teacher's.

    Args:
        key: of the samples.
        samples: number of samples of the class logits.
        teacher: the teacher, on N test inputs.
        root: a root of the NNGP kernel on them (N, N).
        labels: their labels (N,).
        imitated: the m imitated auxiliary rows, bool (rows,).
        rho: the overlap.
        init: sizes of inputs and hidden layers.
        x: test inputs (n, d), a few hundred, over whose pairs kernels are averaged.

    """
    (width, n_classes), depth = teacher.rows.shape, len(init.sizes) - 1
    hidden = hidden_overlap(init, x, [rho] * depth)
    logits = logit_overlap(init, x, [rho] * (depth + 1))

    def sample_accuracy(key: jax.Array) -> jax.Array:
        known = teacher.change, teacher.rows, teacher.logits, root
        sample, _ = sample_class_logits(key, *known, imitated, rho, rho * hidden, logits)
        return accuracy(sample, labels, n_classes)

    scores = jax.lax.map(sample_accuracy, jax.random.split(key, samples))
    return Prediction(scores.mean(), rho**2 * hidden * jnp.minimum(1.0, imitated.sum() / width))


def square_root(kernel: jax.Array) -> np.ndarray:
    """A root R of a symmetric positive kernel, R R^T = kernel, computed in float64.

    >>> square_root(jnp.diag(jnp.array([4.0, 9.0]))).tolist()
    [[2.0, 0.0], [0.0, 3.0]]
    """
    values, vectors = np.linalg.eigh(np.asarray(kernel, np.float64))
    root: np.ndarray = vectors * np.sqrt(np.maximum(values, 0))
    return root.astype(np.float32)
