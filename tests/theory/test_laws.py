"""Students made one by one agree with their closed form, law by law."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from toymodels.theory import explicit
from toymodels.theory.laws import LAWS

SIZE, STUDENTS = 16, 64


@pytest.mark.parametrize(
    ("law", "curve", "x"),
    [
        ("times", 1, 50),
        ("heads", 1, 0.5),
        ("samples", 2, 2.0),
    ],
)
def test_students_are_what_is_said_on_average(law, curve, x):
    simulate, predict = list(LAWS[law]().curves.values())[curve]
    keys = jax.random.split(jax.random.key(0), STUDENTS)
    students = np.asarray(
        jax.jit(jax.vmap(lambda key: simulate(SIZE, key, jnp.float32(x))))(keys), float
    )
    error = students.std(ddof=1) / np.sqrt(STUDENTS)
    # Beside the spread, corrections at this size: asymptotic where theory says so.
    assert abs(students.mean() - predict(SIZE, x)) < 4 * error + 0.01


@pytest.mark.usefixtures("x64")
def test_logistic_weights_are_where_the_loss_has_no_slope():
    z = jnp.where(jnp.arange(40)[:, None] < 30, jax.random.normal(jax.random.key(0), (40, 20)), 0)
    w = explicit.logistic_weights(z, 0.01)
    slope = 0.01 * w - jax.nn.sigmoid(-z @ w) @ z
    np.testing.assert_allclose(slope, 0, atol=1e-8)
    assert (z[:30] @ w > 0).all()


def test_rows_behind_the_number_are_zero_and_more_of_them_keep_the_first():
    few, many = (explicit.gaussian_rows(jax.random.key(0), 8, 5, n) for n in (3, 6))
    np.testing.assert_array_equal(few[:3], many[:3])
    assert (few[3:] == 0).all()
    assert (many[:6] != 0).all()
