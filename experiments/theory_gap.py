"""What the lazy student lacks: students trained as approximations of their network.

The students of `experiments.init_overlap` (all parameters rotated, overlap rho) are trained as the
network itself; with the slopes of its activations frozen at the start, so that only products of
weights can change; to second order; and as the tangent, that is lazy. Each is trained by several
optimisers. What a student acquires, at the same time or at the same imitation loss, says whether
moving gates, products of weights, or the optimiser make it more than the lazy student.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Name = Literal["exact", "frozen", "quadratic", "tangent"]
RATES = {"adam": 3e-4, "momentum": 0.1, "sign": 1e-4}
"""Learning rates: Adam's is the protocol's; the others were chosen on seed 100, so that the tangents
do not diverge."""


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment."""

    loss: Literal["kl", "mse"] = "mse"
    """Imitation loss: kl, of the softmax over the auxiliary logits, or their squared error, mse."""
    rho: Annotated[
        tuple[float, ...], tm.Range(0, 1), tm.Includes((1, 0), ("shared", "the control"))
    ] = (1.0, 0.95, 0.8, 0.0)
    """Overlaps: cosines of the angle of rotation. 1 (shared) and 0 (the control) are required."""
    approximation: Annotated[tuple[Name, ...], tm.Includes(("exact",))] = (
        "exact",
        "frozen",
        "quadratic",
        "tangent",
    )
    """Networks as which students are trained: the exact network, that with frozen slopes of its
    activations, that to second order in its displacement, its tangent. exact is required."""
    optimiser: Annotated[
        tuple[Literal["adam", "momentum", "sign"], ...], tm.Includes(("adam",))
    ] = ("adam", "momentum", "sign")
    """Optimisers of the students: Adam, descent with momentum 0.9, sign descent. adam is required."""


PRESETS = {
    "quick": Config(
        seeds=3,
        noise_images=8192,
        batch=128,
        student_epochs=6,
        rho=(1.0, 0.9, 0.0),
        optimiser=("adam", "momentum"),
    ),
    "paper": Config(
        **tm.CLOUD,
        seeds=10,
        rho=(1.0, 0.95, 0.0),
        approximation=("exact", "frozen", "tangent"),
        optimiser=("adam", "momentum"),
    ),
}

VARIABLES = {
    "amount": (("epoch",), "1", "student's change of class logits along the teacher's, over it")
}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students."""
    return {"approximation": tm.label_axis(config.approximation), "rho": config.rho}


def student(setup: tm.Setup, approximation: jax.Array, rho: jax.Array) -> tm.Student:
    """A student trained as one approximation around its start."""
    names = setup.config.approximation
    choice = tm.approximations.choose(
        [tm.approximations.APPROXIMATIONS[name] for name in names], approximation
    )
    start = tm.rotation(setup.network.init)(setup.reference, setup.keys.relation, rho)
    name = setup.config.optimiser
    return tm.Student(
        start=start,
        approximation=choice,
        optimiser=tm.optimisers.OPTIMISERS[name].make(RATES[name], 0.0),
        observe=setup.watch_amount(start, setup.extra, choice(setup.network, start)),
    )


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add transfer, above the control of the same approximation and optimiser, and amounts.

    They are the last one, and that of the exact network at the loss where Adam's tangent ends.
    """
    valid = tm.succeeded(runs).isel(epoch=-1, teacher_epoch=-1, drop=True)
    control = valid.accuracy.sel(rho=0, drop=True)
    share = tm.transfer(valid.accuracy, control, valid.teacher_accuracy)
    runs = runs.assign(transfer=share, final_amount=valid.amount)
    if "tangent" not in runs.approximation.values:
        return runs
    return runs.assign(equal_loss_amount=amount_at_loss(tm.succeeded(runs).sel(rho=1, drop=True)))


def findings(runs: xr.Dataset) -> list[Any]:
    """What students of the same time, and of the same imitation loss, acquire."""
    valid = tm.succeeded(runs).sel(rho=1, drop=True)
    lacking = [name for name in valid.approximation.values if name != "exact"]
    exact = valid.final_amount.sel(approximation="exact", drop=True)
    share = valid.final_amount.sel(approximation=lacking) / exact
    rows = tm.compare("Final amount over that of the exact network, rho = 1", share, None)
    if "tangent" in lacking:
        quantity = (
            "Amount of the exact network at the final loss of Adam's tangent, over the tangent's"
        )
        rows += tm.compare(quantity, valid.equal_loss_amount, None)
    return rows


def amount_at_loss(valid: xr.Dataset) -> xr.DataArray:
    """Amounts of exact networks at the tangent's last loss, over the tangent's: (seed, optimiser).

    Interpolated between epochs, in the logarithm of the loss; NaN where the loss is not reached.
    """
    import xarray as xr

    tangent = valid.sel(approximation="tangent", optimiser="adam", drop=True).isel(epoch=-1)
    exact = valid.sel(approximation="exact", drop=True)

    def interpolate(loss: np.ndarray, amount: np.ndarray, at: float) -> float:
        order = np.argsort(loss)
        inside = np.isfinite(loss).all() and loss.min() <= at <= loss.max()
        return (
            float(np.interp(np.log(at), np.log(loss[order]), amount[order])) if inside else np.nan
        )

    found = xr.apply_ufunc(
        interpolate,
        *(exact.loss, exact.amount, tangent.loss),
        input_core_dims=[["epoch"], ["epoch"], []],
        vectorize=True,
    )
    ratio: xr.DataArray = (found / tangent.amount).transpose("seed", "optimiser").drop_vars("epoch")
    about = "amount of the exact network at the last loss of Adam's tangent, over the tangent's"
    return ratio.assign_attrs(units="1", description=about)


def figure(runs: xr.Dataset) -> Figure:
    """Transfer against overlap; amount against imitation loss, by approximation and by optimiser."""
    valid = tm.succeeded(runs)
    shared, adam = valid.sel(rho=1, drop=True), valid.sel(optimiser="adam", drop=True)
    with tm.plotting.style():
        fig, (left, middle, right) = tm.plotting.panels(12, 3.6, columns=(1, 1, 1))
        angle = np.degrees(np.arccos(valid.rho.values))
        final = adam.transfer.assign_coords(rho=angle).rename(rho="angle")
        tm.charts.lines(left, final, "angle", "approximation")
        tm.plotting.overlap_axis(left)
        left.set(ylabel="transfer", title=tm.plotting.caption(runs))
        left.legend(title="by Adam")
        draw_paths(middle, shared.sel(optimiser="adam"), "approximation")
        draw_paths(right, shared.sel(approximation="exact"), "optimiser")
        middle.set(ylabel="amount <dS, dT> / |dT|²", title="networks, by Adam")
        right.set(title="optimisers, exact network")
    return fig


def draw_paths(ax: Axes, shared: xr.Dataset, hue: str) -> None:
    """Amount against imitation loss through training: means over seeds of every epoch but the first."""
    after = shared.isel(epoch=slice(1, None))
    for i, name in enumerate(map(str, shared[hue].values)):
        one = after.sel({hue: name}).mean("seed")
        colour = tm.plotting.PALETTE[i]
        ax.plot(one.loss, one.amount, "o-", color=colour, ms=3, lw=1.2, label=name)
    ax.invert_xaxis()
    ax.locator_params(axis="x", nbins=5)
    ax.set(xlabel="imitation loss on unseen inputs")
    ax.legend()


STUDY = tm.Study(
    "theory_gap",
    __doc__,
    PRESETS,
    tm.distillation_sweep(
        student,
        points,
        shapes=("optimiser",),
        prepare=lambda setup: setup.teacher_change,
        variables=VARIABLES,
    ),
    analyse,
    findings,
    figure,
    headline=("transfer", "final_amount"),
)

if __name__ == "__main__":
    STUDY.main()
