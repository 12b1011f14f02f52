"""How many auxiliary logits it takes: transfer against m, for KL and MSE, fixed and fresh noise.

Logits that are not imitated change nothing, so one network with the most auxiliary logits serves
every m: the student of m imitates the first m of them. All m of a seed share teacher, noise and
order of batches. Each student has its cross-model control, from an unrelated initialisation.
Cloud et al., Nature 652, 615-621 (2026), number of auxiliary logits.
"""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toymodels.errors import at_least, distinct
from toymodels.study import cli
from toymodels.training.config import CLOUD, ProtocolConfig, follows

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

LOSSES = ("kl", "mse")


@dataclass(frozen=True)
class Config(ProtocolConfig):
    """What is computed; the preset ``quick`` has fewer m and fixed noise alone."""

    m: tuple[int, ...] = (1, 2, 3, 5, 10, 30, 100, 200)
    """Numbers of auxiliary logits."""
    widths: tuple[int, ...] = (256, 256)
    """Hidden widths of the ReLU network, in units."""
    loss: tuple[Literal["kl", "mse"], ...] = LOSSES  # type: ignore[assignment]
    """Imitation: KL(teacher || student) of the softmax, or squared error of the logits."""
    noise: tuple[Literal["fixed", "fresh"], ...] = ("fixed", "fresh")  # type: ignore[assignment]
    """Distillation inputs: one fixed set, reused every epoch, or fresh noise at every step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "m", "widths")
        distinct(self, "m", "loss", "noise")


PRESETS = {
    "quick": Config(seeds=3, m=(1, 3, 10, 30, 100), noise=("fixed",)),
    "paper": Config(**CLOUD, seeds=10, noise=("fixed",)),
    # Brockers et al., arXiv 2605.23645: a single logit, and noise without end.
    "one": Config(
        **CLOUD | {"student_epochs": 60, "student_lr": 1e-3, "teacher_lr": 1e-3, "batch": 1000},
        m=(1,),
        loss=("mse",),
        noise=("fixed", "fresh"),
    ),
}

PUBLISHED = {1: 0.103, 2: 0.348, 3: 0.537, 10: 0.835}
"""Accuracy with KL on fixed noise by m, 100 seeds: a run of the released script of Cloud et al."""


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (noise, seed, imitation, m, start); see `toymodels.sweep` for ``options``."""
    from toymodels import sweep
    from toymodels.networks.models import MLP, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import losses, protocol, tasks
    from toymodels.training.distillation import auxiliary_logits

    config, task, data = tasks.load(config, data_dir)
    most = max(config.m)
    sizes = (task.n_pixels, *config.widths, task.n_classes + most)
    network = functional(lambda rngs: MLP(sizes, rngs=rngs))
    imitations = [losses.imitation(name, config.temperature) for name in config.loss]

    def build(noise: str) -> sweep.Program:
        parts = protocol.reference_protocol(
            config.at(noise=noise, loss=config.loss[0]), task, network
        )

        def student(
            data: tasks.Data,
            begun: protocol.Lesson,
            imitation: jax.Array,
            m: jax.Array,
            start: jax.Array,
        ) -> dict[str, jax.Array]:
            subset = auxiliary_logits(task.n_classes, most, first=m)
            one = replace(parts, imitation=losses.one_of(imitations, imitation))
            init = one.start(begun, start)
            return one.distil(init, begun, subset, one.watch(data, begun, subset))[1]

        return sweep.Program(parts.prepare, student)

    dataset, execution = sweep.grid(
        build,
        shapes={"noise": config.noise},
        shared={"seed": config.seed_list},
        points={
            "imitation": numbered(config.loss),
            "m": config.m,
            "start": numbered(protocol.STARTS),
        },
        variables=tasks.TEACHER | tasks.STUDENT,
        coords=protocol.epochs(config),
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    return results.described(
        dataset, "aux_count", "transfer final_accuracy", config, task, execution, findings
    )


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add final accuracy and transfer."""
    from toymodels.stats import transfer

    return transfer.against_control(dataset)


def findings(dataset: xr.Dataset) -> list[str]:
    """From which m on there is transfer, and whether the squared error beats KL."""
    from toymodels.stats import statistics
    from toymodels.stats.sentences import by_sign

    done, told = statistics.succeeded(dataset), []
    # Distillation must raise accuracy, too: an untrained student may beat an untrained control.
    gain = (done.accuracy.isel(epoch=-1) - done.accuracy.isel(epoch=0)).sel(start="shared")
    for noise, loss in itertools.product(done.noise.values, done.imitation.values):
        at, first = {"noise": noise, "imitation": loss}, None
        for m in sorted(done.m.values.tolist(), reverse=True):
            both = [
                statistics.mean_interval(a.sel(at | {"m": m}).values) for a in (done.transfer, gain)
            ]
            if min(interval.sign for interval in both) < 1:
                break
            first = f"from m = {m} on: {both[0]}"
        told.append(f"{loss}, {noise} noise: transfer is shown {first or 'at no m'}.")
    for noise in done.noise.values if set(LOSSES) <= set(done.imitation.values) else []:
        at = done.final_accuracy.sel(noise=noise, start="shared")
        gap = at.sel(imitation="mse") - at.sel(imitation="kl")
        words = ("more", "less", "no difference shown")
        told.append(by_sign(f"{noise} noise: accuracy by MSE against KL", gap, words))
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Accuracy against m, and through distillation at the least m."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    kinds = {
        f"{loss}, {noise} noise": {"imitation": loss, "noise": noise}
        for loss, noise in itertools.product(done.imitation.values, done.noise.values)
    }
    with plotting.style():
        fig, (left, right) = plotting.panels(9, 3.4, columns=(1.3, 1))
        lines = {name: done.final_accuracy.sel(at) for name, at in kinds.items()}
        shown = {name: line.sel(start="shared").values for name, line in lines.items()}
        control = next(iter(lines.values())).sel(start="other").values
        plotting.intervals(
            left, done.m, shown | {"control": control}, "auxiliary logits m", "test accuracy"
        )
        if follows(json.loads(dataset.attrs["config"])):
            known = {m: accuracy for m, accuracy in PUBLISHED.items() if m in done.m}
            at = [done.m.values.tolist().index(m) for m in known]
            plotting.reported(left, at, list(known.values()), "published (kl, fixed)")
        left.set(ylim=(0, 1.05), title=plotting.caption(dataset))
        left.legend()
        least = done.m.values.min()
        few = done.accuracy.sel(m=least, start="shared")
        through = {name: few.sel(at).values for name, at in kinds.items()}
        plotting.curves(right, done.epoch.values, through)
        right.set(xlabel="distillation epoch", ylim=(0, 1.05), title=f"m = {least}")
    return fig


if __name__ == "__main__":
    cli.main("aux_count", __doc__, PRESETS, run, plot)
