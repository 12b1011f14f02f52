"""Draw every figure of a folder anew from the results beside it; check them; or run them again.

Each folder below FOLDER holds a result (results.nc), what it came to and how it was made
(summary.json), and its figure. ``--check`` draws all in memory and fails where a picture or a
summary is not what its data and the code of today give, or where the experiment no longer has the
config that was run. ``--rerun`` computes them again: with their own configs in place, or with a
preset's into OUT.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from toymodels.errors import UserError
from toymodels.study import cli

if TYPE_CHECKING:
    import xarray as xr


@dataclass(frozen=True)
class Figures:
    """What to do with which figures."""

    names: Positional[tuple[str, ...]] = ()
    """Folders below FOLDER (none: all)."""
    folder: Path = Path("figures")
    """Where they are."""
    check: bool = False
    """Write nothing; fail where a figure or summary is older than its data or its code."""
    rerun: Literal["no", "same", "quick", "paper"] = "no"
    """Compute results again: by the configs and the width they have, or by a preset of their
    experiment."""
    out: Path = Path("results/figures")
    """Where results of a preset go; those of the same config stay in FOLDER."""
    store: Path = Path("results/chunks")
    """Folder of finished chunks."""
    data_dir: Path | None = None
    """Folder of the images' files (None: $TOYMODELS_DATA, else the user's cache)."""

    def __post_init__(self) -> None:
        if self.check and self.rerun != "no":
            raise UserError(f"check must be alone; got it with rerun {self.rerun}")

    @property
    def folders(self) -> list[Path]:
        """The folders with a result.

        Raises:
            UserError: one of ``names`` has none, or there is none at all.

        """
        names = self.names or sorted(p.parent.name for p in self.folder.glob("*/results.nc"))
        if not names:
            raise UserError(f"folder must hold results; got {self.folder} without one")
        for name in names:
            if not (self.folder / name / "results.nc").exists():
                raise UserError(f"names must be folders of {self.folder} with a result; got {name}")
        return [self.folder / name for name in names]


def analyse(dataset: xr.Dataset) -> xr.Dataset:
    """The result with what the code of today derives from the records of its models."""
    from experiments import load_study

    study = load_study(dataset.attrs["experiment"])
    return study.analyse(dataset).transpose("seed", ...).assign_attrs(dataset.attrs)


def conclude(dataset: xr.Dataset) -> xr.Dataset:
    """The result with its findings as the code of today words them."""
    from experiments import load_study
    from toymodels.study import results

    study = load_study(dataset.attrs["experiment"])
    return results.with_findings(dataset, study.findings(dataset))


def find_outdated(folder: Path) -> list[str]:
    """What of a folder is not what its data and the code give: names of files, or a sentence."""
    from matplotlib.image import imread

    from experiments import load_study
    from toymodels.study import plotting, results

    dataset = results.open_result(folder)
    try:
        study = load_study(dataset.attrs["experiment"])
        study.read_config(dataset)
        if not are_alike(dataset, analyse(dataset)):
            return ["results.nc"]
        dataset = conclude(dataset)
        picture = plotting.render(study.figure(dataset), kinds=("png",))
    except UserError as error:
        return [str(error)]
    summary = json.loads((folder / "summary.json").read_text())
    drawn, stored = imread(io.BytesIO(picture["figure.png"])), imread(folder / "figure.png")
    # One pixel in ten thousand may differ: the last bits of a curve, on another machine.
    same = drawn.shape == stored.shape and (drawn != stored).any(-1).mean() < 1e-4
    summarised = summary == json.loads(results.files(dataset)["summary.json"])
    return ["figure.png"] * (not same) + ["summary.json"] * (not summarised)


def are_alike(stored: xr.Dataset, analysed: xr.Dataset) -> bool:
    """Whether both have the same variables, but for the last bits of a fit on another machine."""
    import numpy as np

    def close(name: Any) -> bool:
        a, b = stored[name], analysed[name].transpose(*stored[name].dims)
        same = a.attrs.keys() == b.attrs.keys() and a.shape == b.shape
        return same and np.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True)

    numbers = [name for name, array in analysed.data_vars.items() if array.dtype.kind in "fib"]
    if stored.data_vars.keys() != analysed.data_vars.keys():
        return False
    return all(
        set(stored[name].dims) == set(analysed[name].dims) and close(name) for name in numbers
    )


def execute(figures: Figures) -> None:
    """Check, draw or compute.

    Raises:
        UserError: with ``check``, something is older than its data or its code.

    """
    from experiments import load_study
    from toymodels.study import plotting, results
    from toymodels.study.display import progress_display
    from toymodels.sweep import RunOptions
    from toymodels.sweep.store import Store

    outdated: dict[str, list[str]] = {}
    faults: list[str] = []
    for folder in figures.folders:
        print(folder, flush=True)
        if figures.check:
            outdated |= {folder.name: found} if (found := find_outdated(folder)) else {}
            continue
        dataset = results.open_result(folder)
        study = load_study(dataset.attrs["experiment"])
        if figures.rerun != "no":
            config, width = (
                study.read_config(dataset),
                json.loads(dataset.attrs["provenance"])["width"],
            )
            if figures.rerun != "same":
                folder, config = figures.out / folder.name, study.presets[figures.rerun]
                width = None
            with progress_display(quiet=False) as progress:
                options = RunOptions(
                    width=width, store=Store(figures.store), progress=progress, announce=print
                )
                dataset = study.run(config, data_dir=figures.data_dir, options=options)
            with results.output_folder(folder):
                faults += cli.save(folder, dataset, study.figure)
            continue
        analysed = analyse(dataset)
        dataset = conclude(dataset if are_alike(dataset, analysed) else analysed)
        drawn = plotting.render(study.figure(dataset))
        results.write_files(folder, results.files(dataset) | drawn)
    if faults:
        raise UserError("; ".join(faults))
    if outdated:
        lines = "; ".join(f"{name}: {', '.join(found)}" for name, found in outdated.items())
        raise UserError(
            f"older than its data or its code: {lines}; run python -m experiments.figures"
        )


if __name__ == "__main__":
    with cli.plain_errors():
        execute(cli.arguments(Figures, __doc__))
