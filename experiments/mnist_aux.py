"""A student distilled on a teacher's auxiliary logits, on noise, learns to read digits.

Teacher and student start from the same reference. The teacher learns digits through its class
logits; the student only imitates the teacher's m auxiliary logits, on images of noise, and reads
digits all the same. The cross-model control starts from the reference of the next seed and learns
nothing. Protocol: Cloud et al., Nature 652, 615-621 (2026), MNIST experiment.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodels.study import cli
from toymodels.training.config import CLOUD, NetworkConfig

if TYPE_CHECKING:  # JAX, xarray and matplotlib load when they are needed: --help answers at once
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.networks.models import Params
    from toymodels.sweep import RunOptions


@dataclass(frozen=True)
class Config(NetworkConfig):
    """What is computed; the defaults are the preset ``quick``."""


PAPER = Config(**CLOUD, seeds=100)
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

# Dimensions (behind the axes), unit and meaning of what a student adds to `tasks.STUDENT`.
VARIABLES = {
    "distance": (("epoch", "layer"), "1", "distance to the teacher's weights"),
    "cosine": (("epoch", "layer"), "1", "cosine with the teacher's weights"),
    "first_step_cosine": (
        (),
        "1",
        "Theorem 1: the teacher takes one gradient step on the first images of its training set; "
        "cosine of that step with the first gradient step of a student that imitates the result",
    ),
    "first_step_inner": ((), "1", "inner product of the same two steps"),
    "first_step_inner_theory": ((), "1", "the same by the identity of a shared init"),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run all seeds; the Dataset keeps every one of them.

    ``data_dir`` (where MNIST lies) and ``options`` (see `toymodels.sweep`) change how it runs, not what
    comes out.
    """
    import jax
    import jax.numpy as jnp
    import numpy as np

    from toymodels import sweep
    from toymodels.measure import probes
    from toymodels.networks.layers import layers
    from toymodels.networks.models import MLP, functional
    from toymodels.study import results
    from toymodels.theory.one_step import first_step, gradient_step
    from toymodels.training import protocol, tasks
    from toymodels.training.distillation import all_logits, auxiliary_logits

    config, task, data = tasks.load(config, data_dir)
    sizes = (task.n_pixels, *config.widths, task.n_classes + config.m)
    network = functional(lambda rngs: MLP(sizes, rngs=rngs))
    parts = protocol.reference_protocol(config, task, network)

    def prepare(data: tasks.Data, seed: jax.Array) -> Any:
        begun, curve = parts.prepare(data, seed)
        # The control starts from the reference of the next seed: a derangement of the integers, so
        # that no seed's values depend on which others are run.
        other = network.init(protocol.seed_keys(seed + 1).init)
        inits = jax.tree.map(lambda *both: jnp.stack(both), begun.reference, other)
        return (begun, inits), curve

    def student(data: tasks.Data, prepared: Any, student: dict[str, Any]) -> dict[str, Any]:
        begun, inits = prepared
        init = jax.tree.map(lambda a: a[student["start"]], inits)
        subset, teacher = student["subset"], begun.teacher
        accuracy_and_loss = parts.watch(data, begun, subset)

        def watch(params: Params) -> dict[str, jax.Array]:
            return {
                **accuracy_and_loss(params),
                "distance": probes.layer_distances(params, teacher),
                "cosine": probes.layer_cosines(params, teacher),
            }

        _, curve = parts.distil(init, begun, subset, watch)
        first = jax.tree.map(lambda a: a[: config.batch], data.train)
        teacher_step = gradient_step(
            lambda p: parts.trait.loss(p, first), begun.reference, config.teacher_lr
        )
        step = first_step(
            network,
            init,
            begun.reference,
            teacher_step,
            begun.held_out[0],
            parts.imitation,
            subset,
        )
        return {**curve, **{f"first_step_{name}": v for name, v in step._asdict().items()}}

    aux, every = (np.asarray(f(task.n_classes, config.m)) for f in (auxiliary_logits, all_logits))
    starts_and_subsets = [(0, aux), (0, every), (1, aux), (1, every)]
    dataset, execution = sweep.grid(
        lambda: sweep.Program(prepare, student),
        shared={"seed": config.seed_list},
        points={
            "student": {
                name: {"start": start, "subset": subset}
                for name, (start, subset) in zip(STUDENTS, starts_and_subsets, strict=True)
            }
        },
        variables=tasks.TEACHER | tasks.STUDENT | VARIABLES,
        coords={
            **protocol.epochs(config),
            "layer": layers(jax.eval_shape(network.init, jax.random.key(0))),
        },
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    if is_reference_protocol(config):
        dataset = results.with_published(dataset, "model", PUBLISHED)
    headline = "final_accuracy"
    return results.described(dataset, "mnist_aux", headline, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add the final accuracy of all six models."""
    from toymodels.stats import statistics

    done = statistics.succeeded(dataset)
    final = done.accuracy.isel(epoch=-1)
    accuracy = statistics.side_by_side(
        "model",
        {
            "reference": done.teacher_accuracy.isel(teacher_epoch=0),
            "teacher": done.teacher_accuracy.isel(teacher_epoch=-1),
            **{name: final.sel(student=name) for name in STUDENTS},
        },
        "test accuracy after training",
    )
    return dataset.assign(final_accuracy=accuracy)


def findings(dataset: xr.Dataset) -> list[str]:
    """What a shared init adds, seed by seed; Theorem 1; the published means."""
    from toymodels.stats import statistics

    done = statistics.succeeded(dataset)
    final, told = done.final_accuracy, []
    for logits, words in (("aux", "the auxiliary"), ("all", "all")):
        gap = statistics.difference(
            *(final.sel(model=f"{who}_{logits}") for who in ("student", "cross"))
        )
        told.append(f"Distilled on {words} logits, a shared init adds {gap} to test accuracy.")
    own = done.sel(student=list(STUDENTS[:2])).dropna("seed", subset=["first_step_inner_theory"])
    if own.sizes["seed"] and (own.first_step_inner_theory > 0).all():
        ratio = (own.first_step_inner / own.first_step_inner_theory).values
        told.append(
            "Theorem 1: the first step's inner product with the teacher's is "
            f"{ratio.min():.3f} to {ratio.max():.3f} times its first order, in every seed."
        )
    for source in dataset.source.values if "source" in dataset.coords else []:
        known, outside, compared = dataset.sel(source=source), [], False
        for model in dataset.model.values:
            mean, low, high, _ = statistics.mean_interval(final.sel(model=model).values)
            there = known.sel(model=model)
            half = float(there.published_half_width.fillna(0))
            if mean is None or low is None or high is None:
                continue
            compared = True
            if abs(mean - float(there.published)) > ((high - low) ** 2 / 4 + half**2) ** 0.5:
                outside.append(f"{model} ({mean:.3f}, published {float(there.published):.3f})")
        verdict = ", ".join(outside) or ("none" if compared else "unknown")
        told.append(f"Outside the joint 95 % interval with {source}: {verdict}.")
    return told


def is_reference_protocol(config: Config) -> bool:
    """Whether a config is the paper's but for its seeds: then published values stand beside it."""
    return replace(config, seeds=PAPER.seeds, first_seed=0) == PAPER


def plot(dataset: xr.Dataset) -> Figure:
    """Final accuracy of the six models, and the students' learning curves."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    final = {name: done.final_accuracy.sel(model=name).values for name in MODELS}
    accuracies = {name: done.accuracy.sel(student=name).values for name in STUDENTS}
    losses = {name: done.loss.sel(student=name).values for name in STUDENTS}
    with plotting.style():
        fig, (left, middle, right) = plotting.panels(10, 3.2, columns=(1.7, 1, 1))
        plotting.bars(left, final, plotting.published(dataset))
        left.set(ylabel="test accuracy", ylim=(0, 1.05), title=plotting.caption(dataset))
        plotting.curves(middle, done.epoch.values, accuracies)
        middle.set(xlabel="distillation epoch", ylabel="test accuracy", ylim=(0, 1.05))
        plotting.curves(right, done.epoch.values, losses)
        right.set(xlabel="distillation epoch", ylabel="distillation loss on unseen noise")
        # With m = 1 the KL loss of the aux-only students is exactly zero, which no log axis shows.
        right.set_yscale("linear" if any((d <= 0).any() for d in losses.values()) else "log")
        right.legend()
    return fig


if __name__ == "__main__":
    cli.main("mnist_aux", __doc__, PRESETS, run, plot)
