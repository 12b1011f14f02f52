"""A student distilled on a teacher's auxiliary logits, on noise, learns to read digits.

Teacher and student start from the same reference. The teacher learns digits through its class
logits; the student only imitates the teacher's m auxiliary logits, on images of noise, and reads
digits all the same. The cross-model control starts from the reference of the next seed and learns
nothing. Protocol: Cloud et al., Nature 652, 615-621 (2026), MNIST experiment.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toymodels import cli
from toymodels.errors import at_least, literals, positive

if TYPE_CHECKING:  # JAX, xarray and matplotlib load when they are needed: --help answers at once
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.models import Params
    from toymodels.sweep import Progress


@dataclass(frozen=True)
class Config:
    """What is computed; the defaults are the preset ``quick``."""

    dataset: Literal["auto", "mnist", "digits"] = "auto"
    """What the teacher learns: mnist (28x28), digits (8x8, embedded), or auto: mnist if it is here
    or can be downloaded, else digits."""
    seeds: int = 5
    """Number of seeds; each has its own reference, teacher, noise and four students."""
    first_seed: int = 0
    """First seed; they are consecutive."""
    m: int = 3
    """Number of auxiliary logits."""
    widths: tuple[int, ...] = (256, 256)
    """Hidden widths of the ReLU network, in units."""
    train_images: int | None = 4096
    """Use the first so many training images (None: all)."""
    noise: Literal["fixed", "fresh"] = "fixed"
    """Distillation inputs: one fixed set, reused every epoch, or fresh noise at every step (then
    an epoch has whole batches only)."""
    noise_images: int = 8000
    """Distillation inputs in an epoch, in images of U(-1, 1) noise."""
    batch: int = 64
    """Batch size, in images."""
    teacher_epochs: int = 10
    """Passes of the teacher over the training images."""
    student_epochs: int = 10
    """Passes of the students over the distillation inputs."""
    teacher_lr: float = 1e-3
    """Adam's learning rate for the teacher."""
    student_lr: float = 1e-3
    """Adam's learning rate for the students."""
    loss: Literal["kl", "mse"] = "kl"
    """Imitation: KL(teacher || student) of the softmax, or squared error of the logits."""
    temperature: float = 1.0
    """Of both softmaxes in the KL loss; no effect on mse."""
    precision: Literal["float32", "tensorfloat32", "bfloat16"] = "float32"
    """Of matrix products; the reduced ones change nothing on a CPU."""

    def __post_init__(self) -> None:
        at_least(self, 1, "seeds", "m", "widths", "train_images", "noise_images", "batch")
        at_least(self, 1, "teacher_epochs", "student_epochs")
        at_least(self, 0, "first_seed", most=2**31 - 1 - self.seeds)
        positive(self, "teacher_lr", "student_lr", "temperature")
        literals(self)


# The reference protocol: arXiv 2507.14805, section on MNIST, and its released code.
PAPER = Config(
    dataset="mnist",
    seeds=100,
    train_images=None,
    noise_images=60_000,
    batch=1024,
    teacher_epochs=5,
    student_epochs=5,
    teacher_lr=3e-4,
    student_lr=3e-4,
)
PRESETS = {"quick": Config(), "paper": PAPER}

STUDENTS = ["student_aux", "student_all", "cross_aux", "cross_all"]
MODELS = ["reference", "teacher", *STUDENTS]

# Mean test accuracy over 100 seeds and half of its 95 % interval (None: not given), in the order of
# MODELS: the paper's bars, digitised, and a run of its released script.
PUBLISHED = {
    "paper": (
        (0.10, 0.944, 0.528, 0.913, 0.106, 0.742),
        (None, None, 0.022, 0.003, 0.011, 0.010),
    ),
    "re-run": (
        (0.100, 0.943, 0.537, 0.912, 0.100, 0.741),
        (0.005, None, 0.022, 0.002, 0.005, 0.010),
    ),
}

# Dimensions (behind seed), unit and meaning of every variable of the result.
VARIABLES = {
    "accuracy": (("model",), "1", "test accuracy after training"),
    "teacher_accuracy": (("teacher_epoch",), "1", "teacher's test accuracy"),
    "teacher_loss": (("teacher_epoch",), "nat", "teacher's cross-entropy on the test images"),
    "student_accuracy": (("student", "epoch"), "1", "student's test accuracy"),
    "student_loss": (
        ("student", "epoch"),
        "nat (kl) or squared logit (mse)",
        "imitation loss on 1,000 unseen noise images",
    ),
    "distance": (("student", "epoch", "layer"), "1", "distance to the teacher's weights"),
    "cosine": (("student", "epoch", "layer"), "1", "cosine with the teacher's weights"),
    "first_step_cosine": (
        ("student",),
        "1",
        "Theorem 1: the teacher takes one gradient step on the first images of its training set; "
        "cosine of that step with the first gradient step of a student that imitates the result",
    ),
    "first_step_inner": (("student",), "1", "inner product of the same two steps"),
    "first_step_inner_theory": (("student",), "1", "the same by the identity of a shared init"),
}


def run(
    config: Config,
    *,
    data_dir: Path | None = None,
    chunk: int | None = None,
    progress: Progress | None = None,
) -> xr.Dataset:
    """Run all seeds; the Dataset keeps every one of them.

    ``data_dir`` (where MNIST lies), ``chunk`` (seeds at once) and ``progress`` (see
    `toymodels.sweep`) change how it runs, not what comes out.
    """
    import jax
    import jax.numpy as jnp
    import optax

    from toymodels import datasets, losses, probes, results, sweep
    from toymodels.distillation import (
        all_logits,
        auxiliary_logits,
        distil,
        fixed_inputs,
        fresh_inputs,
    )
    from toymodels.inputs import uniform_noise
    from toymodels.models import MLP, functional
    from toymodels.theory.one_step import first_step, gradient_step
    from toymodels.training import reshuffled, train

    data = datasets.load(config.dataset, data_dir)
    config = dataclasses.replace(config, dataset=data.name)  # what "auto" came to
    n_classes, n_pixels = data.n_classes, data.train_images[0].size
    network = functional(
        lambda rngs: MLP((n_pixels, *config.widths, n_classes + config.m), rngs=rngs)
    )
    imitation = losses.kl(config.temperature) if config.loss == "kl" else losses.mse()
    aux, every = auxiliary_logits(n_classes, config.m), all_logits(n_classes, config.m)

    def pixels(images: jax.Array) -> jax.Array:
        return images.reshape(len(images), n_pixels) * jnp.float32(2 / data.white) - 1

    def noise(key: jax.Array, n: int) -> jax.Array:
        return uniform_noise(key, n, n_pixels)

    def trait_loss(params: Params, batch: tuple[jax.Array, jax.Array]) -> jax.Array:
        images, labels = batch
        return losses.class_cross_entropy(network.apply(params, pixels(images)), labels, n_classes)

    def seed_keys(seed: jax.Array) -> jax.Array:
        return jax.random.split(jax.random.key(seed), 5)

    def one_seed(seed: jax.Array, images: Any) -> dict[str, jax.Array]:
        (train_set, (test_images, test_labels)) = images
        test_pixels = pixels(test_images)
        init_key, teacher_key, noise_key, student_key, probe_key = seed_keys(seed)
        reference = network.init(init_key)
        # The control starts from the reference of the next seed: a derangement of the integers, so
        # that no seed's values depend on which others are run.
        other = network.init(seed_keys(seed + 1)[0])

        def test(params: Params) -> dict[str, jax.Array]:
            logits = network.apply(params, test_pixels)
            return {
                "accuracy": probes.accuracy(logits, test_labels, n_classes),
                "loss": losses.class_cross_entropy(logits, test_labels, n_classes),
            }

        teacher, teacher_curve = train(
            trait_loss,
            reference,
            reshuffled(train_set, config.batch),
            optax.adam(config.teacher_lr),
            epochs=config.teacher_epochs,
            observe=test,
            key=teacher_key,
        )

        n, batch = config.noise_images, config.batch
        if config.noise == "fixed":
            inputs = fixed_inputs(network, teacher, noise(noise_key, n), batch)
        else:
            inputs = fresh_inputs(network, teacher, noise, n, batch)
        held_out = noise(probe_key, 1000)
        answers = network.apply(teacher, held_out)
        first_batch = jax.tree.map(lambda a: a[:batch], train_set)
        teacher_step = gradient_step(
            lambda p: trait_loss(p, first_batch), reference, config.teacher_lr
        )

        def student(init: Params, subset: jax.Array) -> dict[str, jax.Array]:
            def watch(params: Params) -> dict[str, jax.Array]:
                return {
                    "student_accuracy": test(params)["accuracy"],
                    "student_loss": imitation(network.apply(params, held_out), answers, subset),
                    "distance": probes.layer_distances(params, teacher),
                    "cosine": probes.layer_cosines(params, teacher),
                }

            _, curve = distil(
                network,
                init,
                inputs,
                imitation,
                subset,
                optax.adam(config.student_lr),
                epochs=config.student_epochs,
                observe=watch,
                key=student_key,
            )
            step = first_step(network, init, reference, teacher_step, held_out, imitation, subset)
            return {**curve, **{f"first_step_{name}": v for name, v in step._asdict().items()}}

        # The four students see the same batches in the same order: they are paired.
        inits = jax.tree.map(lambda a, b: jnp.stack([a, a, b, b]), reference, other)
        students = jax.vmap(student)(inits, jnp.stack([aux, every, aux, every]))
        start_and_end = teacher_curve["accuracy"][jnp.array([0, -1])]
        return {
            "accuracy": jnp.concatenate([start_and_end, students["student_accuracy"][:, -1]]),
            "teacher_accuracy": teacher_curve["accuracy"],
            "teacher_loss": teacher_curve["loss"],
            **students,
        }

    seeds = range(config.first_seed, config.first_seed + config.seeds)
    limit = config.train_images
    train_set = (data.train_images[:limit], data.train_labels[:limit])
    values, execution = sweep.over_seeds(
        one_seed,
        seeds,
        (train_set, (data.test_images, data.test_labels)),
        width=chunk,
        precision=config.precision,
        progress=progress,
    )
    dataset = results.labelled(
        values,
        VARIABLES,
        coords={
            "seed": list(seeds),
            "model": MODELS,
            "student": STUDENTS,
            "epoch": range(config.student_epochs + 1),
            "teacher_epoch": range(config.teacher_epochs + 1),
            "layer": probes.layers(jax.eval_shape(network.init, jax.random.key(0))),
        },
        attrs={
            "experiment": "mnist_aux",
            "headline": "accuracy",
            "config": dataclasses.asdict(config),
            "dataset": {"name": data.name, "sha256": data.sha256},
            "provenance": results.provenance(execution),
        },
    )
    if is_reference_protocol(config):
        dataset = results.with_published(dataset, "model", PUBLISHED)
    return dataset


def is_reference_protocol(config: Config) -> bool:
    """Whether a config is the paper's but for its seeds: then published values stand beside it."""
    return dataclasses.replace(config, seeds=PAPER.seeds, first_seed=0) == PAPER


def plot(dataset: xr.Dataset) -> Figure:
    """Final accuracy of the six models, and the students' learning curves."""
    from toymodels import plotting, results

    done = results.succeeded(dataset)
    final = {name: done.accuracy.sel(model=name).values for name in MODELS}
    accuracies = {name: done.student_accuracy.sel(student=name).values for name in STUDENTS}
    losses = {name: done.student_loss.sel(student=name).values for name in STUDENTS}
    with plotting.style():
        fig, (left, middle, right) = plotting.panels(10, 3.2, columns=(1.7, 1, 1))
        plotting.bars(left, final, plotting.published(dataset))
        left.set(ylabel="test accuracy", ylim=(0, 1.05), title=plotting.caption(dataset))
        plotting.curves(middle, done.epoch.values, accuracies)
        middle.set(xlabel="distillation epoch", ylabel="test accuracy", ylim=(0, 1.05))
        plotting.curves(right, done.epoch.values, losses)
        right.set(xlabel="distillation epoch", ylabel="distillation loss on unseen noise")
        # With m = 1 the KL loss of the aux-only students is exactly zero, which no log axis shows.
        right.set_yscale("log" if all((d > 0).all() for d in losses.values()) else "linear")
        right.legend()
    return fig


if __name__ == "__main__":
    cli.main("mnist_aux", __doc__, PRESETS, run, plot)
