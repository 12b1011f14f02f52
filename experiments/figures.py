"""Draw every figure of a folder anew from the results beside it; check them; or run them again.

Each folder below FOLDER holds a result (results.nc), what it came to and how it was made
(summary.json), and its figure. ``--check`` draws all in memory and fails where a picture or a
summary is not what its data and the code of today give, or where the experiment no longer has the
config that was run. ``--plan`` lists which have too few seeds, or were computed by a version that adds up
wrongly, in the order in which to compute them again, and ``--rerun due`` computes them; it may be stopped,
and goes on where it was. ``--rerun same`` computes all again, in place, and ``--rerun paper`` a preset's
config into OUT.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from tyro.conf import Positional

from toymodels.errors import UserError
from toymodels.study import cli, evidence

from . import no_results

if TYPE_CHECKING:
    import xarray as xr

LEAST = 10
"""Seeds that stand behind every figure."""
CLAIMED = {"mnist_aux": 20, "init_overlap": 20}
"""Seeds behind the figures whose numbers the README and the first page of the docs give."""
FIRST = (
    *("mnist_aux", "init_overlap", "init_overlap_phase", "overlap_modes", "head_overlap"),
    *("init_parts", "who_moves", "storage", "optimiser_state", "bits", "robustness"),
    *("loss", "behavioural_cloning", "trajectory", "student_shape", "student_shape_perlin"),
    *("architecture", "chain", "mitigation", "lineage", "predictors", "persistence"),
    *("owl_numbers", "owl_overlap", "owl_mechanism", "owl_grid", "owl_favourites", "owl_defence"),
)
"""The order in which figures are computed again: that in which readers see them, the rest last."""


@dataclass(frozen=True)
class Figures:
    """What to do with which figures."""

    names: Positional[tuple[str, ...]] = ()
    """Folders below FOLDER (none: all)."""
    folder: Path = Path("figures")
    """Where they are."""
    check: bool = False
    """Write nothing; fail where a figure or summary is older than its data or its code."""
    plan: bool = False
    """Write nothing; list the figures with too few seeds or from an affected version."""
    rerun: Literal["no", "due", "same", "quick", "paper"] = "no"
    """Compute results again: those that --plan calls due, with the seeds that they should have; or all,
    by the configs and the width they have, or by a preset of their experiment."""
    style: str = ""
    """Style in which to draw the figures into OUT and not into FOLDER: paper, slide, a style of
    Matplotlib, or an .mplstyle file."""
    out: Path = Path("results/figures")
    """Where results of a preset go, and figures in another style; those of the same config stay in
    FOLDER, and those that were due go there when they are complete."""
    store: Path = Path("results/chunks")
    """Folder of finished chunks."""
    data_dir: Path | None = None
    """Folder of the images' files (None: $TOYMODELS_DATA, else the user's cache)."""

    def __post_init__(self) -> None:
        if self.check + self.plan + (self.rerun != "no") + bool(self.style) > 1:
            raise UserError(
                f"check, plan, rerun and style must each be alone; got check {self.check}, "
                f"plan {self.plan}, rerun {self.rerun}, style {self.style!r}"
            )

    @property
    def folders(self) -> list[Path]:
        """The folders with a result.

        Raises:
            UserError: one of ``names`` has none, or there is none at all.

        """
        names = self.names or sorted(p.parent.name for p in self.folder.glob("*/results.nc"))
        if not names:
            raise no_results(self.folder)
        for name in names:
            if not (self.folder / name / "results.nc").exists():
                raise UserError(f"names must be folders of {self.folder} with a result; got {name}")
        return [self.folder / name for name in names]


def analyse(dataset: xr.Dataset) -> xr.Dataset:
    """The result with what the code of today derives from the records of its models."""
    from . import load_study

    study = load_study(dataset.attrs["experiment"])
    return study.analyse(dataset).transpose("seed", ...).assign_attrs(dataset.attrs)


def conclude(dataset: xr.Dataset) -> xr.Dataset:
    """The result with its findings as the code of today words them.

    Fields that its experiment had not yet when it ran have their defaults, with which it ran.
    """
    from toymodels.study import configs, results

    from . import load_study

    study = load_study(dataset.attrs["experiment"])
    config, stored = study.read_config(dataset), json.loads(dataset.attrs["config"])
    if missing := configs.list_missing(config, stored):
        kept = configs.keep_fields(config)
        stored |= {name: kept[name] for name in missing}
        dataset = dataset.assign_attrs(config=results.to_json(stored))
    return results.with_findings(dataset, study.findings(dataset))


def find_outdated(folder: Path) -> list[str]:
    """What of a folder is not what its data and the code give: names of files, or a sentence."""
    from matplotlib.image import imread

    from toymodels.study import plotting, results

    from . import load_study

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


def find_needs(folders: list[Path]) -> list[evidence.Need]:
    """What each figure lacks by the rules above."""
    return evidence.find_needs(folders, LEAST, CLAIMED, FIRST)


def execute(figures: Figures) -> None:
    """Check, plan, draw or compute.

    Raises:
        UserError: with ``check``, something is older than its data or its code.

    """
    from toymodels.study import plotting, results
    from toymodels.study.display import progress_display
    from toymodels.sweep import RunOptions
    from toymodels.sweep.store import Store

    from . import load_study

    if figures.plan:
        evidence.print_needs(find_needs(figures.folders))
        return
    if figures.rerun == "due":
        needs, out = find_needs(figures.folders), figures.out
        evidence.compute_needs(needs, str(__package__), out, figures.store, figures.data_dir)
        return
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
        if figures.style:
            with plotting.restyle(figures.style):
                drawn = plotting.render(study.figure(dataset))
            with results.output_folder(figures.out / folder.name):
                results.write_files(figures.out / folder.name, drawn)
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
