"""Processes that share a run on a CPU, each with a core of its own.

Two cores train two small models faster than one after the other, and a model that keeps to one core
has the same bits however many there are. So a command on a CPU starts copies of itself, its helpers.
All of them compute points, and share them through the store as workers with ``--shard`` do; the
command alone reports and writes. A helper that ends early leaves its points to the others.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from toymodels.errors import UserError

VARIABLE = "TOYMODELS_HELPER"
"""Environment variable that tells a helper its place."""

CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")

BYTES = 2 * 10**9
"""Free memory that there must be for every worker: a seed of the reference protocol takes one gigabyte."""


class Place(NamedTuple):
    """A worker of a run."""

    k: int
    n: int
    """This is worker k of n."""
    core: int
    """The core that it keeps to."""
    parent: int
    """The process that reports and writes."""
    since: int
    """When that began, in nanoseconds since 1970."""

    def among(self, shard: tuple[int, int]) -> tuple[int, int]:
        """Number of this worker among all, if the run itself is worker a of b.

        >>> Place(2, 4, 6, 1234, 0).among((3, 3))
        (10, 12)
        """
        a, b = shard
        return (a - 1) * self.n + self.k, b * self.n

    def __str__(self) -> str:
        """As `VARIABLE` tells it.

        >>> Place.read(str(Place(2, 4, 6, 1234, 0))).k
        2
        """
        return " ".join(map(str, self))

    @classmethod
    def read(cls, text: str) -> "Place":
        """The place that a string tells."""
        return cls(*map(int, text.split()))


def usable_cores() -> list[int]:
    """The cores that this process may use, no more than a container's share; none if unknown."""
    if not hasattr(os, "sched_setaffinity"):
        return []
    cores = sorted(os.sched_getaffinity(0))
    with contextlib.suppress(OSError, ValueError):
        quota, period = CPU_QUOTA.read_text().split()
        cores = cores[: max(1, int(quota) // int(period))]  # "max" is no number: all of them
    return cores


def only_one_cpu() -> bool:
    """Whether JAX will compute on the CPU as one device, told without starting it."""
    platforms = os.environ.get("JAX_PLATFORMS")
    if "JAX_NUM_CPU_DEVICES" in os.environ or "device_count" in os.environ.get("XLA_FLAGS", ""):
        return False
    return platforms == "cpu" or not (platforms or metadata.entry_points(group="jax_plugins"))


def take_place(asked: int | None, seeds: int, alone: bool) -> tuple[Place, list[Place]]:
    """The place of this process, to whose core it keeps from now on, and those of helpers to start.

    With ``alone``, or without helpers, it runs on all cores.

    Raises:
        UserError: more workers are asked for than there are cores.

    """
    if told := os.environ.get(VARIABLE):
        place, helpers = Place.read(told), []
    else:
        place, *helpers = share_cores(
            [] if alone or not only_one_cpu() else usable_cores(), asked, seeds
        )
    if place.n > 1:
        os.sched_setaffinity(0, {place.core})
    return place, helpers


def share_cores(cores: Sequence[int], asked: int | None, seeds: int) -> list[Place]:
    """The places of a run's workers, this process the first.

    >>> [place.n for place in share_cores([0, 1, 2, 3], 2, seeds=1)]
    [2, 2]
    """
    if asked is not None and asked > max(1, len(cores)):
        raise UserError(f"workers must be at most {max(1, len(cores))} here; got {asked}")
    n = asked or 1
    if asked is None and len(cores) > 1:
        from toymodels.sweep.memory import free_on_host

        # A few points a worker are the least that is worth its start.
        n = max(1, min(len(cores), 8 * seeds, free_on_host() // BYTES))
    parent, since = os.getpid(), time.time_ns()
    # Another command with few workers begins at another core.
    own = [cores[(parent + i) % len(cores)] for i in range(n)] if n > 1 else [0]
    return [Place(i + 1, n, core, parent, since) for i, core in enumerate(own)]


def end_with(parent: int) -> None:
    """End this helper if the process that it helps has ended."""
    if os.getppid() != parent:
        os._exit(0)


def is_command(study: Any) -> bool:
    """Whether this process was started to run a study, so that its copy would run it, too."""
    return getattr(sys.modules["__main__"], "STUDY", None) is study


@contextlib.contextmanager
def start_helpers(places: Sequence[Place]) -> Iterator[None]:
    """Start a helper, a copy of this command, in each place; end them afterwards."""
    command, nothing = [sys.executable, *sys.orig_argv[1:]], subprocess.DEVNULL
    running = [
        subprocess.Popen(
            command,
            env={**os.environ, VARIABLE: str(place)},
            stdin=nothing,
            stdout=nothing,
            stderr=nothing,
        )
        for place in places
    ]
    try:
        yield
    finally:
        for process in running:
            process.kill()  # what it has finished is in the store
        for process in running:
            process.wait()
