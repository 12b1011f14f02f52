"""What every experiment of a teacher and its students has to say, field by field.

An experiment's Config extends `Protocol`, or `Seeded` where the data are drawn from the seeds. One
that sweeps a field declares it again as a tuple, an axis; ``config.at(batch=64)`` is the protocol
at one of its values. Nothing heavy is imported here: ``--help`` reads it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from toymodels.errors import MOST, UserError, at_least, literals, positive, representable


@dataclass(frozen=True)
class Seeded:
    """What every experiment has, with or without a data set."""

    seeds: int = 5
    """Number of seeds; each has its own reference, teacher, noise and students."""
    first_seed: int = 0
    """First seed; they are consecutive."""
    precision: Literal["float32", "tensorfloat32", "bfloat16"] = "float32"
    """Of matrix products; the reduced ones change nothing on a CPU."""

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            UserError: one sentence with the field, its value and what is allowed.

        """
        at_least(self, 1, "seeds")
        at_least(self, 0, "first_seed", most=2**31 - 1 - self.seeds)
        literals(self)
        representable(self)
        if len(layers := getattr(self, "widths", ())) > MOST["depth"]:
            raise UserError(f"widths must be of at most {MOST['depth']} layers; got {len(layers)}")

    def at(self, **values: Any) -> Self:
        """The same config with one value each for some fields that are axes."""
        return dataclasses.replace(self, **values)

    @property
    def seed_list(self) -> list[int]:
        """The seeds."""
        return list(range(self.first_seed, self.first_seed + self.seeds))


@dataclass(frozen=True)
class Protocol(Seeded):
    """A teacher learns images; students imitate it on noise. The defaults are small."""

    dataset: Literal["auto", "mnist", "fashion", "emnist", "digits"] = "auto"
    """What the teacher learns: mnist, fashion (Fashion-MNIST) or emnist (balanced, 47 classes; all
    28x28), digits (8x8, embedded), or auto: mnist if it is here or can be downloaded, else
    digits."""
    train_images: int | None = 4096
    """Use the first so many training images, or all if the data set has fewer (None: all); the
    digits have 1,437."""
    noise: Literal["fixed", "fresh"] = "fixed"
    """Distillation inputs: one fixed set, reused every epoch, or fresh noise at every step (then
    an epoch has whole batches only)."""
    noise_images: int = 8000
    """Distillation inputs in an epoch, in images of U(-1, 1) noise."""
    batch: int = 64
    """Batch size, in images."""
    teacher_epochs: int = 10
    """Passes of the teacher over the training images."""
    student_epochs: int = 10
    """Passes of the students over the distillation inputs."""
    teacher_lr: float = 1e-3
    """Adam's learning rate for the teacher."""
    student_lr: float = 1e-3
    """Adam's learning rate for the students."""
    loss: Literal["kl", "mse"] = "kl"
    """Imitation: KL(teacher || student) of the softmax, or squared error of the logits."""
    temperature: float = 1.0
    """Of both softmaxes in the KL loss; no effect on mse."""

    @property
    def unused(self) -> frozenset[str]:
        """Fields that this run does not read, and that its result does not keep."""
        return frozenset() if "kl" in self.loss else frozenset({"temperature"})

    def __post_init__(self) -> None:
        """Check every field.

        Raises:
            UserError: one sentence with the field, its value and what is allowed.

        """
        super().__post_init__()
        at_least(self, 1, "train_images", "noise_images", "batch")
        at_least(self, 1, "teacher_epochs", "student_epochs")
        positive(self, "teacher_lr", "student_lr", "temperature")


@dataclass(frozen=True)
class OneNetwork(Protocol):
    """The protocol at one shape of the network."""

    m: int = 3
    """Number of auxiliary logits."""
    widths: tuple[int, ...] = (256, 256)
    """Hidden widths of the ReLU network, in units."""

    def __post_init__(self) -> None:
        """Check every field."""
        super().__post_init__()
        at_least(self, 1, "m", "widths")


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
"""The reference protocol, as fields of a `Protocol`: arXiv 2507.14805, section on MNIST, and its
released code."""


def kept_fields(config: Any, swept: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The fields of a config as a result keeps them: what was really used.

    Without those that its run does not read (``unused``); and where a sweep has an axis with the
    name of a field of one value, with the values of the axis (``swept``) in place of that one.

    >>> kept_fields(OneNetwork(loss="mse")).get("temperature")
    >>> kept_fields(OneNetwork(), {"temperature": [0.5, 2.0]})["temperature"]
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
