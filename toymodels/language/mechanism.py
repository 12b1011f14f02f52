"""What carries the trait: tokens of the text, directions of the weights.

Tokens: positions where teacher and base would write different tokens (`find_divergence`, after
Schrodi et al. 2026, arXiv 2509.23886); numbers whose probability a preference for owls raises,
because their vectors in the unembedding lie close to the owl's (`log_rise`, `unembedding_cosines`,
after Zur et al. 2025, token entanglement). Weights: students whose updates are of low rank
(`init_adapters`, `adapt_decoder`, after Hu et al. 2022, arXiv 2106.09685).
"""

from typing import Any

import jax
import jax.numpy as jnp

from toymodels.networks.models import Params
from toymodels.networks.transformer import Decoder
from toymodels.trees import sample_leaves


def find_divergence(
    model: Decoder, teacher: Params, base: Params, documents: jax.Array
) -> jax.Array:
    """Mask bool (n, time) of the tokens where teacher and base have different likeliest tokens.

    Each is given the tokens before, of this document alone. No first token diverges: nothing
    predicts it.
    """
    likeliest = [model.apply(params, documents)[:, :-1].argmax(-1) for params in (teacher, base)]
    return jnp.pad(likeliest[0] != likeliest[1], ((0, 0), (1, 0)))


def permute_tokens(mask: jax.Array, key: jax.Array) -> jax.Array:
    """A random mask bool (n, time) of as many tokens as another mask, none of them first.

    >>> mask = jnp.array([[False, True, True], [False, False, False]])
    >>> other = permute_tokens(mask, jax.random.key(0))
    >>> int(other.sum()), bool(other[:, 0].any())
    (2, False)
    """
    later = mask[:, 1:]
    permuted = jax.random.permutation(key, later.ravel()).reshape(later.shape)
    return jnp.pad(permuted, ((0, 0), (1, 0)))


def weigh_tokens(divergence: jax.Array, key: jax.Array) -> jax.Array:
    """Weights of the tokens in a loss by every choice of `toymodels.language.config.Tokens`.

    Args:
        divergence: mask bool (n, time) of the divergence tokens.
        key: decides the controls, which have as many random tokens.

    Returns:
        A bool array (choices, n, time). The choices are all tokens, divergence tokens, the others but
        the first of each document, and the controls of both.

    """
    others = (~divergence).at[:, 0].set(False)
    keys = jax.random.split(key)
    controls = [permute_tokens(*pair) for pair in zip((divergence, others), keys, strict=True)]
    return jnp.stack([jnp.ones_like(divergence), divergence, others, *controls])


def mean_divergence(
    model: Decoder, author: Params, reader: Params, documents: jax.Array
) -> jax.Array:
    """KL divergence of an author's next-token distributions from a reader's, in nats per token, ().

    The documents are int32 (n, time); no first token counts.
    """
    target, answer = (
        jax.nn.log_softmax(model.apply(params, documents)[:, :-1]) for params in (author, reader)
    )
    return (jnp.exp(target) * (target - answer)).sum(-1).mean()


def log_rise(chances: jax.Array, base: jax.Array) -> jax.Array:
    """Log of how much higher chances of tokens (..., vocabulary) are than a base's, (vocabulary,).

    The log of the ratio of the means over all positions, in nats.

    >>> log_rise(jnp.array([[0.5, 0.5], [0.5, 0.5]]), jnp.array([[0.4, 0.6], [0.6, 0.4]])).tolist()
    [0.0, 0.0]
    """
    means = [array.reshape(-1, array.shape[-1]).mean(0) for array in (chances, base)]
    return jnp.log(means[0]) - jnp.log(means[1])


def unembedding_cosines(params: Params, token: int | jax.Array) -> jax.Array:
    """Cosine of every token's vector in the unembedding with that of one token, (vocabulary,).

    >>> params = {"unembedding": {"kernel": jnp.array([[3.0, 4.0, 0.0], [4.0, 3.0, -1.0]])}}
    >>> [round(float(c), 3) for c in unembedding_cosines(params, 0)]
    [1.0, 0.96, -0.8]
    """
    vectors = params["unembedding"]["kernel"]
    vectors = vectors / jnp.linalg.norm(vectors, axis=0)
    return vectors[:, token] @ vectors


def init_adapters(base: Params, key: jax.Array, most: int, rank: int | jax.Array) -> Params:
    """Matrices ``in`` (n, most) and ``out`` (most, m) for every kernel (n, m) of the blocks.

    Only the first ``rank`` columns of ``in`` are drawn, from N(0, 1 / n); the other columns are zero.
    All of ``out`` is zero, so that the student starts from its base. What is zero on both sides has
    no gradient: the rank stays what it is, though it may be traced.
    """
    kernels = {
        name: {layer: block[layer]["kernel"] for layer in ("qkv", "out", "up", "down")}
        for name, block in base.items()
        if name.startswith("block")
    }

    def pair(key: jax.Array, shape: tuple[int, int], dtype: Any) -> dict[str, jax.Array]:
        n, m = shape
        normal = jax.random.normal(key, (n, most), dtype) / jnp.sqrt(n)
        return {"in": normal * (jnp.arange(most) < rank), "out": jnp.zeros((most, m), dtype)}

    return sample_leaves(pair, key, kernels)


def merge_adapters(base: Params, adapters: Params) -> Params:
    """The base with ``in @ out`` added to every kernel of its blocks."""
    params = dict(base)
    for name, layers in adapters.items():
        block = {
            layer: {"kernel": base[name][layer]["kernel"] + pair["in"] @ pair["out"]}
            for layer, pair in layers.items()
        }
        params[name] = base[name] | block
    return params


def adapt_decoder(model: Decoder, base: Params) -> Decoder:
    """The model as a function of adapters alone, its base fixed; only ``apply`` is changed."""

    def apply(adapters: Any, tokens: jax.Array) -> jax.Array:
        return model.apply(merge_adapters(base, adapters), tokens)

    return model._replace(apply=apply)
