"""What the student is told, and how it is punished: logits, temperatures, samples, single bits.

All students of a seed imitate the same teacher's auxiliary logits on the same noise. They are told
the logits (KL at several temperatures, squared error, or KL of the joint softmax with the class
logits), or only labels drawn from their softmax, once per input and for good, as a language model's
tokens are; or the largest of them; or the sign of each. Each student has its cross-model control.
Protocol: Cloud et al., Nature 652, 615-621 (2026), MNIST experiment.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from toymodels.errors import UserError, at_least, distinct, positive
from toymodels.study import cli
from toymodels.training.config import CLOUD, NetworkConfig, follows

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions


@dataclass(frozen=True)
class Config(NetworkConfig):
    """What is computed. ``loss`` and ``temperature`` say what the imitation loss on unseen noise is
    measured in, whatever a student was trained by."""

    temperatures: tuple[float, ...] = (0.3, 1.0, 3.0, 10.0)
    """Temperatures of KL; 1 must be among them."""
    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, whose labels are drawn once."""
    draws: tuple[int, ...] = (1, 10, 100)
    """Numbers of labels drawn for each input."""

    def __post_init__(self) -> None:
        super().__post_init__()
        positive(self, "temperatures")
        at_least(self, 1, "draws", most=2**20)
        distinct(self, "temperatures", "draws")
        if 1.0 not in self.temperatures:
            raise UserError(f"temperatures must include 1; got {self.temperatures}")


PRESETS = {"quick": Config(seeds=3), "paper": Config(**CLOUD, seeds=8)}

PUBLISHED = {"KL": 0.451, "MSE": 0.566}
"""Accuracy at 50,000 training images, otherwise the reference protocol (replications)."""


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (seed, way to be told, start); see `toymodels.sweep` for ``options``."""
    import jax
    import jax.numpy as jnp

    from toymodels import sweep
    from toymodels.networks.models import MLP, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import losses, protocol, tasks
    from toymodels.training.distillation import (
        all_logits,
        argmax_labels,
        auxiliary_logits,
        sampled_labels,
    )
    from toymodels.training.loop import reshuffle

    config, task, data = tasks.load(config, data_dir)
    sizes = (task.n_pixels, *config.widths, task.n_classes + config.m)
    network = functional(lambda rngs: MLP(sizes, rngs=rngs))
    parts = protocol.reference_protocol(config, task, network)
    aux, every = (f(task.n_classes, config.m) for f in (auxiliary_logits, all_logits))
    drawn = {f"{n} drawn": n for n in config.draws}
    answers = ["logits", "largest", "signs", *drawn]
    punished = ["kl", "mse", "labels", "bits"]

    def told(answer: str, loss: str, temperature: float = 1.0, subset: Any = aux) -> dict[str, Any]:
        chosen = {"answer": answers.index(answer), "loss": punished.index(loss)}
        return {**chosen, "temperature": temperature, "subset": subset}

    ways = {
        "all logits": told("logits", "kl", subset=every),
        "MSE": told("logits", "mse"),
        **{kl_at(t): told("logits", "kl", t) for t in sorted(config.temperatures)},
        **{name: told(name, "labels") for name in drawn},
        "largest": told("largest", "labels"),
        "signs": told("signs", "bits"),
    }

    def prepare(data: tasks.Data, seed: jax.Array) -> Any:
        begun, curve = parts.prepare(data, seed)
        assert begun.answered is not None
        x, logits = begun.answered
        key = jax.random.fold_in(begun.keys.noise, 1)
        each = {
            "logits": logits,
            "largest": argmax_labels(logits, aux),
            "signs": (logits > 0).astype(logits.dtype),
            **{name: sampled_labels(key, logits, aux, n) for name, n in drawn.items()},
        }
        return (begun, x, jnp.stack([each[name] for name in answers])), curve

    def student(
        data: tasks.Data, prepared: Any, way: dict[str, Any], start: jax.Array
    ) -> dict[str, jax.Array]:
        begun, x, given = prepared
        kl = losses.kl(way["temperature"])
        punish = losses.one_of([kl, losses.mse(), losses.labels(), losses.bits()], way["loss"])
        source = reshuffle((x, given[way["answer"]]), config.batch)
        one = replace(parts, imitation=punish)
        observe = parts.watch(data, begun, aux)  # one measure for all, however they were trained
        return one.distil(one.start(begun, start), begun, way["subset"], observe, source)[1]

    dataset, execution = sweep.grid(
        lambda: sweep.Program(prepare, student),
        shared={"seed": config.seed_list},
        points={"way": ways, "start": numbered(protocol.STARTS)},
        variables=tasks.TEACHER | tasks.STUDENT,
        coords=protocol.epochs(config),
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    headline = "transfer final_accuracy"
    return results.described(dataset, "loss", headline, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add final accuracy and transfer."""
    from toymodels.stats import transfer

    return transfer.against_control(dataset)


def kl_at(temperature: float) -> str:
    """Name of KL at a temperature."""
    return "KL" if temperature == 1 else f"KL, T = {temperature:g}"


def findings(dataset: xr.Dataset) -> list[str]:
    """Every way against KL at temperature 1, in accuracy, and what transfers at all."""
    from toymodels.stats import statistics

    done = statistics.succeeded(dataset)
    accuracy = done.final_accuracy.sel(start="shared")
    signs: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for way in done.way.values:
        if way not in ("KL", "all logits"):
            gap = statistics.difference(accuracy.sel(way=way), accuracy.sel(way="KL"))
            signs[gap.sign].append(f"{way}, by {gap}")
    shown = [
        str(way)
        for way in done.way.values
        if statistics.mean_interval(done.transfer.sel(way=way).values).sign > 0
    ]
    return [
        f"Transfer is shown for: {', '.join(shown) or 'none'}.",
        f"More than KL: {'; '.join(signs[1]) or 'none'}.",
        f"Less than KL: {'; '.join(signs[-1]) or 'none'}.",
        f"No difference from KL shown: {'; '.join(signs[0]) or 'none'}.",
    ]


def plot(dataset: xr.Dataset) -> Figure:
    """Accuracy of every student and its control, and their way there."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    final = {start: done.final_accuracy.sel(start=start) for start in ("shared", "other")}
    ways = done.way.values.tolist()
    with plotting.style():
        fig, (left, right) = plotting.panels(10, 3.6, columns=(1.6, 1))
        named = {f"{start} init": final[start].transpose("seed", "way").values for start in final}
        plotting.intervals(left, ways, named, "", "test accuracy", joined=False)
        teacher = float(done.teacher_accuracy.isel(teacher_epoch=-1).mean())
        left.axhline(teacher, color="black", lw=0.8, ls=":")
        if follows(json.loads(dataset.attrs["config"])):
            at = [ways.index(way) for way in PUBLISHED]
            plotting.reported(left, at, list(PUBLISHED.values()), "published, 50,000 images")
        plotting.slanted(left, 40)
        left.set(ylim=(0, 1.05), title=plotting.caption(dataset))
        left.legend(loc="upper right", bbox_to_anchor=(1, 0.9))
        few = [way for way in ways if ", T" not in way and not way.endswith(" drawn")]
        through = {way: done.accuracy.sel(way=way, start="shared").values for way in few}
        plotting.curves(right, done.epoch.values, through)
        right.set(xlabel="distillation epoch", ylim=(0, 1.05))
        plotting.legend_beside(right)
    return fig


if __name__ == "__main__":
    cli.main("loss", __doc__, PRESETS, run, plot)
