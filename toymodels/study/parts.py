"""Parts of a user's own in a study: images, network, and what the protocol does with them."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from toymodels.errors import UserError

if TYPE_CHECKING:
    from toymodels.networks.models import Network
    from toymodels.prompt.images import ImageData
    from toymodels.training.protocol import Protocol
    from toymodels.training.tasks import Data, Task

PROTOCOL = ("trait", "imitation", "noise", "teacher_optimiser", "student_optimiser")
"""Fields of the protocol that a part may replace."""


class Parts(NamedTuple):
    """What replaces parts of a study; see `toymodels.study.study.Study.with_parts`."""

    images: ImageData | None = None
    """Images and labels; None: those of the config's data set."""
    network: Network | Callable[[Any, Task], Network] | None = None
    """A network, or ``network(config, task)``; None: the study's."""
    protocol: Mapping[str, Any] = {}
    """Values by `PROTOCOL` field."""

    def load(self, config: Any, data_dir: Path | None) -> tuple[Any, Task, Data]:
        """The config with the data set that "auto" came to, what the images are, and the images."""
        from toymodels.training import tasks

        if self.images is None:
            return tasks.load(config, data_dir)
        return config, self.images.task, tasks.Data(self.images.train, self.images.test)

    def make_network(
        self, config: Any, task: Task, usual: Callable[[Any, Task], Network]
    ) -> Network:
        """The network of a config at one shape.

        Raises:
            UserError: what ``network`` gives is no network.

        """
        from toymodels.networks.models import Network

        found = self.network or usual
        made = found if isinstance(found, Network) else found(config, task)
        if not isinstance(made, Network):
            raise UserError(
                "network must be a tm.Network (of tm.functional), or a function of config and task that "
                f"returns one; got {type(made).__name__}"
            )
        return made

    def change(self, protocol: Protocol) -> Protocol:
        """The protocol with the fields that are replaced."""
        return dataclasses.replace(protocol, **self.protocol)

    def describe(self) -> dict[str, str]:
        """What each part is, for results.

        >>> Parts(protocol={"imitation": max}).describe()
        {'imitation': 'builtins.max'}
        """
        given = {"images": self.images, "network": self.network, **self.protocol}
        return {name: describe_part(part) for name, part in given.items() if part is not None}


NO_PARTS = Parts()
"""A study as it is."""


def describe_part(part: Any) -> str:
    """The name that a part has, or the place where it is defined."""
    name = getattr(part, "name", None)
    if isinstance(name, str):
        return name
    kind = part if hasattr(part, "__qualname__") else type(part)
    return f"{kind.__module__}.{kind.__qualname__}"


def refuse_unknown(protocol: Mapping[str, Any]) -> None:
    """Raise a UserError if a name is no field that a part may replace."""
    for name in protocol:
        if name not in PROTOCOL:
            raise UserError(
                f"a part must be one of images, network, {', '.join(PROTOCOL)}; got {name!r}"
            )
