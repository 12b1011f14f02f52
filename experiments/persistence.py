"""How long a subliminal trait persists under benign fine-tuning, compared with a directly trained one.

The subliminal student imitates the auxiliary logits. The direct student starts from the same
reference and is trained on labels up to the step at which its accuracy on training images is nearest
to the subliminal student's. Both, the teacher, and the cross-model control (an auxiliary student from
an independent initialisation) are then fine-tuned through the auxiliary logits, on the same batches,
to targets without labels: the answers of an unrelated network or of the untrained reference on
noise, or random linear functions of training images. The retained fraction is the accuracy above the
equally fine-tuned control, divided by its initial value. A referee's question to Cloud et al.,
Nature 652, 615-621 (2026).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

import toymodels as tm

if TYPE_CHECKING:
    from pathlib import Path

    import jax
    import xarray as xr
    from matplotlib.figure import Figure

Tuning = Literal["unrelated", "reference", "images"]
TUNINGS: tuple[Tuning, ...] = ("unrelated", "reference", "images")
STUDENTS = ("subliminal", "direct", "teacher", "control")
MATCHING = 4096
"""Largest number of training images on which the direct student is matched."""


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment."""

    tuning: tuple[Tuning, ...] = TUNINGS
    """Targets of fine-tuning: answers of an unrelated initialisation on noise (unrelated), of the
    reference on noise (reference), or random linear functions of training images (images)."""
    direct_steps: tm.Count = 200
    """Number of training steps of the direct student; it is matched at one of them."""
    direct_lr: tm.Rate = 1e-4
    """Learning rate of Adam for the direct student; small, so that some step matches any accuracy."""
    tune_steps: tm.Count = 5
    """Number of fine-tuning steps between two records, with the students' learning rate and batch."""
    records: tm.Count = 160
    """Number of records."""


PRESETS = {
    "quick": Config(seeds=3, student_epochs=5, records=60),
    "paper": Config(**tm.CLOUD, seeds=10),
}

VARIABLES = {
    "accuracy": (("step",), "1", "test accuracy through fine-tuning"),
    "loss": (
        ("step",),
        "nat (kl) or squared logit (mse)",
        "loss of the fine-tuning on unseen inputs",
    ),
    "gap": (("direct_step",), "1", "accuracy on training images, direct less subliminal"),
    "matched": ((), "1", "number of steps after which the direct student is taken"),
}
"""Dimensions (behind the axes), unit and meaning of what is recorded."""


def draw_targets(setup: tm.Setup, key: jax.Array) -> jax.Array:
    """Random linear functions of every training image (n, outputs), mean 0, variance 1."""
    import jax

    shape = (setup.task.n_pixels, setup.task.n_classes + setup.config.m)
    targets = setup.task.pixels(setup.data.train[0]) @ jax.random.normal(key, shape)
    return (targets - targets.mean(axis=0)) / targets.std(axis=0)


def match_direct(
    setup: tm.Setup, subliminal: tm.Params, key: jax.Array
) -> tuple[tm.Params, dict[str, jax.Array]]:
    """Train on labels up to the accuracy of the subliminal student on training images."""
    import jax
    import jax.numpy as jnp
    import optax

    config, trait, data = setup.config, setup.protocol.trait, setup.data
    images = jax.tree.map(lambda a: a[:MATCHING], data.train)

    def sample(key: jax.Array, n: int) -> Any:
        return tm.mitigation.draw_batches(data.train, n, key)(0)

    def observe(params: tm.Params) -> tuple[tm.Params, jax.Array]:
        return params, trait.score(params, images)

    _, (states, accuracy) = tm.train(
        trait.loss,
        setup.reference,
        tm.sample_fresh(sample, config.batch, config.batch),
        optax.adam(config.direct_lr),
        epochs=config.direct_steps,
        observe=observe,
        key=key,
    )
    gap = accuracy - trait.score(subliminal, images)
    matched = jnp.abs(gap).argmin()
    return jax.tree.map(lambda a: a[matched], states), {"gap": gap, "matched": matched}


def sweep(config: Config, data_dir: Path | None) -> tm.Sweep:
    """Describe the fine-tuning of every student to every target."""
    import jax
    import jax.numpy as jnp

    from toymodels.training.distillation import distil

    config, task, data = tm.tasks.load(config, data_dir)
    network = tm.perceptron(config, task)
    protocol = tm.protocol.reference_protocol(config, task, network)
    logits = tm.auxiliary_logits(task.n_classes, config.m)

    def prepare(data: Any, seed: jax.Array) -> Any:
        lesson, curve = protocol.prepare(data, seed)
        setup = tm.Setup(config, protocol, data, lesson)
        direct_key, unrelated_key, target_key = jax.random.split(
            jax.random.fold_in(setup.keys.relation, 1), 3
        )
        subliminal, control = (
            setup.distil(tm.Student(start, logits), observe=lambda params: {})[0]
            for start in (setup.reference, setup.independent)
        )
        direct, match = match_direct(setup, subliminal, direct_key)
        students = [subliminal, direct, setup.teacher, control]
        prepared = (
            setup.keys.student,
            tm.stack_trees(*students),
            [network.init(unrelated_key), setup.reference],
            draw_targets(setup, target_key),
        )
        return prepared, curve | match

    def tune(
        data: Any, prepared: Any, student: jax.Array, tuning: jax.Array
    ) -> dict[str, jax.Array]:
        order, students, networks, targets = prepared

        def sample(key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
            noise = protocol.noise(key, n)
            images, functions = tm.mitigation.draw_batches((data.train[0], targets), n, key)(0)
            x = jnp.stack([noise, noise, task.pixels(images)])
            answers = jnp.stack([*(network.apply(params, noise) for params in networks), functions])
            return x[tuning], answers[tuning]

        x, answers = sample(jax.random.fold_in(order, 1), 1000)

        def observe(params: tm.Params) -> dict[str, jax.Array]:
            loss = protocol.imitation(network.apply(params, x), answers, logits)
            return {"accuracy": protocol.trait.score(params, data.test), "loss": loss}

        _, curve = distil(
            network,
            jax.tree.map(lambda a: a[student], students),
            tm.sample_fresh(sample, config.tune_steps * config.batch, config.batch),
            protocol.imitation,
            logits,
            protocol.student_optimiser,
            epochs=config.records,
            observe=observe,
            key=order,
        )
        return curve

    steps = range(0, config.tune_steps * config.records + 1, config.tune_steps)
    return tm.Sweep(
        lambda: tm.Program(prepare, tune),
        config=config,
        points={
            "student": tm.label_axis(STUDENTS),
            "tuning": {name: TUNINGS.index(name) for name in config.tuning},
        },
        variables=tm.tasks.TEACHER | VARIABLES,
        coords={
            "teacher_epoch": range(config.teacher_epochs + 1),
            "step": steps,
            "direct_step": range(config.direct_steps + 1),
        },
        task=task,
        data=data,
    )


def findings(runs: xr.Dataset) -> list[Any]:
    """Which trait is retained better, and for how long, under each fine-tuning."""
    valid = tm.succeeded(runs)
    start = valid.accuracy.isel(step=0, tuning=0, drop=True).sel(student=["subliminal", "direct"])
    subliminal, direct = (valid.sel(trait=name, drop=True) for name in ("subliminal", "direct"))
    mean, end = subliminal.kept - direct.kept, subliminal.kept_at_end - direct.kept_at_end
    quantity = "fraction of the subliminal trait less that of the direct trait"
    return [
        *tm.compare("Test accuracy before fine-tuning", start, None),
        *tm.compare(f"Mean retained {quantity}", mean, tm.HIGHER),
        *tm.compare(f"Final retained {quantity}", end, tm.HIGHER),
        *(describe_half_lives(valid.sel(tuning=tuning)) for tuning in valid.tuning.values),
    ]


def describe_half_lives(valid: xr.Dataset) -> str:
    """Median over seeds of each trait's half-life under one fine-tuning, censored seeds included."""
    parts = []
    for trait in map(str, valid.trait.values):
        part = valid.sel(trait=trait)
        censored, n = int((part.censored == 1).sum()), int(part.censored.notnull().sum())
        median = float(part.median_half_life)
        steps = f"{median:.0f}" if np.isfinite(median) else f"more than {valid.step.values[-1]}"
        half_life = f"{steps} steps" if n else "unknown"
        parts.append(f"{trait} {half_life} ({censored} of {n} seeds never lose half)")
    return f"Median half-life under fine-tuning to {valid.tuning.item()}: {'; '.join(parts)}."


def figure(runs: xr.Dataset) -> Figure:
    """Retained fraction of each trait through each fine-tuning."""
    valid = tm.succeeded(runs)
    titles = {
        "unrelated": "unrelated net's answers on noise",
        "reference": "reference's answers on noise",
        "images": "random functions of images",
    }
    n = valid.sizes["tuning"]
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(3.2 * n, 3.2, [1] * n)
        for ax, tuning in zip(axes, map(str, valid.tuning.values), strict=True):
            retained = valid.retained.sel(tuning=tuning, trait=["teacher", *STUDENTS[:2]])
            tm.charts.lines(ax, retained, "step", "trait")
            ax.axhline(0.5, color="#999999", lw=0.6)
            ax.set(xlabel="steps of fine-tuning", title=titles[tuning], ylim=(-0.3, 1.3))
        axes[0].set(ylabel="share of the trait kept")
        axes[0].legend()
        fig.suptitle(tm.plotting.caption(runs), fontsize=9, x=0.01, ha="left")
    return fig


STUDY = tm.Study(
    "persistence",
    __doc__,
    PRESETS,
    sweep,
    tm.persistence.measure_persistence,
    findings,
    figure,
    headline=("kept", "kept_at_end", "censored"),
)

if __name__ == "__main__":
    STUDY.main()
