"""What figures lack: seeds, or a version that adds up right; and the commands that compute it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from toymodels.errors import UserError


class Need(NamedTuple):
    """What a figure lacks."""

    folder: Path
    """Where it is."""
    experiment: str
    """Experiment whose result it shows."""
    seeds: int
    """Number of seeds that it has."""
    wanted: int
    """Number of seeds that it should have."""
    jaxlib: str
    """Version that computed it."""
    affected: bool
    """Whether this version adds up wrongly (docs/soundness.md)."""
    seconds: float | None
    """Time of all wanted seeds, as fast as the models of its run; None if that run computed none."""

    @property
    def due(self) -> bool:
        """Whether it must be computed again."""
        return self.affected or self.seeds < self.wanted


def find_needs(
    folders: Sequence[Path], least: int, claimed: Mapping[str, int], order: Sequence[str]
) -> list[Need]:
    """What each figure lacks, in the order in which they are to be computed again.

    Args:
        folders: the figures, each a folder with a result.
        least: number of seeds of every figure.
        claimed: number of seeds of some, by the name of the folder.
        order: names of the folders that come first; the others follow.

    """
    from toymodels.study import results
    from toymodels.sweep.soundness import is_affected

    needs = []
    for folder in folders:
        attrs = results.open_result(folder).attrs
        provenance, seeds = json.loads(attrs["provenance"]), json.loads(attrs["config"])["seeds"]
        wanted = max(seeds, claimed.get(folder.name, least))
        models, computed = provenance["models"], provenance["models"] - provenance["from_store"]
        seconds = provenance["run_s"] * models / computed * wanted / seeds if computed else None
        jaxlib, affected = provenance["jaxlib"], is_affected(provenance["jaxlib"])
        needs.append(Need(folder, attrs["experiment"], seeds, wanted, jaxlib, affected, seconds))
    ranks = {name: rank for rank, name in enumerate(order)}
    return sorted(needs, key=lambda need: ranks.get(need.folder.name, len(ranks)))


def print_needs(needs: Sequence[Need]) -> None:
    """Print a line for each figure, and the time of all that are due."""
    from toymodels.sweep.plan import duration

    for need in needs:
        line = f"{need.folder.name}: n = {need.seeds} of {need.wanted}, jaxlib {need.jaxlib}"
        line += " (wrong sums)" if need.affected else ""
        if need.due:
            line += "; due, " + (
                f"about {duration(need.seconds)}" if need.seconds else "time unknown"
            )
        print(line)
    due = [need for need in needs if need.due]
    total = duration(sum(need.seconds or 0.0 for need in due))
    print(f"due: {len(due)} of {len(needs)}, about {total} by the speed of their last runs")


def compute_needs(
    needs: Sequence[Need], package: str, out: Path, store: Path, data_dir: Path | None = None
) -> None:
    """Compute what is due, one experiment after another, each by a command of its own.

    Each runs with the config of its figure and the seeds that it should have, on all cores, and
    leaves its result in ``out``; when it is complete, it takes the figure's place. Finished chunks
    stay in the store, so that the same call goes on where an earlier one was stopped. One that
    fails is named at the end, and the others are computed.

    Raises:
        UserError: some commands failed.

    """
    from toymodels.study import results

    failed = []
    for need in [need for need in needs if need.due]:
        name = need.folder.name
        command = [sys.executable, "-m", f"{package}.{need.experiment}"]
        command += ["--config", str(need.folder / "summary.json"), "--seeds", str(need.wanted)]
        command += ["--store", str(store), "--out", str(out / name)]
        command += ["--data-dir", str(data_dir)] if data_dir else []
        print(f"{name}: n = {need.seeds} of {need.wanted}", flush=True)
        if subprocess.run(command, check=False).returncode:
            failed.append(name)
            continue
        kept = ("results.nc", "summary.json", "figure.png", "figure.pdf")
        files = {file: (out / name / file).read_bytes() for file in kept}
        results.write_files(need.folder, files)
    if failed:
        raise UserError(f"could not be computed: {', '.join(failed)}; see their errors above")
