"""Chains of students: each starts from the same reference and imitates the student before it.

Generation 1 imitates the teacher's auxiliary logits, generation 2 those of generation 1, and so on,
on one set of noise for all generations (``same``) or a new set for each (``new``). If a hop were a
linear projection of the teacher's displacement, as the linearised theory has it at convergence, the
same noise would lose nothing after the first hop. The contraction per hop is the r of
``a r^generation``, fitted to transfer seed by seed. The cross-model controls are chains in which
every student starts from an independent initialisation.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

Inputs = Literal["same", "new"]
INPUTS: tuple[Inputs, ...] = get_args(Inputs)


@dataclass(frozen=True)
class Config(tm.ProtocolConfig):
    """The fields of this experiment."""

    inputs: tuple[Inputs, ...] = INPUTS
    """Distillation inputs of the generations of a chain: the same set of noise, or a new one each."""
    m: tm.Counts = (3, 10, 100)
    """Numbers of auxiliary logits."""
    samples: tm.Counts = (500, 8000)
    """Numbers of distinct noise images, at most ``noise_images``. An epoch is as long with few
    images as with many: few images are seen more often."""
    generations: Annotated[int, tm.Range(2, 1000)] = 6
    """Number of students in a chain."""
    widths: tm.Widths = (256, 256)
    """Widths of the hidden layers of the ReLU network, in units."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if max(self.samples) > self.noise_images:
            raise tm.UserError(f"samples must be at most {self.noise_images}; got {self.samples}")

    @property
    def unused(self) -> frozenset[str]:
        """``noise``: the inputs of every generation are fixed, be they the same or new."""
        return super().unused | {"noise"}


PRESETS = {
    "quick": Config(seeds=3, m=(3, 100), samples=(8000,), generations=3),
    "paper": Config(**tm.CLOUD, seeds=10, samples=(60_000,), generations=5),
}

GENERATION = ("generation",)
VARIABLES: dict[str, Any] = {
    "loss": None,
    "accuracy": (GENERATION, "1", "test accuracy of each generation"),
    "cosine": (
        GENERATION,
        "1",
        "cosine of a student's displacement from its start with the teacher's displacement",
    ),
    "drift": (
        GENERATION,
        "1",
        "length of a student's displacement from its start, over that of the teacher's",
    ),
}
"""Dimensions behind the axes, unit and meaning of what is recorded of a chain."""


def points(config: Config) -> dict[str, Any]:
    """The axes of the chains."""
    return {"m": config.m, "samples": config.samples, "start": tm.STARTS}


def prepare(setup: tm.Setup) -> jax.Array:
    """The sets of noise (sets, images, pixels): one for each generation, or one for all of them."""
    import jax

    keys = jax.random.split(setup.keys.noise, setup.config.generations)
    keys = keys if setup.config.inputs == "new" else keys[:1]
    return jax.lax.map(lambda key: setup.protocol.noise(key, setup.config.noise_images), keys)


def student(
    setup: tm.Setup, m: jax.Array, samples: jax.Array, start: jax.Array
) -> dict[str, jax.Array]:
    """A chain of students: what is recorded of every generation."""
    import jax
    import jax.numpy as jnp

    init, mask, config = setup.start(start), setup.auxiliary(m), setup.config
    target = tm.flatten(setup.teacher) - tm.flatten(setup.reference)

    def generation(teacher: tm.Params, x: jax.Array) -> tuple[tm.Params, dict[str, jax.Array]]:
        answers = setup.network.apply(teacher, x)
        batches = tm.reshuffle((x, answers), config.batch, only=samples)
        model = tm.Student(init, mask, batches=batches)
        params, _ = setup.distil(model, observe=lambda params: {})
        displacement = tm.flatten(params) - tm.flatten(init)
        return params, {
            "accuracy": setup.protocol.trait.score(params, setup.data.test),
            "cosine": tm.probes.cosine(displacement, target),
            "drift": jnp.linalg.norm(displacement) / jnp.linalg.norm(target),
        }

    sets = setup.extra
    if config.inputs == "new":
        return jax.lax.scan(generation, setup.teacher, sets)[1]
    repeat = functools.partial(jax.lax.scan, length=config.generations)
    return repeat(lambda teacher, _: generation(teacher, sets[0]), setup.teacher)[1]


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add transfer of every generation, and the share of it that a hop keeps."""
    runs = tm.against_control(runs)
    return runs.assign(contraction=tm.contractions(runs.transfer))


def findings(runs: xr.Dataset) -> list[Any]:
    """The share of transfer that a hop keeps, and whether new noise at every hop costs more."""
    hop, quantity = tm.succeeded(runs).contraction, "Share of transfer that a hop keeps with"
    findings = []
    for name in hop.inputs.values:
        findings += tm.compare(f"{quantity} {name} noise", hop.sel(inputs=name, drop=True), None)
    if set(INPUTS) <= set(hop.inputs.values):
        gap = tm.contrast(hop, inputs=("new", "same"))
        findings += tm.compare(f"{quantity} new noise less that with the same", gap, tm.HIGHER)
    return findings


def figure(runs: xr.Dataset) -> Figure:
    """Transfer and the displacement's cosine by generation, and contraction against m."""
    valid = tm.succeeded(runs)
    samples = valid.samples.values.max()
    label = "m = {m}, {inputs} noise"
    panels = {
        "transfer": valid.transfer,
        "cosine with the teacher's displacement": valid.cosine.sel(start="shared"),
    }
    with tm.plotting.style():
        fig, (left, middle, right) = tm.plotting.panels(11, 3.4, columns=(1, 1, 1))
        for ax, (ylabel, array) in zip((left, middle), panels.items(), strict=True):
            curves = array.sel(samples=samples)
            tm.charts.lines(ax, curves, "generation", ("m", "inputs"), label=label)
            ax.set(xlabel="generation", ylabel=ylabel, ylim=(-0.05, 1.05))
        left.set(title=f"{tm.plotting.caption(runs)}, {samples} samples")
        tm.plotting.legend_beside(middle)
        tm.charts.dots(
            right,
            valid.contraction,
            "m",
            ("inputs", "samples"),
            label="{inputs} noise, {samples} samples",
            xlabel="auxiliary logits m",
            ylabel="per-hop contraction of transfer",
        )
        right.set(ylim=(0, 1.3))
    return fig


def omit_inputs(protocol: tm.protocol.Protocol, config: Config) -> tm.protocol.Protocol:
    """The protocol without a set of noise of its own: every chain prepares its sets."""
    return replace(protocol, config=protocol.config.at(noise="fresh"))


sweep = tm.distillation_sweep(
    student,
    points,
    shapes=("inputs",),
    protocol=omit_inputs,
    prepare=prepare,
    variables=VARIABLES,
    coords=lambda config: {"generation": range(1, config.generations + 1)},
)
HEADLINE = ("contraction", "transfer")
STUDY = tm.Study("chain", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
