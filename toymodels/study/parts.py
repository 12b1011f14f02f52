"""Parts of a user's own in a study: images, network, and what the protocol does with them."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from toymodels.errors import UserError

if TYPE_CHECKING:
    from toymodels.networks.models import Network
    from toymodels.prompt.images import ImageData
    from toymodels.training.protocol import Protocol
    from toymodels.training.tasks import Data, Task

REPLACED = {
    "images": ("dataset", "train_images"),
    "network": (),
    "trait": (),
    "imitation": ("loss", "temperature"),
    "noise": (),
    "teacher_optimiser": ("teacher_lr",),
    "student_optimiser": ("student_lr",),
}
"""By part, the fields of a config that have no effect beside it; a result does not keep them."""
PARTS = tuple(REPLACED)
"""Names of all parts."""


def list_parts(*varied: str) -> tuple[str, ...]:
    """Names of all parts but those that a study varies itself.

    >>> "imitation" in list_parts("imitation"), "network" in list_parts("imitation")
    (False, True)
    """
    return tuple(part for part in PARTS if part not in varied)


def drop_replaced(fields: Mapping[str, Any], parts: Iterable[str]) -> dict[str, Any]:
    """The fields of a config that have an effect beside these parts.

    >>> drop_replaced({"m": 3, "student_lr": 1e-3}, ["student_optimiser"])
    {'m': 3}
    """
    replaced = {field for name in parts for field in REPLACED[name]}
    return {name: value for name, value in fields.items() if name not in replaced}


def count_outputs(config: Any, task: Task) -> int:
    """Number of logits that a network of a config has: the class logits and its largest m."""
    return task.n_classes + (max(config.m) if isinstance(config.m, tuple) else config.m)


class Parts(NamedTuple):
    """What replaces parts of a study; see `toymodels.study.study.Study.with_parts`."""

    images: ImageData | None = None
    """Images and labels; None: those of the config's data set."""
    network: Callable[[Any, Task], Network] | None = None
    """``network(config, task)``; None: the study's."""
    protocol: Mapping[str, Any] = {}
    """By name, fields of the protocol."""

    def load(self, config: Any, data_dir: Path | None) -> tuple[Any, Task, Data]:
        """The config with the data set that "auto" came to, what the images are, and the images."""
        from toymodels.training import tasks

        if self.images is None:
            return tasks.load(config, data_dir)
        return config, self.images.task, tasks.Data(self.images.train, self.images.test)

    def make_network(
        self, config: Any, task: Task, usual: Callable[[Any, Task], Network]
    ) -> Network:
        """The network of a config at one shape, with as many outputs as its m asks for.

        Raises:
            UserError: what ``network`` returns is no such network.

        """
        from toymodels.networks.models import Network
        from toymodels.prompt.nets import find_shape

        if self.network is None:
            return usual(config, task)
        made, outputs = self.network(config, task), count_outputs(config, task)
        if not isinstance(made, Network):
            raise UserError(
                "network must be a function of config and task that returns a tm.Network (tm.functional "
                f"makes one); got {type(made).__name__}"
            )
        if (shape := find_shape(made, task.n_pixels)) != (2, outputs):
            raise UserError(
                f"network must have {outputs} outputs for each input (tm.count_outputs: {task.n_classes} "
                f"class logits, then m = {outputs - task.n_classes} auxiliary logits); {made.name} "
                f"has the shape {shape} for 2 inputs"
            )
        return made

    def change(self, protocol: Protocol) -> Protocol:
        """The protocol with the fields that are replaced.

        Raises:
            UserError: ``noise`` returns no inputs of the images' size.

        """
        import jax

        from toymodels.prompt.arguments import first_line

        fields = dict(self.protocol)
        if "trait" in fields:
            fields["trait"] = fields["trait"](protocol.network, protocol.task)
        changed = dataclasses.replace(protocol, **fields)
        if "noise" in fields:
            wanted = (7, protocol.task.n_pixels)
            try:
                made = jax.eval_shape(lambda key: changed.noise(key, 7), jax.random.key(0))
            except (TypeError, ValueError) as error:
                raise UserError(
                    f"noise must be a function of key and n: {first_line(error)}"
                ) from error
            if getattr(made, "shape", None) != wanted:
                raise UserError(f"noise must return inputs {wanted} for n = 7; got {made}")
        return changed

    def describe_records(self, protocol: Protocol) -> dict[str, Any]:
        """What is recorded of teacher and student, in the words of the trait and of the loss."""
        from toymodels.training import tasks

        about = protocol.trait.about
        recorded = tasks.describe_teacher(about) | tasks.describe_student(about)
        if "imitation" in self.protocol:
            dims, _, sentence = recorded["loss"]
            recorded["loss"] = dims, "unit of the loss", sentence
        return recorded

    def describe(self) -> dict[str, str]:
        """What each part is, for results.

        >>> Parts(protocol={"imitation": len}).describe()
        {'imitation': 'builtins.len'}
        """
        given = {"images": self.images, "network": self.network, **self.protocol}
        return {name: describe_part(part) for name, part in given.items() if part is not None}


NO_PARTS = Parts()
"""A study as it is."""


def describe_part(part: Any) -> str:
    """The name that a part has, or where it is defined, with a hash of its source if that can be read."""
    name = getattr(part, "name", None)
    if isinstance(name, str):
        return name
    kind = part if hasattr(part, "__qualname__") else type(part)
    try:
        source = hashlib.sha256(inspect.getsource(kind).encode()).hexdigest()[:8]
    except (OSError, TypeError):
        return f"{kind.__module__}.{kind.__qualname__}"
    return f"{kind.__module__}.{kind.__qualname__} (source {source})"


def check_parts(parts: Mapping[str, Any], study: str, takes: tuple[str, ...]) -> None:
    """Raise a UserError unless a study takes these parts, and each is of its kind."""
    from toymodels.prompt.images import ImageData

    if not takes:
        raise UserError(f"{study} takes no parts: it varies them itself, or follows no protocol")
    if not parts:
        raise UserError(f"a part must be given, of {', '.join(takes)}")
    for name, part in parts.items():
        if name not in takes:
            raise UserError(f"a part of {study} must be one of {', '.join(takes)}; got {name!r}")
        if name == "images":
            if not isinstance(part, ImageData):
                raise UserError(
                    f"images must be of tm.images or tm.load; got {type(part).__name__}"
                )
        elif name.endswith("optimiser"):
            if not (
                callable(getattr(part, "init", None)) and callable(getattr(part, "update", None))
            ):
                raise UserError(
                    f"{name} must be an optax transformation, such as optax.adam(1e-3); "
                    f"got {type(part).__name__}"
                )
        elif not callable(part):
            raise UserError(f"{name} must be a function; got {type(part).__name__}")
