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


def configured(dataset: xr.Dataset) -> Any:
    """The Config that a result was made by.

    Raises:
        UserError: its experiment has other fields now.

    """
    from experiments import named

    name, kept = dataset.attrs["experiment"], json.loads(dataset.attrs["config"])
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in kept.items()}
    kind = type(next(iter(named(name).PRESETS.values())))
    try:
        return kind(**values)
    except TypeError as error:
        raise UserError(f"{name} has other fields now than this result's config: {error}") from None


def derived(dataset: xr.Dataset) -> xr.Dataset:
    """The result with what the code of today derives from what its models recorded."""
    from experiments import named

    derive = getattr(named(dataset.attrs["experiment"]), "derived", lambda dataset: dataset)
    return derive(dataset).transpose("seed", ...).assign_attrs(dataset.attrs)


def retold(dataset: xr.Dataset) -> xr.Dataset:
    """The result with its findings as the code of today words them."""
    from experiments import named
    from toymodels.stats import sentences
    from toymodels.study import results

    told = sentences.complete(named(dataset.attrs["experiment"]).findings(dataset), dataset)
    return dataset.assign_attrs(findings=results.to_json(told))


def outdated(folder: Path) -> list[str]:
    """What of a folder is not what its data and the code give: names of files, or a sentence."""
    from matplotlib.image import imread

    from experiments import named
    from toymodels.study import plotting, results

    dataset = results.opened(folder)
    try:
        configured(dataset)
        if not alike(dataset, derived(dataset)):
            return ["results.nc"]
        dataset = retold(dataset)
        picture = plotting.render(named(dataset.attrs["experiment"]).plot(dataset), kinds=("png",))
    except UserError as error:
        return [str(error)]
    told = json.loads((folder / "summary.json").read_text())
    drawn, kept = imread(io.BytesIO(picture["figure.png"])), imread(folder / "figure.png")
    # One pixel in ten thousand may differ: the last bits of a curve, on another machine.
    same = drawn.shape == kept.shape and (drawn != kept).any(-1).mean() < 1e-4
    summed_up = told == json.loads(results.files(dataset)["summary.json"])
    return ["figure.png"] * (not same) + ["summary.json"] * (not summed_up)


def alike(kept: xr.Dataset, derived: xr.Dataset) -> bool:
    """Whether both have the same variables, but for the last bits of a fit on another machine."""
    import numpy as np

    def close(name: Any) -> bool:
        a, b = kept[name], derived[name].transpose(*kept[name].dims)
        same = a.attrs.keys() == b.attrs.keys() and a.shape == b.shape
        return same and np.allclose(a, b, rtol=1e-3, atol=1e-4, equal_nan=True)

    numbers = [name for name, array in derived.data_vars.items() if array.dtype.kind in "fib"]
    if kept.data_vars.keys() != derived.data_vars.keys():
        return False
    return all(set(kept[name].dims) == set(derived[name].dims) and close(name) for name in numbers)


def execute(figures: Figures) -> None:
    """Check, draw or compute.

    Raises:
        UserError: with ``check``, something is older than its data or its code.

    """
    from experiments import named
    from toymodels.study import plotting, results
    from toymodels.study.display import progress_display
    from toymodels.sweep import RunOptions
    from toymodels.sweep.store import Store

    old: dict[str, list[str]] = {}
    faults: list[str] = []
    for folder in figures.folders:
        print(folder, flush=True)
        if figures.check:
            old |= {folder.name: found} if (found := outdated(folder)) else {}
            continue
        dataset = results.opened(folder)
        experiment = named(dataset.attrs["experiment"])
        if figures.rerun != "no":
            config, width = configured(dataset), json.loads(dataset.attrs["provenance"])["width"]
            if figures.rerun != "same":
                folder, config = figures.out / folder.name, experiment.PRESETS[figures.rerun]
                width = None
            with progress_display(quiet=False) as progress:
                how = RunOptions(
                    width=width, store=Store(figures.store), progress=progress, announce=print
                )
                dataset = experiment.run(config, data_dir=figures.data_dir, options=options)
            with results.output_folder(folder):
                faults += cli.save(folder, dataset, experiment.plot)
            continue
        anew = derived(dataset)
        dataset = retold(dataset if alike(dataset, anew) else anew)
        drawn = plotting.render(experiment.plot(dataset))
        results.write_files(folder, results.files(dataset) | drawn)
    if faults:
        raise UserError("; ".join(faults))
    if old:
        told = "; ".join(f"{name}: {', '.join(found)}" for name, found in old.items())
        raise UserError(
            f"older than its data or its code: {told}; run python -m experiments.figures"
        )


if __name__ == "__main__":
    with cli.plain_errors():
        execute(cli.arguments(Figures, __doc__))
