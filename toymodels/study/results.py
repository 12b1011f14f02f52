"""Results: labelled data, intervals, provenance, and their files."""

import contextlib
import dataclasses
import datetime
import hashlib
import itertools
import json
import os
import platform
import shlex
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import xarray as xr

from toymodels.errors import sentence
from toymodels.files import cannot_write_to, output_folder, write_files
from toymodels.stats.corrections import correct
from toymodels.stats.findings import Finding
from toymodels.stats.points import axes, failed_points, failed_seeds, label, remarks, unmoved_points
from toymodels.stats.sentences import complete
from toymodels.stats.statistics import interval, succeeded
from toymodels.study.parts import drop_replaced
from toymodels.study.saved import open_result, read_summary, refuse_another
from toymodels.sweep import settings
from toymodels.training.config import select_fields

__all__ = [
    "cannot_write_to",
    "config_hash",
    "describe_result",
    "failed_points",
    "failed_seeds",
    "files",
    "metrics",
    "open_result",
    "output_folder",
    "provenance",
    "read_summary",
    "refuse_another",
    "summary",
    "to_json",
    "unmoved_points",
    "with_published",
    "write_files",
]

Published = Mapping[str, tuple[Sequence[float], Sequence[float | None]]]
"""Source -> published means and half of their 95 % intervals (or None) along a dimension."""


Findings = Sequence[Finding | str] | Callable[[xr.Dataset], Sequence[Finding | str]]
"""What a result shows, or the function that says it of the result."""


class ResultWarning(UserWarning):
    """Something about a result that its user should know; the result is complete."""


def describe_result(
    dataset: xr.Dataset,
    experiment: str,
    headline: str,
    config: Any,
    task: Any,
    execution: Any,
    findings: Findings = (),
    parts: Mapping[str, str] = MappingProxyType({}),
) -> xr.Dataset:
    """A sweep's result with all that says where it came from; seeds first.

    A `ResultWarning` tells of points that failed, of points that did not move, and of findings
    that could not be made: a fault there does not cost the numbers.

    Args:
        dataset: as `toymodels.sweep.grid` returns it, with what was derived from it.
        experiment: its name.
        headline: names of the variables that become metrics, the table's own first, with spaces.
        config: a dataclass.
        task: with the ``name`` and ``sha256`` of the data.
        execution: from the sweep.
        findings: what the numbers show, or the function that says it.
        parts: by name, what parts of a user's own are (`toymodels.study.parts`).

    """
    attrs = {
        "config": drop_replaced(select_fields(config, axes(dataset)), parts),
        "dataset": {"name": task.name, "sha256": task.sha256},
        "provenance": provenance(execution),
        "failed_points": failed_points(dataset),
        "unmoved_points": unmoved_points(dataset),
        "findings": [],
    }
    if parts:
        attrs["parts"] = dict(parts)
    about = {"experiment": experiment, "headline": headline}
    encoded = {name: to_json(value) for name, value in attrs.items()}
    dataset = dataset.transpose("seed", ...).assign_attrs(about | encoded)
    for line in remarks(dataset):
        warnings.warn(line, ResultWarning, stacklevel=3)
    try:
        return with_findings(dataset, findings(dataset) if callable(findings) else findings)
    except Exception as error:
        reason = f"the findings could not be made: {sentence(error)}"
        warnings.warn(reason, ResultWarning, stacklevel=3)
        return dataset.assign_attrs(findings_error=reason)


def with_findings(dataset: xr.Dataset, findings: Sequence[Finding | str]) -> xr.Dataset:
    """The result with its findings as lines, and those with an estimate as rows of a table."""
    findings = correct(complete(findings, dataset))
    rows = [finding.row() for finding in findings if isinstance(finding, Finding)]
    lines = [str(finding) for finding in findings]
    return dataset.assign_attrs(findings=to_json(lines), findings_table=to_json(rows))


def with_published(dataset: xr.Dataset, dim: str, published: Published) -> xr.Dataset:
    """Add what the literature reports for the headline variable along ``dim``."""
    means, half_widths = (
        np.array(rows, np.float64) for rows in zip(*published.values(), strict=True)
    )
    about = {"description": "published mean of the headline variable"}
    about_half = {"description": "half of its 95 % interval; NaN: not given"}
    return dataset.assign_coords(source=list(published)).assign(
        published=(("source", dim), means, about),
        published_half_width=(("source", dim), half_widths, about_half),
    )


def metrics(dataset: xr.Dataset) -> dict[str, dict[str, Any]]:
    """Every headline variable at every combination of its coordinates beside ``seed``.

    A single headline with one dimension gives its labels as names (``teacher``), several variables
    or dimensions give ``accuracy[rho=0.5, group=all]``.
    """
    done, names = succeeded(dataset), dataset.attrs["headline"].split()
    table = {}
    for name in names:
        array = done[name].transpose(..., "seed")
        dims = array.dims[:-1]
        indices = np.ndindex(array.shape[:-1])
        for at, index in zip(
            itertools.product(*(array[dim].values for dim in dims)), indices, strict=True
        ):
            places = [f"{dim}={label(value)}" for dim, value in zip(dims, at, strict=True)]
            where = f"{name}[{', '.join(places)}]" if places else name
            plain = len(names) == len(dims) == 1
            part = array[index].astype(np.float64)
            part = part.where(np.isfinite(part))
            values = part.dropna("seed").values
            table[str(at[0]) if plain else where] = {
                **interval(part)._asdict(),
                "values": values.tolist(),
            }
    return table


def summary(dataset: xr.Dataset) -> dict[str, Any]:
    """The machine's view of a result: the content of summary.json."""
    provenance = json.loads(dataset.attrs["provenance"])
    timing = {name: provenance.pop(name) for name in ("compile_s", "run_s")}
    failed = {
        "seeds": failed_seeds(dataset),
        "points": json.loads(dataset.attrs["failed_points"]),
    }
    if unmoved := json.loads(dataset.attrs.get("unmoved_points", "[]")):
        failed["unmoved"] = unmoved
    return {
        "experiment": dataset.attrs["experiment"],
        "config": json.loads(dataset.attrs["config"]),
        "dataset": json.loads(dataset.attrs["dataset"]),
        **({"parts": json.loads(dataset.attrs["parts"])} if "parts" in dataset.attrs else {}),
        "metrics": metrics(dataset),
        "findings": json.loads(dataset.attrs["findings"]),
        "findings_table": json.loads(dataset.attrs.get("findings_table", "[]")),
        "failed": failed,
        "provenance": provenance,
        "timing": timing,
    }


def files(dataset: xr.Dataset) -> dict[str, bytes]:
    """The result as {"results.nc": ..., "summary.json": ...}."""
    netcdf = dataset.to_netcdf(engine="h5netcdf")
    return {
        "results.nc": bytes(netcdf),
        "summary.json": (to_json(summary(dataset), indent=2) + "\n").encode(),
    }


def provenance(execution: Any) -> dict[str, Any]:
    """Versions, code, machine and command behind a result; ``execution`` from the sweep."""
    packages = ("jax", "jaxlib", "flax", "optax", "numpy", "xarray", "scikit-learn")
    return {
        "toymodels": metadata.version("toymodels"),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in packages},
        "git_commit": git_commit(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "command": shlex.join([Path(sys.executable).name, *sys.orig_argv[1:]]),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        **settings.provenance(),
        **execution._asdict(),
    }


def git_commit() -> str:
    """Commit of the running code, ``-dirty`` if it was changed; "unknown" outside a checkout."""
    root = Path(__file__).parents[2]
    if (root / ".git").exists():  # else an installed copy inside somebody else's repository
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            found = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10)
            if found.returncode == 0:
                return found.stdout.strip()
    return "unknown"


def config_hash(config: Any, parts: Mapping[str, str] = MappingProxyType({})) -> str:
    """Eight hexadecimal digits that name a config, and parts of a user's own.

    >>> @dataclasses.dataclass(frozen=True)
    ... class C:
    ...     m: int = 3
    >>> config_hash(C()) == config_hash(C(m=3)) != config_hash(C(m=4))
    True
    """
    return config_digest(dataclasses.asdict(config) | ({"parts": dict(parts)} if parts else {}))


def config_digest(fields: Mapping[str, Any]) -> str:
    """Eight hexadecimal digits that name the fields of a config, those that a result keeps, too."""
    return hashlib.sha256(to_json(fields).encode()).hexdigest()[:8]


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON that never holds NaN."""
    return json.dumps(value, indent=indent, allow_nan=False)
