"""Open finished runs again: each one's table, and its figure drawn anew from its data.

python -m experiments.show RESULT                                prints its table, redraws its figure
python -m experiments.show RESULT --csv values.csv               exports every value
python -m experiments.show RESULT --latex table.tex --macros numbers.tex
python -m experiments.show RESULT --panel 2 --size 3.4x2.6 --figure panel.pdf
python -m experiments.show RESULT --study mine.py                a result of your own experiment
"""

from __future__ import annotations

import re
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tyro.conf import Positional

from toymodels.errors import UserError, sentence
from toymodels.study import cli

if TYPE_CHECKING:
    import xarray as xr

    from toymodels.study.export import Kind
    from toymodels.study.study import Study

FIGURES = (".png", ".pdf", ".svg")


@dataclass(frozen=True)
class Show:
    """What to open, and what to write of it."""

    folders: Positional[tuple[Path, ...]]
    """Folders of finished runs, each with its results.nc."""
    study: str | None = None
    """File (PATH.py) or module with the STUDY that made the result; its code is run (None: the
    experiment of this name)."""
    style: str | None = None
    """Name of a style of Matplotlib, or an .mplstyle file; it wins over the style of the figure."""
    size: str | None = None
    """Size of the figure in inches, as 3.4x2.6 (None: as the experiment has it)."""
    panel: int | None = None
    """Number of the only panel to draw, from 1 (None: all)."""
    figure: Path | None = None
    """File for the figure: .png, .pdf or .svg (None: figure.png and figure.pdf in the folder)."""
    csv: Path | None = None
    """File for every value of the result: .csv."""
    parquet: Path | None = None
    """File for every value of the result: .parquet; pyarrow is required."""
    latex: Path | None = None
    """File for the findings as a table for LaTeX with booktabs: .tex."""
    macros: Path | None = None
    """File for the findings as commands for LaTeX, with their provenance: .tex."""

    def __post_init__(self) -> None:
        if not self.folders:
            raise UserError("folders must be one at least; got none")
        for name in ("figure", "csv", "parquet", "latex", "macros"):
            if getattr(self, name) and len(self.folders) > 1:
                raise UserError(f"{name} needs a single folder; got {len(self.folders)}")
        if self.figure and self.figure.suffix not in FIGURES:
            raise UserError(f"figure must end in {', '.join(FIGURES)}; got {self.figure}")
        if self.figure and not self.figure.parent.is_dir():
            raise UserError(f"figure must be a file in a folder that exists; got {self.figure}")
        _ = self.inches

    @property
    def inches(self) -> tuple[float, float] | None:
        """The size of the figure."""
        if self.size is None:
            return None
        found = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)x(\d{1,3}(?:\.\d+)?)", self.size)
        if not found:
            raise UserError(f"size must be WIDTHxHEIGHT in inches, as 3.4x2.6; got {self.size}")
        return float(found[1]), float(found[2])

    @property
    def exports(self) -> dict[Kind, Path]:
        """The files to write beside the figure."""
        kinds: tuple[Kind, ...] = ("csv", "parquet", "latex", "macros")
        return {kind: path for kind in kinds if (path := getattr(self, kind))}


def show(folder: Path, asked: Show | None = None) -> None:
    """Print a result's table, write what is asked for, and draw its figure where it is not there yet.

    Raises:
        UserError: no result there, or of no experiment that is here, or one that it can't draw.

    """
    from toymodels.study import export, looks, results
    from toymodels.study.display import print_table

    asked = asked or Show((folder,))
    for kind, path in asked.exports.items():
        export.find_kind(path, kind, kind)
    dataset = results.open_result(folder)
    study = find_study(dataset, asked.study)
    with looks.restyle(asked.style, asked.inches):
        try:
            exports = {path: export.encode(dataset, kind) for kind, path in asked.exports.items()}
            print_table(dataset)
            drawn = draw(study, dataset, asked)
        except (OSError, UserError):  # of standard output, or a sentence already
            raise
        except Exception as error:
            raise UserError(f"{folder} holds what cannot be shown: {sentence(error)}") from error
    for path, content in exports.items():
        results.write_files(path.parent, {path.name: content})
        print(f"written: {path}")
    if asked.figure:
        (content,) = drawn.values()
        results.write_files(asked.figure.parent, {asked.figure.name: content})
        print(f"figure drawn in {asked.figure}")
    elif all(is_there(folder / name, content) for name, content in drawn.items()):
        print(f"the figure in {folder} is as its data give it")
    else:
        results.write_files(folder, drawn)
        print(f"figure drawn in {folder}")


def find_study(dataset: xr.Dataset, source: str | None) -> Study:
    """The study that made a result.

    Raises:
        UserError: it is not here, or ``source`` has another one.

    """
    from toymodels.study.loading import import_study

    from . import load_study, names

    name = dataset.attrs["experiment"]
    if source is None and name not in names():
        raise UserError(
            f"experiment {name[:80]} is not here: give the file of its STUDY as --study PATH.py"
        )
    study = import_study(source) if source else load_study(name)
    if study.name != name:
        raise UserError(f"study must be that of {name[:80]}; {source} has that of {study.name}")
    return study


def draw(study: Study, dataset: xr.Dataset, asked: Show) -> dict[str, bytes]:
    """The figure, or the panel of it that is asked for, in its formats.

    Raises:
        UserError: no such panel, or a size too small for what is in the figure.

    """
    from toymodels.study import looks, plotting

    fig = study.figure(dataset)
    if asked.panel is not None:
        looks.keep_panel(fig, asked.panel)
    kinds = (asked.figure.suffix[1:],) if asked.figure else plotting.KINDS
    with warnings.catch_warnings():
        if asked.size:
            warnings.filterwarnings("error", "constrained_layout not applied", UserWarning)
        try:
            return plotting.render(fig, kinds)
        except UserWarning as error:
            raise UserError(f"size must be larger for this figure; got {asked.size}") from error


def is_there(path: Path, content: bytes) -> bool:
    """Whether a file has this content already."""
    from toymodels.files import read_regular

    try:
        return read_regular(path, most=len(content)) == content
    except (FileNotFoundError, UserError):
        return False


if __name__ == "__main__":
    with cli.plain_errors():
        asked = cli.arguments(Show, __doc__)
        for folder in asked.folders:
            show(folder, asked)
