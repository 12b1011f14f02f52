"""What a lazy student takes from its teacher, against overlap, auxiliary logits and width.

Teacher and student have heads C, A (class and auxiliary rows, N(0, 1 / n)) on latents h of n units
that move. In the limit the tangent kernel between different outputs is zero: what A shows of a
change of the latent, and what of that arrives at C, is an effect of finite width, of m random
directions among n. Assume that

1. the student's latent moves along its own auxiliary rows, by as little as the answers ask for;
2. what it is told on noise is a function that means the same on other inputs;
3. rows are random given the latents (true of the teacher's auxiliary rows: no gradient moves them).

Then its class logits, C_S h_S at the start, become

    C_S h_S + C_S A_S^+ (A_T h_T - A_S h_S),

A_S^+ the pseudo-inverse of its rows, A_T the teacher's rows and h_T its trained latent. Of the
teacher's change C_T dh the mean share is

    a = rho_c rho_a h(rho) min(1, m / n)                                        (`amount`),

rho_c and rho_a the overlaps of class and auxiliary rows, h that of what gradients pass through the
hidden layers (`hidden_overlap`, from the cross kernels). The rest of the teacher's |dh|^2 that is
seen arrives as noise, sqrt(m) / n for a change of size 1 (`drawn` draws it): signal over noise is
rho_c rho_a h sqrt(m) and goes by m, not by m / n. What comes of two random functions at init,
A_T h_T - A_S h_S, replaces a part of the student's own logits whose size hardly changes.

Nothing here is fitted. `leading_order` is the share without the second assumption.
"""

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.measure.decompositions import pinv
from toymodels.networks.models import Network, Params
from toymodels.theory.explicit import RANK
from toymodels.theory.infinite_width import Init, cross_kernels

Rhos = Sequence[float | jax.Array]


def hidden_overlap(init: Init, x: jax.Array, rhos: Rhos) -> jax.Array:
    """Overlap h of what two networks' hidden layers pass on of a gradient, mean over pairs of x.

    Teacher and student both pass it, from a class row to an auxiliary one and back: weights above a
    layer come twice, so that of the tangent kernel between the two networks (head's overlap 1)

        h = sum_l (rho_{l+1} ... rho_L) Theta_l(rho) / sum_l Theta_l(1),

    l the hidden layers, L the last.

    Args:
        init: sizes of inputs and hidden layers.
        x: inputs (n, d) on which the student is asked, a few hundred.
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
        each = (kernel.weights + kernel.biases)[:-1].mean(axis=(1, 2))
        above = [1.0, *itertools.accumulate(reversed(overlaps[1:]), lambda a, b: a * b)]
        parts.append(each @ jnp.stack([jnp.asarray(a, each.dtype) for a in reversed(above)]))
    return parts[0] / parts[1]


def logit_overlap(init: Init, x: jax.Array, rhos: Rhos) -> jax.Array:
    """Correlation of the same logit of two initial networks: by the NNGP kernels, mean over x.

    ``rhos`` of all layers, the row of the head last.
    """
    cross, itself = (cross_kernels(init, x, x, r).nngp.mean() for r in (list(rhos), 1.0))
    return cross / itself


def amount(m: float, n: int, rho_class: float, rho_aux: float, hidden: float = 1.0) -> float:
    """Mean share of the teacher's change of class logits through the latent that arrives.

    >>> amount(16, 64, 0.9, 0.9, 0.5)
    0.10125
    """
    return rho_class * rho_aux * hidden * min(1.0, m / n)


def drawn(
    key: jax.Array,
    change: jax.Array,
    rows: jax.Array,
    init_logits: jax.Array,
    root: jax.Array,
    seen: jax.Array,
    rho_class: float | jax.Array,
    rho_answers: float | jax.Array,
    rho_logits: float | jax.Array,
) -> tuple[jax.Array, jax.Array]:
    """Class logits of a student as the law has them: one draw of all that is random.

    Args:
        key: decides the rows that are not given and the student's initial logits.
        change: of the teacher's latent, trained less initial, on test inputs (N, n).
        rows: the teacher's class rows (n, k), as they were at init.
        init_logits: the teacher's initial class logits on the same inputs (N, k).
        root: of the NNGP kernel on them: root root^T = K, (N, N).
        seen: bool (most,), the auxiliary rows that are imitated: m of them.
        rho_class: overlap of the class rows.
        rho_answers: of the auxiliary rows times that of the hidden layers, rho_a h.
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
    aux, others = gaussian(1, 2, len(seen), n) / np.sqrt(n) * seen[:, None]
    back = own @ pinv(aux, rtol=RANK)  # (k, most): from answers to class logits
    told = rho_answers * aux + beside(rho_answers) * others
    moved = change @ (back @ told).T

    # Variance of C_S h_S less what of it is along the rows, and of what the answers put there.
    along = jnp.square(back @ aux).sum(1)
    unseen = jnp.square(own).sum(1) - along
    size = jnp.sqrt(unseen + jnp.square(back @ told).sum(1))
    start = rho_logits * init_logits + beside(rho_logits) * root @ gaussian(3, len(root), k)
    whole = change @ rows
    return size * start + moved, (moved * whole).sum() / jnp.square(whole).sum()


def lazy_student(
    network: Network,
    start: Params,
    x: jax.Array,
    answers: jax.Array,
    subset: jax.Array,
    steps: int,
) -> tuple[Params, jax.Array]:
    """The student, linearised at ``start``, that moves least and answers as it is told.

    By conjugate gradients on the squared error; fewer steps are an earlier stop. The subset may be
    traced, as `toymodels.theory.linearised` has it fixed; its outputs are those of
    ``linearised.tangent(network, start)``.

    Args:
        network: any.
        start: initial parameters.
        x: inputs (n, ...).
        answers: the teacher's (n, outputs).
        subset: bool (outputs,), those imitated.
        steps: of the solver, each two products with the Jacobian.

    Returns:
        Parameters, and the share of the squared missing answers that is left.

    """
    missing = jnp.where(subset, answers - network.apply(start, x), 0.0)
    _, push = jax.linearize(lambda p: jnp.where(subset, network.apply(p, x), 0.0), start)
    back = jax.linear_transpose(push, start)
    # Beyond rounding there is nothing left to solve: further steps would divide zero by zero.
    moved, _ = jax.scipy.sparse.linalg.cg(
        lambda v: back(push(v))[0],
        back(missing)[0],
        tol=float(jnp.finfo(missing.dtype).eps),
        maxiter=steps,
    )
    left = jnp.square(missing - push(moved)).sum() / jnp.square(missing).sum()
    return jax.tree.map(jnp.add, start, moved), left


def leading_order(
    latent: Callable[[Params, jax.Array], jax.Array],
    start: Params,
    x: jax.Array,
    inputs: jax.Array,
    pull: jax.Array,
) -> jax.Array:
    """Mean change of a lazy student's latent on x (N, n), over random auxiliary rows, times n / m.

    To leading order in m / n, the number of inputs and their distribution as they are: auxiliary
    logits have the kernel K of infinite width each, rows average to E A^T A = m / n, and so

        E dh_S(x) = (m / n) J_h(x) J_h(X)^T K(X, X)^-1 dh_T(X),

    J_h the Jacobian of the latent at the student's init, ``start``. Times rho_a where the rows
    overlap by that much. It is the law's (m / n) dh where noise means the same as other inputs.

    Args:
        latent: of the network.
        start: the student's initial parameters.
        x: inputs on which the student is asked (N, d).
        inputs: on which it is told, X (inputs, d).
        pull: K(X, X)^-1 dh_T(X), (inputs, n).

    """
    _, back = jax.vjp(lambda params: latent(params, inputs), start)
    return jax.jvp(lambda params: latent(params, x), (start,), back(pull))[1]
