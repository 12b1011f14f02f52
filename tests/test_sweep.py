import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toymodels import sweep
from toymodels.errors import UserError

DATA = {"x": np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)}


def one_seed(seed, data):
    """A few steps of gradient descent: enough arithmetic for different bits to show."""
    w = jax.random.normal(jax.random.key(seed), (8, 8))

    def step(w, _):
        return w - 0.1 * jax.grad(lambda w: jnp.tanh(data["x"] @ w).std())(w), None

    w, _ = jax.lax.scan(step, w, None, length=20)
    return {"w": w, "norm": jnp.linalg.norm(w)}


def values(seeds, **options):
    return sweep.over_seeds(one_seed, seeds, DATA, **options)[0]


def assert_same_bits(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("width", [1, 2, 3, 8])
def test_every_chunk_size_gives_the_same_bits(width):
    assert_same_bits(values(range(5), width=width), values(range(5)))


def test_a_seed_alone_equals_the_seed_among_others_in_any_order():
    together = values([4, 0, 7, 2], width=3)
    for i, seed in enumerate([4, 0, 7, 2]):
        assert_same_bits(
            jax.tree.map(lambda a, i=i: a[i], together),
            jax.tree.map(lambda a: a[0], values([seed])),
        )


@pytest.mark.parametrize("width", [1, 3, 5])
def test_side_by_side_agrees_up_to_rounding(width):
    together = values(range(5), executor="vmap", width=width)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5),
        together,
        values(range(5)),
    )


def test_compiled_once_whatever_the_number_of_chunks():
    traces = []

    def counted(seed, data):
        traces.append(seed)
        return one_seed(seed, data)

    sweep.over_seeds(counted, range(7), DATA, width=2)
    assert len(traces) == 1


def test_progress_tells_each_stage_and_each_chunk():
    told = []
    sweep.over_seeds(one_seed, range(3), DATA, width=2, progress=lambda *event: told.append(event))
    assert told == [("compiling", 0, 3), ("seeds", 0, 3), ("seeds", 2, 3), ("seeds", 3, 3)]


def test_execution_records_what_decides_the_bits():
    _, how = sweep.over_seeds(one_seed, range(3), DATA, width=2, precision="float32")
    assert (how.executor, how.width, how.precision) == ("map", 2, "float32")
    assert how.device.startswith("cpu")


def test_bad_width():
    with pytest.raises(UserError, match="chunk must be at least 1; got 0"):
        values([0], width=0)
