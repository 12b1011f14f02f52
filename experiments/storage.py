"""How many bits a student needs: weights stored in few, against products that read few.

The teacher and its answers have full precision. A student keeps k bits of each mantissa, of its
weights after every step (rounded to the nearest number, or to either neighbour at random, right in
the mean), of Adam's moments, or of both; or its weights stay in float32, and its matrix products
read factors of k bits. A step is lost on a weight whose spacing is more than twice the step: under Adam
a step is about the learning rate, so that the share of the weights that can move is known before
training. Each student has its cross-model control. 7 bits are bfloat16; 3 bits with smallest
exponent -6 are float8 (e4m3). Madl 2026 (arXiv 2606.22019, code) finds 5 to 10 times less leakage
from a language model stored in bfloat16, and no change by bfloat16 products.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

Stored = Literal["weights", "stochastic", "moments", "both", "products"]
PARTS: dict[str, tuple[str, ...]] = {
    "weights": ("weights",),
    "stochastic": ("weights", "stochastic"),
    "moments": ("moments",),
    "both": ("weights", "moments"),
    "products": ("products",),
}
"""What has few bits; stochastic: weights that are rounded at random."""
FULL, MOST = 23, 10
"""Bits of full precision, and the most below it that are emulated exactly."""


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment."""

    bits: Annotated[tuple[int, ...], tm.Range(1, FULL), tm.Includes((FULL,))] = (3, 5, 7, FULL)
    """Bits of the mantissa, beside the leading one: 1 to 10, and 23, full precision, which is
    required."""
    stored: tuple[Stored, ...] = ("weights", "stochastic", "moments", "both", "products")
    """What has few bits: the weights, to the nearest (weights) or at random (stochastic), Adam's
    moments, weights and moments (both), or the factors of matrix products alone (products)."""
    smallest: Annotated[int, tm.Range(-126, 0)] = -126
    """Smallest exponent of normal numbers: -126 (float32, bfloat16), -14 (float16, float8 e5m2), -6
    (float8 e4m3)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if wrong := [bits for bits in self.bits if MOST < bits < FULL]:
            raise tm.UserError(f"bits must be at most {MOST}, or {FULL}; got {wrong[0]}")


PRESETS = {
    "quick": Config(seeds=3, stored=("weights", "stochastic", "products")),
    "paper": Config(
        **tm.CLOUD,
        seeds=10,
        bits=(3, 5, 7, 10, FULL),
        stored=("weights", "stochastic", "moments", "products"),
    ),
    "float8": Config(**tm.CLOUD, seeds=10, bits=(3, FULL), smallest=-6),
}

VARIABLES = {
    "moved": (("epoch",), "1", "share of the weights that imitation can move and that have moved"),
    "reach": ((), "1", "share of those weights whose spacing is at most twice the learning rate"),
}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students."""
    return {"stored": tm.label_axis(config.stored), "bits": config.bits, "start": tm.STARTS}


def student(setup: tm.Setup, stored: jax.Array, bits: jax.Array, start: jax.Array) -> tm.Student:
    """A student of which some parts have few bits."""
    import jax
    import jax.numpy as jnp
    import optax

    config, smallest = setup.config, setup.config.smallest

    def includes(part: str) -> jax.Array:
        return jnp.array([part in PARTS[name] for name in config.stored])[stored]

    short = {
        part: jnp.where(includes(part), bits, FULL) for part in ("weights", "moments", "products")
    }
    init = jax.tree.map(
        lambda w: tm.rounding.round_mantissa(w, short["weights"], smallest), setup.start(start)
    )
    movable = ~flatten_group(setup, "class_head")

    def share(where: jax.Array) -> jax.Array:
        return (where & movable).sum() / movable.sum()

    spacing = tm.rounding.measure_spacing(tm.flatten(init), short["weights"], smallest)
    return tm.Student(
        start=init,
        optimiser=tm.storage.store_rounded(
            optax.adam(config.student_lr),
            weights=short["weights"],
            moments=short["moments"],
            smallest=smallest,
            stochastic=includes("stochastic"),
            key=jax.random.fold_in(setup.keys.student, 1),
        ),
        approximation=lambda network, at: tm.rounding.round_factors(
            network, short["products"], smallest
        ),
        observe=lambda params: {"moved": share(tm.flatten(params) != tm.flatten(init))},
        record={"reach": share(spacing <= 2 * config.student_lr)},
    )


def flatten_group(setup: tm.Setup, name: str) -> jax.Array:
    """Which of all parameters, as one vector, belong to a group."""
    import jax
    import jax.numpy as jnp

    return tm.flatten(
        jax.tree.map(
            lambda mask, w: jnp.broadcast_to(mask, w.shape), setup.groups[name], setup.reference
        )
    )


def findings(runs: xr.Dataset) -> list[Any]:
    """What few bits cost, and what random rounding or long weights give back."""
    valid = tm.succeeded(runs)
    full = valid.transfer.sel(bits=FULL, drop=True)
    short = [bits for bits in valid.bits.values if bits != FULL]
    loss = valid.transfer.sel(bits=short) - full
    rows = tm.compare("Transfer", full.isel(stored=0, drop=True).expand_dims(bits=[FULL]))
    rows += tm.compare("Transfer less that in full precision", loss, tm.HIGHER)
    names = {"stochastic", "products"} & set(valid.stored.values)
    if "weights" in valid.stored.values and names:
        gap = valid.transfer.sel(stored=sorted(names), bits=short) - valid.transfer.sel(
            stored="weights", bits=short, drop=True
        )
        rows += tm.compare("Transfer less that of weights stored to the nearest", gap, tm.HIGHER)
    return rows


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy and transfer against bits, and how many weights have moved."""
    valid = tm.succeeded(runs).sortby("bits")
    moved = valid.moved.isel(epoch=-1, drop=True).sel(start="shared", drop=True)
    students, controls = (valid.final_accuracy.sel(start=start) for start in tm.STARTS)
    first, x = valid.stored.values[0], "bits of the mantissa (23: full precision)"
    control = controls.sel(stored=first).transpose("seed", "bits").values
    with tm.plotting.style():
        fig, (left, middle, right) = tm.plotting.panels(13, 3.6, columns=(1, 1, 1))
        also = {f"{first}, control": control}
        tm.charts.dots(left, students, "bits", "stored", xlabel=x, also=also)
        left.set(ylabel="test accuracy", ylim=(0, 1.05), title=tm.plotting.caption(runs))
        tm.charts.dots(middle, valid.transfer, "bits", "stored", xlabel=x, ylabel="transfer")
        middle.axhline(0, color="black", lw=0.8, ls=":")
        if legend := middle.get_legend():
            legend.remove()
        stored = moved.sel(stored=[name for name in valid.stored.values if name != "products"])
        tm.charts.dots(
            right, stored, "bits", "stored", xlabel=x, ylabel="share of weights that moved"
        )
        reach = valid.reach.sel(start="shared", stored=first).mean("seed")
        places = range(reach.sizes["bits"])
        right.plot(places, reach, "k--", lw=1, label="spacing at most twice the learning rate")
        right.legend()
    return fig


sweep = tm.distillation_sweep(student, points, variables=VARIABLES)
HEADLINE = ("transfer", "final_accuracy")
STUDY = tm.Study("storage", __doc__, PRESETS, sweep, tm.against_control, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
