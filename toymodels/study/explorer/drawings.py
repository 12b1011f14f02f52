"""The two Bokeh plots of a page: curves and a map. Both are empty; the page's script fills them."""

from __future__ import annotations

from typing import Any

COLUMNS = {
    "bands": ("xs", "ys", "colour", "alpha"),
    "threads": ("xs", "ys", "colour", "alpha"),
    "lines": ("xs", "ys", "colour", "dash", "alpha"),
    "bars": ("x", "low", "high", "colour", "alpha"),
    "points": ("x", "y", "colour", "alpha", "line", "place", "value", "more"),
    "chosen": ("x", "y", "colour"),
}
"""Columns of each set of shapes in the curves, from back to front."""

CELLS = ("x", "y", "value", "place", "row", "said", "more")
"""Columns of the cells of a map."""

INK, PALE = "#222222", "#e6e6e6"


def curves() -> Any:
    """Lines with bands, or points with intervals; ``curves`` is the name of the plot."""
    plot = empty_plot("curves", zoom=True)
    data = {name: make_source(name, columns) for name, columns in COLUMNS.items()}
    plot.patches("xs", "ys", source=data["bands"], color="colour", fill_alpha="alpha", line_alpha=0)
    plot.multi_line(
        "xs", "ys", source=data["threads"], color="colour", line_alpha="alpha", line_width=0.8
    )
    plot.multi_line(
        "xs",
        "ys",
        source=data["lines"],
        color="colour",
        line_dash="dash",
        line_alpha="alpha",
        line_width=2,
    )
    plot.segment(
        "x",
        "low",
        "x",
        "high",
        source=data["bars"],
        color="colour",
        line_alpha="alpha",
        line_width=1.5,
    )
    plot.scatter(
        "x", "y", source=data["chosen"], size=15, fill_alpha=0, line_color="colour", line_width=2
    )
    marks = plot.scatter(
        "x", "y", source=data["points"], size=6.5, color="colour", fill_alpha="alpha", line_alpha=0
    )
    said = ("@line", "@place", "@value", "@more")
    plot.add_tools(pointer(marks, said))
    return plot


def map_of_means() -> Any:
    """Cells coloured by a value; ``map`` is the name of the plot."""
    from bokeh.models import ColorBar, FixedTicker, LinearColorMapper
    from bokeh.palettes import Viridis256

    plot = empty_plot("map", zoom=False)
    plot.grid.visible = False
    colours = LinearColorMapper(palette=Viridis256, low=0, high=1, nan_color=PALE, name="colours")
    cells, chosen = make_source("cells", CELLS), make_source("cell", ("x", "y"))
    squares = plot.rect(
        "x",
        "y",
        1,
        1,
        source=cells,
        fill_color={"field": "value", "transform": colours},
        line_color="white",
        line_width=1,
    )
    # A table for each colour: Bokeh reads colours of texts too early where their number changes.
    for name, colour in (("light", "white"), ("dark", INK)):
        plot.text(
            "x",
            "y",
            "text",
            source=make_source(name, ("x", "y", "text")),
            text_align="center",
            text_baseline="middle",
            text_font_size="11px",
            text_color=colour,
        )
    for colour, width in (("white", 5), (INK, 2.5)):  # seen on dark cells and on light ones
        plot.rect("x", "y", 1, 1, source=chosen, fill_alpha=0, line_color=colour, line_width=width)
    bar = ColorBar(color_mapper=colours, ticker=FixedTicker(ticks=[]), width=10, padding=6)
    bar.update(major_label_text_color=INK, major_label_text_font_size="11px", margin=0)
    bar.update(bar_line_color=None, name="bar")
    plot.add_layout(bar, "right")
    said = ("@row", "@place", "@said", "@more")
    plot.add_tools(pointer(squares, said))
    return plot


def make_source(name: str, columns: tuple[str, ...]) -> Any:
    """An empty table of a plot, which the page's script finds by its name."""
    from bokeh.models import ColumnDataSource

    return ColumnDataSource({column: [] for column in columns}, name=name)


def pointer(shapes: Any, said: tuple[str, ...]) -> Any:
    """A box beside the pointer with columns of a shape, a line each; Bokeh escapes their text."""
    from bokeh.models import HoverTool

    first, *others = said
    lines = "".join(f"<div>{column}</div>" for column in others)
    box = f'<div style="max-width: 260px"><b>{first}</b>{lines}</div>'
    return HoverTool(renderers=[shapes], tooltips=box, attachment="horizontal", visible=False)


def empty_plot(name: str, zoom: bool) -> Any:
    """A plot as wide as its place, in the look of the figures; its ticks are the script's."""
    from bokeh.models import FixedTicker, Range1d
    from bokeh.plotting import figure

    plot: Any = figure(
        name=name,
        height=400,
        sizing_mode="stretch_width",
        min_width=120,
        output_backend="svg",  # sharp at any size, and what is downloaded
        x_range=Range1d(0, 1),
        y_range=Range1d(0, 1),
        tools="box_zoom" if zoom else "",
        active_drag=None,  # until the script finds a mouse
        toolbar_location=None,
        background_fill_color=None,
        border_fill_color=None,
        outline_line_color=None,
    )
    for axis in plot.axis:
        axis.update(
            ticker=FixedTicker(ticks=[]),
            axis_line_color=INK,
            axis_label_text_font_style="normal",
            axis_label_text_font_size="13px",
            axis_label_text_color=INK,
            major_label_text_font_size="12px",
            major_label_text_color=INK,
            major_tick_in=0,
            major_tick_line_color=INK,
            minor_tick_line_color=None,
        )
    plot.grid.grid_line_color = PALE
    return plot
