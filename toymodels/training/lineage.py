"""Which of several teachers taught a student: how alike it is to each, and whom that points to."""

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
"""Probes of the parameters: cosine; Euclidean distance, negative; cosine of what student and
teacher have moved from the teacher's initialisation, for those who know it."""
OUTPUTS = ("logits", "labels", "aux")
"""Probes of the outputs: cosine of the class logits, share of equal predicted classes, cosine of
the imitated logits. A row's mean is taken off logits, for probabilities don't show it."""
PROBES = (*WEIGHTS, "cka", "subspace", *OUTPUTS)
"""All probes; ``cka`` and ``subspace`` (`representations.subspace_cka`) are of the last hidden
layer."""


class Seen(NamedTuple):
    """What the queries, n inputs of which the first q are asked, show of a network; a pytree."""

    latent: jax.Array
    """Last hidden layer (n, p)."""
    logits: jax.Array
    """All logits (n, outputs)."""
    subspaces: list[jax.Array]
    """For each q the principal subspace of the first q rows, (q, k) or fewer columns."""


class Candidates(NamedTuple):
    """N teachers that may have been a student's; a pytree, leading axis (N,) everywhere."""

    references: Params
    """Their initialisations."""
    teachers: Params
    seen: list[Seen]
    """What `look` sees of each, for every set of inputs."""


def teach(
    protocol: Protocol, data: Data, keys: SeedKeys, n: int, siblings: bool | jax.Array
) -> tuple[Params, Params, jax.Array]:
    """Train n candidates: their initialisations and parameters (n, ...), and scores by epoch.

    Siblings have one initialisation, and differ in the random half of the training images they
    learn and in its order; the others differ in the initialisation alone. Traced or not.
    """
    images = len(data.train[1])

    def one(i: jax.Array) -> tuple[Params, Params, jax.Array]:
        init, lesson = jnp.where(siblings, 0, i), jnp.where(siblings, i, 0)
        reference = protocol.network.init(jax.random.fold_in(keys.init, init))
        half, order = jax.random.split(jax.random.fold_in(keys.teacher, lesson))
        rows = jax.random.permutation(half, images)[: images // 2]
        own = data._replace(train=(data.train[0][rows], data.train[1][rows]))
        teacher, curve = protocol.teach(
            reference, own, order, lambda params: protocol.trait.score(params, data.test)
        )
        return reference, teacher, curve

    return jax.lax.map(one, jnp.arange(n))


def look(
    network: Network, params: Params, inputs: Sequence[jax.Array], queries: Sequence[int], k: int
) -> list[Seen]:
    """Ask a network every set of inputs (n, pixels).

    ``queries`` are the numbers q of inputs that count, each by itself; k >= 1 is the dimension of
    the subspaces.
    """

    def asked(x: jax.Array) -> Seen:
        latent = network.latent(params, x)
        # Less the mean, q rows span q - 1 directions at most: another would be noise.
        subspaces = [principal_subspace(latent[:q], max(1, min(k, q - 1))) for q in queries]
        return Seen(latent, network.apply(params, x), subspaces)

    return [asked(x) for x in inputs]


def scores(
    student: Params,
    seen: Sequence[Seen],
    candidates: Candidates,
    queries: Sequence[int],
    n_classes: int,
    subset: jax.Array,
) -> jax.Array:
    """Likeness to each candidate: (N, probes, sets of inputs, queries).

    Args:
        student: its parameters.
        seen: what `look` sees of it, with the same inputs and queries as of the candidates.
        candidates: whom it is compared with.
        queries: as in `look`.
        n_classes: number of class logits.
        subset: which logits were imitated, bool (outputs,).

    """

    def one(candidate: Candidates) -> jax.Array:
        weights = weight_scores(student, candidate.teachers, candidate.references)
        asked = jnp.stack(
            [
                query_scores(own, theirs, queries, n_classes, subset)
                for own, theirs in zip(seen, candidate.seen, strict=True)
            ],
            axis=1,
        )
        same = jnp.broadcast_to(weights[:, None, None], (len(weights), *asked.shape[1:]))
        return jnp.concatenate([same, asked])

    return jax.vmap(one)(candidates)


def weight_scores(student: Params, teacher: Params, reference: Params) -> jax.Array:
    """Likeness by the probes of `WEIGHTS`, (3,); ``reference`` is the teacher's initialisation.

    >>> one, two, start = ({"w": jnp.array(w)} for w in ([2.0, 0.0], [1.0, 1.0], [1.0, 0.0]))
    >>> [round(float(score), 4) for score in weight_scores(one, two, start)]
    [0.7071, -1.4142, 0.0]
    """
    s, t, r = flatten(student), flatten(teacher), flatten(reference)
    return jnp.stack([cosine(s, t), -jnp.linalg.norm(s - t), cosine(s - r, t - r)])


def query_scores(
    student: Seen, teacher: Seen, queries: Sequence[int], n_classes: int, subset: jax.Array
) -> jax.Array:
    """Likeness by the probes behind `WEIGHTS` in `PROBES`, for each number of queries: (5, q).

    ``subset``, bool (outputs,), says which logits were imitated.
    """

    def centred(logits: jax.Array, chosen: jax.Array) -> jax.Array:
        mean = jnp.where(chosen, logits, 0.0).sum(-1, keepdims=True) / chosen.sum()
        return jnp.where(chosen, logits - mean, 0.0).ravel()

    def at(q: int, u: jax.Array, v: jax.Array) -> jax.Array:
        a, b = student.logits[:q], teacher.logits[:q]
        classes = jnp.arange(a.shape[1]) < n_classes
        same = jnp.argmax(a[:, :n_classes], -1) == jnp.argmax(b[:, :n_classes], -1)
        return jnp.stack(
            [
                cka(student.latent[:q], teacher.latent[:q]),
                subspace_overlap(u, v),
                cosine(centred(a, classes), centred(b, classes)),
                same.mean(),
                cosine(centred(a, subset), centred(b, subset)),
            ]
        )

    columns = zip(queries, student.subspaces, teacher.subspaces, strict=True)
    return jnp.stack([at(q, u, v) for q, u, v in columns], axis=1)


def identified(score: xr.DataArray) -> xr.DataArray:
    """Whether the best of all ``candidate`` is the ``source``: 1, 0, or 1 / n in a tie of n.

    With a tie so shared, a probe that sees nothing is right in 1 of N on average, N candidates.

    >>> score = xr.DataArray([[2.0, 1.0], [3.0, 3.0]], {"source": [0, 1], "candidate": [0, 1]})
    >>> identified(score).values.tolist()
    [1.0, 0.5]
    """
    own = score.where(score.candidate == score.source).max("candidate")
    ties = (score == score.max("candidate")).sum("candidate")
    hit = (own == score.max("candidate")) / ties.clip(1)
    return hit.where(own.notnull())


def by_probe(identified: xr.DataArray) -> xr.DataArray:
    """``probe`` and ``inputs`` as one dimension ``by``: what reads the weights asks no inputs."""
    columns = {}
    for probe in identified.probe.values:
        for inputs in identified.inputs.values:
            name = str(probe) if probe in WEIGHTS else f"{probe} on {inputs}"
            columns[name] = identified.sel(probe=probe, inputs=inputs, drop=True)
    return side_by_side("by", columns, str(identified.attrs.get("description", "")))
