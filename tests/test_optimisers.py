import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from toymodels.networks.models import MLP, functional
from toymodels.training.optimisers import OPTIMISERS, freeze, parametrise, scale_init

RATE, DECAY = 0.1, 0.3
W, G, H = (np.array(v) for v in ([1.0, -2.0, 0.5], [0.4, 0.2, -0.7], [-0.1, 0.3, -0.2]))
MLP32 = functional(lambda rngs: MLP((5, 12, 12, 7), rngs=rngs))
NETWORK = MLP32._replace(init=lambda key: jax.tree.map(jnp.float64, MLP32.init(key)))
X = np.random.default_rng(0).normal(size=(20, 5))
Y = np.random.default_rng(1).normal(size=(20, 7))


def steps(name, *gradients, decay=DECAY):
    """The updates for successive gradients, all at the weights W."""
    optimiser = OPTIMISERS[name].make(RATE, decay)
    state, updates = optimiser.init(jnp.array(W)), []
    for gradient in gradients:
        step, state = optimiser.update(jnp.array(gradient), state, jnp.array(W))
        updates.append(np.asarray(step))
    return updates


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sgd", -RATE * G),
        ("momentum", -RATE * G),
        ("adam", -RATE * G / (abs(G) + 1e-8)),
        ("adamw", -RATE * (G / (abs(G) + 1e-8) + DECAY * W)),
        ("adam_l2", -RATE * (G + DECAY * W) / (abs(G + DECAY * W) + 1e-8)),
        ("sign", -RATE * np.sign(G)),
    ],
)
def test_the_first_step_has_its_closed_form(x64, name, expected):
    np.testing.assert_allclose(steps(name, G)[0], expected, rtol=1e-10)


def test_momentum_remembers_nine_tenths(x64):
    np.testing.assert_allclose(steps("momentum", G, H)[1], -RATE * (0.9 * G + H), rtol=1e-12)


def test_adams_second_step_has_its_closed_form(x64):
    mean = (0.9 * 0.1 * G + 0.1 * H) / (1 - 0.9**2)
    square = (0.999 * 0.001 * G**2 + 0.001 * H**2) / (1 - 0.999**2)
    expected = -RATE * mean / (np.sqrt(square) + 1e-8)
    np.testing.assert_allclose(steps("adam", G, H)[1], expected, rtol=1e-10)


def test_without_decay_all_adams_are_one(x64):
    for name in ("adamw", "adam_l2"):
        np.testing.assert_array_equal(steps(name, G, H, decay=0.0), steps("adam", G, H))


def loss(network):
    return lambda params: ((network.apply(params, X) - Y) ** 2).mean()


def fit(network, optimiser, n=5):
    """The network's outputs after n steps on the same regression."""
    params = network.init(jax.random.key(3))
    state = optimiser.init(params)
    for _ in range(n):
        step, state = optimiser.update(jax.grad(loss(network))(params), state, params)
        params = optax.apply_updates(params, step)
    return network.apply(params, X)


def test_ntk_under_sgd_is_standard_with_rates_of_one_over_fan_in(x64):
    shapes = jax.eval_shape(NETWORK.init, jax.random.key(0))
    rates = jax.tree.map(lambda leaf: 1 / leaf.shape[0] if leaf.ndim == 2 else 1.0, shapes)
    per_layer = optax.stateless(lambda g, _: jax.tree.map(lambda r, a: -0.5 * r * a, rates, g))
    ntk = fit(parametrise(NETWORK, "ntk", 64).network, optax.sgd(0.5))
    standard = fit(NETWORK, per_layer)
    np.testing.assert_allclose(ntk, standard, rtol=1e-9, atol=1e-12)
    assert not np.allclose(ntk, fit(NETWORK, optax.sgd(0.5)), rtol=1e-3)


@pytest.mark.parametrize(("name", "base"), [("standard", 64), ("ntk", 64), ("mup", 12)])
def test_the_function_at_init_is_the_standard_one(x64, name, base):
    key = jax.random.key(3)
    split = parametrise(NETWORK, name, base).network
    expected = NETWORK.apply(NETWORK.init(key), X)
    np.testing.assert_allclose(split.apply(split.init(key), X), expected, rtol=1e-12)


def test_ntk_weights_have_unit_variance(x64):
    weights = parametrise(NETWORK, "ntk", 64).network.init(jax.random.key(0))
    for layer in weights.values():
        assert layer["kernel"].std() == pytest.approx(1, abs=0.2)


def test_mups_logits_are_smaller_at_init_by_the_root_of_the_width(x64):
    key, split = jax.random.key(3), parametrise(NETWORK, "mup", 3).network
    expected = NETWORK.apply(NETWORK.init(key), X) / 2
    np.testing.assert_allclose(split.apply(split.init(key), X), expected, rtol=1e-12)


@pytest.mark.parametrize("name", ["ntk", "mup"])
def test_at_the_base_width_adam_trains_every_parametrisation_alike(x64, name):
    adam = optax.adam(0.01, eps=1e-30)
    matched, distinct = (parametrise(NETWORK, name, base) for base in (12, 3))
    standard = fit(NETWORK, adam)
    np.testing.assert_allclose(fit(matched.network, matched.scale_steps(adam)), standard, rtol=1e-7)
    assert not np.allclose(fit(distinct.network, distinct.scale_steps(adam)), standard, rtol=1e-2)


def test_mup_moves_hidden_weights_and_heads_by_one_over_width(x64):
    """Adam's first step, in the weights that multiply activations, relative to the base width."""
    split = parametrise(NETWORK, "mup", 3)
    params, adam = split.network.init(jax.random.key(3)), split.scale_steps(optax.adam(0.01))
    step, _ = adam.update(jax.grad(loss(split.network))(params), adam.init(params), params)
    steps = {name: float(abs(layer["kernel"]).max()) for name, layer in step.items()}
    steps["head"] *= 3 / 12  # the multiplier
    assert steps == pytest.approx({"hidden1": 0.01, "hidden2": 0.0025, "head": 0.0025}, rel=1e-3)


def test_a_scaled_init_is_scaled_and_nothing_else(x64):
    twice = scale_init(NETWORK, jnp.float32(2.0))
    key = jax.random.key(0)
    for a, b in zip(*map(jax.tree.leaves, (twice.init(key), NETWORK.init(key))), strict=True):
        np.testing.assert_array_equal(a, 2 * b)
    assert twice.apply is NETWORK.apply


@pytest.mark.parametrize("name", ["momentum", "adam", "adamw", "adam_l2", "sign"])
def test_frozen_layers_stay_and_the_others_move_as_by_optax_with_two_transforms(x64, name):
    """Here the mask is traced; optax has to know it when the program is compiled."""
    params = NETWORK.init(jax.random.key(3))
    optimiser = OPTIMISERS[name].make(RATE, DECAY)
    labels = {layer: "frozen" if layer == "hidden2" else "moving" for layer in params}
    known = optax.multi_transform({"moving": optimiser, "frozen": optax.set_to_zero()}, labels)
    mask = {layer: jax.tree.map(lambda _, on=on: on, params[layer]) for layer, on in labels.items()}
    mask = jax.tree.map(lambda label: jnp.array(label == "frozen"), mask)
    ours = freeze(optimiser, mask)

    def walk(optimiser):
        state, here = optimiser.init(params), params
        for _ in range(3):
            step, state = optimiser.update(jax.grad(loss(NETWORK))(here), state, here)
            here = optax.apply_updates(here, step)
        return here

    for a, b in zip(*map(jax.tree.leaves, (walk(ours), walk(known))), strict=True):
        np.testing.assert_array_equal(a, b)
    walked = walk(ours)
    np.testing.assert_array_equal(walked["hidden2"]["kernel"], params["hidden2"]["kernel"])
    assert (walked["hidden1"]["kernel"] != params["hidden1"]["kernel"]).any()


def test_a_mask_may_split_a_leaf_and_all_frozen_is_no_step():
    params, gradient = {"head": jnp.ones((2, 3))}, {"head": jnp.full((2, 3), 0.5)}
    for mask, expected in (([[True, False, True]], [0.0, -1.0, 0.0]), (True, [0.0] * 3)):
        sgd = freeze(optax.sgd(2.0), {"head": jnp.array(mask)})
        step, _ = sgd.update(gradient, sgd.init(params), params)
        np.testing.assert_array_equal(step["head"], [expected] * 2)


def test_a_frozen_parameter_keeps_its_value_though_its_gradient_is_not_finite():
    sgd = freeze(optax.sgd(1.0), {"w": jnp.array(True)})
    step, _ = sgd.update({"w": jnp.array([jnp.nan, jnp.inf])}, sgd.init({"w": jnp.ones(2)}))
    np.testing.assert_array_equal(step["w"], [0.0, 0.0])
