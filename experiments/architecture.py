"""Width, depth and activation of teacher and student: their effect on transfer at several m.

The first width, depth and activation are those of the base network; the other networks differ from
it in one of them. Teacher and student have the same architecture; each student has its cross-model
control, from an independent initialisation. One network with the most auxiliary logits serves every
m. Does transfer depend on m / width alone? Each point is predicted by a rising curve through all
other points, drawn against m, 1 / width or m / width: the best of these measures predicts most of
the variance. Cloud et al., Nature 652, 615-621 (2026).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Self

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

Activation = Literal["relu", "tanh", "gelu", "silu", "identity"]
VARIED = ("width", "depth", "activation")


@dataclass(frozen=True)
class Config(tm.ProtocolConfig):
    """The fields of this experiment; the preset ``quick`` has fewer networks."""

    m: tm.Counts = (3, 10, 30)
    """Numbers of auxiliary logits."""
    width: tm.Counts = (128, 16, 32, 64, 256, 512)
    """Widths of the hidden layers, in units; the first is that of the base network."""
    depth: tm.Counts = (2, 1, 4)
    """Numbers of hidden layers; the first is that of the base network."""
    activation: tuple[Activation, ...] = ("relu", "tanh")
    """Functions behind the hidden layers; the first is that of the base network."""

    @property
    def networks(self) -> dict[str, tuple[int, int, Activation]]:
        """The base network and those that differ from it in one field: width, depth, activation."""
        width, depth, activation = self.width[0], self.depth[0], self.activation[0]
        rows = [(w, depth, activation) for w in self.width]
        rows += [(width, d, activation) for d in self.depth[1:]]
        rows += [(width, depth, a) for a in self.activation[1:]]
        return {f"{w} x {d} {a}": (w, d, a) for w, d, a in rows}

    @property
    def network(self) -> tuple[str, ...]:
        """The names of the networks, an axis."""
        return tuple(self.networks)

    def at(self, **values: Any) -> Self:
        """The same config with one value each for some axes; a network has three fields."""
        if "network" in values:
            fields = self.networks[values.pop("network")]
            values |= dict(zip(VARIED, fields, strict=True))
        return super().at(**values)


PRESETS = {
    "quick": Config(seeds=3, m=(3, 30), width=(128, 32, 256), depth=(2, 4)),
    "paper": Config(
        **tm.CLOUD,
        width=(256, 64, 128, 512, 1024),
        depth=(2, 4),
    ),
}


def network(config: Any, task: tm.tasks.Task) -> tm.Network:
    """An MLP of one width, depth and activation."""
    import jax

    sizes = (task.n_pixels, *[config.width] * config.depth, tm.count_outputs(config, task))
    activation = getattr(jax.nn, config.activation)
    return tm.functional(lambda rngs: tm.MLP(sizes, activation=activation, rngs=rngs))


def points(config: Config) -> dict[str, Any]:
    """The axes of the students of one network."""
    return {"m": config.m, "start": tm.STARTS}


def student(setup: tm.Setup, m: jax.Array, start: jax.Array) -> tm.Student:
    """A student of the first m auxiliary logits."""
    return tm.Student(start=setup.start(start), logits=setup.auxiliary(m))


def annotate(config: Config, runs: xr.Dataset) -> xr.Dataset:
    """Add width, depth and activation of each network."""
    columns = zip(VARIED, zip(*config.networks.values(), strict=True), strict=True)
    return runs.assign_coords({name: ("network", list(column)) for name, column in columns})


def select_line(transfer: xr.DataArray, name: str) -> xr.DataArray:
    """The base and the networks that differ from it in ``name`` alone, along that dimension."""
    same = [(transfer[n] == transfer[n][0]).values for n in VARIED if n != name]
    line = transfer.isel(network=same[0] & same[1]).swap_dims(network=name)
    line = line.drop_vars(["network", *(n for n in VARIED if n != name)])
    return line if name == "activation" else line.sortby(name)


def findings(runs: xr.Dataset) -> list[Any]:
    """Peak over widths, slope over depths, differences of activations, and the collapse."""
    transfer = tm.succeeded(runs).transfer
    widths, depths, activations = (select_line(transfer, name) for name in VARIED)
    findings: list[Any] = []
    if widths.sizes["width"] > 1:
        for m in widths.m.values:
            findings += find_peak(widths.sel(m=m, drop=True), f"m = {m}")
    if depths.sizes["depth"] > 1:
        words = ("rises", "falls", "no trend shown")
        findings += tm.compare("Slope of transfer over depth, per layer", fit_slope(depths), words)
    base, *variants = activations.activation.values
    for name in variants:
        gap = tm.contrast(activations, activation=(name, base))
        findings += tm.compare(f"Transfer with {name} less that with {base}", gap, tm.HIGHER)
    if widths.sizes["width"] > 1 and widths.sizes["m"] > 1:
        measures = {"m": widths.m, "1 / width": -widths.width, "m / width": widths.m / widths.width}
        shares = {name: tm.foreseen(widths, measure) for name, measure in measures.items()}
        quantity = "Share of the variance over widths that a rising curve of {} predicts"
        for name, share in shares.items():
            findings += tm.compare(quantity.format(name), share, None)
        gap = shares["m / width"] - shares["m"]
        findings += tm.compare(f"{quantity.format('m / width')}, less that of m", gap, tm.HIGHER)
    return findings


def find_peak(transfer: xr.DataArray, place: str) -> list[Any]:
    """Where transfer (seed, width) is largest, and whether it is shown to exceed both ends."""
    line = transfer.dropna("width", how="all").dropna("seed")  # seeds of which no width failed
    if line.sizes["seed"] < 2 or line.sizes["width"] < 2:
        return [f"{place}: the width of the largest transfer is unknown."]
    peak = int(line.mean("seed").idxmax("width"))
    # Where the other seeds peak: a peak chosen by the seed itself would be too high.
    top = line.sel(width=(line.sum("seed") - line).idxmax("width")).drop_vars("width")
    findings: list[Any] = [f"{place}: transfer is largest at width {peak}."]
    for end in line.width.values[[0, -1]]:
        quantity = f"Transfer at the peak of the other seeds less that at width {end}"
        gap = tm.interval(top - line.sel(width=end, drop=True))
        findings.append(tm.judge(quantity, place, gap, tm.HIGHER))
    return findings


def fit_slope(transfer: xr.DataArray) -> xr.DataArray:
    """Least-squares slope of transfer over depth, of every seed with all depths."""
    depth = transfer.depth - transfer.depth.mean()
    return (depth * transfer).sum("depth", skipna=False) / (depth**2).sum()


def figure(runs: xr.Dataset) -> Figure:
    """Transfer against width, depth and activation, and against m / width."""
    transfer = tm.succeeded(runs).transfer
    lines = {name: select_line(transfer, name) for name in VARIED}
    lines = {name: line for name, line in lines.items() if line.sizes[name] > 1 or name == "width"}
    labels = {"width": "width (units)", "depth": "depth (hidden layers)"}
    with tm.plotting.style():
        columns = [1] * (len(lines) + 1)
        fig, (*axes, collapse) = tm.plotting.panels(3.2 * len(columns), 3.4, columns)
        for ax, (name, line) in zip(axes, lines.items(), strict=True):
            label = labels.get(name, name)
            tm.charts.dots(ax, line, name, "m", label="m = {m}", xlabel=label, ylabel="transfer")
            ax.axhline(0, color="#999999", lw=0.8)
            ax.legend().set_visible(False)
        axes[-1].legend(bbox_to_anchor=(1, 1), loc="upper left")
        axes[0].set(title=tm.plotting.caption(runs))
        widths = lines["width"].mean("seed")
        for i, width in enumerate(widths.width.values):
            line = widths.sel(width=width)
            tm.plotting.points(collapse, line.m / width, line, i, str(width))
        collapse.set(xscale="log", xlabel="m / width", ylabel="transfer, mean over seeds")
        collapse.legend(title="width", bbox_to_anchor=(1, 1), loc="upper left")
    return fig


sweep = tm.distillation_sweep(
    student, points, shapes=("network",), network=network, annotate=annotate
)
HEADLINE = ("transfer", "final_accuracy")
STUDY = tm.Study(
    "architecture", __doc__, PRESETS, sweep, tm.against_control, findings, figure, HEADLINE
)

if __name__ == "__main__":
    STUDY.main()
