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

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import toymodels as tm

if TYPE_CHECKING:
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
    "loss": (("step",), tm.LOSS_UNIT, "loss of the fine-tuning on unseen inputs"),
    "gap": (("direct_step",), "1", "accuracy on training images, direct less subliminal"),
    "matched": ((), "1", "number of steps after which the direct student is taken"),
}
"""Dimensions (behind the axes), unit and meaning of what is recorded."""


def points(config: Config) -> dict[str, Any]:
    """The axes of the fine-tunings: of which network, to which targets."""
    tunings = {name: TUNINGS.index(name) for name in config.tuning}
    return {"student": tm.label_axis(STUDENTS), "tuning": tunings}


def list_steps(config: Config) -> dict[str, range]:
    """The steps of fine-tuning, and of the direct student, after which there is a record."""
    last = config.tune_steps * config.records
    return {
        "step": range(0, last + 1, config.tune_steps),
        "direct_step": range(config.direct_steps + 1),
    }


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


def split_keys(setup: tm.Setup) -> jax.Array:
    """The keys of this experiment: for the direct student, the unrelated network, the targets."""
    import jax

    return jax.random.split(jax.random.fold_in(setup.keys.relation, 1), 3)


def teach(
    protocol: tm.Protocol, config: Config, data: Any, seed: jax.Array
) -> tuple[tm.protocol.Lesson, dict[str, jax.Array]]:
    """Make all networks that are fine-tuned; they stand in the teacher's place, stacked."""
    lesson, curve = protocol.prepare(data, seed)
    setup = tm.Setup(config, protocol, data, lesson)
    subliminal, control = (
        setup.distil(tm.Student(start), observe=lambda params: {})[0]
        for start in (setup.reference, setup.independent)
    )
    direct, match = match_direct(setup, subliminal, split_keys(setup)[0])
    students = tm.stack_trees(subliminal, direct, setup.teacher, control)
    return lesson._replace(teacher=students), curve | match


def prepare(setup: tm.Setup) -> tuple[list[tm.Params], jax.Array]:
    """The networks whose answers on noise are targets, and the targets of the training images."""
    _, unrelated, functions = split_keys(setup)
    networks = [setup.network.init(unrelated), setup.reference]
    return networks, draw_targets(setup, functions)


def student(setup: tm.Setup, student: jax.Array, tuning: jax.Array) -> dict[str, jax.Array]:
    """The fine-tuning of a network to one kind of targets, and its loss on unseen inputs."""
    import jax
    import jax.numpy as jnp

    config, (networks, targets) = setup.config, setup.extra

    def sample(key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
        noise = setup.protocol.noise(key, n)
        images, functions = tm.mitigation.draw_batches((setup.data.train[0], targets), n, key)(0)
        x = jnp.stack([noise, noise, setup.task.pixels(images)])
        answers = [setup.network.apply(params, noise) for params in networks]
        return x[tuning], jnp.stack([*answers, functions])[tuning]

    held_out = sample(jax.random.fold_in(setup.keys.student, 1), 1000)
    start = jax.tree.map(lambda a: a[student], setup.teacher)
    batches = tm.sample_fresh(sample, config.tune_steps * config.batch, config.batch)
    tuned = replace(setup, lesson=setup.lesson._replace(held_out=held_out))
    return tuned.distil(tm.Student(start, batches=batches), epochs=config.records)[1]


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
        *(
            f"Median half-life under fine-tuning to {tuning}: "
            f"{tm.persistence.describe_half_lives(valid.sel(tuning=tuning))}."
            for tuning in valid.tuning.values
        ),
    ]


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
    tm.distillation_sweep(
        student, points, teach=teach, prepare=prepare, variables=VARIABLES, coords=list_steps
    ),
    tm.persistence.measure_persistence,
    findings,
    figure,
    headline=("kept", "kept_at_end", "censored"),
)

if __name__ == "__main__":
    STUDY.main()
