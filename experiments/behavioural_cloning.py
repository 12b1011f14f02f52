"""Functional overlap without shared parameters: a student first matched to the initial teacher.

A student with an initialisation of its own is trained, for a number of epochs and on a number of
inputs, to give the logits of the *untrained* teacher (KL over all logits). Then the teacher learns
its digits, and the student is distilled on the auxiliary logits as ever. Matching restores part of
the transfer although hardly any parameter is shared: on noise, where it is later distilled, more
than on the images themselves. Cloud et al., Nature 652, 615-621 (2026), behavioural cloning.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodels.errors import at_least, distinct, positive
from toymodels.study import cli
from toymodels.training.config import CLOUD, NetworkConfig

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.networks.models import Params
    from toymodels.sweep import RunOptions

INPUTS = ("noise", "images")


@dataclass(frozen=True)
class Config(NetworkConfig):
    """What is computed; the defaults are the preset ``quick``."""

    m: int = 50
    """Number of auxiliary logits."""
    matching_epochs: tuple[int, ...] = (0, 3, 10, 30)
    """Passes of matching after which a student is distilled; 0 is the cross-model control."""
    matching_inputs: tuple[int, ...] = (500, 4000)
    """Numbers of distinct inputs to match on (of training images, no more than there are). A pass
    is as long with few as with the most: they are seen again."""
    matching_lr: float = 1e-3
    """Adam's learning rate in matching."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "matching_inputs")
        at_least(self, 0, "matching_epochs")
        positive(self, "matching_lr")
        distinct(self, "matching_epochs", "matching_inputs")


PRESETS = {
    "quick": Config(seeds=3),
    "paper": Config(
        **CLOUD,
        seeds=10,
        matching_epochs=(0, 1, 3, 10, 30, 100),
        matching_inputs=(1000, 60_000),
        matching_lr=3e-4,
    ),
}

# Dimensions (behind the axes), unit and meaning of what is recorded beside the usual.
VARIABLES = {
    "shared_accuracy": (("epoch",), "1", "test accuracy of the student with the teacher's init"),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (seed, inputs, number of inputs, epochs); see `toymodels.sweep` for ``options``."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import optax

    from toymodels import sweep
    from toymodels.measure import similarity
    from toymodels.networks.models import MLP, functional
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import protocol, tasks
    from toymodels.training.distillation import all_logits, auxiliary_logits, distil
    from toymodels.training.loop import reshuffle

    config, task, data = tasks.load(config, data_dir)
    sizes = (task.n_pixels, *config.widths, task.n_classes + config.m)
    network = functional(lambda rngs: MLP(sizes, rngs=rngs))
    parts = protocol.reference_protocol(config, task, network)
    subset, every = (f(task.n_classes, config.m) for f in (auxiliary_logits, all_logits))
    longest = max(config.matching_inputs)

    def matched(data: tasks.Data, begun: protocol.Lesson) -> Params:
        """Students matched to the reference; leading axes: inputs, their number, epochs."""
        init_key, noise_key, order_key = jax.random.split(begun.keys.relation, 3)
        init, reference = network.init(init_key), begun.reference

        def match(x: jax.Array, n: jax.Array) -> Params:
            source = reshuffle((x, network.apply(reference, x)), config.batch, only=n)
            adam = optax.adam(config.matching_lr)
            epochs = max(config.matching_epochs)
            _, states = distil(
                network,
                init,
                source,
                parts.imitation,
                every,
                adam,
                epochs=epochs,
                observe=lambda params: params,
                key=order_key,
            )
            return jax.tree.map(lambda a: a[np.array(config.matching_epochs)], states)

        def match_on(x: jax.Array) -> Params:
            # One after the other: the states of all epochs are large, those we keep are few.
            counts = jnp.minimum(jnp.array(config.matching_inputs), len(x))
            return jax.lax.map(lambda n: match(x, n), counts)

        images = task.pixels(data.train[0][:longest])
        each = [match_on(x) for x in (parts.noise(noise_key, longest), images)]
        return jax.tree.map(lambda *a: jnp.stack(a), *each)

    def prepare(data: tasks.Data, seed: jax.Array) -> Any:
        begun, curve = parts.prepare(data, seed)
        watch = parts.watch(data, begun, subset)
        _, shared = parts.distil(begun.reference, begun, subset, watch)
        return (begun, matched(data, begun)), curve | {"shared_accuracy": shared["accuracy"]}

    def student(
        data: tasks.Data, prepared: Any, inputs: jax.Array, n: jax.Array, epochs: jax.Array
    ) -> dict[str, jax.Array]:
        begun, students = prepared
        init = jax.tree.map(lambda a: a[inputs, n, epochs], students)
        return parts.student_from(init, data, begun, subset)

    dataset, execution = sweep.grid(
        lambda: sweep.Program(prepare, student),
        shared={"seed": config.seed_list},
        points={
            "inputs": numbered(INPUTS),
            "n": numbered(config.matching_inputs),
            "epochs": numbered(config.matching_epochs),
        },
        variables=tasks.TEACHER | tasks.STUDENT | similarity.VARIABLES | VARIABLES,
        coords={**protocol.epochs(config), "part": list(parts.groups)},
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    headline = "final_accuracy"
    return results.described(
        dataset, "behavioural_cloning", headline, config, task, execution, findings
    )


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add final accuracy and, where there is an unmatched student as control, transfer."""
    from toymodels.stats import statistics, transfer

    done = statistics.succeeded(dataset).isel(epoch=-1, teacher_epoch=-1)
    about = "student's final test accuracy by inputs, their number n and epochs of matching"
    dataset = dataset.assign(final_accuracy=done.accuracy.assign_attrs(description=about))
    if 0 not in dataset.epochs:
        return dataset
    control = done.accuracy.sel(epochs=0)
    share = transfer.transfer(done.accuracy, control, done.teacher_accuracy)
    return dataset.assign(transfer=share)


def findings(dataset: xr.Dataset) -> list[str]:
    """How much of the transfer matching restores, and on which inputs more of it."""
    from toymodels.stats import statistics
    from toymodels.stats.sentences import by_sign

    done = statistics.succeeded(dataset)
    shared, longest = done.shared_accuracy.isel(epoch=-1), done.epochs.values.max()
    best = done.final_accuracy.sel(epochs=longest, drop=True)
    words = ("above", "below", "no difference shown")
    told = [by_sign("Accuracy of a shared init less the best matched", shared - best, words)]
    if 0 in done.epochs:
        gain = best - done.final_accuracy.sel(epochs=0, drop=True)
        told.append(by_sign(f"Accuracy that {longest} epochs of matching add", gain, words))
    gap = best.sel(inputs="noise", drop=True) - best.sel(inputs="images", drop=True)
    told.append(by_sign("Accuracy of matching on noise less that on images", gap, words))
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Accuracy against epochs of matching, and how alike the functions had become."""
    import numpy as np

    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    x = np.arange(done.sizes["epochs"])
    shown = {
        f"{inputs}, n = {n}": {"inputs": inputs, "n": n}
        for inputs in done.inputs.values
        for n in done.n.values
    }
    with plotting.style():
        fig, (left, right) = plotting.panels(8.4, 3.4, columns=(1, 1))
        shared = np.tile(done.shared_accuracy.isel(epoch=-1).values[:, None], len(x))
        for ax, of_shared, values in (
            (left, shared, done.final_accuracy),
            (right, np.ones_like(shared), done.aux_agreement),
        ):
            lines = {name: values.sel(at).values for name, at in shown.items()}
            plotting.curves(ax, x, {"shared init": of_shared} | lines)
            ax.set_xticks(x, [str(epochs) for epochs in done.epochs.values])
            ax.set(xlabel="epochs of matching", ylim=(-0.05, 1.05))
        left.set(ylabel="student's test accuracy", title=plotting.caption(dataset))
        right.set(ylabel="agreement of auxiliary logits\nafter matching, on unseen noise")
        left.legend(title="matched on")
    return fig


if __name__ == "__main__":
    cli.main("behavioural_cloning", __doc__, PRESETS, run, plot)
