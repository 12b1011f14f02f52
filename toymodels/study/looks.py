"""How figures look where a user wants another style, size or panel than the house has."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib import style as styles
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec

from toymodels.errors import UserError


class Look(NamedTuple):
    """What a user has chosen; it wins over the house style and over an experiment's size."""

    parameters: Mapping[Any, Any] = MappingProxyType({})
    """Parameters of Matplotlib."""
    size: tuple[float, float] | None = None
    """Width and height of a figure in inches; None: as its experiment has it."""
    width: float | None = None
    """Width of every figure in inches, for which a long row of panels is broken; None: as it is."""
    row: float = 2.5
    """Height of a row of panels in inches, where the width is given."""


def sizes(points: float) -> dict[str, float]:
    """Parameters of Matplotlib with which all type has one size."""
    names = ("font.size", "axes.titlesize", "axes.labelsize", "legend.fontsize")
    return dict.fromkeys((*names, "xtick.labelsize", "ytick.labelsize"), points)


LOOKS = {
    # The text width of a journal with two columns, and type that can be read there.
    "paper": Look({**sizes(7), "lines.linewidth": 1.0, "lines.markersize": 3}, None, 7.0),
    "slide": Look({**sizes(14), "lines.linewidth": 2.0, "lines.markersize": 6}, None, 13.0, 4.0),
}
"""Styles of the project, by name."""
MOST_COLUMNS = 3
"""Panels side by side where a look sets the width."""

CHOSEN: ContextVar[Look] = ContextVar("look", default=Look())  # noqa: B039 (it cannot change)


@contextlib.contextmanager
def restyle(
    style: str | Path | Mapping[str, Any] | None = None, size: tuple[float, float] | None = None
) -> Iterator[None]:
    """Draw figures in another style or size, for the length of a ``with``.

    Colours that tell models apart stay as they are.

    Args:
        style: "paper" (7 inches wide, type of 7 pt), "slide", a style of Matplotlib, an .mplstyle file,
            or parameters by name (`matplotlib.rcParams`, for those set before). They win over the
            house style.
        size: width and height of a figure, in inches (None: as its experiment has it).

    Raises:
        UserError: there is no such style, or the size is none.

    >>> from toymodels.study import plotting
    >>> with restyle({"font.size": 12}, size=(4, 3)):
    ...     fig, axes = plotting.panels(9, 3, columns=(1, 1))
    >>> fig.get_size_inches().tolist()
    [4.0, 3.0]

    """
    if size is not None and not all(1 <= inches <= 100 for inches in size):
        raise UserError(f"size must be from 1 to 100 inches each way; got {size[0]:g}x{size[1]:g}")
    look = LOOKS.get(style) if isinstance(style, str) else None
    token = CHOSEN.set((look or Look(read_style(style)))._replace(size=size))
    try:
        yield
    finally:
        CHOSEN.reset(token)


def read_style(style: str | Path | Mapping[str, Any] | None) -> Mapping[Any, Any]:
    """The parameters of a style.

    Raises:
        UserError: there is no such style.

    """
    if style is None:
        return {}
    if isinstance(style, Mapping):
        return style
    if str(style) in styles.library:
        return dict(styles.library[str(style)])
    if Path(style).suffix == ".mplstyle" and Path(style).is_file():
        return dict(mpl.rc_params_from_file(style, use_default_template=False))
    names = ", ".join([*LOOKS, *sorted(name for name in styles.library if name[0] != "_")])
    raise UserError(f"style must be an .mplstyle file, or one of {names}; got {style}")


def arrange(
    width: float, height: float, columns: Sequence[float], rows: int
) -> tuple[tuple[float, float], Sequence[float], int]:
    """Size in inches, relative widths of the columns, and number of rows, as the chosen look has them.

    >>> with restyle("paper"):
    ...     arrange(16, 3, (1, 1, 1, 2), 1)
    ((7.0, 5.0), (1, 1, 1), 2)
    """
    look = CHOSEN.get()
    if look.size or look.width is None:
        return look.size or (width, height), columns, rows
    if rows == 1 and len(columns) > MOST_COLUMNS:
        rows, columns = -(-len(columns) // MOST_COLUMNS), (1,) * MOST_COLUMNS
    return (look.width, look.row * rows), columns, rows


def keep_panel(fig: Figure, number: int) -> None:
    """Leave one panel of a figure, counted from 1 in the order of reading, at the size that it had.

    With a size that the user has chosen, it fills that.

    Raises:
        UserError: the figure has no panel of this number.

    """
    panels = [ax for ax in fig.axes if not is_colorbar(ax)]
    if not 1 <= number <= len(panels):
        raise UserError(f"panel must be from 1 to {len(panels)} in this figure; got {number}")
    kept = panels[number - 1]
    place = kept.get_subplotspec()
    if place is not None and CHOSEN.get().size is None:
        grid = place.get_gridspec()
        ratios: Any = grid.get_width_ratios()
        width, height = fig.get_size_inches()
        share = sum(ratios[i] for i in place.colspan) / sum(ratios)
        fig.set_size_inches(width * share, height * len(place.rowspan) / grid.nrows)
    for ax in panels:
        if ax is not kept:
            for drawn in (*ax.collections, *ax.images):
                if drawn.colorbar is not None:
                    drawn.colorbar.remove()
            ax.remove()
    kept.set_subplotspec(GridSpec(1, 1, figure=fig)[0])


def is_colorbar(ax: Axes) -> bool:
    """Whether axes are the scale of a map's colours, and no panel."""
    return ax.get_label() == "<colorbar>"
