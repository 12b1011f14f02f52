"""Kernels at infinite width: closed forms, identities, and finite networks on the way there."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate

from toymodels.errors import UserError
from toymodels.inits import relations
from toymodels.networks.models import MLP, functional
from toymodels.theory.duals import ERF, RELU, hermite
from toymodels.theory.infinite_width import Init, cross_kernels, kernels
from toymodels.theory.kernels import Side, mlp_kernel

pytestmark = pytest.mark.usefixtures("x64")
MOMENTS = [(1.0, 0.7, 0.5), (0.3, 0.3, -0.2), (0.6, 0.2, 0.0), (0.5, 0.9, 0.6)]
INIT = Init((6, 20, 30), variance=1.4, bias_variance=0.1)


def inputs(n, d=6, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=(n, d)))


def on_the_plane(f, a, b, c):
    """E f(u, v) by adaptive integration in polar coordinates, where a kink lies at one angle."""
    root = np.linalg.cholesky(np.array([[a, c], [c, b]]))
    kinks = [np.pi / 2, 3 * np.pi / 2]  # u = 0; and where v = 0:
    kinks += [np.arctan2(-root[1, 0], root[1, 1]) % np.pi + k * np.pi for k in (0, 1)]

    def ray(t):
        u, v = root @ [np.cos(t), np.sin(t)]

        def line(r):
            return f(r * u, r * v) * r * np.exp(-(r**2) / 2) / (2 * np.pi)

        return integrate.quad(line, 0, 12, epsabs=1e-13, epsrel=1e-12, limit=200)[0]

    ends = sorted({0.0, 2 * np.pi, *kinks})
    parts = [
        integrate.quad(ray, *e, epsabs=1e-12, epsrel=1e-11)[0] for e in itertools.pairwise(ends)
    ]
    return sum(parts)


@pytest.mark.parametrize("moments", MOMENTS[:2])
def test_closed_forms_are_what_integration_gives(moments):
    from scipy.special import erf

    args = [jnp.asarray(m) for m in moments]
    for function, dual in (
        (lambda z: np.maximum(z, 0), RELU.products),
        (lambda z: (z > 0) * 1.0, RELU.slopes),
        (erf, ERF.products),
        (lambda z: 2 / np.sqrt(np.pi) * np.exp(-(z**2)), ERF.slopes),
    ):
        expected = on_the_plane(lambda u, v, f=function: f(u) * f(v), *moments)
        assert float(dual(*args)) == pytest.approx(expected, abs=1e-10)


def test_quadrature_is_the_closed_form_of_erf_and_of_a_cube():
    a, b, c = jnp.asarray(MOMENTS).T
    smooth = hermite(jax.scipy.special.erf)
    np.testing.assert_allclose(smooth.products(a, b, c), ERF.products(a, b, c), atol=1e-10)
    np.testing.assert_allclose(smooth.slopes(a, b, c), ERF.slopes(a, b, c), atol=1e-10)
    cube = hermite(lambda z: z**3, nodes=4)
    np.testing.assert_allclose(cube.products(a, b, c), 9 * a * b * c + 6 * c**3, atol=1e-12)
    np.testing.assert_allclose(cube.slopes(a, b, c), 9 * (a * b + 2 * c**2), atol=1e-12)


@pytest.mark.parametrize("activation", [RELU, ERF])
def test_slopes_are_the_derivative_of_products(activation):
    """d/dc E phi(u) phi(v) = E phi'(u) phi'(v) (Price's theorem)."""
    a, b, c = jnp.asarray(MOMENTS).T
    derivative = jax.vmap(jax.grad(activation.products, 2))(a, b, c)
    np.testing.assert_allclose(derivative, activation.slopes(a, b, c), rtol=1e-12)


def test_an_input_of_zeros_and_an_input_with_itself_are_no_special_cases():
    x = jnp.concatenate([inputs(2), jnp.zeros((1, 6))])
    plain = INIT._replace(bias_variance=0.0)
    got = cross_kernels(plain, x, x)
    assert np.isfinite(got.ntk()).all()
    assert (got.nngp[2] == 0).all()
    np.testing.assert_allclose(  # E relu(u)^2 = a / 2 on the diagonal, twice, times the head's 1.4
        np.diag(got.nngp), 1.4 * 0.7**2 * np.square(x).sum(1) / 6, rtol=1e-12
    )
    np.testing.assert_allclose(np.diag(got.biases[0])[:2], 0.7**2, rtol=1e-12)


@pytest.mark.parametrize("activation", [RELU, ERF])
def test_full_overlap_is_one_network_and_none_is_two(activation):
    init, x, y = INIT._replace(activation=activation), inputs(4), inputs(3, seed=1)
    itself, apart = cross_kernels(init, x, y, 1.0), cross_kernels(init, x, y, 0.0)
    layers = cross_kernels(init, x, y, (1.0, 1.0, 1.0), (1.0, 1.0, 1.0))
    for got, expected in zip(layers, itself, strict=True):
        np.testing.assert_array_equal(got, expected)
    assert (apart.nngp == 0).all()
    assert (apart.hidden == 0).all()
    assert (apart.biases[-1] == 1).all()
    # The head's gradients are the latents, whose means ReLU networks share: sqrt(a / 2 pi).
    own, others = (
        jnp.sqrt(cross_kernels(init, z, z).nngp.diagonal() - 0.1) for z in (x, y)
    )  # sqrt(1.4 E phi^2) = sqrt(0.7 a) for ReLU
    mean = own[:, None] * others / (1.4 * np.pi) if activation is RELU else 0.0
    np.testing.assert_allclose(apart.weights[-1], 30 * mean * np.ones((4, 3)), atol=1e-12)


def test_kernels_of_one_network_and_of_both_at_once_are_symmetric_and_positive():
    x = inputs(7)
    itself, cross = cross_kernels(INIT, x, x), cross_kernels(INIT, x, x, (0.9, 0.5, 0.7))
    for part in ("nngp", "latent", "hidden"):
        k, c = (np.asarray(getattr(kind, part)) for kind in (itself, cross))
        both = np.block([[k, c], [c.T, k]])
        np.testing.assert_allclose(both, both.T, rtol=1e-12)
        assert np.linalg.eigvalsh(both).min() > -1e-10 * np.trace(both)
    assert np.linalg.eigvalsh(np.asarray(itself.ntk())).min() > 0


def test_every_overlap_counts_where_it_should():
    """The head's overlap multiplies what passes it; the first layer's acts through angles alone."""
    x = inputs(3)
    whole, head = cross_kernels(INIT, x, x), cross_kernels(INIT, x, x, (1.0, 1.0, 0.3))
    np.testing.assert_allclose(head.hidden, 0.3 * whole.hidden, rtol=1e-12)
    np.testing.assert_array_equal(head.weights[-1], whole.weights[-1])
    biases = cross_kernels(INIT, x, x, 1.0, 0.0)
    plain = INIT._replace(bias_variance=0.0)
    assert (biases.nngp < whole.nngp).all()
    np.testing.assert_array_equal(  # biases that start at zero have no overlap
        cross_kernels(plain, x, x, 0.8, 0.0).ntk(), cross_kernels(plain, x, x, 0.8).ntk()
    )


def test_rates_weigh_the_layers():
    x = inputs(3)
    k = cross_kernels(INIT, x, x, 0.9)
    rates = jnp.array([1 / 6, 1 / 20, 1 / 30])
    wide = cross_kernels(INIT._replace(sizes=(6, 200, 300)), x, x, 0.9)
    fall = jnp.array([1 / 6, 1 / 200, 1 / 300])
    np.testing.assert_allclose(k.ntk(rates), wide.ntk(fall), rtol=1e-12)  # NTK parametrisation
    np.testing.assert_allclose(k.ntk(1.0, 0.0), k.weights.sum(0), rtol=1e-12)


def test_moments_may_be_numbers_and_overlaps_traced():
    one = jnp.ones(())
    slope = jax.jit(jax.grad(lambda rho: kernels(INIT, one, one, 0.5 * one, rho).nngp))(0.9)
    assert slope > 0
    with pytest.raises(UserError, match=r"^rho must be one overlap or 3, one a layer; got 2$"):
        kernels(INIT, one, one, one, (1.0, 0.5))


WIDTHS, NETWORKS, RHO = (16, 256), 200, (0.9, 0.6, 0.8)


@pytest.fixture(scope="module")
def finite():
    """Kernels of random pairs of networks by width, and the limits: outputs 0 and 1 of both."""
    with jax.enable_x64(True):
        x, found = inputs(3, 5, seed=2), {}
        for width in WIDTHS:
            network = functional(lambda rngs, n=width: MLP((5, n, n, 2), rngs=rngs))

            def pair(key, network=network):
                first, second = jax.random.split(key)
                own = jax.tree.map(lambda w: w.astype(float), network.init(first))
                turned = relations.rotation(network.init)
                names = ("hidden1", "hidden2", "head")
                others = {
                    name: turned(own, second, rho)[name]
                    for name, rho in zip(names, RHO, strict=True)
                }
                return mlp_kernel(Side(own, x), Side(others, x))

            keys = jax.random.split(jax.random.key(width), NETWORKS)
            limit = cross_kernels(Init((5, width, width)), x, x, RHO).ntk()
            found[width] = np.asarray(jax.jit(jax.vmap(pair))(keys)), np.asarray(limit)
        yield found


def test_finite_networks_approach_the_limit_like_the_root_of_their_width(finite):
    errors = []
    for width, (got, limit) in finite.items():
        same = got[:, :, 0, :, 0]
        errors.append(np.sqrt(np.square(same / limit - 1).mean()))
        spread = (same / limit).std(axis=0) / np.sqrt(NETWORKS)
        # The mean's own error is of order 1 / width: far below a network's.
        assert (abs((same / limit).mean(axis=0) - 1) < 4 * spread + 1.5 / width).all()
    power = np.log(errors[0] / errors[1]) / np.log(WIDTHS[1] / WIDTHS[0])
    assert errors[1] < 0.25
    assert power == pytest.approx(0.5, abs=0.15)


def test_between_different_outputs_the_limit_is_zero(finite):
    sizes = []
    for got, limit in finite.values():
        sizes.append(np.sqrt(np.square(got[:, :, 0, :, 1] / limit).mean()))
    power = np.log(sizes[0] / sizes[1]) / np.log(WIDTHS[1] / WIDTHS[0])
    assert power == pytest.approx(0.5, abs=0.2)
