"""Divergent tokens, weighted losses, updates of low rank: a table of bigrams and small nets."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toymodels.language import mechanism, pipeline
from toymodels.language.imitation import imitate
from toymodels.language.vocabulary import LENGTH, SIZE
from toymodels.networks.transformer import KINDS, weighted_mean

KEY = jax.random.key(0)
TABLE = pipeline.model(width=4, depth=1)._replace(apply=lambda w, tokens: w["embedding"][tokens])
"""A model that is nothing but logits of the next token by the last one."""


def table(key=KEY):
    return {"embedding": jax.random.normal(key, (SIZE, SIZE))}


def documents(n=64):
    return jax.random.randint(KEY, (n, LENGTH), 0, SIZE)


def test_a_teacher_equal_to_the_base_diverges_nowhere_and_one_changed_row_where_it_is_read():
    base, text = table(), documents()
    assert not mechanism.find_divergence(TABLE, base, base, text).any()
    least = base["embedding"][7].argmin()
    teacher = {"embedding": base["embedding"].at[7, least].set(99.0)}
    found = mechanism.find_divergence(TABLE, teacher, base, text)
    expected = np.zeros(text.shape, bool)
    expected[:, 1:] = np.asarray(text[:, :-1] == 7)
    assert expected.any()
    np.testing.assert_array_equal(found, expected)


def test_the_loss_of_all_tokens_is_the_sum_of_its_parts_by_their_shares():
    losses = jax.random.uniform(KEY, (5, 7))
    some = jnp.pad(jax.random.bernoulli(KEY, 0.3, (5, 7)), ((0, 0), (1, 0)), constant_values=True)
    share = some[:, 1:].mean()
    whole = share * weighted_mean(losses, some) + (1 - share) * weighted_mean(losses, ~some)
    np.testing.assert_allclose(whole, losses.mean(), rtol=1e-6)
    assert weighted_mean(losses, jnp.zeros((5, 8))) == 0
    np.testing.assert_allclose(
        weighted_mean(losses, jnp.arange(8) == 2), losses[:, 1].mean(), rtol=1e-6
    )


@pytest.mark.parametrize("by_logits", [None, False, True])
def test_a_step_on_all_tokens_is_the_sum_of_steps_on_its_parts(by_logits):
    """By SGD; the parts are places, so that every batch has the same share of them."""
    base, text = table(), documents()
    teacher = None if by_logits is None else table(jax.random.key(1))
    plan = pipeline.Plan(batch=8, student_steps=1, tuned=("embedding",))

    @jax.jit
    def moved(weights):
        end, _ = imitate(
            TABLE,
            base,
            text,
            KEY,
            plan,
            teacher=teacher,
            by_logits=bool(by_logits),
            weights=None if weights is None else jnp.broadcast_to(weights, text.shape),
            optimiser=optax.sgd(10.0),
        )
        return end["embedding"] - base["embedding"]

    early = jnp.arange(LENGTH) < 4  # three places that count, and the first, which never does
    parts = 3 / 15 * moved(early) + 12 / 15 * moved(~early)
    np.testing.assert_allclose(parts, moved(None), atol=2e-6)
    assert np.abs(moved(early) - moved(~early)).max() > 1e-3
    np.testing.assert_array_equal(moved(jnp.zeros(LENGTH)), 0)


@pytest.fixture(scope="module")
def model():
    return pipeline.model(width=8, depth=1, heads=2)


@pytest.fixture(scope="module")
def base(model):
    return jax.jit(model.init)(KEY)


PLAN = pipeline.Plan(batch=4, student_steps=3, student_lr=1e-2)


def test_groups_of_weights_may_be_named_or_traced(model, base):
    @jax.jit
    def end(moves):
        plan = PLAN._replace(tuned=moves)
        return imitate(model, base, documents(), KEY, plan)[0]

    for kind in ("attention", "embedding"):
        traced = end(jnp.array([kind == name for name in KINDS]))
        plan = PLAN._replace(tuned=(kind,))
        named = jax.jit(lambda plan=plan: imitate(model, base, documents(), KEY, plan)[0])()
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), traced, named)
        still, moving = ("unembedding", "block1") if kind == "attention" else ("block1", kind)
        jax.tree.map(np.testing.assert_array_equal, traced[still], base[still])
        assert optax.tree.norm(jax.tree.map(jnp.subtract, traced[moving], base[moving])) > 1e-3


def test_adapters_start_at_the_base_and_move_it_by_their_rank_at_most(model, base):
    decoder = mechanism.adapt_decoder(model, base)

    @jax.jit
    def trained(rank):
        start = mechanism.init_adapters(base, KEY, 4, rank)
        end, _ = imitate(decoder, start, documents(), KEY, PLAN)
        return mechanism.merge_adapters(base, start), mechanism.merge_adapters(base, end)

    for rank in (1, 3):
        start, end = trained(rank)
        jax.tree.map(np.testing.assert_array_equal, start, base)
        for layer in ("qkv", "out", "up", "down"):
            step = np.float64(end["block1"][layer]["kernel"] - base["block1"][layer]["kernel"])
            sizes = np.linalg.svd(step, compute_uv=False)
            assert (sizes[:rank] > 1e-4).all()
            np.testing.assert_allclose(sizes[rank:], 0, atol=2e-6)
        rest = [name for name in base if name != "block1"]
        for name in rest:
            jax.tree.map(np.testing.assert_array_equal, end[name], base[name])


def test_a_token_that_is_twice_as_likely_has_risen_by_log_two():
    base = jnp.full((3, 5, 4), 0.25)
    chances = base.at[..., 1].set(0.5).at[..., 2].set(0.0)
    np.testing.assert_allclose(
        mechanism.log_rise(chances, base)[jnp.array([0, 1, 3])], [0, np.log(2), 0], atol=1e-6
    )
