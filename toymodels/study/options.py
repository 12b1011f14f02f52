"""How an experiment runs: the options that every command has beside its config."""

import re
from dataclasses import dataclass
from pathlib import Path

from toymodels.errors import UserError, at_least, positive


@dataclass(frozen=True)
class Options:
    """How an experiment runs; none of these options changes the result beyond rounding."""

    data_dir: Path | None = None
    """Folder of the data set's idx files, raw or gz (None: $TOYMODELS_DATA, else the user's cache)."""
    out: Path | None = None
    """Folder for the result (None: results/<experiment>/<hash of the config>)."""
    workers: int | None = None
    """Number of processes that share the work on a CPU, each on a core of its own (None: one for each
    core; 1: a single process on all cores)."""
    chunk: int | None = None
    """Number of models side by side on a device (None: 1 on a CPU, 64 on an accelerator)."""
    memory: float | None = None
    """Memory to use on a device, in gigabytes (None: 80 % of the free memory)."""
    devices: int | None = None
    """Number of local devices (None: all)."""
    store: Path | None = None
    """Folder of finished chunks. A run that was killed continues from it, and a run with more seeds
    computes only the new seeds (None: chunks/ beside the result)."""
    shard: str = "1/1"
    """Number of this worker among all workers, as 2/8. Workers with the same command and STORE share
    the work, in any number and order; each takes over what another has left unfinished."""
    distributed: bool = False
    """Join the processes that SLURM, MPI or a TPU pod has started with this command to one sweep over
    all their devices. The first process writes the result."""
    no_cache: bool = False
    """Compile all programs, and keep none of them on disk. By default they are kept in the user's cache,
    or in $TOYMODELS_COMPILED, for the next run of the same shapes."""
    dry_run: bool = False
    """Tell what the run would do, and end: number of models, what the store has of them, memory, and time
    if an earlier run with the same store tells it. Nothing is computed or written."""
    force: bool = False
    """Compute all points again, and replace the result of another config in OUT."""
    quiet: bool = False
    """Print errors only."""

    def __post_init__(self) -> None:
        at_least(self, 1, "workers", "chunk", "devices")
        if self.memory is not None:
            positive(self, "memory")
            at_least(self, 0, "memory", most=10**9)
        _ = self.worker

    @property
    def worker(self) -> tuple[int, int]:
        """The shard as two numbers."""
        found = re.fullmatch(r"(\d{1,9})/(\d{1,9})", self.shard)
        k, n = map(int, found.groups()) if found else (0, 0)
        if not 1 <= k <= n:
            raise UserError(f"shard must be k/n, with k from 1 to n; got {self.shard}")
        return k, n
