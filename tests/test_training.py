import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toymodels.errors import UserError
from toymodels.training.loop import (
    draw_epochs,
    reshuffle,
    sample_fresh,
    sample_rows,
    switch_order,
    train,
)

X = np.random.default_rng(0).normal(size=(10, 3))
Y = X @ np.array([1.0, -2.0, 0.5])


def loss(w, batch):
    x, y = batch
    return ((x @ w - y) ** 2).mean()


def fit(epochs, batch_size=4, key=0, optimiser=None, start=None):
    return train(
        loss,
        jnp.zeros(3, jnp.asarray(X).dtype) if start is None else start,
        reshuffle((jnp.asarray(X), jnp.asarray(Y)), batch_size),
        optimiser or optax.sgd(0.1),
        epochs=epochs,
        observe=lambda w: w,
        key=jax.random.key(key),
    )


def test_sgd_equals_a_plain_numpy_loop_short_last_batch_included(x64):
    trained, curve = fit(epochs=3)
    w, expected = np.zeros(3), [np.zeros(3)]
    for key in jax.random.split(jax.random.key(0), 3):
        order = np.asarray(jax.random.permutation(key, 10))
        for rows in (order[:4], order[4:8], order[8:]):
            w = w - 0.1 * 2 * X[rows].T @ (X[rows] @ w - Y[rows]) / len(rows)
        expected.append(w)
    np.testing.assert_allclose(curve, expected, rtol=1e-12)
    np.testing.assert_array_equal(trained, curve[-1])


def test_every_row_comes_once_an_epoch():
    source = reshuffle(jnp.arange(10), 4)
    handles, short = source.epoch(jax.random.key(3))
    assert handles.shape == (2, 4)
    rows = np.concatenate([source.batch(h) for h in [*handles, short]])
    assert sorted(rows) == list(range(10))
    assert list(rows) != list(range(10))


def test_an_epoch_of_the_first_rows_alone_is_as_long_and_sees_them_equally_often():
    source = reshuffle(jnp.arange(12), 5, only=jnp.int32(4))
    handles, short = source.epoch(jax.random.key(3))
    rows = np.concatenate([source.batch(h) for h in [*handles, short]])
    assert sorted(rows) == sorted([0, 1, 2, 3] * 3)


def test_a_batch_that_divides_leaves_no_short_one_and_a_larger_one_is_the_whole_set():
    assert reshuffle(jnp.arange(8), 4).epoch(jax.random.key(0))[1] is None
    handles, short = reshuffle(jnp.arange(8), 100).epoch(jax.random.key(0))
    assert handles.shape == (1, 8)
    assert short is None


def test_no_epoch_returns_the_start_to_the_bit():
    start = jnp.array([1.1, 2.2, 3.3])
    trained, curve = train(
        lambda w, batch: jnp.sum(w),
        start,
        reshuffle(jnp.arange(4), 2),
        optax.adam(0.1),
        epochs=0,
        observe=lambda w: w,
        key=jax.random.key(0),
    )
    np.testing.assert_array_equal(trained, start)
    np.testing.assert_array_equal(curve, start[None])


def test_more_epochs_begin_as_fewer_do():
    np.testing.assert_array_equal(fit(epochs=5)[1][:3], fit(epochs=2)[1])


def test_learning_rate_may_be_traced():
    rates = jnp.array([0.05, 0.1])
    _, curves = jax.vmap(lambda rate: fit(epochs=2, optimiser=optax.sgd(rate)))(rates)
    np.testing.assert_allclose(curves[1], fit(epochs=2)[1], rtol=1e-5)
    assert not np.allclose(curves[0], curves[1])


def test_fresh_batches_are_all_different_and_count_whole_batches():
    source = sample_fresh(lambda key, n: jax.random.uniform(key, (n,)), n=10, batch_size=4)
    handles, short = source.epoch(jax.random.key(0))
    assert short is None
    rows = np.concatenate([source.batch(h) for h in handles])
    assert rows.shape == (8,)
    assert len(set(rows.tolist())) == 8
    other, _ = source.epoch(jax.random.key(1))
    assert set(rows.tolist()).isdisjoint(np.asarray(source.batch(other[0])).tolist())


def test_recording_less_often_leaves_out_and_changes_nothing_else():
    start = (jnp.zeros(3), reshuffle((jnp.asarray(X), jnp.asarray(Y)), 4), optax.adam(0.1))
    some = {"epochs": 7, "observe": lambda w: w, "key": jax.random.key(0)}
    trained, curve = train(loss, *start, **some)
    again, fewer = train(loss, *start, **some, record=[1, 2, 7])
    np.testing.assert_allclose(fewer, curve[jnp.array([0, 1, 2, 7])], rtol=1e-6)
    np.testing.assert_array_equal(again, fewer[-1])
    np.testing.assert_allclose(again, trained, rtol=1e-6)


def test_drawn_rows_are_any_and_as_many_as_asked():
    source = sample_rows((jnp.arange(5), 10 * jnp.arange(5)), batch_size=8, steps=500)
    handles, short = source.epoch(jax.random.key(0))
    assert handles.shape == (500, 8)
    assert short is None
    a, b = source.batch(handles[3])
    np.testing.assert_array_equal(b, 10 * a)
    shares = np.bincount(np.asarray(handles).ravel(), minlength=6) / handles.size
    np.testing.assert_allclose(shares, [0.2] * 5 + [0], atol=5 * np.sqrt(0.16 / 4000))


@pytest.mark.parametrize("source", [reshuffle, sample_fresh], ids=["a set", "sample_fresh"])
def test_parting_goes_from_one_keys_batches_to_anothers(source):
    """Of five batches of the one order and the other, and a short last one where there is any."""
    if source is reshuffle:
        whole = reshuffle(jnp.arange(11), 2)
    else:
        whole = sample_fresh(lambda key, n: jax.random.uniform(key, (n,)), n=10, batch_size=2)
    one, other = jax.random.split(jax.random.key(0))

    def read(key, source):
        (key,) = jax.random.split(key, 1)  # as `train` does for one epoch
        handles, short = source.epoch(key)
        batches = [source.batch(handle) for handle in handles]
        return [*batches, *([] if short is None else [source.batch(short)])]

    first, second = read(one, whole), read(other, whole)
    assert all((a != b).any() for a, b in zip(first, second, strict=True))
    for shared in (0, 2, 5, 6):
        parted = jax.jit(lambda shared: read(one, switch_order(whole, other, shared)))(shared)
        expected = [*first[:shared], *second[shared:]]
        for got, known in zip(parted, expected, strict=True):
            np.testing.assert_array_equal(got, known)


def test_epochs_drawn_before_are_those_drawn_while_training():
    source, key = reshuffle((jnp.asarray(X), jnp.asarray(Y)), 5), jax.random.key(3)
    start = {"w": jnp.zeros(X.shape[1])}

    def trained(source, epochs, record=None):
        return train(
            lambda p, batch: ((batch[0] @ p["w"] - batch[1]) ** 2).mean(),
            start,
            source,
            optax.adam(0.1),
            epochs=epochs,
            observe=lambda p: p["w"],
            key=key,
            record=record,
        )[1]

    drawn = draw_epochs(source, key, 4)
    for epochs, record in ((4, None), (2, None), (4, (1, 4)), (0, None)):
        assert trained(drawn, epochs, record).tolist() == trained(source, epochs, record).tolist()
    with pytest.raises(UserError, match="epochs must be at most the 4 that were drawn; got 5"):
        trained(drawn, 5)
