"""What a page of the explorer holds of a result: its quantities, with means and intervals over seeds.

The means, intervals and n are those of the figures: `toymodels.stats.statistics.interval` makes them.
The page only chooses among them.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from toymodels.errors import UserError
from toymodels.stats.points import label, remarks
from toymodels.stats.statistics import Interval, interval, keep_finite, mean_interval, succeeded
from toymodels.study import plotting
from toymodels.study.explorer import words

MOST_POINTS = 100_000
"""The largest number of means in a page, of all quantities together."""
MOST_SEEDS = 300_000
"""The largest number of single seeds' values in a page, of all quantities together."""
DIGITS = 7
"""Significant digits of a mean in a page: those of float32."""


def collect(dataset: xr.Dataset, title: str) -> dict[str, Any]:
    """The content of a page, of plain lists and numbers; None stands for what is unknown.

    Args:
        dataset: a result, or any Dataset with named dimensions.
        title: the first line of the page.

    Raises:
        UserError: there is no number with a dimension in the dataset, or each has too many values.

    """
    dataset = sort_axes(dataset)
    done = succeeded(dataset) if "failed" in dataset else dataset
    names = [str(name) for name, array in done.data_vars.items() if is_quantity(str(name), array)]
    if not names:
        raise UserError("dataset must hold a number with a named dimension; got none")
    headline = [name for name in str(dataset.attrs.get("headline", "")).split() if name in names]
    names = [*headline, *(name for name in names if name not in headline)]
    quantities, left_out, points, seeds = [], [], 0, 0
    for name in names:
        cells = done[name].size // done[name].sizes.get("seed", 1)
        if points + cells > MOST_POINTS:
            left_out.append(f"{words.name_quantity(name)} has too many values for a page.")
            continue
        every_seed = seeds + done[name].size <= MOST_SEEDS
        if not every_seed and "seed" in done[name].dims:
            left_out.append(f"The single seeds of {words.name_quantity(name)} are too many.")
        quantities.append(describe_quantity(done[name], every_seed))
        points, seeds = points + cells, seeds + done[name].size * every_seed
    if not quantities:
        raise UserError(
            f"dataset must have at most {MOST_POINTS} points in a variable; got more in every one"
        )
    used = {dim for quantity in quantities for dim in (*quantity["dims"], "seed")}
    return {
        "name": str(dataset.attrs.get("experiment", "result")),
        "title": title,
        "caption": write_caption(dataset),
        "dims": {str(dim): describe_axis(dataset, str(dim)) for dim in dataset.dims if dim in used},
        "quantities": quantities,
        "first": choose_first(quantities, headline),
        "about": describe_origin(dataset),
        "notes": [*left_out, *(f"{line}." for line in list_remarks(dataset))],
    }


def write_caption(dataset: xr.Dataset) -> str:
    """The experiment, the data and n, as far as the dataset says them."""
    known = str(dataset.attrs.get("experiment", ""))
    if {"config", "dataset"} <= dataset.attrs.keys() and "seed" in dataset.dims:
        return f"{known}: {plotting.caption(dataset)}"
    return known


def sort_axes(dataset: xr.Dataset) -> xr.Dataset:
    """The dataset with numbers along an axis in rising order."""
    numeric = [dim for dim in dataset.dims if dim in dataset.indexes and is_numeric(dataset, dim)]
    return dataset.sortby(numeric) if numeric else dataset


def is_numeric(dataset: xr.Dataset, dim: Any) -> bool:
    """Whether the labels of a dimension are numbers."""
    return dataset[dim].ndim == 1 and dataset[dim].dtype.kind in "iuf"


def is_quantity(name: str, array: xr.DataArray) -> bool:
    """Whether a variable is a number that can be drawn along a dimension."""
    return name != "failed" and array.dtype.kind in "iufb" and array.ndim > 0 and array.size > 0


def list_remarks(dataset: xr.Dataset) -> list[str]:
    """Lines on points that failed or did not move, where the dataset knows them."""
    return remarks(dataset) if "failed" in dataset else []


def describe_axis(dataset: xr.Dataset, dim: str) -> dict[str, Any]:
    """A dimension: its name in words, its labels, their colours and how they stand on an axis."""
    known = dim in dataset.coords and dataset[dim].ndim == 1
    values = dataset[dim].values if known else np.arange(dataset.sizes[dim])
    plain = [label(value) for value in values]
    numeric = bool(values.dtype.kind in "iuf" and np.isfinite(values).all())
    said = dataset[dim].attrs.get("description", "") if known else ""
    return {
        "label": words.name_dimension(dim) if dim in words.DIMENSIONS or not said else said,
        "numeric": numeric,
        "values": [tidy(value) if numeric else str(value) for value in plain],
        "labels": [words.name_value(dim, value) for value in plain],
        "colours": words.choose_colours(dim, plain, numeric),
        "models": dim in words.MODELS,
        "spacing": words.choose_spacing(dim, plain, numeric),
    }


def describe_quantity(array: xr.DataArray, every_seed: bool) -> dict[str, Any]:
    """A variable with its mean, interval and n at each point; in the order of ``dims``, the last fastest."""
    has_seeds = "seed" in array.dims
    rows = find_intervals(array) if has_seeds else []
    ordered = array.transpose(..., "seed") if has_seeds else array
    values = list_values(ordered)
    proportion = "trials" in array.attrs or "clustered_trials" in array.coords
    bounds = words.find_bounds(array)
    return {
        "name": str(array.name),
        "label": words.name_quantity(str(array.name)),
        "description": words.describe(array),
        "unit": str(array.attrs.get("units", "1")),
        "dims": [str(dim) for dim in array.dims if dim != "seed"],
        "mean": [tidy(row.mean) for row in rows] if has_seeds else values,
        "low": [tidy(row.ci_low) for row in rows],
        "high": [tidy(row.ci_high) for row in rows],
        "n": [row.n for row in rows],
        "seeds": values if has_seeds and every_seed else None,
        "counted": "trials" if "trials" in array.attrs else "seeds",
        "interval": "Wilson's for a proportion" if proportion else "Student's t",
        "bounds": bounds,
    }


def list_values(array: xr.DataArray) -> list[float | None]:
    """The values of an array, the last dimension fastest; None for what is not finite."""
    if array.dtype == np.float32:  # the shortest decimals that give the same float32
        return [float(str(v)) if np.isfinite(v) else None for v in array.values.ravel()]
    return [tidy(value) for value in keep_finite(array).values.ravel().tolist()]


def find_intervals(array: xr.DataArray) -> list[Interval]:
    """The interval over seeds at each point of the other dimensions, the last of them fastest.

    Raises:
        UserError: the array is a proportion by its words, and a value of it is none.

    """
    ordered = keep_finite(array).transpose(..., "seed")
    if "trials" not in array.attrs and "clustered_trials" not in array.coords:
        return [mean_interval(seeds) for seeds in ordered.values.reshape(-1, ordered.shape[-1])]
    try:
        return [interval(ordered[at]) for at in np.ndindex(ordered.shape[:-1])]
    except ValueError as error:
        raise UserError(f"{array.name} must hold proportions of trials: {error}") from error


def tidy(value: Any) -> Any:
    """A number in few digits; None for NaN and None.

    >>> tidy(0.10000000149011612), tidy(float("nan")), tidy(3)
    (0.1, None, 3)
    """
    if value is None or value != value:
        return None
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def choose_first(quantities: list[dict[str, Any]], headline: list[str]) -> str:
    """The quantity that a page opens with: the first of the headline that has many points."""
    among = [quantity for quantity in quantities if quantity["name"] in headline] or quantities
    most = max(len(quantity["mean"]) for quantity in among)
    return str(next(one["name"] for one in among if len(one["mean"]) * 4 >= most))


def describe_origin(dataset: xr.Dataset) -> dict[str, Any]:
    """What is known of how a result was made: as in its summary.json, but for the metrics."""
    known = {}
    for name in ("experiment", "parts", "config", "dataset", "findings", "provenance"):
        if name in dataset.attrs:
            value = dataset.attrs[name]
            known[name] = value if name == "experiment" else json.loads(value)
    return known
