"""Numbers of few bits: against the formats themselves, to the bit; and optimisers that store them."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest

from toymodels.errors import UserError
from toymodels.networks.models import MLP, functional
from toymodels.networks.rounding import FULL, measure_spacing, round_factors, round_mantissa
from toymodels.training.storage import store_rounded

FORMATS = {
    ml_dtypes.bfloat16: (7, -126),
    np.float16: (10, -14),
    ml_dtypes.float8_e4m3: (3, -6),
    ml_dtypes.float8_e5m2: (2, -14),
}


@pytest.fixture(scope="module")
def numbers():
    """Numbers of many magnitudes, the halves between two neighbours among them."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=4000) * 2.0 ** rng.integers(-20, 6, size=4000)
    return np.concatenate([x, np.arange(-40, 40) / 16, [0.0]]).astype(np.float32)


@pytest.mark.parametrize("dtype", FORMATS, ids=lambda dtype: np.dtype(dtype).name)
def test_a_rounded_number_is_that_of_the_format_to_the_bit(numbers, dtype):
    bits, smallest = FORMATS[dtype]
    rounded = jax.jit(round_mantissa)(numbers, bits, smallest)
    np.testing.assert_array_equal(rounded, numbers.astype(dtype).astype(np.float32))


def test_all_bits_change_nothing(numbers):
    tiny = np.float32([1e-30, -3e-38, 0.0])
    for x in (numbers, tiny):
        np.testing.assert_array_equal(round_mantissa(jnp.asarray(x), FULL), x)


def test_rounding_twice_is_rounding_once(numbers):
    rounded = round_mantissa(jnp.asarray(numbers), 4)
    np.testing.assert_array_equal(round_mantissa(rounded, 4), rounded)


def test_stochastic_rounding_gives_a_neighbour_and_the_right_mean():
    x, n = jnp.float32(1.3), 20_000
    offsets = jax.random.uniform(jax.random.key(0), (n,))
    rounded = round_mantissa(jnp.full(n, x), 3, offset=offsets)
    assert set(np.unique(rounded).tolist()) == {1.25, 1.375}
    error = float(rounded.std()) / n**0.5
    assert abs(float(rounded.mean()) - 1.3) < 4 * error
    exact = round_mantissa(jnp.full(n, 1.25), 3, offset=offsets)
    assert (exact == 1.25).all()


def test_the_spacing_is_the_distance_to_the_next_number(numbers):
    x = numbers[np.abs(numbers) > 1e-6].astype(ml_dtypes.bfloat16)
    away = np.nextafter(x, np.copysign(ml_dtypes.bfloat16(np.inf), x))
    gap = np.abs(away.astype(np.float32) - x.astype(np.float32))
    np.testing.assert_array_equal(measure_spacing(x.astype(np.float32), 7), gap)


@pytest.fixture(scope="module")
def network():
    return functional(lambda rngs: MLP((6, 16, 16, 4), rngs=rngs))


def test_products_read_short_factors_and_keep_long_parameters(network):
    """Every activation and weight that a product reads is a bfloat16; the gradient is that of the
    same products."""
    params, x = network.init(jax.random.key(0)), jax.random.normal(jax.random.key(1), (5, 6))

    def cast(a):
        return a.astype(jnp.bfloat16).astype(jnp.float32)

    def forward(params, x):
        h = cast(x)
        for name in ("hidden1", "hidden2"):
            h = cast(jax.nn.relu(h @ cast(params[name]["kernel"]) + cast(params[name]["bias"])))
        heads = [name for name in params if not name.startswith("hidden")]
        return h @ cast(params[heads[0]]["kernel"]) + cast(params[heads[0]]["bias"])

    short = round_factors(network, 7)
    np.testing.assert_allclose(short.apply(params, x), forward(params, x), rtol=1e-6, atol=1e-7)
    assert (short.apply(params, x) != network.apply(params, x)).any()
    np.testing.assert_array_equal(
        round_factors(network, FULL).apply(params, x), network.apply(params, x)
    )
    gradient = jax.grad(lambda p: short.apply(p, x).sum())(params)
    assert all((leaf != 0).any() for leaf in jax.tree.leaves(gradient))


def train(optimiser, params, steps=30):
    """Follow random gradients."""

    def step(carry, key):
        params, state = carry
        gradient = jax.tree.map(lambda w: jax.random.normal(key, w.shape) * 0.1 + w, params)
        updates, state = optimiser.update(gradient, state, params)
        return (optax.apply_updates(params, updates), state), None

    keys = jax.random.split(jax.random.key(5), steps)
    return jax.lax.scan(step, (params, optimiser.init(params)), keys)[0]


@pytest.mark.parametrize("stochastic", [False, True])
@pytest.mark.parametrize("bits", [1, 4, 7, 10])
def test_stored_weights_are_numbers_of_the_format(bits, stochastic):
    """To the bit: also where a weight is many orders below its successor, or changes sign."""
    small = jnp.float32([1e-9, -1e-9, 3e-6, -0.5, 0.3, 0.0, 1.0])
    start = {"w": round_mantissa(small, bits)}
    optimiser = store_rounded(
        optax.adam(0.1), weights=bits, stochastic=stochastic, key=jax.random.key(1)
    )
    params, _ = train(optimiser, start)
    np.testing.assert_array_equal(round_mantissa(params["w"], bits), params["w"])
    assert (params["w"] != start["w"]).any()


def test_stored_moments_are_numbers_of_the_format_and_weights_are_not():
    start = {"w": jax.random.normal(jax.random.key(0), (50,))}
    params, state = train(store_rounded(optax.adam(0.1), moments=3), start)
    for moment in (state.inner[0].mu, state.inner[0].nu):
        np.testing.assert_array_equal(round_mantissa(moment["w"], 3), moment["w"])
    assert (round_mantissa(params["w"], 10) != params["w"]).any()
    assert state.step == 30


def test_steps_below_half_a_spacing_are_lost_and_stochastic_rounding_keeps_their_mean():
    """Thirty steps of a tenth of the spacing: nothing to the nearest, three spacings in the mean."""
    n, spacing = 4000, 2.0**-4
    start = {"w": jnp.ones(n)}
    tenth = {"w": jnp.full(n, -spacing / 10)}

    def run(stochastic):
        optimiser = store_rounded(
            optax.sgd(1.0), weights=4, stochastic=stochastic, key=jax.random.key(2)
        )

        def step(carry, _):
            updates, state = optimiser.update(tenth, carry[1], carry[0])
            return (optax.apply_updates(carry[0], updates), state), None

        return jax.lax.scan(step, (start, optimiser.init(start)), length=30)[0][0]["w"]

    np.testing.assert_array_equal(run(stochastic=False), start["w"])
    moved = (run(stochastic=True) - 1) / spacing
    assert abs(float(moved.mean()) - 3) < 4 * float(moved.std()) / n**0.5


def test_all_bits_are_the_optimiser_itself():
    start = {"w": jax.random.normal(jax.random.key(0), (50,))}
    (same, _), (own, _) = (
        train(store_rounded(optax.adam(0.1)), start),
        train(optax.adam(0.1), start),
    )
    np.testing.assert_array_equal(same["w"], own["w"])


def test_weights_whose_storage_is_not_exact_are_refused():
    with pytest.raises(UserError, match=r"^weights must be at most 10 bits, or 23; got 12$"):
        store_rounded(optax.adam(0.1), weights=12)
