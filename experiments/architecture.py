"""Width, depth and activation of teacher and student: what they do to transfer, at several m.

The first width, depth and activation make the base; the others are varied one at a time from it.
Teacher and student have the same architecture; each student has its cross-model control, from an
unrelated initialisation. One network with the most auxiliary logits serves every m. Does transfer
depend on m / width alone? Each point is foretold by a rising curve through all others, drawn
against m, 1 / width or m / width; the best measure foresees most of the variance.
Cloud et al., Nature 652, 615-621 (2026).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toymodels.errors import at_least, distinct
from toymodels.study import cli
from toymodels.training.config import CLOUD, ProtocolConfig

if TYPE_CHECKING:
    import jax
    import numpy as np
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import RunOptions

Activation = Literal["relu", "tanh", "gelu", "silu", "identity"]
VARIED = ("width", "depth", "activation")


@dataclass(frozen=True)
class Config(ProtocolConfig):
    """What is computed; the preset ``quick`` has fewer networks."""

    m: tuple[int, ...] = (3, 10, 30)
    """Numbers of auxiliary logits."""
    width: tuple[int, ...] = (128, 16, 32, 64, 256, 512)
    """Widths of the hidden layers, in units; the first is the base."""
    depth: tuple[int, ...] = (2, 1, 4)
    """Numbers of hidden layers; the first is the base."""
    activation: tuple[Activation, ...] = ("relu", "tanh")
    """Functions behind the hidden layers; the first is the base."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "m", "width", "depth")
        distinct(self, "m", *VARIED)

    @property
    def networks(self) -> dict[str, tuple[int, int, str]]:
        """The base and what differs from it in one thing: name -> (width, depth, activation)."""
        width, depth, activation = self.width[0], self.depth[0], self.activation[0]
        found = [(w, depth, activation) for w in self.width]
        found += [(width, d, activation) for d in self.depth[1:]]
        found += [(width, depth, a) for a in self.activation[1:]]
        return {f"{w} x {d} {a}": (w, d, a) for w, d, a in found}


PRESETS = {
    "quick": Config(seeds=3, m=(3, 30), width=(128, 32, 256), depth=(2, 4)),
    "paper": Config(
        **CLOUD,
        width=(256, 64, 128, 512, 1024),
        depth=(2, 4),
    ),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (network, seed, m, start); see `toymodels.sweep` for ``options``."""
    import jax

    from toymodels import sweep
    from toymodels.networks.models import MLP, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import protocol, tasks
    from toymodels.training.distillation import auxiliary_logits

    config, task, data = tasks.load(config, data_dir)
    most = max(config.m)

    def build(network: str) -> sweep.Program:
        width, depth, name = config.networks[network]
        sizes = (task.n_pixels, *[width] * depth, task.n_classes + most)
        activation = getattr(jax.nn, name)
        module = functional(lambda rngs: MLP(sizes, activation=activation, rngs=rngs))
        parts = protocol.reference_protocol(config, task, module)

        def student(
            data: tasks.Data, begun: protocol.Lesson, m: jax.Array, start: jax.Array
        ) -> dict[str, jax.Array]:
            subset = auxiliary_logits(task.n_classes, most, first=m)
            init = parts.start(begun, start)
            return parts.distil(init, begun, subset, parts.watch(data, begun, subset))[1]

        return sweep.Program(parts.prepare, student)

    dataset, execution = sweep.grid(
        build,
        shapes={"network": list(config.networks)},
        shared={"seed": config.seed_list},
        points={"m": config.m, "start": numbered(protocol.STARTS)},
        variables=tasks.TEACHER | tasks.STUDENT,
        coords=protocol.epochs(config),
        data=data,
        precision=config.precision,
        options=options,
    )
    columns = zip(VARIED, zip(*config.networks.values(), strict=True), strict=True)
    dataset = dataset.assign_coords({name: ("network", list(column)) for name, column in columns})
    dataset, headline = derived(dataset), "transfer final_accuracy"
    return results.described(dataset, "architecture", headline, config, task, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add final accuracy and transfer."""
    from toymodels.stats import transfer

    return transfer.against_control(dataset)


def along(transfer: xr.DataArray, name: str) -> xr.DataArray:
    """The base and the networks that differ from it in ``name`` alone, along that dimension."""
    same = [(transfer[n] == transfer[n][0]).values for n in VARIED if n != name]
    line = transfer.isel(network=same[0] & same[1]).swap_dims(network=name)
    return line if name == "activation" else line.sortby(name)


def findings(dataset: xr.Dataset) -> list[str]:
    """Peak over widths, slope over depths, differences of activations, and the collapse."""
    from toymodels.stats import statistics
    from toymodels.stats.transfer import foreseen

    share, told = statistics.succeeded(dataset).transfer, []
    widths, depths, kinds = (along(share, name) for name in VARIED)
    for m in share.m.values:
        if widths.sizes["width"] > 1:
            told.append(f"m = {m}: {peak(widths.sel(m=m))}.")
        if depths.sizes["depth"] > 1:
            slope = statistics.mean_interval(slopes(depths.sel(m=m)))
            word = slope.verdict("rises", "falls", "no trend shown")
            told.append(f"m = {m}: transfer by depth: {word}, {slope} a layer.")
        base, *others = kinds.activation.values
        for other in others:
            gap = statistics.difference(*(kinds.sel(m=m, activation=a) for a in (other, base)))
            word = gap.verdict("more transfer", "less transfer", "no difference shown")
            told.append(f"m = {m}: {other} against {base}: {word}, {gap}.")
    if widths.sizes["width"] > 1 and widths.sizes["m"] > 1:
        measures = {"m": widths.m, "1 / width": -widths.width, "m / width": widths.m / widths.width}
        each = {name: foreseen(widths, measure) for name, measure in measures.items()}
        listed = [f"of {name} {statistics.mean_interval(v.values)}" for name, v in each.items()]
        gap = statistics.difference(each["m / width"], each["m"])
        word = gap.verdict("more", "less", "no difference shown")
        told.append(
            f"Share of the variance over widths that a rising curve foresees: {'; '.join(listed)}. "
            f"m / width against m: {word}, {gap}."
        )
    return told


def peak(transfer: xr.DataArray) -> str:
    """Where transfer (seed, width) is largest, and whether it is shown to exceed both ends."""
    from toymodels.stats import statistics

    line = transfer.dropna("width", how="all").dropna("seed")  # a seed needs all widths that work
    if line.sizes["seed"] < 2 or line.sizes["width"] < 2:
        return "the width of the largest transfer is unknown"
    # Where the other seeds peak: a peak chosen by the seed itself would be too high.
    top = line.sel(width=(line.sum("seed") - line).idxmax("width"))
    ends = []
    for end in (0, -1):
        gap = statistics.difference(top, line.isel(width=end))
        word = gap.verdict("higher than", "lower than", "not shown to differ from")
        ends.append(f"{word} that at {int(line.width[end])}, by {gap}")
    return (
        f"transfer is largest at width {int(line.mean('seed').idxmax('width'))}; at the peak of "
        f"the other seeds it is {'; and '.join(ends)}"
    )


def slopes(transfer: xr.DataArray) -> np.ndarray:
    """Least-squares slope of transfer (seed, depth) over depth, of every seed with all depths."""
    import numpy as np

    line = transfer.dropna("seed").transpose("seed", "depth")
    return np.array([np.polyfit(line.depth.values, row, 1)[0] for row in line.values])


def plot(dataset: xr.Dataset) -> Figure:
    """Transfer against width, depth and activation, and against m / width."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    share = statistics.succeeded(dataset).transfer
    lines = {name: along(share, name) for name in VARIED}
    lines = {name: line for name, line in lines.items() if line.sizes[name] > 1 or name == "width"}
    with plotting.style():
        fig, axes = plotting.panels(3.2 * (len(lines) + 1), 3.4, columns=[1] * (len(lines) + 1))
        for ax, (name, line) in zip(axes, lines.items(), strict=False):
            shown = {f"m = {m}": line.sel(m=m).values for m in line.m.values}
            label = {"width": "width (units)", "depth": "depth (hidden layers)"}.get(name, name)
            plotting.intervals(ax, line[name], shown, label, "transfer")
            ax.axhline(0, color="#999999", lw=0.8)
            ax.legend().set_visible(False)
        axes[-2].legend(bbox_to_anchor=(1, 1), loc="upper left")
        axes[0].set(title=plotting.caption(dataset))
        widths = lines["width"]
        for i, width in enumerate(widths.width.values):
            mean = widths.sel(width=width).mean("seed")
            plotting.points(axes[-1], mean.m / width, mean, i, str(width))
        axes[-1].set(xscale="log", xlabel="m / width", ylabel="transfer, mean over seeds")
        axes[-1].legend(title="width", bbox_to_anchor=(1, 1), loc="upper left")
    return fig


if __name__ == "__main__":
    cli.main("architecture", __doc__, PRESETS, run, plot)
