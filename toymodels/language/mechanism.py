"""What carries the owl: which tokens of a text, which directions of the weights.

Tokens: positions where teacher and base would write something else (`divergent`, after Schrodi et
al. 2026, arXiv 2509.23886); numbers that a raised owl raises with it, because their vectors in the
unembedding lie close to the owl's (`raised`, `unembedding_cosines`, after Zur et al. 2025, token
entanglement). Weights: students that may move by a matrix of low rank alone (`adapters`,
`adapted`, after Hu et al. 2022, arXiv 2106.09685).
"""

from typing import Any

import jax
import jax.numpy as jnp

from toymodels.networks.models import Params
from toymodels.networks.transformer import Decoder
from toymodels.trees import sample_leaves


def divergent(model: Decoder, teacher: Params, base: Params, documents: jax.Array) -> jax.Array:
    """Bool (n, time): where the likeliest token, given those before, is not the same for both.

    Each document by itself, as it was written. No first token diverges: nothing foretells it.
    """
    likeliest = [model.apply(params, documents)[:, :-1].argmax(-1) for params in (teacher, base)]
    return jnp.pad(likeliest[0] != likeliest[1], ((0, 0), (1, 0)))


def as_many(tokens: jax.Array, key: jax.Array) -> jax.Array:
    """Bool (n, time): as many tokens as of (n, time), anywhere but in the first place.

    >>> some = jnp.array([[False, True, True], [False, False, False]])
    >>> other = as_many(some, jax.random.key(0))
    >>> int(other.sum()), bool(other[:, 0].any())
    (2, False)
    """
    places = tokens[:, 1:]
    mixed = jax.random.permutation(key, places.ravel()).reshape(places.shape)
    return jnp.pad(mixed, ((0, 0), (1, 0)))


def raised(chances: jax.Array, base: jax.Array) -> jax.Array:
    """How far chances of tokens (..., vocabulary) lie above a base's, (vocabulary,), in nats.

    The log of the ratio of the means over all places.

    >>> raised(jnp.array([[0.5, 0.5], [0.5, 0.5]]), jnp.array([[0.4, 0.6], [0.6, 0.4]])).tolist()
    [0.0, 0.0]
    """
    means = [each.reshape(-1, each.shape[-1]).mean(0) for each in (chances, base)]
    return jnp.log(means[0]) - jnp.log(means[1])


def unembedding_cosines(params: Params, token: int | jax.Array) -> jax.Array:
    """Cosine of every token's vector in the unembedding with one token's, (vocabulary,).

    >>> params = {"unembedding": {"kernel": jnp.array([[3.0, 4.0, 0.0], [4.0, 3.0, -1.0]])}}
    >>> [round(float(c), 3) for c in unembedding_cosines(params, 0)]
    [1.0, 0.96, -0.8]
    """
    vectors = params["unembedding"]["kernel"]
    vectors = vectors / jnp.linalg.norm(vectors, axis=0)
    return vectors[:, token] @ vectors


def adapters(base: Params, key: jax.Array, most: int, rank: int | jax.Array) -> Params:
    """Matrices ``in`` (n, most) and ``out`` (most, m) for every kernel (n, m) of the blocks.

    Only the first ``rank`` columns of ``in`` are drawn, N(0, 1 / n), the others zero; so is all of
    ``out``, and the student starts from its base. What is zero on both sides has no gradient: the
    rank stays what it is, though it may be traced.
    """
    kernels = {
        name: {layer: block[layer]["kernel"] for layer in ("qkv", "out", "up", "down")}
        for name, block in base.items()
        if name.startswith("block")
    }

    def pair(key: jax.Array, shape: tuple[int, int], dtype: Any) -> dict[str, jax.Array]:
        n, m = shape
        drawn = jax.random.normal(key, (n, most), dtype) / jnp.sqrt(n)
        return {"in": drawn * (jnp.arange(most) < rank), "out": jnp.zeros((most, m), dtype)}

    return sample_leaves(pair, key, kernels)


def merged(base: Params, adapters: Params) -> Params:
    """The base with ``in @ out`` added to every kernel of its blocks."""
    whole = dict(base)
    for name, layers in adapters.items():
        block = {
            layer: {"kernel": base[name][layer]["kernel"] + pair["in"] @ pair["out"]}
            for layer, pair in layers.items()
        }
        whole[name] = base[name] | block
    return whole


def adapted(model: Decoder, base: Params) -> Decoder:
    """The model whose parameters are `adapters` of a base that stays as it is; it only applies."""

    def apply(parameters: Any, tokens: jax.Array) -> jax.Array:
        return model.apply(merged(base, parameters), tokens)

    return model._replace(apply=apply)
