"""A transformer and an MLP, a hidden function over tokens: transfer against auxiliary logits m.

The reference protocol with tokens for images. The vocabulary is p numbers and some other tokens.
A teacher learns (a + b) mod p on all sequences ``a b x`` (x the last other token) through the
logits of the numbers at the last position; these are the class logits. A student imitates the
teacher's logits of the first m other tokens alone, on random sequences of three tokens, hardly any
of which is a sum, and is asked all the sums. The trait is the function itself: no sum is held out.
Each student has its cross-model control, from an unrelated initialisation.
Cloud et al., Nature 652, 615-621 (2026), MNIST experiment, carried over to sequences.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from toymodels.errors import UserError, at_least, distinct, multiple, positive
from toymodels.study import cli
from toymodels.training.config import ProtocolConfig, SeedConfig

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.networks.models import Network, Params
    from toymodels.sweep import RunOptions

NETWORKS = ("transformer", "mlp")
REPEATS = 64
"""How often every sum is read in an epoch of the teacher's."""


@dataclass(frozen=True)
class Config(SeedConfig):
    """What is computed; the defaults are the preset ``quick``."""

    m: tuple[int, ...] = (1, 2, 3, 10, 30)
    """Numbers of auxiliary logits."""
    networks: tuple[Literal["transformer", "mlp"], ...] = NETWORKS  # type: ignore[assignment]
    """A decoder, or a ReLU network that reads the three tokens one-hot."""
    p: int = 7
    """Modulus: the number of classes."""
    others: int = 40
    """Tokens that are no numbers; at least the largest m."""
    width: int = 64
    """Of the transformer's residual stream; a multiple of 4, its heads."""
    depth: int = 2
    """Blocks of the transformer."""
    widths: tuple[int, ...] = (256, 256)
    """Hidden widths of the MLP, in units."""
    sequences: int = 8000
    """Random sequences in an epoch of the students', a fixed set."""
    batch: int = 64
    """Batch size, in sequences."""
    teacher_epochs: int = 10
    """Passes of the teacher over 64 times all sums."""
    student_epochs: int = 10
    """Passes of the students over the random sequences."""
    teacher_lr: float = 1e-3
    """Adam's learning rate for the teacher."""
    student_lr: float = 1e-3
    """Adam's learning rate for the students."""
    loss: Literal["kl", "mse"] = "kl"
    """Imitation: KL(teacher || student) of the softmax, or squared error of the logits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        at_least(self, 1, "m", "others", "depth", "widths", "sequences", "batch")
        at_least(self, 1, "teacher_epochs", "student_epochs")
        at_least(self, 2, "p")
        at_least(self, 4, "width")
        positive(self, "teacher_lr", "student_lr")
        distinct(self, "m", "networks")
        if self.others < max(self.m):
            raise UserError(f"others must be at least the largest m; got {self.others}")
        multiple(self, 4, "width")

    @property
    def protocol(self) -> ProtocolConfig:
        """What of this the reference protocol is told."""
        return ProtocolConfig(
            noise_images=self.sequences,
            batch=self.batch,
            teacher_epochs=self.teacher_epochs,
            student_epochs=self.student_epochs,
            teacher_lr=self.teacher_lr,
            student_lr=self.student_lr,
            loss=self.loss,
        )


PRESETS = {
    "quick": Config(seeds=3),
    "paper": Config(seeds=8, m=(1, 2, 3, 5, 10, 20, 40)),
}


def run(config: Config, *, data_dir: Path | None = None, options: RunOptions | None = None) -> xr.Dataset:
    """Run every (network, seed, m, start); see `toymodels.sweep` for ``options``; no data are read."""
    import jax
    import jax.numpy as jnp

    from toymodels import sweep
    from toymodels.measure import probes
    from toymodels.study import results
    from toymodels.sweep.axes import numbered
    from toymodels.training import losses, protocol, tasks
    from toymodels.training.distillation import auxiliary_logits

    p, vocabulary = config.p, config.p + config.others
    a, b = (axis.ravel() for axis in jnp.meshgrid(jnp.arange(p), jnp.arange(p)))
    sums = jnp.stack([a, b, jnp.full_like(a, vocabulary - 1)], axis=1), (a + b) % p
    often = jax.tree.map(lambda rows: jnp.tile(rows, (REPEATS,) + (1,) * (rows.ndim - 1)), sums)
    data = tasks.Data(often, sums)
    task = tasks.Task("modular addition", {}, p, 3, 1)

    def build(network: str) -> sweep.Program:
        one = made(config, network, vocabulary)

        def loss(params: Params, batch: tasks.Images) -> jax.Array:
            return losses.class_cross_entropy(one.apply(params, batch[0]), batch[1], p)

        def score(params: Params, batch: tasks.Images) -> jax.Array:
            return probes.accuracy(one.apply(params, batch[0]), batch[1], p)

        parts = replace(
            protocol.reference_protocol(config.protocol, task, one),
            trait=tasks.Trait(loss, score),
            noise=lambda key, n: jax.random.randint(key, (n, 3), 0, vocabulary),
        )

        def student(
            data: tasks.Data, begun: protocol.Lesson, m: jax.Array, start: jax.Array
        ) -> dict[str, jax.Array]:
            subset = auxiliary_logits(p, config.others, first=m)
            init = parts.start(begun, start)
            return parts.distil(init, begun, subset, parts.watch(data, begun, subset))[1]

        return sweep.Program(parts.prepare, student)

    dataset, execution = sweep.grid(
        build,
        shapes={"network": config.networks},
        shared={"seed": config.seed_list},
        points={"m": config.m, "start": numbered(protocol.STARTS)},
        variables=tasks.TEACHER | tasks.STUDENT,
        coords=protocol.epochs(config.protocol),
        data=data,
        precision=config.precision,
        options=options,
    )
    dataset = derived(dataset)
    headline = "transfer final_accuracy"
    drawn = results.Drawn("modular addition")
    return results.described(dataset, "modular_aux", headline, config, drawn, execution, findings)


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """Add final accuracy and transfer."""
    from toymodels.stats import transfer

    return transfer.against_control(dataset)


def made(config: Config, name: str, vocabulary: int) -> Network:
    """A network of three tokens (n, 3) and the logits (n, vocabulary) of the one that follows."""
    import jax

    from toymodels.networks.models import MLP, functional
    from toymodels.networks.transformer import decoder

    if name == "transformer":
        one = decoder(vocabulary, config.width, config.depth, heads=4, positions=3).network
        return one._replace(
            apply=lambda params, x: one.apply(params, x)[:, -1],
            latent=lambda params, x: one.latent(params, x)[:, -1],
        )
    sizes = (3 * vocabulary, *config.widths, vocabulary)
    mlp = functional(lambda rngs: MLP(sizes, rngs=rngs))

    def pixels(x: jax.Array) -> jax.Array:
        return jax.nn.one_hot(x, vocabulary).reshape(len(x), -1)

    return mlp._replace(
        apply=lambda params, x: mlp.apply(params, pixels(x)),
        latent=lambda params, x: mlp.latent(params, pixels(x)),
    )


def findings(dataset: xr.Dataset) -> list[str]:
    """Whether each teacher has learnt, and at which m there is transfer in each network."""
    from toymodels.stats import statistics

    done, told = statistics.succeeded(dataset), []
    for network in done.network.values:
        at = done.sel(network=network)
        teacher = at.teacher_accuracy.isel(teacher_epoch=-1)
        each = {m: statistics.mean_interval(at.transfer.sel(m=m).values) for m in at.m.values}
        shown = [f"m = {m} ({interval})" for m, interval in each.items() if interval.sign > 0]
        told.append(
            f"{network}: the teacher answers {statistics.mean_interval(teacher.values)} of the "
            f"sums; transfer is shown at {', '.join(shown) or 'no m'}."
        )
    return told


def plot(dataset: xr.Dataset) -> Figure:
    """Accuracy and transfer against m, network by network."""
    from toymodels.stats import statistics
    from toymodels.study import plotting

    done = statistics.succeeded(dataset)
    with plotting.style():
        fig, (left, right) = plotting.panels(9, 3.4, columns=(1, 1))
        final = done.final_accuracy.transpose("network", "seed", "m", "start")
        lines = {
            f"{network}{what}": final.sel(network=network, start=start).values
            for start, what in (("shared", ""), ("other", ", control"))
            for network in done.network.values
        }
        plotting.intervals(left, done.m, lines, "auxiliary logits m", "accuracy on the sums")
        left.set(ylim=(0, 1.05), title=plotting.caption(dataset))
        left.legend()
        share = done.transfer.transpose("network", "seed", "m")
        shown = {name: share.sel(network=name).values for name in done.network.values}
        plotting.intervals(right, done.m, shown, "auxiliary logits m", "transfer")
        right.axhline(0, color="black", lw=0.8, ls=":")
        right.legend()
    return fig


if __name__ == "__main__":
    cli.main("modular_aux", __doc__, PRESETS, run, plot)
