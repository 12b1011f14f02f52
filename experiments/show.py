"""Open finished runs again: each one's table, and its figure drawn anew from its data."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from toymodels import cli
from toymodels.errors import UserError


@dataclass(frozen=True)
class Show:
    """What to open."""

    folders: Positional[tuple[Path, ...]]
    """Folders of finished runs, each with its results.nc."""

    def __post_init__(self) -> None:
        if not self.folders:
            raise UserError("folders must be one at least; got none")


def show(folder: Path) -> None:
    """Print a result's table and draw its figure beside it.

    Raises:
        UserError: no result there, or of no experiment that is here.

    """
    from experiments import named
    from toymodels import plotting, results
    from toymodels.display import print_table

    dataset = results.opened(folder)
    print_table(dataset)
    figure = named(dataset.attrs["experiment"]).plot(dataset)
    results.write_files(folder, plotting.render(figure))
    print(f"figure drawn in {folder}")


if __name__ == "__main__":
    with cli.plain_errors():
        for folder in cli.arguments(Show, __doc__).folders:
            show(folder)
