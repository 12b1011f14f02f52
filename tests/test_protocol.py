"""Parts that an experiment may replace."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import xarray as xr

from experiments import chain, predictors
from toymodels.data import datasets
from toymodels.errors import UserError
from toymodels.measure import similarity
from toymodels.networks.models import MLP, functional, no_latent
from toymodels.study import results
from toymodels.study.sweeps import DrawnData
from toymodels.sweep import Execution
from toymodels.training import losses, protocol, tasks
from toymodels.training.config import CLOUD, NetworkConfig, follows, select_fields
from toymodels.training.distillation import auxiliary_logits
from toymodels.training.students import Setup, Student

CONFIG = NetworkConfig(
    dataset="digits", widths=(8,), noise_images=128, teacher_epochs=1, student_epochs=1
)
AUX = auxiliary_logits(10, 3)


@pytest.fixture(scope="module")
def begun():
    config, task, data = tasks.load(CONFIG, None)
    network = functional(lambda rngs: MLP((64, 8, 13), rngs=rngs))
    parts = protocol.reference_protocol(config, task, network)
    return parts, data, jax.jit(parts.prepare)(data, 0)[0]


def test_a_start_is_the_reference_itself_or_an_init_unrelated_to_it(begun):
    parts, _, seed = begun
    for own, got in zip(
        jax.tree.leaves(seed.reference), jax.tree.leaves(parts.start(seed, 0)), strict=True
    ):
        np.testing.assert_array_equal(own, got)
    kernels = [np.ravel(p["hidden1"]["kernel"]) for p in (seed.reference, parts.start(seed, True))]
    assert abs(np.corrcoef(*kernels)[0, 1]) < 4 / np.sqrt(64 * 8)


def test_what_is_replaced_is_what_trains(begun):
    """One step of plain descent on squared error, by hand."""
    parts, _, seed = begun
    one = dataclasses.replace(
        parts,
        config=parts.config.at(batch=128),
        imitation=losses.mse(),
        student_optimiser=optax.sgd(0.1),
    )
    start = one.start(seed, True)
    trained, _ = one.distil(start, seed, AUX, lambda params: ())
    x, answers = seed.answered
    gradient = jax.grad(lambda p: ((parts.network.apply(p, x) - answers)[:, 10:] ** 2).mean())(
        start
    )
    by_hand = jax.tree.map(lambda p, g: p - 0.1 * g, start, gradient)
    for got, expected in zip(jax.tree.leaves(trained), jax.tree.leaves(by_hand), strict=True):
        np.testing.assert_allclose(got, expected, atol=1e-6)


def test_another_trait_is_what_the_teacher_learns(begun):
    parts, data, _ = begun
    pull = tasks.Trait(
        loss=lambda params, batch: sum(jnp.sum(p**2) for p in jax.tree.leaves(params)),
        score=lambda params, images: jnp.float32(0.5),
    )
    one = dataclasses.replace(parts, trait=pull, teacher_optimiser=optax.sgd(0.5))
    seed, curve = jax.jit(one.prepare)(data, 0)
    assert all(not np.any(p) for p in jax.tree.leaves(seed.teacher))
    assert curve["teacher_accuracy"].tolist() == [0.5, 0.5]
    assert curve["teacher_loss"][-1] == 0


def test_a_config_follows_a_protocol_where_it_has_its_values():
    cloud = dataclasses.asdict(NetworkConfig(**CLOUD))
    assert follows(cloud)
    assert not follows(cloud | {"batch": 64})
    assert follows(cloud | {"batch": [64, 1024]})
    assert not follows(cloud | {"batch": [64, 128]})


IMAGES, LABELS = np.zeros((4, 8, 8), np.uint8), np.array([0, 1, 2, 1])


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (LABELS + 1, "got 1 to 3"),  # counted from one, as in some of EMNIST's files
        (LABELS - 1, "got -1 to 1"),
        (LABELS * 1.0, "got 0.0 to 2.0"),
    ],
)
@pytest.mark.parametrize("part", ["train", "test"])
def test_labels_out_of_range_are_refused_as_they_come(labels, said, part):
    sets = {"train": (IMAGES, LABELS), "test": (IMAGES, LABELS)} | {part: (IMAGES, labels)}
    sentence = rf"^{part} labels must be integers from 0 to 2 \(3 classes\); {said}$"
    with pytest.raises(UserError, match=sentence):
        tasks.bring("mine", **sets, n_classes=3)


@pytest.mark.parametrize("images", [IMAGES[:3], IMAGES.reshape(4, 64), IMAGES[:0]])
def test_images_and_labels_that_are_not_as_many_are_refused(images):
    with pytest.raises(UserError, match=r"^train images .* must be as many, and not none; got"):
        tasks.bring("mine", (images, LABELS), (IMAGES, LABELS), n_classes=3)
    with pytest.raises(UserError, match=r"^test images must be as high and wide as"):
        tasks.bring("mine", (IMAGES, LABELS), (IMAGES[:, :4], LABELS), n_classes=3)


def test_the_labels_of_a_data_set_are_checked_too(monkeypatch):
    digits = datasets.load("digits")
    wrong = dataclasses.replace(digits, train_labels=digits.train_labels + 1)
    monkeypatch.setattr(datasets, "load", lambda *_: wrong)
    with pytest.raises(UserError, match=r"^train labels must be integers from 0 to 9"):
        tasks.load(CONFIG, None)


def test_arrays_of_ones_own_are_a_task_with_a_name_and_hashes(begun):
    digits = datasets.load("digits")
    sets = [(digits.train_images, digits.train_labels), (digits.test_images, digits.test_labels)]
    task, data = tasks.bring("mine", *sets, n_classes=10, white=16)
    assert (task.name, task.n_pixels) == ("mine", 64)
    assert len(set(task.sha256.values())) == 4
    parts, known, _ = begun
    np.testing.assert_array_equal(task.pixels(data.test[0]), parts.task.pixels(known.test[0]))


@pytest.mark.parametrize(
    ("sizes", "sentence"),
    [
        ((64, 8, 9), "outputs of the network must be at least the 10 class logits; got 9"),
        ((784, 8, 13), r"network must read inputs of shape \(1000, 64\) and type float32; MLP 784"),
        ((64, 8, 11), "outputs must be the 13 that the subset .* got 11 of the student and 11 of"),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_anything_is_computed(begun, sizes, sentence):
    known, data, _ = begun
    network = functional(lambda rngs: MLP(sizes, rngs=rngs))
    parts = protocol.reference_protocol(known.config, known.task, network)

    def student(data, seed):
        lesson, _ = parts.prepare(data, seed)
        setup = Setup(known.config, parts, data, lesson)
        return setup.distil(Student(lesson.reference, logits=AUX))[1]

    with pytest.raises(UserError, match=f"^{sentence}"):
        jax.eval_shape(student, data, 0)


def test_a_student_of_a_network_without_latent_is_measured_by_all_else(begun):
    known, data, seed = begun
    parts = dataclasses.replace(known, network=known.network._replace(latent=no_latent))
    setup = Setup(parts.config, parts, data, seed)
    found = jax.eval_shape(lambda: setup.measure_similarity(seed.reference))
    assert set(found) == set(similarity.describe(parts.network))
    assert "latent_cka" not in found


@pytest.mark.parametrize("name", ["loss", "score"])
def test_a_trait_that_gives_more_than_a_number_is_refused(begun, name):
    known, data, _ = begun
    each = known.trait._replace(**{name: lambda params, batch: jnp.zeros(len(batch[1]))})
    parts = dataclasses.replace(known, trait=each)
    with pytest.raises(UserError, match=f"^{name} of a trait must be one number for a batch; got"):
        jax.eval_shape(parts.prepare, data, 0)


def test_a_result_keeps_the_values_that_were_used(tmp_path):
    """Not the temperature of a loss without one, nor one value of what a sweep varied."""
    assert "temperature" not in select_fields(NetworkConfig(loss="mse"))
    assert select_fields(NetworkConfig())["temperature"] == 1
    for module, name in ((predictors, "teacher_lr"), (chain, "noise")):
        config = module.PRESETS["quick"]
        assert name not in select_fields(config)
        # What is left makes the same config again.
        assert type(config)(**select_fields(config)) == config
    dataset = xr.Dataset({"failed": (("seed", "temperature"), np.zeros((2, 3), bool))})
    dataset = dataset.assign_coords(seed=[0, 1], temperature=[0.5, 1.0, 2.0])
    dataset["accuracy"] = dataset.failed * 0.5
    execution = Execution("cpu (cpu)", "float32", 1, 2, 6, 0, 1.0, 2.0)
    config, task = NetworkConfig(seeds=2), DrawnData("nothing")
    made = results.describe_result(dataset, "mine", "accuracy", config, task, execution)
    assert json.loads(made.attrs["config"])["temperature"] == [0.5, 1, 2]
    results.write_files(tmp_path, results.files(made))
    results.refuse_another(tmp_path, "mine", config)  # the same sweep is no other result
    with pytest.raises(UserError, match="m 3, not 5"):
        results.refuse_another(tmp_path, "mine", config.at(m=5))
