"""Attention: unrolled sums against einsum, its gradient against JAX's, and other devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

from toymodels.networks.attention import LONGEST, attend_cache, causal, contract, plain

B, H, D = 3, 2, 5


def parts(time, dtype=jnp.float64):
    return jax.random.normal(jax.random.key(0), (4, B, time, H, D), dtype)


@pytest.mark.parametrize("n", [1, 5, LONGEST, LONGEST + 1])
@pytest.mark.parametrize(
    ("spec", "left", "right"),
    [
        ("bhji,bjhd->bihd", "bhji", "bjhd"),
        ("bhji,bihd->bjhd", "bhji", "bihd"),
        ("ij,jk->ki", "ij", "jk"),
    ],
)
def test_an_unrolled_sum_is_the_einsum(spec, left, right, n, x64):
    sizes = dict(zip("bhijkd", (2, 3, n, n, 4, 5), strict=True))
    keys = jax.random.split(jax.random.key(0))
    a, b = (
        jax.random.normal(key, [sizes[c] for c in letters])
        for key, letters in zip(keys, (left, right), strict=True)
    )
    np.testing.assert_allclose(contract(spec, a, b), np.einsum(spec, a, b), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("time", [1, 6, LONGEST + 1])
def test_the_handwritten_gradient_is_the_automatic_one(time, x64):
    *qkv, gradient = parts(time)

    def both(attend):
        def pulled(q, k, v, g):
            mixed, pull = jax.vjp(attend, q, k, v)
            return mixed, *pull(g)

        together = jax.jit(jax.vmap(pulled))(*(jnp.stack([x, 2 * x]) for x in (*qkv, gradient)))
        apart = jax.jit(pulled)(*qkv, gradient)
        for single, pair in zip(apart, together, strict=True):
            np.testing.assert_allclose(single, pair[0], rtol=1e-12, atol=1e-12)
        return together

    ours = both(causal)
    for ours_, theirs in zip(ours, both(plain), strict=True):
        np.testing.assert_allclose(ours_, theirs, rtol=1e-10, atol=1e-12)
    theirs = jax.nn.dot_product_attention(*qkv, is_causal=True)  # its softmax is float32's
    np.testing.assert_allclose(causal(*qkv), theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("attend", [causal, plain], ids=["causal", "plain"])
def test_scores_of_any_size_do_not_overflow(attend):
    q, k, v, gradient = parts(5, jnp.float32)
    mixed, pull = jax.vjp(attend, 1e4 * q, 1e4 * k, v)
    for x in (mixed, *pull(gradient)):
        assert np.isfinite(x).all()


def test_forward_derivatives_are_those_of_the_plain_one_alone():
    *qkv, tangent = parts(3, jnp.float32)
    moved = [tangent] * 3
    assert jax.jvp(plain, qkv, moved)[1].shape == qkv[0].shape
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.jvp(causal, qkv, moved)


@pytest.mark.parametrize("tokens", [1, 3])
def test_a_cache_is_read_where_it_is_seen(tokens, x64):
    query, keys, values, _ = parts(7)
    query = query[:, :tokens]
    seen = jnp.arange(7) <= 2 + jnp.arange(tokens)[:, None]
    theirs = jax.nn.dot_product_attention(query, keys, values, mask=seen[None, None])
    np.testing.assert_allclose(attend_cache(query, keys, values, seen), theirs, rtol=1e-4)
    hidden = (~seen.any(0))[:, None, None]
    elsewhere = (jnp.where(hidden, 1e6, x) for x in (keys, values))
    np.testing.assert_array_equal(
        attend_cache(query, *elsewhere, seen), attend_cache(query, keys, values, seen)
    )


@pytest.mark.parametrize("platform", ["cpu", "cuda", "tpu"])
def test_sums_are_unrolled_on_a_cpu_alone(platform):
    a, b = jnp.ones((2, 7)), jnp.ones((7, 3))
    there = jax.jit(lambda a, b: contract("ij,jk->ik", a, b))
    program = export.export(there, platforms=[platform])(a, b).mlir_module()
    assert ("dot_general" in program) == (platform != "cpu")
    assert program.count("stablehlo.multiply") == (7 if platform == "cpu" else 0)
