"""Results on disk: opened again, or refused in one sentence."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import xarray as xr

from toymodels.errors import UserError
from toymodels.files import read_regular, recover
from toymodels.stats.findings import Finding
from toymodels.stats.points import axes
from toymodels.study.netcdf import read_netcdf
from toymodels.study.parts import drop_replaced
from toymodels.training.config import select_fields

ENCODED = {
    "config": dict,
    "dataset": dict,
    "provenance": dict,
    "failed_points": list,
    "findings": list,
}
"""What a result keeps as JSON, and its type."""


def open_result(folder: Path) -> xr.Dataset:
    """The result in a folder.

    Raises:
        UserError: there is none, or what is there was not written by `toymodels.study.results.files`, or
            can't be read.

    """
    recover(folder)
    path = folder / "results.nc"
    try:
        dataset = read_netcdf(path)
    except FileNotFoundError as error:
        raise UserError(f"no result in {folder}: {path} is not there") from error
    if not is_result(dataset):
        raise UserError(f"{path} is damaged, or not a result of toymodels")
    return dataset


def is_result(dataset: xr.Dataset) -> bool:
    """Whether a dataset has what `describe_result` gives a result, each of its type."""
    try:
        attrs = {name: json.loads(dataset.attrs[name]) for name in ENCODED}
        names = dataset.attrs["headline"].split()
        headline = [dataset[name] for name in names]
        return (
            all(isinstance(attrs[name], kind) for name, kind in ENCODED.items())
            and all(isinstance(line, str) for line in attrs["findings"])
            and all(map(Finding.from_row, json.loads(dataset.attrs.get("findings_table", "[]"))))
            and all(isinstance(point, dict) for point in attrs["failed_points"])
            and attrs["dataset"].keys() == {"name", "sha256"}
            and attrs["provenance"].keys() >= {"compile_s", "run_s"}
            and isinstance(dataset.attrs["experiment"], str)
            and bool(names)
            and all(array.dtype.kind == "f" and "seed" in array.dims for array in headline)
            and dataset.failed.dtype == bool
            and "seed" in dataset.failed.dims
            and dataset.seed.dtype.kind in "iu"
        )
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        return False


def read_summary(folder: Path) -> dict[str, Any]:
    """What the summary.json of a result holds.

    Raises:
        UserError: there is none, or it is not one that `toymodels.study.results.files` has written.

    """
    recover(folder)
    path = folder / "summary.json"
    try:
        found = json.loads(read_regular(path, most=2**28))
        whole = is_summary(found)
    except FileNotFoundError as error:
        raise UserError(f"no result in {folder}: {path} is not there") from error
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError):
        whole = False
    if not whole:
        raise UserError(f"{path} is damaged, or not a summary of toymodels")
    return found


STORE = re.compile(r"[0-9a-f]{64}")
"""Name of a folder of chunks: there may be thousands of files in it, and no result."""


def find_results(folder: Path) -> list[Path]:
    """The folders at or below a folder that hold a summary.json, sorted by name."""
    found = []
    for path, folders, files in os.walk(folder):
        if "summary.json" in files:
            found.append(Path(path))
        folders[:] = [name for name in folders if name[0] != "." and not STORE.fullmatch(name)]
    return sorted(found)


def is_summary(found: dict[str, Any]) -> bool:
    """Whether the content of a summary.json has what its readers use, each of its type."""
    numbers = (float, int, type(None))
    return (
        isinstance(found["experiment"], str)
        and isinstance(found["config"], dict)
        and isinstance(found["dataset"]["name"], str)
        and all(isinstance(line, str) for line in found["findings"])
        and all(map(Finding.from_row, found.get("findings_table", [])))
        and all(
            isinstance(metric["n"], int)
            and all(isinstance(metric[name], numbers) for name in ("mean", "ci_low", "ci_high"))
            and (metric["ci_low"] is None or None not in (metric["mean"], metric["ci_high"]))
            for metric in found["metrics"].values()
        )
    )


def refuse_another(
    folder: Path, experiment: str, config: Any, parts: Mapping[str, str] = MappingProxyType({})
) -> None:
    """Keep a run from replacing what another experiment, config or part has left in a folder.

    Raises:
        UserError: the folder holds such a result, or something that cannot be read.

    """
    if not (folder / "results.nc").exists():
        return
    there = open_result(folder)
    own = json.loads(json.dumps(drop_replaced(select_fields(config, axes(there)), parts)))
    unused = getattr(config, "unused", ())
    kept = {k: v for k, v in json.loads(there.attrs["config"]).items() if k not in unused}
    differ = [f"{k} {kept.get(k)}, not {own.get(k)}" for k in own if kept.get(k) != own[k]]
    if there.attrs["experiment"] != experiment:
        differ = [f"the experiment {there.attrs['experiment']}"]
    elif json.loads(there.attrs.get("parts", "{}")) != dict(parts):
        differ = ["other parts of a user's own"]
    if differ or kept.keys() != own.keys():
        what = "; ".join(differ[:3]) or "other fields"
        raise UserError(
            f"out: {folder} holds another result ({what}); name another folder, or --force"
        )
