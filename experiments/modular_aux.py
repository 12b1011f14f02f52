"""A transformer and an MLP, a hidden function of tokens: transfer against auxiliary logits m.

The reference protocol with tokens in place of images. The vocabulary is p numbers and some other
tokens. A teacher learns (a + b) mod p on all sequences ``a b x`` (x the last other token) through
the logits of the numbers at the last position; these are the class logits. A student imitates the
teacher's logits of the first m other tokens alone, on random sequences of three tokens, hardly any
of which is a sum, and is tested on all the sums. The trait is the function itself: no sum is held
out. Each student has its cross-model control, from an independent initialisation.
Cloud et al., Nature 652, 615-621 (2026), MNIST experiment, carried over to sequences.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

import numpy as np

import toymodels as tm

if TYPE_CHECKING:
    import jax
    import xarray as xr
    from matplotlib.figure import Figure

Kind = Literal["transformer", "mlp"]
NETWORKS: tuple[Kind, ...] = get_args(Kind)
REPEATS = 64
"""Number of times that the teacher reads every sum in an epoch."""
ATTENTION_HEADS = 4
"""Number of attention heads of the transformer."""


@dataclass(frozen=True)
class Config(tm.RateFields, tm.SeedConfig):
    """The fields of this experiment."""

    m: tm.Counts = (1, 2, 3, 10, 30)
    """Numbers of auxiliary logits."""
    networks: tuple[Kind, ...] = NETWORKS
    """Networks: a decoder, or a ReLU network that reads the three tokens one-hot."""
    p: Annotated[int, tm.Range(2)] = 7
    """Modulus: the number of classes."""
    others: tm.Count = 40
    """Number of tokens that are no numbers; at least the largest m."""
    width: Annotated[int, tm.Range(4)] = 64
    """Width of the transformer's residual stream; a multiple of 4, its number of heads."""
    depth: tm.Count = 2
    """Number of blocks of the transformer."""
    widths: tm.Widths = (256, 256)
    """Widths of the hidden layers of the MLP, in units."""
    sequences: tm.Count = 8000
    """Number of random sequences in an epoch of the students, a fixed set."""
    batch: tm.Count = 64
    """Batch size, in sequences."""
    teacher_epochs: tm.Count = 10
    """Number of passes of the teacher over 64 copies of all sums."""
    student_epochs: tm.Count = 10
    """Number of passes of the students over the random sequences."""
    loss: Literal["kl", "mse"] = "kl"
    """Imitation loss: KL(teacher || student) of the softmax, or squared error of the logits."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.others < max(self.m):
            raise tm.UserError(f"others must be at least the largest m; got {self.others}")
        if self.width % ATTENTION_HEADS:
            raise tm.UserError(f"width must be a multiple of {ATTENTION_HEADS}; got {self.width}")

    @property
    def vocabulary(self) -> int:
        """Number of tokens."""
        return self.p + self.others

    @property
    def protocol(self) -> tm.ProtocolConfig:
        """The fields of the reference protocol."""
        names = {field.name for field in dataclasses.fields(tm.ProtocolConfig)}
        same = {name: value for name, value in vars(self).items() if name in names}
        return tm.ProtocolConfig(noise_images=self.sequences, **same)


PRESETS = {
    "quick": Config(seeds=3),
    "paper": Config(seeds=10, m=(1, 2, 3, 10, 30)),
}


def build_network(config: Config, kind: str) -> tm.Network:
    """A network of three tokens (n, 3) and the logits (n, vocabulary) of the next token."""
    size, heads = config.vocabulary, ATTENTION_HEADS
    if kind == "mlp":
        mlp = tm.functional(lambda rngs: tm.MLP((3 * size, *config.widths, size), rngs=rngs))
        return tm.read_one_hot(mlp, size)
    decoder = tm.transformer.decoder(size, config.width, config.depth, heads=heads, positions=3)
    return tm.answer_last(decoder.network)


def list_sums(config: Config) -> tuple[np.ndarray, np.ndarray]:
    """All sequences ``a b x`` (p^2, 3), x the last token, and (a + b) mod p (p^2,)."""
    numbers = np.arange(config.p)
    a, b = (array.ravel() for array in np.meshgrid(numbers, numbers))
    return np.stack([a, b, np.full_like(a, config.vocabulary - 1)], axis=1), (a + b) % config.p


def sweep(config: Config, data_dir: Path | None) -> tm.Sweep:
    """The reference protocol on tokens; no data are read."""
    import jax

    networks = {str(kind): build_network(config, kind) for kind in config.networks}
    about = tm.tasks.About("modular addition", "accuracy on the sums", "cross-entropy", "nat")
    sums, answers = list_sums(config)
    task = tm.tasks.Task("modular addition", {}, config.p, 3, 1)

    def build(network: str) -> tm.Program:
        protocol = dataclasses.replace(
            tm.protocol.reference_protocol(config.protocol, task, networks[network]),
            trait=tm.traits.reading_inputs(networks[network], config.p),
            noise=lambda key, n: jax.random.randint(key, (n, 3), 0, config.vocabulary),
        )

        def student(
            data: tm.tasks.Data, lesson: tm.protocol.Lesson, m: jax.Array, start: jax.Array
        ) -> dict[str, jax.Array]:
            setup = tm.Setup(config, protocol, data, lesson)
            return setup.distil(tm.Student(setup.start(start), setup.auxiliary(m)))[1]

        return tm.Program(protocol.prepare, student)

    def annotate(runs: xr.Dataset) -> xr.Dataset:
        names = "; ".join(f"{kind}: {network.name}" for kind, network in networks.items())
        return runs.assign_coords(network=runs.network.assign_attrs(description=names))

    return tm.Sweep(
        build,
        shapes={"network": config.networks},
        points={"m": config.m, "start": tm.STARTS},
        variables={
            **tm.tasks.describe_teacher(about),
            **tm.tasks.describe_student(about),
            "teacher_loss": (("teacher_epoch",), about.loss_unit, f"teacher's {about.loss}"),
            "loss": (("epoch",), tm.LOSS_UNIT, "imitation loss on 1,000 unseen random sequences"),
        },
        coords=tm.protocol.epochs(config.protocol),
        task=tm.DrawnData("modular addition"),
        data=tm.tasks.Data(
            (np.tile(sums, (REPEATS, 1)), np.tile(answers, REPEATS)), (sums, answers)
        ),
        annotate=annotate,
    )


def findings(runs: xr.Dataset) -> list[Any]:
    """Whether each teacher has learnt, and at which m there is transfer in each network."""
    valid = tm.succeeded(runs)
    teacher = valid.teacher_accuracy.isel(teacher_epoch=-1, drop=True)
    return [
        *tm.compare("Share of the sums that the teacher answers", teacher, None),
        *tm.compare("Transfer", valid.transfer),
    ]


def figure(runs: xr.Dataset) -> Figure:
    """Accuracy and transfer against m, network by network."""
    valid = tm.succeeded(runs)
    students, controls = (valid.final_accuracy.sel(start=start) for start in tm.STARTS)
    m, label = "auxiliary logits m", "{network}, control"
    with tm.plotting.style():
        fig, (left, right) = tm.plotting.panels(9, 3.4, columns=(1, 1))
        also = tm.charts.select_lines(controls, "m", "network", label)
        y = "accuracy on the sums"
        tm.charts.dots(left, students, "m", "network", xlabel=m, ylabel=y, also=also)
        left.set(ylim=(0, 1.05), title=tm.plotting.caption(runs))
        left.legend()
        tm.charts.dots(right, valid.transfer, "m", "network", xlabel=m, ylabel="transfer")
        right.axhline(0, color="black", lw=0.8, ls=":")
        right.legend()
    return fig


HEADLINE = ("transfer", "final_accuracy")
STUDY = tm.Study(
    "modular_aux", __doc__, PRESETS, sweep, tm.against_control, findings, figure, HEADLINE
)

if __name__ == "__main__":
    STUDY.main()
