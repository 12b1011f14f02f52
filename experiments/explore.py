"""Make a page of a finished run that shows any slice of it in a browser.

The page is one file of HTML. It opens without a network and without a server.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from toymodels.errors import UserError
from toymodels.study import cli


@dataclass(frozen=True)
class Explore:
    """What to make a page of."""

    folders: Positional[tuple[Path, ...]]
    """Folders of finished runs, each with its results.nc."""
    out: Path | None = None
    """File of the page (None: explore.html in the folder of the run)."""

    def __post_init__(self) -> None:
        if not self.folders:
            raise UserError("folders must be one at least; got none")
        if self.out is not None and len(self.folders) > 1:
            raise UserError(f"out must be left out for several folders; got {self.out}")


def make_page(folder: Path, out: Path | None = None) -> Path:
    """Write the page of a finished run, and return its file.

    Raises:
        UserError: there is no result in the folder, the page can't be written, or Bokeh is not
            installed.

    """
    from toymodels.study.explorer.page import explore
    from toymodels.study.saved import open_result

    from . import names, summary

    dataset = open_result(folder)
    name = dataset.attrs["experiment"]
    title = summary(name) if name in names() else ""
    return explore(dataset, title=title).save(out or folder / "explore.html")


def main() -> None:
    """Run from the command line."""
    with cli.plain_errors():
        arguments = cli.arguments(Explore, __doc__)
        for folder in arguments.folders:
            path = make_page(folder, arguments.out)
            print(f"{path}: a page of {path.stat().st_size / 1e6:.1f} MB; open it in a browser")


if __name__ == "__main__":
    main()
