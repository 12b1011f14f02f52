"""Texts of a transformer: drawn token by token with a cache, in one compiled program."""

from typing import Any

import jax
import jax.numpy as jnp

from toymodels.networks.models import Params
from toymodels.networks.transformer import Decoder


def token_at(level: jax.Array, logits: jax.Array) -> jax.Array:
    """A token drawn from the softmax of logits (batch, vocabulary), by levels drawn from U(0, 1).

    One uniform a token, found in the chances' sum: Gumbels would be as many as the vocabulary.

    >>> token_at(jnp.array([0.2, 0.8]), jnp.zeros((2, 4))).tolist()
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
        length: of the whole, prompt included; at most the model's positions.
        key: of all draws.
        temperature: of the softmax that is drawn from; traced or not, above 0.

    Returns:
        int32 (batch, length), the prompts and what follows them.

    >>> from toymodels.networks.transformer import decoder
    >>> model = decoder(vocabulary=11, width=8, heads=2, positions=6)
    >>> params = jax.jit(model.init)(jax.random.key(0))
    >>> sample(model, params, jnp.zeros((3, 2), int), 6, jax.random.key(1)).shape
    (3, 6)

    """
    batch, begun = prompts.shape
    dtype = jax.tree.leaves(params)[0].dtype

    def draw(level: jax.Array, logits: jax.Array) -> jax.Array:
        return token_at(level, logits[:, -1] / temperature).astype(prompts.dtype)

    def step(carry: Any, now: tuple[jax.Array, jax.Array]) -> tuple[Any, jax.Array]:
        token, cache = carry
        at, level = now
        logits, cache = model.extend(params, cache, token[:, None], at)
        token = draw(level, logits)
        return (token, cache), token

    if length == begun:
        return prompts
    levels = jax.random.uniform(key, (length - begun, batch))
    logits, cache = model.extend(params, model.empty(batch, length, dtype), prompts, 0)
    first = draw(levels[0], logits)
    _, later = jax.lax.scan(step, (first, cache), (jnp.arange(begun, length - 1), levels[1:]))
    return jnp.concatenate([prompts, first[:, None], later.T], axis=1)
