"""Which inputs carry the trait: transfer against the distribution of the distillation inputs.

Every noise has the mean pixel variance of U(-1, 1), so that kinds differ in law and spectrum alone;
what is made of real images stays as wide as they are. One teacher answers all, and all are drawn by
one key. Each student has its cross-model control on the same inputs; its loss is on unseen inputs
of its own kind (of test images, where they are made of images: no choice rests on it). Distinct
real images may be few; distinct noise of as many is the comparison then.
Cloud et al., Nature 652, 615-621 (2026), and replications; Brockers et al., arXiv 2605.23645.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toymodels.data.kinds import parsed
from toymodels.errors import UserError, distinct
from toymodels.study import cli
from toymodels.training.config import CLOUD, NetworkConfig, follows

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

INPUTS = (
    *("uniform", "gaussian", "signs", "spectrum:0.5", "spectrum:1", "spectrum:1.5", "spectrum:2"),
    *("blur:0.5", "blurred-signs:0.5", "blur:1", "blurred-signs:1", "perlin:4", "subspace:10"),
    *("real", "phases", "shuffled", "blend:0.1", "blend:0.5", "samples:1000", "samples:4000"),
)

FEW = (
    *("uniform", "gaussian", "spectrum:1", "blur:0.5", "perlin:4", "subspace:10"),
    *("real", "shuffled", "samples:1000"),
)


@dataclass(frozen=True)
class Config(NetworkConfig):
    """What is computed; the preset ``quick`` has fewer inputs."""

    inputs: tuple[str, ...] = INPUTS
    """Distributions. White noise: uniform (must be there), gaussian, signs (Bernoulli); Gaussian
    noise of amplitude k^-b: spectrum:b; white noise blurred by s pixels: blur:s (Gaussian),
    blurred-signs:s; Perlin's noise on c x c cells: perlin:c; Gaussian noise in a random subspace of
    k dimensions: subspace:k. Training images (where they are too few, again and again): real; each
    with random Fourier phases: phases; each with its pixels shuffled: shuffled; a of them and 1 - a
    of uniform noise: blend:a. Only k distinct uniform images, as often as all would be shown:
    samples:k."""

    def __post_init__(self) -> None:
        super().__post_init__()
        distinct(self, "inputs")
        for name in self.inputs:
            parsed(name)
        if "uniform" not in self.inputs:
            raise UserError(f"inputs must include uniform; got {self.inputs}")
        if self.noise != "fixed":
            raise UserError(f"noise must be fixed here; got {self.noise!r}")


PRESETS = {
    "quick": Config(seeds=3, inputs=FEW),
    "paper": Config(**CLOUD, inputs=(*INPUTS, "samples:20000")),
}

PUBLISHED = {"uniform": 0.537, "real": 0.15, "shuffled": 0.178, "subspace:10": 0.125}
"""Accuracy. Uniform: a run of the released script of Cloud et al.; the others: replications of its
protocol (real: 0.146 to 0.154)."""


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (seed, inputs, start); see `toymodels.sweep` for ``options``."""
    import jax
    from jax.numpy import arange

    from toymodels import sweep
    from toymodels.data import distributions
    from toymodels.networks.models import MLP, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import protocol, tasks
    from toymodels.training.distillation import auxiliary_logits
    from toymodels.training.loop import reshuffle

    config, task, data = tasks.load(config, data_dir)
    sizes = (task.n_pixels, *config.widths, task.n_classes + config.m)
    parts = protocol.reference_protocol(
        config, task, functional(lambda rngs: MLP(sizes, rngs=rngs))
    )
    subset, n = auxiliary_logits(task.n_classes, config.m), config.noise_images

    def prepare(data: tasks.Data, seed: jax.Array) -> tuple[protocol.Lesson, dict[str, jax.Array]]:
        begun, curve = parts.prepare(data, seed)
        own = jax.random.fold_in(begun.keys.noise, n)  # the key behind those of the n images

        def answered(key: jax.Array, n: int, images: jax.Array) -> tuple[jax.Array, jax.Array]:
            x = distributions.stacked(config.inputs, key, n, task.pixels(images), own)
            return x, jax.lax.map(functools.partial(parts.network.apply, begun.teacher), x)

        sets = answered(begun.keys.noise, n, data.train[0])
        held_out = answered(begun.keys.probe, len(begun.held_out[0]), data.test[0])
        lesson = begun.lesson._replace(answered=sets)
        measured = jax.lax.map(distributions.described, sets[0])
        return begun._replace(lesson=lesson, held_out=held_out), curve | measured

    def student(
        data: tasks.Data, begun: protocol.Lesson, inputs: jax.Array, start: jax.Array
    ) -> dict[str, jax.Array]:
        own = begun._replace(held_out=jax.tree.map(lambda a: a[inputs], begun.held_out))
        source = reshuffle(arange(n), config.batch)._replace(  # rows, never a copy of a set
            batch=lambda rows: jax.tree.map(lambda a: a[inputs, rows], begun.answered)
        )
        observe = parts.watch(data, own, subset)
        return parts.distil(parts.start(begun, start), own, subset, observe, source)[1]

    unseen = "imitation loss on 1,000 unseen inputs of the same distribution"
    about = "participation ratio of the covariance of the inputs"
    dataset, execution = sweep.grid(
        lambda: sweep.Program(prepare, student),
        shared={"seed": config.seed_list},
        points={"inputs": numbered(config.inputs), "start": numbered(protocol.STARTS)},
        variables={
            **tasks.TEACHER,
            **tasks.STUDENT,
            "loss": (*tasks.STUDENT["loss"][:2], unseen),
            "variance": (("inputs",), "1", "variance of a pixel, mean over pixels"),
            "effective_dimension": (("inputs",), "1", about),
        },
        coords=protocol.epochs(config),
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    headline = "transfer final_accuracy effective_dimension variance"
    return results.described(
        dataset, "input_distribution", headline, config, task, execution, findings
    )


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add final accuracy and transfer."""
    from toymodels.stats import transfer

    return transfer.against_control(dataset)


def findings(dataset: xr.Dataset) -> list[str]:
    """What beats uniform noise, the best spectrum, whether it is all, how few inputs will do.

    Of transfer, paired by seed; each interval by itself, not adjusted for their number.
    """
    from toymodels.stats import statistics

    transfer = statistics.succeeded(dataset).transfer
    names = transfer.inputs.values.tolist()

    def gap(a: str, b: str) -> statistics.Interval:
        return statistics.difference(transfer.sel(inputs=a), transfer.sel(inputs=b))

    def family(kind: str) -> dict[float, str]:
        return dict(sorted((parsed(name)[1], name) for name in names if parsed(name)[0] == kind))

    told = []
    heads = {1: "More transfer than on uniform noise", -1: "Less", 0: "No difference shown"}
    gaps = {name: gap(name, "uniform") for name in names if name != "uniform"}
    for sign, head in heads.items():
        those = [f"{name}, by {found}" for name, found in gaps.items() if found.sign == sign]
        told.append(f"{head}: {'; '.join(those) or 'none'}.")

    spectra = ({0.0: "gaussian"} if "gaussian" in names else {}) | family("spectrum")
    if spectra:
        best = max(spectra, key=lambda beta: float(transfer.sel(inputs=spectra[beta]).mean()))
        rest = [b for b in spectra if b != best and gap(spectra[best], spectra[b]).sign < 1]
        told.append(
            f"Amplitudes |k|^-beta: the highest mean is at beta = {best:g}, "
            f"{statistics.mean_interval(transfer.sel(inputs=spectra[best]).values)}; "
            f"not shown to be less: {', '.join(f'{b:g}' for b in rest) or 'none'}."
        )
    blurred, signs = family("blur"), family("blurred-signs")
    alike = [(signs[sigma], blurred[sigma]) for sigma in signs if sigma in blurred]
    for a, b in [("signs", "gaussian"), ("real", "phases"), *alike]:
        if {a, b} <= set(names):
            verdict = "differ" if gap(a, b).sign else "are not shown to differ"
            told.append(f"{a} and {b}, of one power spectrum, {verdict}: {gap(a, b)}.")
    if few := family("samples"):
        lacking = max((k for k in few if gaps[few[k]].sign < 0), default=0)
        enough = [f"{k:g}: {gaps[few[k]]}" for k in few if k > lacking]
        told.append(
            "Fewest distinct inputs (uniform) from which on transfer is not shown to be less than "
            f"with all: {enough[0] if enough else 'more than tried'}."
        )
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Accuracy on every distribution; transfer against its effective dimension."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    names = done.inputs.values.tolist()
    with plotting.style():
        fig, (left, right) = plotting.panels(12, 4.4, columns=(1.8, 1))
        starts = {"student": "shared", "control": "other"}
        lines = {name: done.final_accuracy.sel(start=at).values for name, at in starts.items()}
        label = "distillation inputs"
        plotting.intervals(left, names, lines, label, "test accuracy", joined=False)
        left.tick_params("x", rotation=90)
        if follows(json.loads(dataset.attrs["config"])):
            given = {names.index(name): at for name, at in PUBLISHED.items() if name in names}
            plotting.reported(left, list(given), list(given.values()))
        left.legend()
        left.set(ylim=(0, 1.05), title=plotting.caption(dataset))
        for i, name in enumerate(names):
            one = done.sel(inputs=name).mean("seed")
            plotting.points(right, one.effective_dimension, one.transfer, i, name)
        right.set_xscale("log", base=2)
        right.xaxis.set_major_formatter("{x:g}")
        right.set(xlabel="effective dimension (directions)", ylabel="transfer (mean over seeds)")
        right.legend(fontsize=6.5, loc="center left", bbox_to_anchor=(1, 0.5))
    return fig


if __name__ == "__main__":
    cli.main("input_distribution", __doc__, PRESETS, run, plot)
