"""A small decoder transformer, as pure functions, with its loss and a cache for sampling.

Pre-norm (RMSNorm), learned positions, GELU, no biases, and an unembedding that is separate or the
embedding itself. Token and position vectors are N(0, 1), every kernel N(0, 1 / fan_in); the kernels
that write into the residual stream are divided by sqrt(2 depth) (Radford et al. 2019, section 2.3).
With ``tied`` the embedding is N(0, 1 / width), and multiplied by sqrt(width) where it is read
(Vaswani et al. 2017, section 3.4). The code is of one model; many are ``jax.lax.map`` or ``vmap`` of
it.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from flax import nnx

from toymodels.errors import UserError
from toymodels.networks import attention
from toymodels.networks.attention import Attend
from toymodels.networks.models import KERNELS, Network, Params

Cache = dict[str, Any]
"""Layer -> ``{"k": ..., "v": ...}``, each (batch, positions, heads, width / heads)."""

KINDS = ("embedding", "positions", "attention", "mlp", "unembedding")
"""Groups of parameters; `group` assigns them."""


class Norm(nnx.RMSNorm):
    """RMSNorm of rows (n, width), with one product of their sizes (n, 1) and the scale (1, width).

    The gradients of both are then products, which on a CPU take half of the time of sums.
    """

    def __call__(self, x: jax.Array) -> jax.Array:
        """Rows of mean square 1, times the scale."""
        size = jax.lax.rsqrt((x * x).mean(1, keepdims=True) + self.epsilon)
        return x * (size @ self.scale[...][None])


class Block(nnx.Module):
    """Attention, then an MLP of ``4 width`` units, each on the normalised residual stream.

    The stream is a matrix (batch * time, width): on a CPU the gradient of a kernel is then twice as
    fast as with two axes to sum over.
    """

    def __init__(self, width: int, heads: int, depth: int, rngs: nnx.Rngs):
        writes = jax.nn.initializers.variance_scaling(1 / (2 * depth), "fan_in", "normal")
        self.heads = heads
        self.norm1 = Norm(width, rngs=rngs)
        self.qkv = nnx.Linear(width, 3 * width, use_bias=False, kernel_init=KERNELS, rngs=rngs)
        self.out = nnx.Linear(width, width, use_bias=False, kernel_init=writes, rngs=rngs)
        self.norm2 = Norm(width, rngs=rngs)
        self.up = nnx.Linear(width, 4 * width, use_bias=False, kernel_init=KERNELS, rngs=rngs)
        self.down = nnx.Linear(4 * width, width, use_bias=False, kernel_init=writes, rngs=rngs)

    def project(self, x: jax.Array, time: int) -> list[jax.Array]:
        """Queries, keys and values (batch, time, heads, width / heads)."""
        parts = jnp.split(self.qkv(self.norm1(x)), 3, axis=-1)
        return [part.reshape(-1, time, self.heads, part.shape[-1] // self.heads) for part in parts]

    def finish(self, x: jax.Array, attended: jax.Array) -> jax.Array:
        """The residual stream after the block, given the result of attention."""
        x = x + self.out(attended.reshape(x.shape))
        return x + self.down(jax.nn.gelu(self.up(self.norm2(x))))


class Transformer(nnx.Module):
    """Decoder over tokens.

    Args:
        vocabulary: number of tokens.
        width: width of the residual stream; a multiple of ``heads``.
        depth: number of blocks, named ``block1 ...``.
        heads: number of attention heads.
        positions: length of the longest sequence.
        tied: whether the unembedding is the embedding.
        rngs: source of the initial weights.

    """

    def __init__(
        self,
        vocabulary: int,
        width: int,
        depth: int,
        heads: int,
        positions: int,
        *,
        tied: bool = False,
        rngs: nnx.Rngs,
    ):
        self.tied = tied
        scale = width**-0.5 if tied else 1.0
        normal = jax.random.normal
        self.embedding = nnx.Param(scale * normal(rngs.params(), (vocabulary, width)))
        self.positions = nnx.Param(normal(rngs.params(), (positions, width)))
        self.names = tuple(f"block{i}" for i in range(1, depth + 1))
        for name in self.names:
            setattr(self, name, Block(width, heads, depth, rngs))
        self.norm = Norm(width, rngs=rngs)
        if not tied:
            self.unembedding = nnx.Linear(
                width, vocabulary, use_bias=False, kernel_init=KERNELS, rngs=rngs
            )

    def embed(self, tokens: jax.Array, positions: jax.Array) -> jax.Array:
        """Residual stream (batch * time, width) before the first block.

        NaN where a token is not in the vocabulary, and so is everything computed from it.
        """
        table = self.embedding[...]
        scale = table.shape[1] ** 0.5 if self.tied else 1.0
        vectors = table.at[tokens].get(mode="fill", fill_value=jnp.nan, wrap_negative_indices=False)
        return (vectors * scale + positions).reshape(-1, table.shape[1])

    def latent(self, tokens: jax.Array, attend: Attend = attention.causal) -> jax.Array:
        """The normalised residual stream (batch, time, width) that the unembedding reads."""
        time = tokens.shape[1]
        x = self.embed(tokens, self.positions[...][:time])
        for name in self.names:
            block = getattr(self, name)
            x = block.finish(x, attend(*block.project(x, time)))
        return self.norm(x).reshape(*tokens.shape, -1)

    def unembed(self, latent: jax.Array) -> jax.Array:
        """Logits (..., vocabulary)."""
        rows = latent.reshape(-1, latent.shape[-1])
        logits = rows @ self.embedding[...].T if self.tied else self.unembedding(rows)
        return logits.reshape(*latent.shape[:-1], -1)

    def __call__(self, tokens: jax.Array, attend: Attend = attention.causal) -> jax.Array:
        """Logits (batch, time, vocabulary) of the token that follows each token (batch, time)."""
        return self.unembed(self.latent(tokens, attend))

    def extend(
        self, cache: Cache, tokens: jax.Array, at: jax.Array | int
    ) -> tuple[jax.Array, Cache]:
        """Logits of further tokens (batch, time) from position ``at`` on, and the longer cache."""
        time = tokens.shape[1]
        positions = jax.lax.dynamic_slice_in_dim(self.positions[...], at, time)
        x, later = self.embed(tokens, positions), {}
        for name in self.names:
            block = getattr(self, name)
            query, *new = block.project(x, time)
            keys, values = (
                jax.lax.dynamic_update_slice_in_dim(cache[name][kind], part, at, 1)
                for kind, part in zip("kv", new, strict=True)
            )
            visible = jnp.arange(keys.shape[1]) <= at + jnp.arange(time)[:, None]
            attended = attention.attend_cache(query, keys, values, visible)
            x, later[name] = block.finish(x, attended), {"k": keys, "v": values}
        return self.unembed(self.norm(x).reshape(*tokens.shape, -1)), later


class Decoder(NamedTuple):
    """A transformer as pure functions of its parameters; tokens are int32 (batch, time)."""

    init: Callable[[jax.Array], Params]
    """``init(key) -> params``."""
    apply: Callable[[Params, jax.Array], jax.Array]
    """``apply(params, tokens) -> logits (batch, time, vocabulary)``; no forward derivatives."""
    latent: Callable[[Params, jax.Array], jax.Array]
    """``latent(params, tokens) -> input of the unembedding (batch, time, width)``."""
    extend: Callable[[Params, Cache, jax.Array, jax.Array | int], tuple[jax.Array, Cache]]
    """``extend(params, cache, tokens, at) -> logits of these tokens, longer cache``."""
    empty: Callable[..., Cache]
    """``empty(batch, time, dtype=float32) -> a cache for sequences of up to ``time`` tokens``."""
    network: Network
    """The same model for the rest of the library: init, apply, latent, with forward derivatives."""


def decoder(
    vocabulary: int,
    width: int = 64,
    depth: int = 2,
    heads: int = 4,
    positions: int = 64,
    tied: bool = False,
) -> Decoder:
    """Split a `Transformer` into pure functions.

    Raises:
        UserError: a width that is no multiple of the heads.

    >>> model = decoder(vocabulary=11, width=8, heads=2, positions=6)
    >>> params = jax.jit(model.init)(jax.random.key(0))
    >>> model.apply(params, jnp.zeros((3, 5), int)).shape
    (3, 5, 11)

    """
    if width % heads:
        raise UserError(f"width must be a multiple of heads ({heads}); got {width}")

    def make(rngs: nnx.Rngs) -> Transformer:
        return Transformer(vocabulary, width, depth, heads, positions, tied=tied, rngs=rngs)

    graphdef, _ = nnx.split(nnx.eval_shape(lambda: make(nnx.Rngs(0))), nnx.Param)

    def rebuild(params: Params) -> Transformer:
        return nnx.merge(graphdef, nnx.State(params))

    def empty(batch: int, time: int, dtype: Any = jnp.float32) -> Cache:
        part = jnp.zeros((batch, time, heads, width // heads), dtype)
        return {f"block{i}": {"k": part, "v": part} for i in range(1, depth + 1)}

    def init(key: jax.Array) -> Params:
        return nnx.to_pure_dict(nnx.state(make(nnx.Rngs(key)), nnx.Param))

    return Decoder(
        init=init,
        apply=lambda params, tokens: rebuild(params)(tokens),
        latent=lambda params, tokens: rebuild(params).latent(tokens),
        extend=lambda params, cache, tokens, at: rebuild(params).extend(cache, tokens, at),
        empty=empty,
        network=Network(
            init,
            lambda params, tokens: rebuild(params)(tokens, attention.plain),
            lambda params, tokens: rebuild(params).latent(tokens, attention.plain),
            f"transformer of {depth} blocks, width {width}, {heads} heads",
        ),
    )


def group(path: tuple[Any, ...]) -> str:
    """The group in `KINDS` of a parameter, by its path; a norm belongs to the group that reads it.

    >>> params = jax.eval_shape(decoder(vocabulary=3, width=4, heads=1).init, jax.random.key(0))
    >>> leaves = jax.tree_util.tree_leaves_with_path(params)
    >>> sorted({group(path) for path, _ in leaves}) == sorted(KINDS)
    True
    """
    names = [part.key for part in path]
    if names[0] in ("embedding", "positions"):
        return str(names[0])
    if names[0] in ("norm", "unembedding"):
        return "unembedding"
    return "attention" if names[1] in ("norm1", "qkv", "out") else "mlp"


def next_token_loss(
    logits: jax.Array, tokens: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
    """Mean cross-entropy in nats of every token but the first with the logits before it.

    Args:
        logits: logits (batch, time, vocabulary) of the rows in ``tokens``.
        tokens: int32 (batch, time).
        weights: weight (batch, time) or (time,) of each token as a target (None: 1).

    >>> even = next_token_loss(jnp.zeros((1, 3, 4)), jnp.array([[0, 1, 2]]))
    >>> bool(jnp.isclose(even, jnp.log(4)))
    True

    """
    following = jnp.roll(tokens, -1, axis=1)  # the last logits have no target: dropped below
    losses = optax.losses.softmax_cross_entropy_with_integer_labels(logits, following)[:, :-1]
    return losses.mean() if weights is None else weighted_mean(losses, weights)


def weighted_mean(losses: jax.Array, weights: jax.Array) -> jax.Array:
    """Mean of the targets' losses (batch, time - 1) by weights (batch, time) or (time,) of the tokens.

    0 where all weights are 0.
    """
    weights = jnp.broadcast_to(weights[..., 1:], losses.shape)
    total = weights.sum()
    return (weights * losses).sum() / jnp.where(total > 0, total, 1)
