"""What every experiment of a teacher and its students has to say, field by field.

An experiment's Config extends `ProtocolConfig`, or `SeedConfig` where the data are drawn from the seeds. An
experiment that sweeps a field of the protocol leaves out the part of `ProtocolConfig` with that field,
and declares the field itself as a tuple, an axis. ``config.at(teacher_lr=0.1)`` is the config at one
value. Nothing heavy is imported here: ``--help`` reads it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from toymodels.errors import MOST, UserError, at_least
from toymodels.fields import Count, Range, Rate, check_fields

Widths = Annotated[tuple[int, ...], Range(1, repeats=True)]
"""Widths of hidden layers; several may be equal."""


@dataclass(frozen=True)
class SeedConfig:
    """The fields of every experiment, with or without a data set."""

    seeds: Count = 5
    """Number of seeds; each has its own reference, teacher, distillation inputs and students."""
    first_seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    """First seed; the seeds are consecutive integers."""
    precision: Literal["float32", "tensorfloat32", "bfloat16"] = "float32"
    """Precision of matrix products; the reduced precisions change nothing on a CPU."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            UserError: one sentence with the field, its value and what is allowed.

        """
        check_fields(self)
        at_least(self, 0, "first_seed", most=2**31 - 1 - self.seeds)
        if len(layers := getattr(self, "widths", ())) > MOST["depth"]:
            raise UserError(f"widths must be of at most {MOST['depth']} layers; got {len(layers)}")

    def at(self, **values: Any) -> Any:
        """The same config with one value each for some fields that are axes, in place of a tuple."""
        return dataclasses.replace(self, **values)

    @property
    def seed_list(self) -> list[int]:
        """The seeds."""
        return list(range(self.first_seed, self.first_seed + self.seeds))

    @property
    def unused(self) -> frozenset[str]:
        """Fields that this run does not read, and that its result does not keep."""
        return frozenset()


@dataclass(frozen=True)
class ImageConfig(SeedConfig):
    """The fields of the reference protocol that no experiment sweeps; the defaults are small."""

    dataset: Literal["auto", "mnist", "fashion", "emnist", "digits"] = "auto"
    """Data set that the teacher learns: mnist, fashion (Fashion-MNIST) or emnist (balanced, 47
    classes; all 28x28), digits (8x8, embedded), or auto: mnist if it is on this machine or can be
    downloaded, else digits."""
    train_images: Count | None = 4096
    """Number of training images, the first of the data set; all of them if it has fewer (None: all).
    The digits have 1,437."""
    noise_images: Count = 8000
    """Number of distillation inputs in an epoch: images of U(-1, 1) noise."""
    batch: Count = 64
    """Batch size, in images."""
    student_epochs: Count = 10
    """Number of passes of the students over the distillation inputs."""
    temperature: Rate = 1.0
    """Temperature of both softmaxes in the KL loss; it has no effect on mse."""

    @property
    def unused(self) -> frozenset[str]:
        """Fields that this run does not read, and that its result does not keep."""
        return frozenset() if "kl" in vars(self)["loss"] else frozenset({"temperature"})


@dataclass(frozen=True)
class EpochFields:
    """How long the teacher learns."""

    teacher_epochs: Count = 10
    """Number of passes of the teacher over the training images."""


@dataclass(frozen=True)
class RateFields:
    """The learning rates of teacher and students."""

    teacher_lr: Rate = 1e-3
    """Learning rate of Adam for the teacher."""
    student_lr: Rate = 1e-3
    """Learning rate of Adam for the students."""


@dataclass(frozen=True)
class ImitationFields:
    """What the students imitate, and by which loss."""

    noise: Literal["fixed", "fresh"] = "fixed"
    """Distillation inputs: one fixed set, reused in every epoch, or fresh noise at every step (an
    epoch then has whole batches only)."""
    loss: Literal["kl", "mse"] = "kl"
    """Imitation loss: KL(teacher || student) of the softmax, or squared error of the logits."""


@dataclass(frozen=True)
class NetworkFields:
    """The network of teacher and students."""

    m: Count = 3
    """Number of auxiliary logits."""
    widths: Widths = (256, 256)
    """Widths of the hidden layers of the ReLU network, in units."""


@dataclass(frozen=True)
class ProtocolConfig(ImitationFields, RateFields, EpochFields, ImageConfig):
    """The fields of the reference protocol."""


@dataclass(frozen=True)
class NetworkConfig(NetworkFields, ProtocolConfig):
    """The fields of the reference protocol with one network."""


LOSS_UNIT = "nat (kl) or squared logit (mse)"
"""Unit of the imitation losses, in words."""

CLOUD: dict[str, Any] = {
    "dataset": "mnist",
    "train_images": None,
    "noise_images": 60_000,
    "batch": 1024,
    "teacher_epochs": 5,
    "student_epochs": 5,
    "teacher_lr": 3e-4,
    "student_lr": 3e-4,
}
"""The reference protocol, as fields of a `ProtocolConfig`: arXiv 2507.14805, section on MNIST, and its
released code."""

BROCKERS: dict[str, Any] = {"loss": "mse", "noise": "fresh", "teacher_lr": 1e-3, "student_lr": 1e-3}
"""Losses, noise and rates of Brockers et al., arXiv 2605.23645, section 2, as fields of a
`ProtocolConfig`. An epoch there has 60 steps of 1,000 images."""


def select_fields(config: Any, swept: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The fields of a config as a result keeps them: what was really used.

    Without those that its run does not read (``unused``); and where a sweep has an axis with the
    name of a field of one value, with the values of the axis (``swept``) in place of that one.

    >>> select_fields(NetworkConfig(loss="mse")).get("temperature")
    >>> select_fields(NetworkConfig(), {"temperature": [0.5, 2.0]})["temperature"]
    [0.5, 2.0]
    """
    swept = swept or {}
    return {
        name: swept[name] if name in swept and not isinstance(value, tuple) else value
        for name, value in dataclasses.asdict(config).items()
        if name not in getattr(config, "unused", ())
    }


def follows(config: Mapping[str, Any], protocol: Mapping[str, Any] = CLOUD) -> bool:
    """Whether a config, as a result keeps it, is a protocol's; an axis must have its value.

    Published values may stand beside such a result.

    >>> follows({"batch": [64, 1024], "dataset": "mnist"}, {"batch": 1024, "dataset": "mnist"})
    True
    """

    def has(field: Any, value: Any) -> bool:
        return value in field if isinstance(field, list) else bool(field == value)

    return all(has(config[name], value) for name, value in protocol.items())
