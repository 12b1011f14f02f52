"""Which of several teachers taught a student: its similarity to each, and what that points to."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import xarray as xr

from toymodels.measure.probes import cka, cosine
from toymodels.measure.representations import principal_subspace, subspace_overlap
from toymodels.networks.models import Network, Params
from toymodels.stats.statistics import side_by_side
from toymodels.training.protocol import Protocol, SeedKeys
from toymodels.training.tasks import Data
from toymodels.trees import flatten

WEIGHTS = ("weights", "distance", "displacement")
"""Probes of the parameters: cosine; negative Euclidean distance; cosine between the displacements of
student and teacher from the teacher's initialisation, for an investigator who knows it."""
OUTPUTS = ("logits", "labels", "aux")
"""Probes of the outputs: cosine of the class logits, fraction of equal predicted classes, cosine of
the imitated logits. The mean over logits is subtracted for each input, since probabilities do not
depend on it."""
PROBES = (*WEIGHTS, "cka", "subspace", *OUTPUTS)
"""All probes; ``cka`` and ``subspace`` (`representations.subspace_cka`) compare last hidden layers."""


class Responses(NamedTuple):
    """Responses of a network to one set of n query inputs; a pytree."""

    latent: jax.Array
    """Last hidden layer (n, p)."""
    logits: jax.Array
    """All logits (n, outputs)."""
    subspaces: list[jax.Array]
    """For each number of queries q the principal subspace of the first q rows, (q, k) or fewer
    columns."""


class Candidates(NamedTuple):
    """N possible teachers of a student; a pytree with the leading axis (N,) everywhere."""

    references: Params
    """Initialisations of the teachers."""
    teachers: Params
    """Trained parameters of the teachers."""
    responses: list[Responses]
    """Responses of each teacher to every set of inputs."""


def teach_candidates(
    protocol: Protocol, data: Data, keys: SeedKeys, n: int, siblings: bool | jax.Array
) -> tuple[Params, Params, jax.Array]:
    """Train n candidates: initialisations and parameters (n, ...), and scores by epoch.

    Siblings have one initialisation, and differ in the random half of the training images they
    learn and in its order; other candidates differ in the initialisation alone. ``siblings`` may be
    traced.
    """
    images = len(data.train[1])

    def teach(i: jax.Array) -> tuple[Params, Params, jax.Array]:
        init, lesson = jnp.where(siblings, 0, i), jnp.where(siblings, i, 0)
        reference = protocol.network.init(jax.random.fold_in(keys.init, init))
        half, order = jax.random.split(jax.random.fold_in(keys.teacher, lesson))
        rows = jax.random.permutation(half, images)[: images // 2]
        selection = data._replace(train=(data.train[0][rows], data.train[1][rows]))
        teacher, curve = protocol.teach(
            reference, selection, order, lambda params: protocol.trait.score(params, data.test)
        )
        return reference, teacher, curve

    return jax.lax.map(teach, jnp.arange(n))


def query(
    network: Network, params: Params, inputs: Sequence[jax.Array], queries: Sequence[int], k: int
) -> list[Responses]:
    """Record the responses of a network to every set of inputs (n, pixels).

    Args:
        network: the network.
        params: its parameters.
        inputs: sets of inputs.
        queries: numbers q of inputs; each gives one principal subspace, of the first q inputs.
        k: dimension of the subspaces, at least 1.

    """

    def respond(x: jax.Array) -> Responses:
        latent = network.latent(params, x)
        # After centring, q rows span at most q - 1 directions: a further direction would be noise.
        subspaces = [principal_subspace(latent[:q], max(1, min(k, q - 1))) for q in queries]
        return Responses(latent, network.apply(params, x), subspaces)

    return [respond(x) for x in inputs]


def score_candidates(
    student: Params,
    responses: Sequence[Responses],
    candidates: Candidates,
    queries: Sequence[int],
    n_classes: int,
    logits: jax.Array,
) -> jax.Array:
    """Similarity of a student to each candidate: (N, probes, sets of inputs, queries).

    Args:
        student: parameters of the student.
        responses: responses of the student, to the inputs and queries of the candidates.
        candidates: the possible teachers.
        queries: numbers of inputs, as in `query`.
        n_classes: number of class logits.
        logits: the imitated logits, a mask bool (outputs,).

    """

    def score(candidate: Candidates) -> jax.Array:
        weights = score_weights(student, candidate.teachers, candidate.references)
        by_inputs = jnp.stack(
            [
                score_responses(student_part, teacher_part, queries, n_classes, logits)
                for student_part, teacher_part in zip(responses, candidate.responses, strict=True)
            ],
            axis=1,
        )
        repeated = jnp.broadcast_to(weights[:, None, None], (len(weights), *by_inputs.shape[1:]))
        return jnp.concatenate([repeated, by_inputs])

    return jax.vmap(score)(candidates)


def score_weights(student: Params, teacher: Params, reference: Params) -> jax.Array:
    """Similarity by the probes of `WEIGHTS`, (3,); ``reference`` is the teacher's initialisation.

    >>> a, b, init = ({"w": jnp.array(w)} for w in ([2.0, 0.0], [1.0, 1.0], [1.0, 0.0]))
    >>> [round(float(score), 4) for score in score_weights(a, b, init)]
    [0.7071, -1.4142, 0.0]
    """
    s, t, r = flatten(student), flatten(teacher), flatten(reference)
    return jnp.stack([cosine(s, t), -jnp.linalg.norm(s - t), cosine(s - r, t - r)])


def score_responses(
    student: Responses,
    teacher: Responses,
    queries: Sequence[int],
    n_classes: int,
    logits: jax.Array,
) -> jax.Array:
    """Similarity by the probes after `WEIGHTS` in `PROBES`, for each number of queries: (5, q).

    ``logits`` is the mask of the imitated logits, bool (outputs,).
    """

    def centre(values: jax.Array, mask: jax.Array) -> jax.Array:
        mean = jnp.where(mask, values, 0.0).sum(-1, keepdims=True) / mask.sum()
        return jnp.where(mask, values - mean, 0.0).ravel()

    def score(q: int, u: jax.Array, v: jax.Array) -> jax.Array:
        a, b = student.logits[:q], teacher.logits[:q]
        classes = jnp.arange(a.shape[1]) < n_classes
        equal = jnp.argmax(a[:, :n_classes], -1) == jnp.argmax(b[:, :n_classes], -1)
        return jnp.stack(
            [
                cka(student.latent[:q], teacher.latent[:q]),
                subspace_overlap(u, v),
                cosine(centre(a, classes), centre(b, classes)),
                equal.mean(),
                cosine(centre(a, logits), centre(b, logits)),
            ]
        )

    columns = zip(queries, student.subspaces, teacher.subspaces, strict=True)
    return jnp.stack([score(q, u, v) for q, u, v in columns], axis=1)


def identify(score: xr.DataArray) -> xr.DataArray:
    """Whether the highest score along ``candidate`` is the ``source``'s: 1, 0, or 1 / n in a tie of n.

    A probe that gives all N candidates the same score is therefore right in 1 of N cases on average.

    >>> score = xr.DataArray([[2.0, 1.0], [3.0, 3.0]], {"source": [0, 1], "candidate": [0, 1]})
    >>> identify(score).values.tolist()
    [1.0, 0.5]
    """
    source = score.where(score.candidate == score.source).max("candidate")
    ties = (score == score.max("candidate")).sum("candidate")
    hit = (source == score.max("candidate")) / ties.clip(1)
    return hit.where(source.notnull())


def merge_inputs(hits: xr.DataArray) -> xr.DataArray:
    """``probe`` and ``inputs`` as one dimension ``by``: probes of the weights have no inputs."""
    columns = {}
    for probe in hits.probe.values:
        for inputs in hits.inputs.values:
            name = str(probe) if probe in WEIGHTS else f"{probe} on {inputs}"
            columns[name] = hits.sel(probe=probe, inputs=inputs, drop=True)
    return side_by_side("by", columns, str(hits.attrs.get("description", "")))
