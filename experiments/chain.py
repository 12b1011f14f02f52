"""Chains of students: each starts from the same reference and is taught by the one before it.

Generation 1 imitates the teacher's auxiliary logits, generation 2 those of generation 1, and so on,
on one noise set for all generations (``same``) or a new one for each (``new``). If a hop were a
linear projection of the teacher's displacement, as linearised theory has it at convergence, the
same noise would lose nothing after the first. Per-hop contraction is the r of a r^generation,
fitted to transfer seed by seed. The cross-model controls are chains from an unrelated init.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodels.errors import at_least, distinct
from toymodels.study import cli
from toymodels.training.config import CLOUD, ProtocolConfig

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

INPUTS = ("same", "new")


@dataclass(frozen=True)
class Config(ProtocolConfig):
    """What is computed; the preset ``quick`` has shorter chains."""

    m: tuple[int, ...] = (3, 10, 100)
    """Numbers of auxiliary logits."""
    samples: tuple[int, ...] = (500, 8000)
    """Numbers of distinct noise images, at most ``noise_images``; an epoch is as long with few as
    with many: they are seen again."""
    generations: int = 6
    """Number of students in a chain."""
    widths: tuple[int, ...] = (256, 256)
    """Hidden widths of the ReLU network, in units."""

    @property
    def unused(self) -> frozenset[str]:
        """``noise``, for the inputs of every generation are fixed, the same or new ones."""
        return super().unused | {"noise"}

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "m", "widths")
        at_least(self, 1, "samples", most=self.noise_images)
        at_least(self, 2, "generations", most=1000)
        distinct(self, "m", "samples")


PRESETS = {
    "quick": Config(seeds=3, m=(3, 100), samples=(8000,), generations=3),
    "paper": Config(**CLOUD, seeds=4, samples=(60_000,), generations=5),
}

# Dimensions (behind the axes), unit and meaning of what is recorded.
VARIABLES = {
    "teacher_accuracy": ((), "1", "teacher's test accuracy"),
    "accuracy": (("generation",), "1", "test accuracy of each generation"),
    "cosine": (
        ("generation",),
        "1",
        "cosine of its displacement from its start with the teacher's",
    ),
    "drift": (("generation",), "1", "length of its displacement, over that of the teacher's"),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (inputs, seed, m, samples, start); see `toymodels.sweep` for ``options``."""
    import jax
    import jax.numpy as jnp

    from toymodels import sweep
    from toymodels.measure import probes
    from toymodels.networks.models import MLP, Params, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import protocol, tasks
    from toymodels.training.distillation import auxiliary_logits
    from toymodels.training.loop import reshuffle
    from toymodels.trees import flatten

    config, task, data = tasks.load(config, data_dir)
    most = max(config.m)
    sizes = (task.n_pixels, *config.widths, task.n_classes + most)
    network = functional(lambda rngs: MLP(sizes, rngs=rngs))
    # Every generation has a noise set of its own: the lesson that `begin` would make is not needed.
    parts = protocol.reference_protocol(config.at(noise="fresh"), task, network)

    def build(inputs: str) -> sweep.Program:
        def prepare(data: tasks.Data, seed: jax.Array) -> Any:
            begun, curve = parts.prepare(data, seed)
            keys = jax.random.split(begun.keys.noise, config.generations)
            kept = keys if inputs == "new" else keys[:1]
            x = jax.lax.map(lambda key: parts.noise(key, config.noise_images), kept)
            return (begun, x), {"teacher_accuracy": curve["teacher_accuracy"][-1]}

        def student(
            data: tasks.Data, prepared: Any, m: jax.Array, samples: jax.Array, start: jax.Array
        ) -> dict[str, jax.Array]:
            begun, sets = prepared
            init = parts.start(begun, start)
            subset = auxiliary_logits(task.n_classes, most, first=m)
            teacher = begun.teacher
            moved = flatten(teacher) - flatten(begun.reference)

            def generation(taught_by: Params, x: jax.Array) -> tuple[Params, dict[str, jax.Array]]:
                answered = (x, network.apply(taught_by, x))
                source = reshuffle(answered, config.batch, only=samples)
                trained, _ = parts.distil(init, begun, subset, lambda params: (), source)
                own = flatten(trained) - flatten(init)
                return trained, {
                    "accuracy": parts.trait.score(trained, data.test),
                    "cosine": probes.cosine(own, moved),
                    "drift": jnp.linalg.norm(own) / jnp.linalg.norm(moved),
                }

            if inputs == "new":
                return jax.lax.scan(generation, teacher, sets)[1]
            n = config.generations
            return jax.lax.scan(lambda params, _: generation(params, sets[0]), teacher, length=n)[1]

        return sweep.Program(prepare, student)

    dataset, execution = sweep.grid(
        build,
        shapes={"inputs": INPUTS},
        shared={"seed": config.seed_list},
        points={
            "m": config.m,
            "samples": config.samples,
            "start": numbered(protocol.STARTS),
        },
        variables=VARIABLES,
        coords={"generation": range(1, config.generations + 1)},
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    headline = "contraction transfer"
    return results.described(dataset, "chain", headline, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add transfer of every generation, and what share of it a hop keeps."""
    from toymodels.stats import transfer

    dataset = transfer.against_control(dataset)
    return dataset.assign(contraction=transfer.contractions(dataset.transfer))


def findings(dataset: xr.Dataset) -> list[str]:
    """Per-hop contraction, and whether new noise at every hop costs more."""
    import itertools

    from toymodels.stats import statistics

    done, told = statistics.succeeded(dataset), []
    for m, samples in itertools.product(done.m.values, done.samples.values):
        hop = done.contraction.sel(m=m, samples=samples)
        gap = statistics.difference(hop.sel(inputs="new"), hop.sel(inputs="same"))
        word = gap.verdict("more is kept", "less is kept", "no difference shown")
        each = [f"{name} noise {statistics.mean_interval(hop.sel(inputs=name))}" for name in INPUTS]
        told.append(
            f"m = {m}, {samples} samples: of transfer a hop keeps, {', '.join(each)}; with new "
            f"noise against the same: {word}, {gap}."
        )
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Transfer and the displacement's cosine by generation, and contraction against m."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    most = done.samples.values.max()
    with plotting.style():
        fig, (left, middle, right) = plotting.panels(11, 3.4, columns=(1, 1, 1))
        kinds = {
            f"m = {m}, {inputs} noise": {"m": m, "inputs": inputs}
            for m in done.m.values
            for inputs in INPUTS
        }
        for ax, values, label in (
            (left, done.transfer, "transfer"),
            (middle, done.cosine.sel(start="shared"), "cosine with the teacher's displacement"),
        ):
            here = values.sel(samples=most).transpose("seed", ..., "generation")
            lines = {name: here.sel(at).values for name, at in kinds.items()}
            plotting.curves(ax, done.generation.values, lines)
            ax.set(xlabel="generation", ylabel=label, ylim=(-0.05, 1.05))
        left.set(title=f"{plotting.caption(dataset)}, {most} samples")
        plotting.legend_beside(middle)
        hops = {
            f"{inputs} noise, {samples} samples": done.contraction.sel(
                inputs=inputs, samples=samples
            ).transpose("seed", "m")
            for inputs in INPUTS
            for samples in done.samples.values
        }
        kept = {name: hop.values for name, hop in hops.items()}
        label = "per-hop contraction of transfer"
        plotting.intervals(right, done.m, kept, "auxiliary logits m", label)
        right.set(ylim=(0, 1.3))
    return fig


if __name__ == "__main__":
    cli.main("chain", __doc__, PRESETS, run, plot)
