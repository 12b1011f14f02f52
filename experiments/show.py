"""Open finished runs again: each one's table, and its figure drawn anew from its data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from toymodels.errors import UserError, sentence
from toymodels.study import cli


@dataclass(frozen=True)
class Show:
    """What to open."""

    folders: Positional[tuple[Path, ...]]
    """Folders of finished runs, each with its results.nc."""

    def __post_init__(self) -> None:
        if not self.folders:
            raise UserError("folders must be one at least; got none")


def show(folder: Path) -> None:
    """Print a result's table, and draw its figure beside it where that is another or not there.

    Raises:
        UserError: no result there, or of no experiment that is here, or one that it can't draw.

    """
    from toymodels.study import plotting, results
    from toymodels.study.display import print_table

    from . import load_study

    dataset = results.open_result(folder)
    study = load_study(dataset.attrs["experiment"])
    try:
        print_table(dataset)
        drawn = plotting.render(study.figure(dataset))
    except OSError:  # of standard output
        raise
    except Exception as error:
        raise UserError(f"{folder} holds what cannot be shown: {sentence(error)}") from error
    if all(is_there(folder / name, content) for name, content in drawn.items()):
        print(f"the figure in {folder} is as its data give it")
    else:
        results.write_files(folder, drawn)
        print(f"figure drawn in {folder}")


def is_there(path: Path, content: bytes) -> bool:
    """Whether a file has this content already."""
    from toymodels.files import read_regular

    try:
        return read_regular(path, most=len(content)) == content
    except (FileNotFoundError, UserError):
        return False


if __name__ == "__main__":
    with cli.plain_errors():
        for folder in cli.arguments(Show, __doc__).folders:
            show(folder)
