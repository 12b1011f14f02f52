"""Texts of a transformer: sampled token by token with a cache, in one compiled program."""

from typing import Any

import jax
import jax.numpy as jnp

from toymodels.networks.models import Params
from toymodels.networks.transformer import Decoder


def draw_token(level: jax.Array, logits: jax.Array) -> jax.Array:
    """Sample tokens from the softmax of logits (batch, vocabulary), by levels (batch,) of U(0, 1).

    One uniform number a token, located in the cumulative probabilities; Gumbel noise would need one
    for every word of the vocabulary.

    >>> draw_token(jnp.array([0.2, 0.8]), jnp.zeros((2, 4))).tolist()
    [0, 3]
    """
    total = jnp.cumsum(jax.nn.softmax(logits), axis=1)
    return (total <= level[:, None] * total[:, -1:]).sum(1)


def sample(
    model: Decoder,
    params: Params,
    prompts: jax.Array,
    length: int,
    key: jax.Array,
    temperature: jax.Array | float = 1.0,
) -> jax.Array:
    """Continue prompts, one token at a time, with a cache: a single scan.

    Args:
        model: the decoder.
        params: its parameters.
        prompts: int32 (batch, time), at least one token each.
        length: number of tokens of the result, prompt included; at most the model's positions.
        key: decides all draws.
        temperature: temperature of the softmax, above 0; traced or not.

    Returns:
        int32 (batch, length), the prompts and their continuations.

    >>> from toymodels.networks.transformer import decoder
    >>> model = decoder(vocabulary=11, width=8, heads=2, positions=6)
    >>> params = jax.jit(model.init)(jax.random.key(0))
    >>> sample(model, params, jnp.zeros((3, 2), int), 6, jax.random.key(1)).shape
    (3, 6)

    """
    batch, prompt_length = prompts.shape
    dtype = jax.tree.leaves(params)[0].dtype

    def draw(level: jax.Array, logits: jax.Array) -> jax.Array:
        return draw_token(level, logits[:, -1] / temperature).astype(prompts.dtype)

    def step(carry: Any, inputs: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
        token, cache = carry
        at, level = inputs
        logits, cache = model.extend(params, cache, token[:, None], at)
        token = draw(level, logits)
        return (token, cache), token

    if length == prompt_length:
        return prompts
    levels = jax.random.uniform(key, (length - prompt_length, batch))
    logits, cache = model.extend(params, model.empty(batch, length, dtype), prompts, 0)
    first = draw(levels[0], logits)
    _, later = jax.lax.scan(
        step, (first, cache), (jnp.arange(prompt_length, length - 1), levels[1:])
    )
    return jnp.concatenate([prompts, first[:, None], later.T], axis=1)
