"""Which inputs carry the trait: transfer against the distribution of the distillation inputs.

Every noise has the pixel variance of U(-1, 1), so that kinds differ in law and spectrum alone; real
images and what is made of them stay as they are. One teacher answers them all; each student has its
cross-model control on its own inputs, and its loss is taken on unseen inputs of its own kind
(from test images, where they are made of images; no choice rests on it).
Cloud et al., Nature 652, 615-621 (2026), and its replications; Brockers et al., arXiv 2605.23645.
"""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toymodels import cli
from toymodels.config import CLOUD, OneNetwork, follows
from toymodels.errors import UserError, at_least, distinct, positive

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import How

KINDS = ("uniform", "gaussian", "signs", "perlin", "real", "shuffled", "phases")


@dataclass(frozen=True)
class Config(OneNetwork):
    """What is computed; the defaults are the preset ``quick``."""

    kind: tuple[
        Literal["uniform", "gaussian", "signs", "perlin", "real", "shuffled", "phases"], ...
    ] = KINDS  # type: ignore[assignment]
    """Kinds without a number: white noise (signs: Bernoulli), Perlin's, training images, these with
    their pixels shuffled, these with random Fourier phases; uniform among them."""
    beta: tuple[float, ...] = (0.5, 1.0, 1.5, 2.0)
    """Gaussian noise of amplitude |k|^-beta ("spectrum"; 0 is kind gaussian)."""
    sigma: tuple[float, ...] = (0.5, 1.0)
    """Gaussian noise ("blur"), and signs ("blurred-signs"), blurred by so many pixels."""
    dimension: tuple[int, ...] = (10,)
    """Gaussian noise in a random subspace of the seed's own, of so many dimensions ("subspace")."""
    share: tuple[float, ...] = (0.1, 0.5)
    """Real images times a share, plus uniform noise times the rest ("blend")."""
    samples: tuple[int, ...] = (10, 100, 1000)
    """Uniform noise with so many distinct images, shown as often as all would be ("samples")."""
    cells: int = 4
    """Lattice cells of Perlin noise along a side of the image."""

    def __post_init__(self) -> None:
        super().__post_init__()
        distinct(self, "kind", "beta", "sigma", "dimension", "share", "samples")
        positive(self, "beta", "sigma", "share")
        at_least(self, 0, "share", most=1)
        at_least(self, 1, "dimension", "cells")
        at_least(self, 1, "samples", most=self.noise_images)
        if "uniform" not in self.kind:
            raise UserError(f"kind must include uniform; got {self.kind}")
        if self.noise != "fixed":
            raise UserError(f"noise must be fixed: distinct inputs are counted; got {self.noise}")


PRESETS = {"quick": Config(seeds=3), "paper": Config(**CLOUD)}

PUBLISHED = {
    "uniform": 0.537,
    "real": 0.15,
    "shuffled": 0.178,
    "subspace 10": 0.125,
}
"""Accuracy: uniform, a run of the released script of Cloud et al.; the others, replications of its
protocol (real: 0.146 to 0.154)."""


def distributions(
    config: Config, key: jax.Array, images: jax.Array
) -> dict[str, Callable[[jax.Array, int], jax.Array]]:
    """Every distribution as ``draw(key, n)``; real images (N, pixels); the key of the subspaces."""
    from toymodels import inputs

    size = images.shape[1]
    side = math.isqrt(size)

    def blurred(sigma: float, law: inputs.Law) -> Callable[[jax.Array, int], jax.Array]:
        gain = inputs.blur_gain(side, sigma)
        return lambda key, n: inputs.filtered_noise(key, n, gain, law)

    def spectrum(beta: float) -> Callable[[jax.Array, int], jax.Array]:
        return lambda key, n: inputs.filtered_noise(key, n, inputs.power_gain(side, beta))

    def subspace(k: int) -> Callable[[jax.Array, int], jax.Array]:
        return lambda k_, n: inputs.subspace_noise(k_, n, inputs.random_basis(key, size, k))

    def blend(share: float) -> Callable[[jax.Array, int], jax.Array]:
        return lambda key, n: (
            share * inputs.repeated(images, n) + (1 - share) * inputs.uniform_noise(key, n, size)
        )

    plain: dict[str, Callable[[jax.Array, int], jax.Array]] = {
        "uniform": lambda key, n: inputs.uniform_noise(key, n, size),
        "gaussian": lambda key, n: inputs.white_noise(key, n, size),
        "signs": lambda key, n: inputs.white_noise(key, n, size, "signs"),
        "perlin": lambda key, n: inputs.perlin_noise(key, n, side, config.cells),
        "real": lambda key, n: inputs.repeated(images, n),
        "shuffled": lambda key, n: inputs.shuffled_pixels(key, n, images),
        "phases": lambda key, n: inputs.scrambled_phases(key, n, images),
    }
    return (
        {kind: plain[kind] for kind in config.kind}
        | {f"spectrum {beta:g}": spectrum(beta) for beta in config.beta}
        | {f"blur {sigma:g}": blurred(sigma, "gaussian") for sigma in config.sigma}
        | {f"blurred-signs {sigma:g}": blurred(sigma, "signs") for sigma in config.sigma}
        | {f"subspace {k}": subspace(k) for k in config.dimension}
        | {f"blend {share:g}": blend(share) for share in config.share}
    )


def run(config: Config, *, data_dir: Path | None = None, how: How | None = None) -> xr.Dataset:
    """Run every (seed, inputs, start); see `toymodels.sweep` for ``how``."""
    import jax
    import jax.numpy as jnp

    from toymodels import inputs, protocol, results, sweep, transfer
    from toymodels.axes import numbered
    from toymodels.distillation import auxiliary_logits
    from toymodels.models import MLP, functional
    from toymodels.training import reshuffled

    config, task, data = protocol.load(config, data_dir)
    if max(config.dimension) > task.n_pixels:
        raise UserError(f"dimension must be at most {task.n_pixels}; got {config.dimension}")
    sizes = (task.n_pixels, *config.widths, task.n_classes + config.m)
    parts = protocol.parts(config, task, functional(lambda rngs: MLP(sizes, rngs=rngs)))
    subset, n = auxiliary_logits(task.n_classes, config.m), config.noise_images
    names = list(distributions(config, jax.random.key(0), jnp.zeros((1, task.n_pixels))))

    def prepare(
        data: protocol.Data, seed: jax.Array
    ) -> tuple[protocol.Begun, dict[str, jax.Array]]:
        begun, curve = parts.begin(data, seed)
        keys = begun.keys
        own = jax.random.fold_in(keys.noise, n)  # the key behind those of the n images

        def answered(key: jax.Array, n: int, images: jax.Array) -> tuple[jax.Array, jax.Array]:
            draws = distributions(config, own, task.pixels(images)).values()
            branches = [functools.partial(draw, key, n) for draw in draws]

            def one(i: jax.Array) -> tuple[jax.Array, jax.Array]:
                x = jax.lax.switch(i, branches)
                return x, parts.network.apply(begun.lesson.teacher, x)

            return jax.lax.map(one, jnp.arange(len(branches)))  # one set after the other

        lesson = begun.lesson._replace(answered=answered(keys.noise, n, data.train[0]))
        held_out = answered(keys.probe, len(begun.held_out[0]), data.test[0])
        measures = {
            "variance": jax.lax.map(inputs.variance, lesson.answered[0]),
            "effective_dimension": jax.lax.map(inputs.effective_dimension, lesson.answered[0]),
        }
        return begun._replace(lesson=lesson, held_out=held_out), curve | measures

    def student(
        data: protocol.Data, begun: protocol.Begun, inputs: dict[str, jax.Array], start: jax.Array
    ) -> dict[str, jax.Array]:
        i, sets = inputs["set"], begun.lesson.answered
        # Rows of one set, never a copy of it.
        source = reshuffled(jnp.arange(n), config.batch, inputs["only"])._replace(
            batch=lambda rows: jax.tree.map(lambda a: a[i, rows], sets)
        )
        own = begun._replace(held_out=jax.tree.map(lambda a: a[i], begun.held_out))
        observe = parts.watch(data, own, subset)
        return parts.distil(parts.start(begun, start), own, subset, observe, source)[1]

    few = {f"samples {k}": {"set": names.index("uniform"), "only": k} for k in config.samples}
    loss = ("epoch",), protocol.STUDENT["loss"][1], "imitation loss on 1,000 unseen inputs alike"
    dimension = "participation ratio of the inputs' covariance"
    dataset, execution = sweep.grid(
        lambda: sweep.Program(prepare, student),
        shared={"seed": config.seed_list},
        points={
            "inputs": {name: {"set": i, "only": n} for i, name in enumerate(names)} | few,
            "start": numbered(protocol.STARTS),
        },
        variables={
            **protocol.TEACHER,
            **protocol.STUDENT,
            "loss": loss,
            "variance": (("distribution",), "1", "variance of a pixel, mean over pixels"),
            "effective_dimension": (("distribution",), "1", dimension),
        },
        coords={**protocol.epochs(config), "distribution": names},
        data=data,
        precision=config.precision,
        how=how,
    )
    dataset = transfer.against_control(dataset)
    headline = "transfer final_accuracy effective_dimension variance"
    return results.described(
        dataset, "input_distribution", headline, config, task, execution, findings(dataset)
    )


def family(dataset: xr.Dataset, kind: str) -> dict[float, str]:
    """The inputs of a kind with a number: number -> name, rising."""
    split = [(name, *str(name).split(" ")) for name in dataset.inputs.values]
    return dict(sorted((float(number[0]), name) for name, own, *number in split if own == kind))


def findings(dataset: xr.Dataset) -> list[str]:
    """What beats uniform noise, the best spectrum, whether it is all, how few inputs will do."""
    from toymodels import statistics

    done = statistics.succeeded(dataset)
    accuracy, share = done.final_accuracy.sel(start="shared"), done.transfer
    sets = [name for name in done.distribution.values if name != "uniform"]

    def gap(a: str, b: str) -> statistics.Interval:
        return statistics.difference(accuracy.sel(inputs=a), accuracy.sel(inputs=b))

    found: dict[int, list[str]] = {1: [], -1: [], 0: []}
    for name in sets:
        found[gap(name, "uniform").sign].append(f"{name}, by {gap(name, 'uniform')}")
    lists = ["; ".join(names) or "none" for names in found.values()]
    told = [
        f"More accurate than on uniform noise: {lists[0]}.",
        f"Less: {lists[1]}.",
        f"No difference shown: {lists[2]}.",
    ]
    spectra = family(done, "spectrum") | ({0.0: "gaussian"} if "gaussian" in sets else {})
    best = max(spectra, key=lambda beta: float(accuracy.sel(inputs=spectra[beta]).mean()))
    as_good = [b for b in sorted(spectra) if b != best and gap(spectra[best], spectra[b]).sign == 0]
    told.append(
        f"Of amplitudes |k|^-beta the highest mean is at beta = {best:g}: "
        f"{statistics.mean_interval(accuracy.sel(inputs=spectra[best]))}; not shown to be less: "
        f"{', '.join(f'{b:g}' for b in as_good) or 'none'}."
    )
    pairs = [(f"blurred-signs {s:g}", name) for s, name in family(done, "blur").items()]
    pairs += [("signs", "gaussian"), ("real", "phases")]
    told += [
        f"The same spectrum, another law: {a} - {b} = {gap(a, b)}: "
        f"{'a difference' if gap(a, b).sign else 'no difference shown'}."
        for a, b in pairs
        if {a, b} <= set(sets)
    ]
    lacking = {
        k: statistics.difference(share.sel(inputs=name), share.sel(inputs="uniform"))
        for k, name in family(done, "samples").items()
    }
    enough = max((k for k in lacking if lacking[k].sign < 0), default=0)
    fewest = next((k for k in lacking if k > enough), None)
    all_of_them = "all distinct uniform inputs"
    told.append(
        f"From {fewest:g} distinct uniform inputs on transfer is not shown to be less than with "
        f"all: {lacking[fewest]}."
        if fewest
        else f"Transfer is less than with {all_of_them} for every number tried: {lacking[enough]}."
    )
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Accuracy on every distribution; transfer against effective dimension and distinct inputs."""
    from toymodels import plotting, statistics

    done = statistics.succeeded(dataset)
    with plotting.style():
        fig, (left, middle, right) = plotting.panels(13, 4.2, columns=(2.2, 1.2, 1))
        sets = done.final_accuracy.sel(inputs=done.distribution.values)
        starts = {"student": sets.sel(start="shared"), "control": sets.sel(start="other")}
        plotting.intervals(left, sets.inputs, starts, "distillation inputs", "test accuracy")
        left.tick_params("x", rotation=60)
        if follows(json.loads(dataset.attrs["config"])):
            at = [i for i, name in enumerate(sets.inputs.values) if name in PUBLISHED]
            plotting.reported(left, at, [PUBLISHED[sets.inputs.values[i]] for i in at])
        left.legend()
        left.set(ylim=(0, 1.05), title=plotting.caption(dataset))
    return fig


if __name__ == "__main__":
    cli.main("input_distribution", __doc__, PRESETS, run, plot)
