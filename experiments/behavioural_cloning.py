"""Functional overlap without shared parameters: a student first matched to the initial teacher.

A student with an independent initialisation is trained, for a number of epochs and on a number of
inputs, to give the logits of the *untrained* teacher (KL over all logits). Then the teacher learns
digits, and the student is distilled on the auxiliary logits as usual. Matching restores part of the
transfer although hardly any parameter is shared: more of it on noise, the later distillation
inputs, than on images. Cloud et al., Nature 652, 615-621 (2026), behavioural cloning.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

INPUTS = ("noise", "images")


@dataclass(frozen=True)
class Config(tm.NetworkConfig):
    """The fields of this experiment; the defaults are the preset ``quick``."""

    m: tm.Count = 50
    """Number of auxiliary logits."""
    matching_epochs: Annotated[tuple[int, ...], tm.Range(0)] = (0, 3, 10, 30)
    """Numbers of passes of matching after which a student is distilled; 0 is the cross-model
    control."""
    matching_inputs: tm.Counts = (500, 4000)
    """Numbers of distinct inputs to match on (of training images, no more than there are). A pass
    has as many steps with few inputs as with the most: few inputs are repeated."""
    matching_lr: tm.Rate = 1e-3
    """Learning rate of Adam in matching."""


PRESETS = {
    "quick": Config(seeds=3),
    "paper": Config(
        **tm.CLOUD,
        seeds=10,
        matching_epochs=(0, 1, 3, 10, 30, 100),
        matching_inputs=(1000, 60_000),
        matching_lr=3e-4,
    ),
}

# Dimensions behind the axes, unit and meaning of what is recorded beside the usual.
VARIABLES = {
    "shared_accuracy": (("epoch",), "1", "test accuracy of the student with the teacher's init"),
}


def points(config: Config) -> dict[str, Any]:
    """The axes of the students: what they were matched on, how many of them, and for how long."""
    return {
        "inputs": tm.label_axis(INPUTS),
        "n": tm.label_axis(config.matching_inputs),
        "epochs": tm.label_axis(config.matching_epochs),
    }


def teach(
    protocol: tm.protocol.Protocol, config: Config, data: tm.tasks.Data, seed: jax.Array
) -> tuple[tm.protocol.Lesson, dict[str, Any]]:
    """The reference teacher, and the accuracy of a student that shares its initialisation."""
    lesson, curve = protocol.prepare(data, seed)
    shared = tm.Student(start=lesson.reference)
    accuracy = tm.Setup(config, protocol, data, lesson).distil(shared)[1]["accuracy"]
    return lesson, {**curve, "shared_accuracy": accuracy}


def prepare(setup: tm.Setup) -> tm.Params:
    """Students matched to the reference; leading axes: inputs, their number, epochs."""
    import jax
    import jax.numpy as jnp
    import optax

    config, network, reference = setup.config, setup.network, setup.reference
    init_key, noise_key, order_key = jax.random.split(setup.keys.relation, 3)
    start, largest = network.init(init_key), max(config.matching_inputs)

    def match(x: jax.Array, n: jax.Array) -> tm.Params:
        _, states = tm.distillation.distil(
            network,
            start,
            tm.reshuffle((x, network.apply(reference, x)), config.batch, only=n),
            setup.protocol.imitation,
            setup.all_logits,
            optax.adam(config.matching_lr),
            epochs=max(config.matching_epochs),
            observe=lambda params: params,
            key=order_key,
        )
        return jax.tree.map(lambda a: a[np.array(config.matching_epochs)], states)

    def match_on(x: jax.Array) -> tm.Params:
        # In sequence: the states of all epochs are large, those of the chosen epochs are not.
        counts = jnp.minimum(jnp.array(config.matching_inputs), len(x))
        return jax.lax.map(lambda n: match(x, n), counts)

    noise = setup.protocol.noise(noise_key, largest)
    images = setup.task.pixels(setup.data.train[0][:largest])
    return tm.stack_trees(match_on(noise), match_on(images))


def student(setup: tm.Setup, inputs: jax.Array, n: jax.Array, epochs: jax.Array) -> tm.Student:
    """A student that was matched to the reference."""
    import jax

    return tm.Student(start=jax.tree.map(lambda a: a[inputs, n, epochs], setup.extra))


def analyse(runs: xr.Dataset) -> xr.Dataset:
    """Add final accuracy and, where there is an unmatched student as control, transfer."""
    if 0 in runs.epochs:
        return tm.against_point(runs, epochs=0)
    final = tm.succeeded(runs).accuracy.isel(epoch=-1, drop=True)
    about = {"description": "student's final test accuracy"}
    return runs.assign(final_accuracy=final.assign_attrs(about))


def findings(runs: xr.Dataset) -> list[Any]:
    """How much of the transfer matching restores, and on which inputs it restores more."""
    valid = tm.succeeded(runs)
    longest, final = valid.epochs.values.max(), valid.final_accuracy
    matched = final.sel(epochs=longest, drop=True)
    rows = tm.compare(
        f"Test accuracy of a shared initialisation less that after {longest} epochs of matching",
        valid.shared_accuracy.isel(epoch=-1) - matched,
        tm.HIGHER,
    )
    if 0 in valid.epochs:
        gain = tm.contrast(final, epochs=(longest, 0))
        rows += tm.compare(f"Test accuracy that {longest} epochs of matching add", gain)
    gap = tm.contrast(matched, inputs=("noise", "images"))
    quantity = "Test accuracy after matching on noise less that after matching on images"
    return rows + tm.compare(quantity, gap, tm.HIGHER)


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy against epochs of matching, and how alike the functions had become."""
    runs = tm.succeeded(runs)
    epochs = runs.epochs.values
    shared = np.tile(runs.shared_accuracy.isel(epoch=-1).values[:, None], len(epochs))
    with tm.plotting.style():
        fig, (left, right) = tm.plotting.panels(8.4, 3.4, columns=(1, 1))
        bounds = (runs.final_accuracy, shared), (runs.aux_agreement, np.ones_like(shared))
        for ax, (array, bound) in zip((left, right), bounds, strict=True):
            lines = tm.charts.select_lines(array, "epochs", ("inputs", "n"), "{inputs}, n = {n}")
            tm.charts.labelled_lines(ax, epochs, {"shared init": bound} | lines)
            ax.set(xlabel="epochs of matching", ylim=(-0.05, 1.05))
        left.set(ylabel="student's test accuracy", title=tm.plotting.caption(runs))
        right.set(ylabel="agreement of auxiliary logits\nafter matching, on unseen noise")
        left.legend(title="matched on")
    return fig


sweep = tm.distillation_sweep(
    student, points, teach=teach, prepare=prepare, similarity=True, variables=VARIABLES
)
HEADLINE = ("final_accuracy",)
STUDY = tm.Study(
    "behavioural_cloning", __doc__, PRESETS, sweep, analyse, findings, figure, HEADLINE
)

if __name__ == "__main__":
    STUDY.main()
