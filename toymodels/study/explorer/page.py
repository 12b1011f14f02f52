"""A page that shows a result in any of its slices, in a browser or a notebook: `explore`."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import xarray as xr

from toymodels.errors import UserError
from toymodels.files import output_folder, write_files
from toymodels.study.explorer import content, drawings

HERE = Path(__file__).parent
SCRIPTS = ("slices.js", "charts.js", "controls.js", "words.js", "downloads.js", "page.js")
"""The parts of the page's own script, in their order."""


@dataclass(frozen=True, repr=False)
class Explorer:
    """A result as a page of HTML, which needs no network and no server.

    At the end of a cell of a notebook it shows itself.
    """

    html: str
    """The whole page."""

    def save(self, path: str | Path) -> Path:
        """Write the page to a file, whole or not at all, and return the file's path.

        Raises:
            UserError: the file can't be written.

        """
        path = Path(path)
        if path.is_dir():
            raise UserError(f"out must be a file; got the folder {path}")
        with output_folder(path.parent):
            write_files(path.parent, {path.name: self.html.encode()})
        return path

    def _repr_html_(self) -> str:
        """The page in a frame of its own, where its styles and scripts meet no others."""
        return (
            f'<iframe srcdoc="{html.escape(self.html)}" title="Explorer of a result" '
            'style="width: 100%; height: 960px; border: 0"></iframe>'
        )

    def __repr__(self) -> str:
        return f"Explorer: a page of {len(self.html) / 1e6:.1f} MB; .save(path) writes it"


def explore(dataset: xr.Dataset, *, title: str = "") -> Explorer:
    """Show a result in any of its slices: curves and maps over its named dimensions.

    The page has one control for each dimension that is on no axis, the mean with its 95 % interval
    and n at each point, the single seeds, the config and the provenance.

    Args:
        dataset: a result of a study or of `tm.grid`, or any Dataset with named dimensions. Seeds
            lie along the dimension ``seed``; without it there are no intervals.
        title: the heading, such as the question; empty: the name of the experiment.

    Returns:
        The page, which a notebook shows, and which ``.save("result.html")`` writes.

    Raises:
        UserError: Bokeh is not installed, or the dataset has nothing to show.

    >>> import toymodels as tm
    >>> runs = xr.Dataset({"accuracy": (("seed", "rho"), [[0.1, 0.5], [0.1, 0.7], [0.2, 0.6]])})
    >>> page = tm.explore(runs.assign_coords(rho=[0.0, 1.0]), title="two overlaps")
    >>> page.html.startswith("<!DOCTYPE html>")
    True

    """
    if not isinstance(dataset, xr.Dataset):
        raise UserError(f"dataset must be an xarray.Dataset; got a {type(dataset).__name__}")
    script = read_bokeh()
    title = title or str(dataset.attrs.get("experiment", "A result")).replace("_", " ")
    parts = {
        "TITLE": html.escape(title),
        "STYLE": read("page.css"),
        "DATA": write_json(content.collect(dataset, title)),
        "PLOTS": write_json(draw_plots()),
        "BOKEH": script,
        "SCRIPT": "\n".join(read(name) for name in SCRIPTS),
    }
    page, *rest = read("page.html").split("<!--")
    for piece in rest:  # a part is never searched for the places of others
        name, _, after = piece.partition("-->")
        page += parts[name] + after
    return Explorer(page)


def read_bokeh() -> str:
    """The script of Bokeh that draws plots.

    Raises:
        UserError: Bokeh is not installed.

    """
    try:
        from bokeh.resources import Resources
    except ImportError as error:
        raise UserError(
            "the explorer needs Bokeh, which is not installed: pip install 'bokeh>=3.7'"
        ) from error
    return "\n".join(Resources(mode="inline", components=["bokeh"]).js_raw)


def draw_plots() -> dict[str, Any]:
    """The empty plots of a page by name, as Bokeh's script reads them."""
    from bokeh.embed import json_item

    plots = {"curves": drawings.curves(), "map": drawings.map_of_means()}
    return {name: json_item(plot) for name, plot in plots.items()}


def read(name: str) -> str:
    """A file of the page."""
    return (HERE / name).read_text(encoding="utf-8")


def write_json(value: Any) -> str:
    """JSON that can stand inside an element of HTML: no tag can begin or end in it."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
