"""What cannot fit is refused by the shapes of its arrays, before anything is compiled."""

import jax.numpy as jnp
import pytest

from toymodels import sweep
from toymodels.errors import UserError
from toymodels.sweep import chunks, estimate, memory


def grid(rows=4, columns=4, seeds=2, **how):
    def prepare(data, seed):
        return jnp.full((rows, 1000), seed, jnp.float32), {}

    def point(data, prepared, x):
        return {"y": jnp.full(columns, x) * prepared[0, 0]}

    return sweep.grid(
        lambda: sweep.Program(prepare, point),
        shared={"seed": range(seeds)},
        points={"x": [0.5, 1.0]},
        variables={"y": (("column",), "1", "a number")},
        options=sweep.RunOptions(**how),
    )


@pytest.fixture
def _nothing_compiles(monkeypatch):
    def compiles(*args):
        pytest.fail("must not be compiled")

    monkeypatch.setattr(chunks, "compile_within", compiles)


@pytest.mark.usefixtures("_nothing_compiles")
def test_a_model_larger_than_the_memory_is_refused_before_compiling():
    words = r"memory: one model needs 4.00 GB at least, of 1.00 GB allowed; lower the widths"
    with pytest.raises(UserError, match=words):
        grid(rows=10**6, memory=10**9)


@pytest.mark.usefixtures("_nothing_compiles")
def test_records_larger_than_the_memory_are_refused_before_compiling(monkeypatch):
    monkeypatch.setattr(memory, "free_on_host", lambda: 10**6)
    words = r"memory: the records of 6 models need 0.16 GB, of 0.00 GB that are free"
    with pytest.raises(UserError, match=words):
        grid(columns=10**7, memory=10**9)


def test_what_fits_is_run(monkeypatch):
    monkeypatch.setattr(memory, "free_on_host", lambda: 4 * 4 * 4)
    dataset, _ = grid(memory=10**9)
    assert dataset.y.shape == (2, 2, 4)
    assert estimate.nbytes({"a": jnp.zeros((2, 3)), "b": jnp.zeros(5, jnp.int8)}) == 29
