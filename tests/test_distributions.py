"""Distributions of the inputs: their moments, spectra and dimensions are the ones asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from toymodels.data import distributions
from toymodels.data.distributions import draw
from toymodels.data.inputs import uniform_noise
from toymodels.data.kinds import parse_kind
from toymodels.errors import UserError

KEY, OWN = jax.random.key(0), jax.random.key(1)
SIDE = 8
IMAGES = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (50, SIDE**2)), jnp.float32)
NOISES = (
    *("uniform", "gaussian", "signs", "spectrum:0", "spectrum:1.5", "blur:0.7"),
    *("blurred-signs:0.7", "perlin:3", "subspace:5"),
)
ALL = (*NOISES, "real", "phases", "shuffled", "blend:0.3")


compiled = jax.jit(draw, static_argnums=(0, 2))


def drawn(name, n, key=KEY, own=OWN):
    return np.asarray(compiled(name, key, n, IMAGES, own))


def amplitudes(x):
    """Root of the mean power at each wave number: (side, side)."""
    side = int(np.sqrt(x.shape[1]))
    return np.sqrt((abs(np.fft.fft2(x.reshape(-1, side, side))) ** 2).mean(0))


@pytest.mark.parametrize("name", NOISES)
def test_every_noise_has_the_mean_and_variance_of_uniform_noise(name):
    """A pixel of n images: its mean within five standard errors, the variance over all of them."""
    x = drawn(name, 8000)
    assert np.abs(x.mean(0)).max() < 5 * x.std(0).max() / np.sqrt(8000)
    assert x.var(0).mean() == pytest.approx(1 / 3, rel=0.03)


def test_laws_of_white_noise():
    x = drawn("gaussian", 500)
    assert stats.kstest(x.ravel(), stats.norm(0, 3**-0.5).cdf).pvalue > 1e-3
    y = drawn("signs", 500)
    np.testing.assert_allclose(np.unique(y), [-(3**-0.5), 3**-0.5], rtol=1e-6)
    for z in (x, y):
        assert np.abs(np.corrcoef(z.T) - np.eye(SIDE**2)).max() < 6 / np.sqrt(500)


@pytest.mark.parametrize("name", ALL)
def test_an_image_depends_on_its_own_number_alone(name):
    """Up to rounding: a Fourier transform of many images may add in another order."""
    longer = drawn(name, 40)
    np.testing.assert_allclose(drawn(name, 5), longer[:5], atol=1e-5)
    if name != "real":
        assert not np.allclose(longer, drawn(name, 40, jax.random.key(2)), atol=1e-2)
        assert len(np.unique(longer.round(4), axis=0)) == len(longer)


@pytest.mark.parametrize("name", ["spectrum:0", "blur:0"])
def test_no_filter_is_white_noise(name):
    np.testing.assert_allclose(drawn(name, 9), drawn("gaussian", 9), atol=1e-6)
    np.testing.assert_allclose(drawn("blurred-signs:0", 9), drawn("signs", 9), atol=1e-6)


@pytest.mark.parametrize("beta", [0.5, 1.0, 2.0])
def test_the_slope_of_the_spectrum_is_recovered(beta):
    side = 16
    gain = distributions.power_gain(side, beta)
    found = amplitudes(np.asarray(distributions.filter_noise(KEY, 4000, gain)))
    k = np.fft.fftfreq(side) * side
    size = np.hypot(k[:, None], k)
    waves = size > 0
    slope = np.polyfit(np.log(size[waves]), np.log(found[waves]), 1)[0]
    assert slope == pytest.approx(-beta, abs=0.02)
    assert found[0, 0] == pytest.approx(found[0, 1], rel=0.1)  # the mean is as the slowest wave


def test_blur_is_a_convolution_with_a_gaussian_on_the_torus():
    """In float64, pixel by pixel, of the white noise of the same key."""
    side, sigma = 16, 2.0  # wide enough that its spectrum ends before the lattice's
    white = np.float64(distributions.white_noise(KEY, 3, side**2)).reshape(3, side, side)
    near = (np.arange(side) + side // 2) % side - side // 2
    # Summed over the copies of the torus, as a periodic kernel is.
    kernel = sum(np.exp(-((near + side * i) ** 2) / (2 * sigma**2)) for i in range(-3, 4))
    kernel /= kernel.sum()
    circulant = np.stack([np.roll(kernel, i) for i in range(side)])
    blurred = circulant @ white @ circulant.T
    factor = 1 / (np.linalg.norm(kernel) ** 2)  # keeps the variance of white noise
    expected = (factor * blurred).reshape(3, -1)
    found = distributions.filter_noise(KEY, 3, distributions.blur_gain(side, sigma))
    np.testing.assert_allclose(found, expected, atol=1e-4)


def test_blurred_signs_have_the_spectrum_of_blurred_gaussian_noise_and_another_law():
    gaussian, signs = drawn("blur:0.5", 8000), drawn("blurred-signs:0.5", 8000)
    np.testing.assert_allclose(amplitudes(signs), amplitudes(gaussian), rtol=0.06)
    assert abs(stats.kurtosis(gaussian.ravel())) < 0.05
    assert stats.kurtosis(signs.ravel()) < -0.5


def test_perlin_noise_is_that_of_its_definition():
    """Pixel by pixel in float64: gradients dotted with offsets, joined by quintic weights."""
    side, cells = 8, 3
    found = np.asarray(distributions.perlin_noise(KEY, 2, side, cells))
    own = jax.random.split(KEY, 2)[1]
    angle = np.float64(jax.random.uniform(own, (cells + 1, cells + 1), maxval=2 * jnp.pi))

    def fade(t):
        return 6 * t**5 - 15 * t**4 + 10 * t**3

    raw = np.zeros((side, side))
    for i, j in np.ndindex(side, side):
        y, x = (i + 0.5) * cells / side, (j + 0.5) * cells / side
        a, b = int(y), int(x)
        for c, d in np.ndindex(2, 2):
            v, u = y - a - c, x - b - d
            dot = np.cos(angle[a + c, b + d]) * v + np.sin(angle[a + c, b + d]) * u
            raw[i, j] += dot * (1 - fade(abs(v))) * (1 - fade(abs(u)))
    factor = found[1] @ raw.ravel() / (raw**2).sum()
    np.testing.assert_allclose(found[1], factor * raw.ravel(), atol=1e-5)


@pytest.mark.parametrize("k", [1, 5, SIDE**2])
def test_a_subspace_has_exactly_its_dimensions_and_all_inputs_lie_in_it(k):
    both = np.concatenate([drawn(f"subspace:{k}", 200, key) for key in (KEY, jax.random.key(2))])
    values = np.linalg.svd(both, compute_uv=False)
    assert values[k - 1] > 0.1 * values[0]
    assert (values[k:] < 1e-5 * values[0]).all()
    other = drawn(f"subspace:{k}", 200, own=jax.random.key(3))
    rank = np.linalg.matrix_rank(np.concatenate([both, other]), rtol=1e-4)
    assert rank == min(2 * k, SIDE**2)


def test_what_is_made_of_images_keeps_what_it_says():
    n = 2 * len(IMAGES) + 1
    again = np.asarray(IMAGES)[np.arange(n) % len(IMAGES)]
    np.testing.assert_array_equal(drawn("real", n), again)
    shuffled = drawn("shuffled", n)
    np.testing.assert_array_equal(np.sort(shuffled, axis=1), np.sort(again, axis=1))
    assert (shuffled != again).mean() > 0.9
    for x in (shuffled, drawn("phases", n)):  # as many distinct ones as images
        np.testing.assert_array_equal(x[: len(IMAGES)], x[len(IMAGES) : -1])
    phases = drawn("phases", n)
    power = [abs(np.fft.fft2(x.reshape(-1, SIDE, SIDE))) for x in (phases, again)]
    np.testing.assert_allclose(*power, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(phases.mean(1), again.mean(1), atol=1e-6)
    assert np.abs(phases - again).mean() > 0.1
    # Phases are uniform: a wave that is not its own mirror image averages out.
    many = distributions.scramble_phases(KEY, jnp.tile(IMAGES[0], (1000, 1)))
    many = np.fft.fft2(np.asarray(many).reshape(-1, SIDE, SIDE))[:, 1, 2]
    assert abs((many / abs(many)).mean()) < 5 / np.sqrt(len(many))


def test_the_ends_of_a_blend_are_the_pure_inputs():
    np.testing.assert_array_equal(drawn("blend:0", 9), uniform_noise(KEY, 9, SIDE**2))
    np.testing.assert_array_equal(drawn("blend:1", 9), drawn("real", 9))
    half = (drawn("real", 9) + drawn("uniform", 9)) / 2
    np.testing.assert_allclose(drawn("blend:0.5", 9), half, atol=1e-6)


def test_sets_are_stacked_in_the_order_of_their_names():
    names = ["gaussian", "real", "uniform"]
    both = distributions.stack_inputs(names, KEY, 9, IMAGES, OWN)
    np.testing.assert_allclose(both, [drawn(name, 9) for name in names], atol=1e-6)


def test_few_samples_are_the_first_ones_again_and_again():
    few, noise = drawn("samples:4", 11), drawn("uniform", 11)
    np.testing.assert_array_equal(few, noise[np.arange(11) % 4])
    np.testing.assert_array_equal(drawn("samples:99", 11), noise)


def test_effective_dimension_is_the_participation_ratio_of_the_spectrum():
    x = np.random.default_rng(1).normal(size=(300, 6)) * [1, 1, 2, 3, 0.1, 0]
    values = np.linalg.eigvalsh(np.cov(x.T))
    found = distributions.describe_inputs(jnp.asarray(x + 5, jnp.float32))
    assert found["effective_dimension"] == pytest.approx(
        values.sum() ** 2 / (values**2).sum(), rel=1e-3
    )
    assert found["variance"] == pytest.approx(x.var(0).mean(), rel=1e-4)


def test_a_subspace_larger_than_the_image_is_refused():
    with pytest.raises(UserError, match=r"^a subspace must have at most 64 dimensions.*; got 65$"):
        distributions.random_basis(KEY, 64, 65)


@pytest.mark.parametrize("name", ALL)
def test_every_name_drawn_is_a_kind(name):
    assert parse_kind(name)[0] == name.partition(":")[0]
