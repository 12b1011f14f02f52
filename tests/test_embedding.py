"""What a student of another shape shares with its teacher, entry by entry."""

import jax
import numpy as np
import pytest

from toymodels.inits.embedding import fitted
from toymodels.networks.layers import HEADS
from toymodels.networks.models import CNN, MLP, functional


def drawn(seed, *sizes, make=MLP):
    params = functional(lambda rngs: make(*sizes, split=3, rngs=rngs)).init(jax.random.key(seed))
    # Biases that are not zero show where they come from.
    return jax.tree.map(lambda w: w if w.ndim > 1 else w + 0.1 * seed, params)


@pytest.fixture
def init():
    return drawn(1, (6, 8, 8, 5))


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_of_equal_shapes_it_is_the_init_to_the_bit(init):
    same(fitted(init, drawn(2, (6, 8, 8, 5))), init)


def test_named_layers_alone_are_shared(init):
    fresh = drawn(2, (6, 8, 8, 5))
    got = fitted(init, fresh, HEADS)
    for name, layer in got.items():
        same(layer, init[name] if name in HEADS else fresh[name])


def test_a_wider_student_holds_the_teachers_block_at_its_own_scale(init):
    fresh = drawn(2, (6, 32, 8, 5))
    got = fitted(init, fresh)
    same(got["hidden1"]["kernel"][:, :8], init["hidden1"]["kernel"])  # the same fan-in: as it is
    same(got["hidden1"]["bias"][:8], init["hidden1"]["bias"])
    same(got["hidden1"]["kernel"][:, 8:], fresh["hidden1"]["kernel"][:, 8:])
    same(got["hidden2"]["kernel"][:8], init["hidden2"]["kernel"] / 2)  # sqrt(8 / 32)
    same(got["hidden2"]["kernel"][8:], fresh["hidden2"]["kernel"][8:])
    for name in ("class_head", "aux_head"):
        same(got[name], init[name])


def test_a_narrower_student_is_a_block_of_the_teacher(init):
    got = fitted(init, drawn(2, (6, 2, 8, 5)))
    same(got["hidden1"]["kernel"], init["hidden1"]["kernel"][:, :2])
    same(got["hidden2"]["kernel"], 2 * init["hidden2"]["kernel"][:2])


@pytest.mark.parametrize("sizes", [(50, 400, 100, 53), (50, 50, 100, 53), (50, 200, 400, 53)])
def test_every_entry_keeps_the_law_of_its_tensor(sizes):
    """In the block as outside it: variance one over fan-in."""
    got = fitted(drawn(1, (50, 200, 100, 53)), drawn(2, sizes))
    for name in ("hidden1", "hidden2", "aux_head"):
        kernel = np.asarray(got[name]["kernel"])
        for part in np.array_split(kernel, 2):
            assert abs(part.var() * len(kernel) - 1) < 6 * np.sqrt(2 / part.size), name


def test_layers_and_ranks_without_counterpart_stay_fresh(init):
    deeper = drawn(2, (6, 8, 8, 8, 5))
    got = fitted(init, deeper)
    same(got["hidden3"], deeper["hidden3"])
    same(got["hidden2"], init["hidden2"])
    convolutional = drawn(2, 4, (2, 3), 8, 5, make=CNN)
    got = fitted(init, convolutional)
    same(
        [got[f"hidden{i}"]["kernel"] for i in (1, 2, 3)],
        [convolutional[f"hidden{i}"]["kernel"] for i in (1, 2, 3)],
    )
    same([got[name] for name in HEADS[1:]], [init[name] for name in HEADS[1:]])
