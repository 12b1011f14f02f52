"""The verbs of a prompt: the six lines, their numbers, what they accept and what they refuse."""

import dataclasses
import inspect
import subprocess
import sys
import tomllib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import toymodels as tm
from toymodels.prompt import programs
from toymodels.prompt.arguments import arithmetic
from toymodels.training.config import ProtocolConfig
from toymodels.training.distillation import auxiliary_logits
from toymodels.training.protocol import reference_protocol, seed_keys
from toymodels.training.tasks import Data

FEW = {"epochs": 2, "batch": 50}
FEW_INPUTS = FEW | {"n_inputs": 130}


def assert_equal(received, expected):
    assert jax.tree.structure(received) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(received), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def data():
    return tm.load("digits", train_images=160)


@pytest.fixture(scope="module")
def net(data):
    return tm.mlp(data, widths=(16, 16), m=3)


@pytest.fixture(scope="module")
def teacher(net, data):
    return tm.teach(net, data, 0, **FEW)


def test_the_six_lines_give_a_student_that_reads_digits():
    key, other_key = jax.random.split(jax.random.key(0))
    data = tm.load("digits")
    net = tm.mlp(data, widths=(64, 64), m=10)
    teacher = tm.teach(net, data, key)
    start = tm.rotate(teacher.init, net.init(other_key), rho=0.99)
    student = tm.distil(net, start, teacher, inputs=tm.uniform_noise, logits=net.aux, key=key)
    assert tm.accuracy(net, teacher.params, data) > 0.9
    assert tm.accuracy(net, student.params, data) > 0.4
    assert student.curve["accuracy"].shape == student.curve["loss"].shape == (11,)
    assert tm.accuracy(net, student.params, data) == student.curve["accuracy"][-1]
    assert tm.accuracy(net, start, data) == student.curve["accuracy"][0]


@pytest.mark.parametrize("loss", ["kl", "mse"])
@pytest.mark.parametrize("noise", ["fixed", "fresh"])
def test_the_numbers_are_the_reference_protocols_to_the_bit(net, data, teacher, loss, noise):
    """The same seed: the same initialisation, order of batches, inputs, answers and students.

    By the squared error only within rounding: it divides by the number of imitated logits, which is a
    constant of the protocol's program, and an argument of the verb's.
    """
    config = ProtocolConfig(
        noise=noise, noise_images=130, batch=50, teacher_epochs=2, student_epochs=2, loss=loss
    )
    protocol = reference_protocol(config, data.task, net.network)
    splits, mask = Data(data.train, data.test), auxiliary_logits(10, 3)
    start = net.init(5)
    with arithmetic():
        lesson, teacher_curve = jax.jit(protocol.prepare)(splits, 0)

        @jax.jit
        def distil(start, lesson):
            return protocol.distil(start, lesson, mask, protocol.watch(splits, lesson, mask))

        params, curve = distil(start, lesson)
    student = tm.distil(net, start, teacher, key=0, loss=loss, fresh=noise == "fresh", **FEW_INPUTS)
    assert_equal(teacher.init, lesson.reference)
    assert_equal(teacher.params, lesson.teacher)
    assert_equal(teacher.curve["accuracy"], teacher_curve["teacher_accuracy"])
    assert_equal(teacher.curve["loss"], teacher_curve["teacher_loss"])
    if loss == "kl":
        assert_equal(student.params, params)
        assert_equal(student.curve, curve)
    else:
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
            (student.params, student.curve),
            (params, curve),
        )


def test_the_defaults_are_the_reference_protocols():
    config = ProtocolConfig()
    teach, distil = (
        {name: p.default for name, p in inspect.signature(verb).parameters.items()}
        for verb in (tm.teach, tm.distil)
    )
    assert (teach["epochs"], teach["batch"]) == (config.teacher_epochs, config.batch)
    assert (distil["epochs"], distil["batch"]) == (config.student_epochs, config.batch)
    assert (distil["loss"], distil["temperature"]) == (config.loss, config.temperature)
    assert (distil["n_inputs"], distil["fresh"]) == (config.noise_images, config.noise == "fresh")
    assert teach["optimiser"] is distil["optimiser"] is optax.adam


@pytest.mark.parametrize("temperature", [0.7, 3.0])
def test_a_temperature_and_a_rate_are_those_of_the_protocol(net, data, teacher, temperature):
    """Within rounding: in the protocol both are constants of the program, here its arguments."""
    config = ProtocolConfig(
        noise_images=130, batch=50, student_epochs=2, temperature=temperature, student_lr=0.003
    )
    protocol = reference_protocol(config, data.task, net.network)
    splits, mask = Data(data.train, data.test), auxiliary_logits(10, 3)
    with arithmetic():
        x = tm.uniform_noise(seed_keys(0).noise, 130, 64)
        answered = x, net.apply(teacher.params, x)
        held_out = tm.uniform_noise(seed_keys(0).probe, 1000, 64)
        lesson = tm.protocol.Lesson(
            teacher.init,
            teacher.params,
            answered,
            (held_out, net.apply(teacher.params, held_out)),
            seed_keys(0),
        )
        watch = protocol.watch(splits, lesson, mask)
        params, curve = jax.jit(lambda p: protocol.distil(p, lesson, mask, watch))(teacher.init)
    student = tm.distil(
        net, teacher.init, teacher, key=0, temperature=temperature, lr=0.003, **FEW_INPUTS
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5), student.params, params)
    np.testing.assert_allclose(student.curve["loss"], curve["loss"], rtol=1e-3, atol=1e-8)


class Residual(nnx.Module):
    """A network of one's own, without a method ``latent``."""

    def __init__(self, outputs, rngs):
        self.embed = nnx.Linear(64, 16, rngs=rngs)
        self.block = nnx.Linear(16, 16, rngs=rngs)
        self.norm = nnx.LayerNorm(16, rngs=rngs)
        self.readout = nnx.Linear(16, outputs, rngs=rngs)

    def __call__(self, x):
        x = self.embed(x)
        return self.readout(self.norm(x + nnx.gelu(self.block(x))))


def test_everything_may_be_the_users_own(data):
    """Module, inputs, relation, optimiser, loss and score; a raw network of tm.functional, too."""
    network = tm.functional(lambda rngs: Residual(14, rngs))
    net = tm.network(network, data)
    assert (net.m, net.n_classes, net.n_pixels) == (4, 10, 64)
    assert net == tm.network(network, data)
    odd = jnp.arange(10) % 2

    def cross_entropy(logits, labels):
        return optax.softmax_cross_entropy_with_integer_labels(logits[:, :2], odd[labels]).mean()

    def score(logits, labels):
        return (logits[:, :2].argmax(-1) == odd[labels]).mean()

    def stripes(key, n):
        phase, x = jax.random.uniform(key, (n, 1), maxval=6.28), jnp.arange(64) % 8
        return jnp.sin(phase + x)

    def absolute_error(student, teacher, mask):
        return jnp.where(mask, jnp.abs(student - teacher), 0).mean()

    optimiser = optax.chain(optax.clip(1.0), optax.adam(3e-3))
    teacher = tm.teach(
        network, data, 1, loss=cross_entropy, score=score, optimiser=optimiser, epochs=3, batch=16
    )
    assert teacher.curve["accuracy"][-1] > 0.6
    start = jax.tree.map(lambda w: jnp.where(w > 0, w, 0.5 * w), teacher.init)
    student = tm.distil(
        net,
        start,
        teacher,
        key=1,
        inputs=stripes,
        logits=net.all,
        loss=absolute_error,
        optimiser=optax.sgd,
        lr=0.05,
        score=score,
        observe=lambda params: {"bias": params["readout"]["bias"]},
        **FEW_INPUTS,
    )
    assert student.curve["bias"].shape == (3, 14)
    assert student.curve["loss"][-1] < student.curve["loss"][0]
    assert tm.accuracy(network, student.params, data, score=score) == student.curve["accuracy"][-1]
    # The scales of norms are all inits' own: a rotation leaves them alone.
    rotated = tm.rotate(teacher.init, net.init(9), 0.5)
    np.testing.assert_array_equal(rotated["norm"]["scale"], 1)
    with pytest.raises(tm.UserError, match="latent must be a method"):
        net.latent(student.params, data.pixels(data.test_images))


def test_data_of_ones_own_are_read_as_a_data_set_of_the_library(data, net, teacher):
    mine = tm.images("mine", data.train, data.test, white=16)
    assert (mine.name, mine.n_classes, mine.n_pixels) == ("mine", 10, 64)
    assert_equal(tm.teach(net, mine, 0, **FEW).params, teacher.params)
    halves = [(np.asarray(pixels) / 16, labels) for pixels, labels in (data.train, data.test)]
    floats = tm.images("floats", *halves, white=1.0)
    np.testing.assert_allclose(
        floats.pixels(floats.test_images), data.pixels(data.test_images), atol=1e-6
    )


def test_a_student_of_another_architecture_and_a_student_of_a_student(data, net, teacher):
    wide = tm.mlp(data, widths=(24,), m=3)
    student = tm.distil(wide, wide.init(2), teacher, key=0, **FEW_INPUTS)
    again = tm.distil(net, teacher.init, student, key=0, fresh=True, **FEW_INPUTS)
    for trained in (student, again):
        assert trained.curve["loss"][-1] < trained.curve["loss"][0]
    x = data.pixels(data.test_images)
    assert student.net.latent(student.params, x).shape == (360, 24)


def test_no_epoch_leaves_the_parameters_as_they_are(data, net, teacher):
    student = tm.distil(net, teacher.init, teacher, key=0, epochs=0, n_inputs=10)
    assert_equal(student.params, teacher.init)
    assert student.curve["loss"].shape == (1,)


def test_masks_tell_the_logits_apart(data, net):
    aux, classes, everything = (np.asarray(mask) for mask in (net.aux, net.classes, net.all))
    assert (aux ^ classes == everything).all()
    assert (aux.sum(), classes.sum(), len(aux)) == (3, 10, 13)
    with pytest.raises(tm.UserError, match="m must be at least 1"):
        _ = tm.mlp(data, m=0).aux


def test_other_values_need_no_new_program(data, net, teacher):
    """Keys, rates, temperatures, masks and starts are arguments; equal networks are the same one."""

    def size():
        return programs.train_student._cache_size(), programs.train_teacher._cache_size()

    tm.distil(net, teacher.init, teacher, key=0, **FEW_INPUTS)
    before = size()
    same = tm.mlp(tm.load("digits", train_images=160), widths=(16, 16), m=3)
    assert same == net
    other = tm.teach(same, data, 1, lr=0.01, **FEW)
    options = {"lr": 0.02, "temperature": 2.0, "logits": net.classes}
    tm.distil(same, other.init, other, key=jax.random.key(3), **options, **FEW_INPUTS)
    assert size() == before


def test_seeds_side_by_side_are_the_seeds_one_by_one(data, net, teacher):
    """Within rounding, as all that is vmapped."""

    def run(key):
        teacher = tm.teach(net, data, key, **FEW)
        start = tm.rotate(teacher.init, net.init(jax.random.fold_in(key, 1)), 0.9)
        return teacher, tm.distil(net, start, teacher, key=key, **FEW_INPUTS)

    keys = jnp.stack([jax.random.key(seed) for seed in (0, 1)])
    teachers, students = jax.vmap(run)(keys)
    assert isinstance(students, tm.Trained)
    for received, expected in zip((teachers, students), run(keys[0]), strict=True):
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a[0], b, atol=1e-4),
            (received.params, received.curve["loss"]),
            (expected.params, expected.curve["loss"]),
        )
    assert "on average" in repr(students)


def test_seeds_may_be_traced(net):
    inits = jax.vmap(net.init)(jnp.arange(2))
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a[1], b, rtol=1e-5, atol=1e-6), inits, net.init(1)
    )


@pytest.mark.parametrize("settings", ["rbg", "unsafe_rbg"])
def test_the_users_settings_change_no_number(data, net, teacher, settings):
    with jax.default_prng_impl(settings), jax.default_matmul_precision("bfloat16"):
        assert_equal(tm.teach(net, data, 0, **FEW).params, teacher.params)
        assert_equal(net.init(3), tm.mlp(data, widths=(16, 16), m=3).init(3))
        with pytest.raises(tm.UserError, match=f"generator threefry2x32; got one of {settings}"):
            tm.teach(net, data, jax.random.key(0), **FEW)
    assert_equal(net.init(3), net.init(jax.random.key(3)))
    assert_equal(net.init(3), net.init(jax.random.PRNGKey(3)))
    assert_equal(net.init(3), net.init(np.int64(3)))


def test_what_is_not_finite_has_no_accuracy(data, net, teacher):
    """Never the accuracy of class 0, which is where the largest of NaNs lies."""
    diverged = tm.teach(net, data, 0, optimiser=optax.sgd, lr=1e30, **FEW)
    assert np.isnan(diverged.curve["accuracy"][-1])
    with pytest.raises(tm.UserError, match=r"params must be finite; got NaN or infinity in head"):
        tm.accuracy(
            net, teacher.params | {"head": jax.tree.map(jnp.log, net.init(0)["head"])}, data
        )


@pytest.mark.parametrize("relation", ["rotation", "entries", "units", "permutation", "noise"])
def test_relations_are_those_of_the_library(net, relation):
    init = net.init(0)
    with arithmetic():
        expected = tm.RELATIONS[relation](net.network)(init, jax.random.key(4), jnp.float32(0.6))
    received = tm.relate(net, init, relation, 0.6, key=4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), received, expected)


def test_a_rotation_is_that_of_the_relation(net):
    """The same W' and rho; equal but for the rounding of a product that is added."""
    init, key = net.init(0), jax.random.key(4)
    for rho in (1.0, 0.95, 0.0, -1.0):
        expected = tm.rotation(net.init)(init, key, jnp.float32(rho))
        received = tm.rotate(init, net.init(key), rho)
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-7), received, expected)
    assert_equal(tm.rotate(init, net.init(key), 1.0), init)


def other_shape(net):
    params = net.init(0)
    return params | {"head": {"kernel": jnp.ones((16, 11)), "bias": jnp.ones(13)}}


WRONG_DISTIL = {
    "start must have the parameters of MLP 64-16-16-13; head.kernel has the shape": (
        lambda net: {"start": other_shape(net)}
    ),
    "start must have the parameters of MLP 64-16-16-13; hidden2.bias is missing": (
        lambda net: {"start": {"head": net.init(0)["head"], "hidden1": net.init(0)["hidden1"]}}
    ),
    "start must be finite; got NaN or infinity in head.bias": (
        lambda net: {"start": jax.tree.map(lambda w: w / (w != 0), net.init(0))}
    ),
    "start must be a pytree of arrays of floats; got float": lambda net: {"start": 0.5},
    r"logits must be a mask of 13 bools, .*; got the shape \(3,\) and the type int32": (
        lambda net: {"logits": jnp.arange(3)}
    ),
    r"logits must be a mask of 13 bools, .*; got the shape \(12,\) and the type bool": (
        lambda net: {"logits": jnp.ones(12, bool)}
    ),
    "logits must select one logit at least; got none": (
        lambda net: {"logits": jnp.zeros(13, bool)}
    ),
    "lr must be a positive finite number; got nan": lambda net: {"lr": float("nan")},
    "lr must be a positive finite number; got -0.1": lambda net: {"lr": -0.1},
    "lr must be a positive finite number; got '1'": lambda net: {"lr": "1"},
    "lr must be from .* which float32 holds; got 1e-42": lambda net: {"lr": 1e-42},
    "lr must not be given beside an optax transformation": (
        lambda net: {"lr": 0.1, "optimiser": optax.sgd(0.1)}
    ),
    "optimiser must be a function of lr": lambda net: {"optimiser": "adam"},
    "optimiser must return an optax transformation; got 3": (
        lambda net: {"optimiser": lambda lr: 3}
    ),
    "temperature must be a positive finite number; got 0": lambda net: {"temperature": 0},
    "temperature must be 1 where loss is not kl; got 2": (
        lambda net: {"temperature": 2, "loss": "mse"}
    ),
    "loss must be kl, mse or a function; got 'l2'": lambda net: {"loss": "l2"},
    "loss must be a function of student's logits": lambda net: {"loss": lambda a, b: 0.0},
    r"loss must return one number; got the shape \(50, 13\)": (
        lambda net: {"loss": lambda a, b, mask: (a - b) ** 2}
    ),
    "epochs must be an integer from 0 to 1000000; got 2.5": lambda net: {"epochs": 2.5},
    "batch must be an integer from 1 to .*; got 0": lambda net: {"batch": 0},
    "n_inputs must be an integer from 1 to .*; got True": lambda net: {"n_inputs": True},
    "key must be a seed from 0 to 2147483647, or a key of JAX; got -1": lambda net: {"key": -1},
    "key must be a seed from 0 to 2147483647, or a key of JAX; got 0.5": lambda net: {"key": 0.5},
    r"key must be one key; got an array of keys of shape \(2,\)": (
        lambda net: {"key": jax.random.split(jax.random.key(0))}
    ),
    "inputs must be a function of key, n": lambda net: {"inputs": jnp.ones((10, 64))},
    r"inputs must return floats of the shape \(n, 64\); got \(1000, 3\) of float32": (
        lambda net: {"inputs": lambda key, n: jnp.ones((n, 3))}
    ),
    "inputs must be a function of JAX's arrays": (
        lambda net: {"inputs": lambda key, n: np.asarray(jax.random.normal(key, (n, 64)))}
    ),
    "inputs must be finite": lambda net: {"inputs": lambda key, n: jnp.full((n, 64), jnp.nan)},
    "observe must be a function of params": lambda net: {"observe": lambda: {}},
    "teacher must be what tm.teach or tm.distil returns": lambda net: {"teacher": net.init(0)},
    "net must be what tm.mlp, tm.cnn, tm.network or tm.functional returns; got str": (
        lambda net: {"net": "mlp"}
    ),
    "net must have as many logits as the teacher's MLP 64-16-16-13; got MLP 64-8-12": (
        lambda net: (lambda other: {"net": other, "start": other.init(0)})(
            tm.mlp(tm.load("digits"), (8,), m=2)
        )
    ),
}


@pytest.mark.parametrize("sentence", WRONG_DISTIL)
def test_bad_input_of_distil_is_one_sentence(net, teacher, sentence):
    allowed = {"net": net, "start": teacher.init, "teacher": teacher, "key": 0, **FEW_INPUTS}
    arguments = allowed | WRONG_DISTIL[sentence](net)
    with pytest.raises(tm.UserError, match=sentence) as error:
        tm.distil(
            arguments.pop("net"), arguments.pop("start"), arguments.pop("teacher"), **arguments
        )
    assert "\n" not in str(error.value)


def test_bad_input_of_the_other_verbs_is_one_sentence(data, net, teacher):
    bars = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 0, 1])
    wrong = {
        "dataset must be one of auto": lambda: tm.load("cifar"),
        "train_images must be an integer from 1": lambda: tm.load("digits", train_images=0),
        "widths must be an integer from 1 to 1000000; got 0": lambda: tm.mlp(data, (8, 0)),
        "widths must be a tuple of at least one width": lambda: tm.mlp(data, ()),
        "m must be an integer from 0": lambda: tm.mlp(data, m=-1),
        "data must be what tm.load or tm.images returns; got 'digits'": lambda: tm.mlp("digits"),
        "channels must be an integer from 1": lambda: tm.cnn(data, (0,)),
        "make must be a function of rngs.*it fails": lambda: tm.network(Residual, data),
        "make must be a function of rngs: too many": lambda: tm.network(lambda: 1, data),
        "make must be a function of rngs that returns": lambda: tm.network(lambda rngs: 1, data),
        r"network must read inputs \(n, 64\); Linear of 65 parameters does not": (
            lambda: tm.network(lambda rngs: nnx.Linear(12, 5, rngs=rngs), data)
        ),
        "network must have logits .* at least the 10 class logits": (
            lambda: tm.network(lambda rngs: nnx.Linear(64, 9, rngs=rngs), data)
        ),
        "init must have the parameters of": lambda: tm.teach(net, data, 0, init=other_shape(net)),
        "loss must be a function of logits, labels": lambda: tm.teach(net, data, 0, loss="kl"),
        "net must read the 4 pixels and 2 classes of small": lambda: tm.accuracy(
            net,
            teacher.params,
            tm.images("small", (bars[0][:, :2, :2], bars[1]), (bars[0][:, :2, :2], bars[1])),
        ),
        "params must have the parameters of": lambda: tm.accuracy(net, other_shape(net), data),
        "split must be test or train; got 'all'": (
            lambda: tm.accuracy(net, teacher.params, data, split="all")
        ),
        r"x must have the shape \(n, 64\)": lambda: net.apply(teacher.params, jnp.ones((2, 3))),
        "rho must be a number from -1 to 1; got 1.1": (
            lambda: tm.rotate(teacher.init, net.init(1), rho=1.1)
        ),
        "rho must be a number from -1 to 1; got nan": (
            lambda: tm.rotate(teacher.init, net.init(1), rho=float("nan"))
        ),
        "other must be an independent initialisation": (
            lambda: tm.rotate(teacher.init, teacher.init, rho=0.5)
        ),
        "other must have the names and shapes of init; head.kernel has the shape": (
            lambda: tm.rotate(teacher.init, other_shape(net), rho=0.5)
        ),
        "relation must be one of rotation, .*; got 'turn'": (
            lambda: tm.relate(net, teacher.init, "turn", 0.5, 0)
        ),
        "amount must be a number from 0 to 1; got -0.5": (
            lambda: tm.relate(net, teacher.init, "units", -0.5, 0)
        ),
        "white must be given where images are not of uint8; they are of float64": (
            lambda: tm.images("mine", (bars[0] / 255, bars[1]), (bars[0] / 255, bars[1]))
        ),
        r"train images must be from 0 \(black\) to white, 16; got 255 to 255": (
            lambda: tm.images("x", (np.full_like(bars[0], 255), bars[1]), bars, white=16)
        ),
        "train labels must be integers from 0 to 0": lambda: tm.images(
            "x", bars, bars, n_classes=1
        ),
        "train must be a pair, images and labels; got ndarray": (
            lambda: tm.images("x", bars[0], bars)
        ),
        "train must be images of numbers and labels of integers": (
            lambda: tm.images("x", (bars[0], bars[1] / 2), bars)
        ),
    }
    for sentence, call in wrong.items():
        with pytest.raises(tm.UserError, match=sentence) as error:
            call()
        assert "\n" not in str(error.value)


def test_the_import_costs_nothing():
    """Neither JAX nor NumPy is loaded before a name is used; every name can be."""
    program = (
        "import sys, toymodels as tm; "
        "print(sorted({'jax', 'numpy', 'xarray', 'matplotlib'} & sys.modules.keys()))"
    )
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert found.stdout.strip() == "[]", found.stderr
    assert all(getattr(tm, name) is not None for name in tm.__all__)


def test_the_public_names_are_installed_with_the_package():
    """The import reads the stub, and type checkers look for the mark."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    files = project["tool"]["setuptools"]["package-data"]["toymodels"]
    assert {"__init__.pyi", "py.typed"} <= {*files}
    assert all((Path(tm.__file__).parent / name).is_file() for name in files)


def test_a_record_is_read_at_a_glance(data, net, teacher):
    assert repr(net) == "Net(MLP 64-16-16-13: 10 class logits, 3 auxiliary logits)"
    assert "digits: 160 training and 360 test images of 8x8 pixels" in repr(data)
    assert "Trained(MLP 64-16-16-13 on digits, accuracy 0." in repr(teacher)
    assert repr(dataclasses.replace(teacher, curve={})) == "Trained(MLP 64-16-16-13 on digits)"
