"""The decoder: what it may see, its cache, its sampler, its gradient, how it trains."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.test_util import check_grads
from scipy import stats

from toymodels.errors import UserError
from toymodels.networks import transformer
from toymodels.networks.sampling import sample
from toymodels.networks.transformer import Norm, decoder, next_token_loss
from toymodels.training.loop import reshuffle, train

V, T = 7, 6


def jitted(model):
    return model._replace(**{f: jax.jit(getattr(model, f)) for f in ("init", "apply", "extend")})


@pytest.fixture(scope="module", params=[False, True], ids=["untied", "tied"])
def model(request):
    return jitted(decoder(V, width=8, depth=2, heads=2, positions=T, tied=request.param))


@pytest.fixture(scope="module")
def params(model):
    # Larger than at the start of training: attention is far from even.
    return jax.tree.map(lambda w: 2 * w, model.init(jax.random.key(0)))


@pytest.fixture(scope="module")
def tokens():
    return jax.random.randint(jax.random.key(1), (5, T), 0, V)


def test_a_token_moves_the_logits_from_its_own_place_on_and_none_before(model, params, tokens):
    before = model.apply(params, tokens)
    for t in range(T):
        after = model.apply(params, tokens.at[:, t].set((tokens[:, t] + 1) % V))
        np.testing.assert_array_equal(after[:, :t], before[:, :t])
        assert (jnp.abs(after - before)[:, t:].max(axis=(0, 2)) > 1e-3).all()


@pytest.mark.parametrize("cuts", [(0, T), (0, 3, 4, 5, T)])
def test_cached_and_uncached_logits_are_equal(model, params, tokens, cuts):
    def gap(params, dtype):
        cache, parts = model.empty(5, T, dtype), []
        for a, b in itertools.pairwise(cuts):
            logits, cache = model.extend(params, cache, tokens[:, a:b], a)
            parts.append(logits)
        return jnp.abs(jnp.concatenate(parts, axis=1) - model.apply(params, tokens)).max()

    assert gap(params, jnp.float32) < 1e-4
    with jax.enable_x64(True):
        wide = jax.tree.map(lambda w: w.astype(jnp.float64), params)
        assert gap(wide, jnp.float64) < 1e-10


def test_rows_of_a_batch_do_not_know_of_each_other(model, params, tokens):
    order = jnp.array([3, 0, 4, 2, 1])
    np.testing.assert_allclose(
        model.apply(params, tokens[order]), model.apply(params, tokens)[order], atol=1e-5
    )

    def loss(params, rows):
        return next_token_loss(model.apply(params, rows), rows)

    gradient = jax.jit(jax.grad(loss))
    ordered, permuted = (gradient(params, rows) for rows in (tokens, tokens[order]))
    for a, b in zip(jax.tree.leaves(ordered), jax.tree.leaves(permuted), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_gradient_is_the_derivative(model, params, tokens, x64):
    wide = jax.tree.map(lambda w: w.astype(jnp.float64), params)
    loss = jax.jit(lambda p: next_token_loss(model.apply(p, tokens), tokens))
    check_grads(loss, (wide,), order=1, modes=["rev"], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_sampler_draws_whole_sequences_by_their_exact_probabilities(temperature):
    model = jitted(decoder(4, width=8, depth=1, heads=2, positions=4))
    params = jax.tree.map(lambda w: 1.5 * w, model.init(jax.random.key(2)))
    ends = np.array(list(itertools.product(range(4), repeat=3)))
    rows = np.concatenate([np.full((64, 1), 1), ends], axis=1)
    log_p = jax.nn.log_softmax(model.apply(params, rows) / temperature)
    exact = np.exp(np.take_along_axis(np.asarray(log_p)[:, :-1], ends[..., None], 2).sum((1, 2)))
    np.testing.assert_allclose(exact.sum(), 1, rtol=1e-5)
    exact = exact.astype(float) / exact.astype(float).sum()

    n = 20_000
    prompts = jnp.full((n, 1), 1)
    drawn = jax.jit(lambda t: sample(model, params, prompts, 4, jax.random.key(3), t))(temperature)
    counts = np.bincount(np.asarray(drawn[:, 1:]) @ [16, 4, 1], minlength=64)
    likely = exact * n > 5  # the chi-square law needs that; the rest is one bin

    def p_value(law):
        seen, expected = (np.append(x[likely], x[~likely].sum()) for x in (counts, law * n))
        return stats.chisquare(seen[expected > 0], expected[expected > 0]).pvalue

    assert p_value(exact) > 1e-3
    assert p_value(exact**1.1 / (exact**1.1).sum()) < 1e-3  # another temperature is detected


def test_sampling_keeps_its_prompts_and_a_cold_sampler_takes_the_largest(model, params, tokens):
    drawn = sample(model, params, tokens[:, :2], T, jax.random.key(0), 1e-4)
    np.testing.assert_array_equal(drawn[:, :2], tokens[:, :2])
    best = model.apply(params, drawn).argmax(-1)
    np.testing.assert_array_equal(drawn[:, 2:], best[:, 1:-1])
    np.testing.assert_array_equal(sample(model, params, tokens, T, jax.random.key(0)), tokens)


def test_weights_choose_the_targets(model, params, tokens):
    logits = model.apply(params, tokens)
    only = next_token_loss(logits, tokens, jnp.array([9.0, 0, 0, 1, 0, 0]))
    losses = -jax.nn.log_softmax(logits[:, 2])[jnp.arange(5), tokens[:, 3]]
    assert float(only) == pytest.approx(float(losses.mean()), rel=1e-5)
    ones = next_token_loss(logits, tokens, jnp.ones(tokens.shape))
    assert float(ones) == pytest.approx(float(next_token_loss(logits, tokens)), rel=1e-6)


def test_it_learns_a_sequence_by_heart():
    model = jitted(decoder(V, width=16, depth=1, heads=2, positions=T))
    rows = jnp.tile(jnp.array([[0, 3, 1, 4, 1, 5]]), (8, 1))

    def loss(params, rows):
        return next_token_loss(model.apply(params, rows), rows)

    start = model.init(jax.random.key(0))
    learn = jax.jit(
        lambda key: train(
            loss,
            start,
            reshuffle(rows, 8),
            optax.adam(1e-2),
            epochs=60,
            observe=lambda params: loss(params, rows),
            key=key,
        )
    )
    losses = learn(jax.random.key(1))[1]
    assert losses[0] > 1
    assert losses[-1] < 0.01


def test_every_parameter_is_in_a_group_and_widths_are_checked(model, params):
    leaves = jax.tree_util.tree_leaves_with_path(params)
    kinds = {transformer.group(path) for path, _ in leaves}
    assert kinds <= set(transformer.KINDS)
    with pytest.raises(UserError, match=r"^width must be a multiple of heads \(3\); got 8$"):
        decoder(V, width=8, heads=3)


def test_the_network_of_theory_is_the_model_and_has_forward_derivatives(model, params, tokens, x64):
    wide = jax.tree.map(lambda w: w.astype(jnp.float64), params)
    moved = jax.tree.map(jnp.ones_like, wide)
    weights = jax.random.normal(jax.random.key(4), (5, T, V))
    for ours, theirs in ((model.apply, model.network.apply), (model.latent, model.network.latent)):
        np.testing.assert_allclose(ours(wide, tokens), theirs(wide, tokens), rtol=1e-9, atol=1e-11)
    _, change = jax.jvp(lambda p: model.network.apply(p, tokens), (wide,), (moved,))
    slope = jax.grad(lambda p: (weights * model.apply(p, tokens)).sum())(wide)
    along = sum(leaf.sum() for leaf in jax.tree.leaves(slope))
    np.testing.assert_allclose((weights * change).sum(), along, rtol=1e-8)


def test_the_norm_is_that_of_flax(x64):
    x = 3 * jax.random.normal(jax.random.key(0), (7, 5))
    g = jax.random.normal(jax.random.key(1), (7, 5))

    def both(kind):
        graph, state = nnx.split(kind(5, rngs=nnx.Rngs(0)))
        state["scale"].set_value(jnp.arange(1.0, 6))
        value, pull = jax.vjp(lambda x, s: nnx.merge(graph, s)(x), x, state)
        return jax.tree.leaves((value, pull(g)))

    for ours, theirs in zip(both(Norm), both(nnx.RMSNorm), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)
