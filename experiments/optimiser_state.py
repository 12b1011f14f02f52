"""What the optimiser carries: the teacher's moments in a student, Adam's memory, and its drift.

A student starts from the reference with the first moments of its teacher's Adam, the second moments, both,
or fresh ones; each moment is corrected for its own age. Only parameters that imitation moves take a
moment. The gradients of imitation are much smaller than the teacher's. All moments are therefore scaled
by one number to the size of the student's first gradient; one student takes both as they are.
Other students have Adam of another memory (beta2), or descent with momentum 0.9, which has no second
moment. Each student has its cross-model control, which takes the same moments. Beside transfer: which
share of a student's increments lies along one direction, its drift, and how far its displacement points
along the teacher's. Xu (arXiv 2608.20442) transplants the first moment alone, after which a trait
grows later; arXiv 2602.23696 finds 60 to 80 % of AdamW's displacement along one direction, which it
does not find under SGD.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

BETA2 = 0.999
"""Decay of Adam's second moment in the protocol."""


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment."""

    noise: Literal["fixed"] = "fixed"
    """Distillation inputs: one fixed set, of which the first batch gives the student's first gradient."""
    beta2: tm.Rates = (0.9, 0.99, 0.9999)
    """Other decays of Adam's second moment than the protocol's 0.999; below 1."""
    momentum_lr: tm.Rate = 0.1
    """Learning rate of the student by descent with momentum 0.9."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if wrong := [beta2 for beta2 in self.beta2 if beta2 >= 1]:
            raise tm.UserError(f"beta2 must be below 1; got {wrong[0]}")


PRESETS = {"quick": Config(seeds=3), "paper": Config(**tm.CLOUD, seeds=10)}

VARIABLES = {
    "drift": ((), "1", "share of the squared increments of epochs along their principal direction"),
    "displacement_cosine": ((), "1", "cosine of the displacements of student and teacher"),
}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students: which moments are the teacher's, and how Adam remembers."""

    def record(**values: Any) -> dict[str, Any]:
        fresh = {"first": False, "second": False, "scaled": True}
        return fresh | {"beta2": BETA2, "momentum": False} | values

    students = {
        "fresh": record(),
        "first moment": record(first=True),
        "second moment": record(second=True),
        "both moments": record(first=True, second=True),
        "both unscaled": record(first=True, second=True, scaled=False),
        **{f"beta2 = {beta2:g}": record(beta2=beta2) for beta2 in config.beta2},
        "momentum": record(momentum=True),
    }
    return {"student": students, "start": tm.STARTS}


def teach(protocol: tm.Protocol, config: Any, data: Any, seed: jax.Array) -> Any:
    """Train the teacher, and keep the state of its optimiser."""
    return protocol.prepare(data, seed, keep_state=True)


def student(setup: tm.Setup, student: dict[str, jax.Array], start: jax.Array) -> dict[str, Any]:
    """A student by one optimiser, from one state."""
    import jax
    import jax.numpy as jnp
    import optax

    config, init = setup.config, setup.start(start)
    movable = jax.tree.map(jnp.logical_not, setup.groups["class_head"])
    own = tm.moments.read_moments(setup.lesson.state)
    scaled = tm.moments.match_scale(own, first_gradient(setup, init), movable)
    chosen = jax.tree.map(partial(jnp.where, student["scaled"]), scaled, own)
    moments = tm.moments.transplant(chosen, student["first"], student["second"], movable)
    adam = tm.moments.adam_from(moments, config.student_lr, b2=student["beta2"])
    descent = optax.sgd(config.momentum_lr, momentum=0.9)
    optimiser = tm.optimisers.one_of([adam, descent], student["momentum"].astype(int))
    watch = setup.watch()
    params, curve = setup.distil(
        tm.Student(init, optimiser=optimiser),
        observe=lambda params: {**watch(params), "path": params},
    )
    return {
        "drift": tm.alignment.measure_drift(curve.pop("path")),
        "displacement_cosine": tm.alignment.displacement_cosine(
            params, init, setup.teacher, setup.reference
        ),
        **curve,
    }


def first_gradient(setup: tm.Setup, params: tm.Params) -> tm.Params:
    """The gradient of the imitation loss on as many inputs as a batch has."""
    import jax

    x, answers = (array[: setup.config.batch] for array in (setup.inputs, setup.answers))
    network, imitation, mask = setup.network, setup.protocol.imitation, setup.auxiliary()
    return jax.grad(lambda p: imitation(network.apply(p, x), answers, mask))(params)


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add transfer, and the accuracy that fresh moments have at the same imitation loss."""
    backwards = tm.succeeded(runs).isel(epoch=slice(None, None, -1))  # the loss then rises
    fresh = backwards.sel(student="fresh", drop=True)
    last = backwards.loss.isel(epoch=0, drop=True)
    about = "accuracy of fresh moments at the student's last imitation loss; NaN: never there"
    matched = tm.read_at(fresh.loss, fresh.accuracy, last, "epoch")
    return tm.against_control(runs).assign(
        matched_accuracy=matched.assign_attrs(units="1", description=about)
    )


def findings(runs: xr.Dataset) -> list[Any]:
    """What transfers, against the student with fresh moments, and what the drift is."""
    valid = tm.succeeded(runs)
    rivals = [name for name in valid.student.values if name != "fresh"]
    shared = valid.sel(start="shared", drop=True)
    matched = (shared.final_accuracy - shared.matched_accuracy).sel(student=rivals)
    equal = matched.dropna("student", how="all")

    def gap(array: xr.DataArray) -> xr.DataArray:
        return array.sel(student=rivals) - array.sel(student="fresh", drop=True)

    return [
        *tm.compare("Transfer", valid.transfer),
        *tm.compare("Transfer less that with fresh moments", gap(valid.transfer), tm.HIGHER),
        *tm.compare(
            "Test accuracy less that of fresh moments at the same imitation loss", equal, tm.HIGHER
        ),
        *tm.compare("Share of the increments along one direction", shared.drift, None),
        *tm.compare("Displacement cosine with the teacher", shared.displacement_cosine),
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy, drift and alignment of every student and its control."""
    valid = tm.succeeded(runs)
    panels = {
        "final_accuracy": "test accuracy",
        "drift": "share of increments along one direction",
        "displacement_cosine": "cosine of displacement with the teacher's",
    }
    with tm.plotting.style():
        fig, axes = tm.plotting.panels(13, 3.8, columns=[1] * len(panels))
        for ax, (name, label) in zip(axes, panels.items(), strict=True):
            look: dict[str, Any] = {"label": "{start} init", "joined": False, "ylabel": label}
            tm.charts.dots(ax, valid[name], "student", "start", **look)
            tm.plotting.slanted(ax, 40)
        axes[0].set(ylim=(0, 1.05), title=tm.plotting.caption(runs))
        axes[1].set(ylim=(0, 1.05))
        for ax in axes[1:]:
            if legend := ax.get_legend():
                legend.remove()
    return fig


sweep = tm.distillation_sweep(student, points, teach=teach, variables=VARIABLES)
HEADLINE = ("transfer", "final_accuracy")
STUDY = tm.Study("optimiser_state", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE)

if __name__ == "__main__":
    STUDY.main()
