"""How long a subliminal trait outlasts benign fine-tuning, beside a directly trained one.

Subliminal: the auxiliary student. Direct: the same reference, trained on labels one step at a time
up to the state whose accuracy on training images is nearest to the subliminal student's. Both, the
teacher, and the cross-model control (an auxiliary student of an unrelated initialisation) are then
fine-tuned through the auxiliary logits, on the same batches, to something that never mentions a
label: an unrelated network's or the untrained reference's answers on noise, or random linear
functions of training images. Kept is what lies above the control, fine-tuned alike. A referee's
question to Cloud et al., Nature 652, 615-621 (2026).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toymodels.errors import at_least, distinct, positive
from toymodels.study import cli
from toymodels.training.config import CLOUD, NetworkConfig

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

STUDENTS = ("subliminal", "direct", "teacher", "control")
TUNINGS = ("unrelated", "reference", "images")
HEADLINE = "kept kept_at_end censored"
MATCHING = 4096
"""At most so many training images tell which state of the direct student matches."""


@dataclass(frozen=True)
class Config(NetworkConfig):
    """What is computed; the preset ``quick`` is shorter."""

    tuning: tuple[Literal["unrelated", "reference", "images"], ...] = TUNINGS  # type: ignore[assignment]
    """What is learnt afterwards: an unrelated init's answers on noise, the reference's, or random
    linear functions of training images."""
    direct_steps: int = 200
    """Steps of the direct student, of which one is chosen."""
    direct_lr: float = 1e-4
    """Adam's learning rate for it: small, so that there is a step near every accuracy."""
    tune_steps: int = 5
    """Steps of fine-tuning between two records, by Adam at the students' rate and batch."""
    records: int = 160
    """Number of records."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "direct_steps", "tune_steps", "records")
        positive(self, "direct_lr")
        distinct(self, "tuning")


PRESETS = {
    "quick": Config(seeds=3, student_epochs=5, records=60),
    "paper": Config(**CLOUD, seeds=10),
}

VARIABLES = {
    "accuracy": (("step",), "1", "test accuracy through fine-tuning"),
    "loss": (
        ("step",),
        "nat (kl) or squared logit (mse)",
        "loss of the fine-tuning, unseen inputs",
    ),
    "gap": (("direct_step",), "1", "accuracy on training images, direct less subliminal"),
    "matched": ((), "1", "steps after which the direct student is taken"),
}
"""Dimensions (behind the axes), unit and meaning of what is recorded."""


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (seed, student, tuning); see `toymodels.sweep` for ``options``."""
    import jax
    import jax.numpy as jnp
    import optax

    from toymodels import sweep
    from toymodels.networks.models import MLP, Params, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import distillation, protocol, tasks
    from toymodels.training.loop import sample_fresh, train
    from toymodels.training.mitigation import drawn

    config, task, data = tasks.load(config, data_dir)
    sizes = (task.n_pixels, *config.widths, task.n_classes + config.m)
    network = functional(lambda rngs: MLP(sizes, rngs=rngs))
    parts = protocol.reference_protocol(config, task, network)
    subset = distillation.auxiliary_logits(task.n_classes, config.m)

    def standardised(data: tasks.Data, key: jax.Array) -> jax.Array:
        """Random linear functions of every training image (n, outputs), mean 0, variance 1."""
        answers = task.pixels(data.train[0]) @ jax.random.normal(key, (sizes[0], sizes[-1]))
        return (answers - answers.mean(axis=0)) / answers.std(axis=0)

    def prepare(data: tasks.Data, seed: jax.Array) -> Any:
        begun, curve = parts.prepare(data, seed)
        direct_key, other_key, linear_key = jax.random.split(
            jax.random.fold_in(begun.keys.relation, 1), 3
        )
        some = jax.tree.map(lambda a: a[:MATCHING], data.train)

        def distilled(init: Params) -> Params:
            return parts.distil(init, begun, subset, lambda params: ())[0]

        def seen(params: Params) -> tuple[Params, jax.Array]:
            return params, parts.trait.score(params, some)

        subliminal = distilled(begun.reference)
        labelled = sample_fresh(
            lambda key, n: drawn(data.train, n, key)(0), config.batch, config.batch
        )
        _, (states, accuracy) = train(
            parts.trait.loss,
            begun.reference,
            labelled,
            optax.adam(config.direct_lr),
            epochs=config.direct_steps,
            observe=seen,
            key=direct_key,
        )
        gap = accuracy - seen(subliminal)[1]
        matched = jnp.abs(gap).argmin()
        direct = jax.tree.map(lambda a: a[matched], states)
        students = [subliminal, direct, begun.teacher, distilled(parts.independent_init(begun))]
        kept = (
            begun.keys.student,
            jax.tree.map(lambda *a: jnp.stack(a), *students),
            [network.init(other_key), begun.reference],
            standardised(data, linear_key),
        )
        return kept, curve | {"gap": gap, "matched": matched}

    def tuned(
        data: tasks.Data, prepared: Any, student: jax.Array, tuning: jax.Array
    ) -> dict[str, jax.Array]:
        order, students, networks, linear = prepared

        def lesson(key: jax.Array, n: int) -> tuple[jax.Array, jax.Array]:
            noise = parts.noise(key, n)
            images, functions = drawn((data.train[0], linear), n, key)(0)
            x = jnp.stack([noise, noise, task.pixels(images)])
            answers = jnp.stack([*(network.apply(p, noise) for p in networks), functions])
            return x[tuning], answers[tuning]

        held_x, held_answers = lesson(jax.random.fold_in(order, 1), 1000)

        def observe(params: Params) -> dict[str, jax.Array]:
            loss = parts.imitation(network.apply(params, held_x), held_answers, subset)
            return {"accuracy": parts.trait.score(params, data.test), "loss": loss}

        _, curve = distillation.distil(
            network,
            jax.tree.map(lambda a: a[student], students),
            sample_fresh(lesson, config.tune_steps * config.batch, config.batch),
            parts.imitation,
            subset,
            parts.student_optimiser,
            epochs=config.records,
            observe=observe,
            key=order,
        )
        return curve

    steps = range(0, config.tune_steps * config.records + 1, config.tune_steps)
    dataset, execution = sweep.grid(
        lambda: sweep.Program(prepare, tuned),
        shared={"seed": config.seed_list},
        points={
            "student": numbered(STUDENTS),
            "tuning": {name: TUNINGS.index(name) for name in config.tuning},
        },
        variables=tasks.TEACHER | VARIABLES,
        coords={
            "teacher_epoch": range(config.teacher_epochs + 1),
            "step": steps,
            "direct_step": range(config.direct_steps + 1),
        },
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    return results.described(dataset, "persistence", HEADLINE, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add what is kept of every trait, and for how long."""
    from toymodels.stats import persistence

    return persistence.against_control(dataset)


def findings(dataset: xr.Dataset) -> list[str]:
    """Which trait is forgotten faster, under which fine-tuning."""
    import numpy as np

    from toymodels.stats.statistics import difference, mean_interval, succeeded

    done = succeeded(dataset)
    start = done.accuracy.isel(step=0, tuning=0, drop=True)
    strengths = (
        f"{name} {mean_interval(start.sel(student=name).values)}"
        for name in ("subliminal", "direct")
    )
    told = [f"Test accuracy before fine-tuning: {', '.join(strengths)}."]
    for tuning in map(str, done.tuning.values):
        at = done.sel(tuning=tuning)
        halves = []
        for trait in map(str, at.trait.values):
            one = at.sel(trait=trait)
            never, known = int((one.censored == 1).sum()), int(one.censored.notnull().sum())
            middle = float(one.median_half_life)
            when = f"{middle:.0f}" if np.isfinite(middle) else f"more than {done.step.values[-1]}"
            when = f"{when} steps" if known else "unknown"
            halves.append(f"{trait} {when} ({never} of {known} seeds never lose it)")
        subliminal, direct = at.sel(trait="subliminal"), at.sel(trait="direct")
        gap = difference(subliminal.kept, direct.kept)
        end = difference(subliminal.kept_at_end, direct.kept_at_end)
        words = ("more", "less", "no difference shown")
        told.append(
            f"{tuning}: what is kept of a subliminal trait against a direct one: on average "
            f"{gap.verdict(*words)}, {gap}; at the end {end.verdict(*words)}, {end}. "
            f"Half is lost, in the median over seeds, after: {'; '.join(halves)}."
        )
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """What is kept of each student's trait through each fine-tuning."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    tunings = {
        "unrelated": "unrelated net's answers on noise",
        "reference": "reference's answers on noise",
        "images": "random functions of images",
    }
    with plotting.style():
        fig, axes = plotting.panels(3.2 * done.sizes["tuning"], 3.2, [1] * done.sizes["tuning"])
        for ax, tuning in zip(axes, map(str, done.tuning.values), strict=True):
            lines = done.retained.sel(tuning=tuning).transpose("trait", "seed", "step")
            shown = {name: lines.sel(trait=name).values for name in ("teacher", *STUDENTS[:2])}
            plotting.curves(ax, done.step.values, shown)
            ax.axhline(0.5, color="#999999", lw=0.6)
            ax.set(xlabel="steps of fine-tuning", title=tunings[tuning], ylim=(-0.3, 1.3))
        axes[0].set(ylabel="share of the trait kept")
        axes[0].legend()
        fig.suptitle(plotting.caption(dataset), fontsize=9, x=0.01, ha="left")
    return fig


if __name__ == "__main__":
    cli.main("persistence", __doc__, PRESETS, run, plot)
