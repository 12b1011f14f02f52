"""Results: labelled data, intervals, provenance, and files that appear whole or not at all."""

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
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from toymodels import settings
from toymodels.errors import UserError
from toymodels.statistics import mean_interval, succeeded

Published = Mapping[str, tuple[Sequence[float], Sequence[float | None]]]
"""Source -> published means and half of their 95 % intervals (or None) along a dimension."""


class Drawn(NamedTuple):
    """What stands in the place of a data set where there is none."""

    name: str
    """The law that the data are drawn from."""
    sha256: str = "none: drawn from the seeds"


def described(
    dataset: xr.Dataset,
    experiment: str,
    headline: str,
    config: Any,
    task: Any,
    execution: Any,
    findings: Sequence[str] = (),
) -> xr.Dataset:
    """A sweep's result with all that says where it came from; seeds first.

    Args:
        dataset: as `toymodels.sweep.grid` returns it, with what was derived from it.
        experiment: its name.
        headline: names of the variables that become metrics, the table's own first, with spaces.
        config: a dataclass.
        task: with the ``name`` and ``sha256`` of the data, or `Drawn`.
        execution: from the sweep.
        findings: sentences on what holds here, made from the numbers (see `difference`).

    """
    attrs = {
        "config": dataclasses.asdict(config),
        "dataset": {"name": task.name, "sha256": task.sha256},
        "provenance": provenance(execution),
        "failed_points": failed_points(dataset),
        "findings": list(findings),
    }
    about = {"experiment": experiment, "headline": headline}
    encoded = {name: to_json(value) for name, value in attrs.items()}
    return dataset.transpose("seed", ...).assign_attrs(about | encoded)


def failed_points(dataset: xr.Dataset) -> list[dict[str, Any]]:
    """The coordinates of every point with a value that is not finite."""
    stacked = dataset.failed.stack(point=dataset.failed.dims)
    names = list(dataset.failed.dims)
    return [
        {name: label(value) for name, value in zip(names, point, strict=True)}
        for point in stacked.point[stacked.values].values
    ]


def label(value: Any) -> Any:
    """A coordinate as a plain Python number or string."""
    return value.item() if isinstance(value, np.generic) else value


def failed_seeds(dataset: xr.Dataset) -> list[int]:
    """The seeds with a point that failed."""
    others = [dim for dim in dataset.failed.dims if dim != "seed"]
    return [int(seed) for seed in dataset.seed[dataset.failed.any(others).values]]


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
        rows = array.values.reshape(-1, array.sizes["seed"]).astype(np.float64)
        for at, row in zip(
            itertools.product(*(array[dim].values for dim in dims)), rows, strict=True
        ):
            places = [f"{dim}={label(value)}" for dim, value in zip(dims, at, strict=True)]
            where = f"{name}[{', '.join(places)}]" if places else name
            plain = len(names) == len(dims) == 1
            values = row[~np.isnan(row)]
            interval = mean_interval(values)._asdict()
            table[str(at[0]) if plain else where] = {
                **interval,
                "values": values.tolist(),
            }
    return table


def summary(dataset: xr.Dataset) -> dict[str, Any]:
    """The machine's view of a result: the content of summary.json."""
    provenance = json.loads(dataset.attrs["provenance"])
    timing = {name: provenance.pop(name) for name in ("compile_s", "run_s")}
    return {
        "experiment": dataset.attrs["experiment"],
        "config": json.loads(dataset.attrs["config"]),
        "dataset": json.loads(dataset.attrs["dataset"]),
        "metrics": metrics(dataset),
        "findings": json.loads(dataset.attrs["findings"]),
        "failed": {
            "seeds": failed_seeds(dataset),
            "points": json.loads(dataset.attrs["failed_points"]),
        },
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


def opened(folder: Path) -> xr.Dataset:
    """The result in a folder.

    Raises:
        UserError: there is none, or what is there was not written by `files`.

    """
    path = folder / "results.nc"
    try:
        dataset = xr.load_dataset(path, engine="h5netcdf")
        for name in ("config", "dataset", "provenance", "failed_points", "findings"):
            json.loads(dataset.attrs[name])
        for name in (*dataset.attrs["headline"].split(), "failed"):
            _ = dataset[name]
        _ = dataset.attrs["experiment"]
    except FileNotFoundError as error:
        raise UserError(f"no result in {folder}: {path} is not there") from error
    except Exception as error:  # there is hardly one that h5py does not raise at damaged files
        raise UserError(f"{path} is damaged, or not a result of toymodels") from error
    return dataset


def refuse_another(folder: Path, experiment: str, config: Any) -> None:
    """Keep a run from replacing what another experiment or config has left in a folder.

    Raises:
        UserError: the folder holds such a result, or something that cannot be read.

    """
    if not (folder / "results.nc").exists():
        return
    there = opened(folder)
    kept, own = json.loads(there.attrs["config"]), json.loads(to_json(dataclasses.asdict(config)))
    differ = [f"{k} {kept.get(k)}, not {own.get(k)}" for k in own if kept.get(k) != own[k]]
    if there.attrs["experiment"] != experiment:
        differ = [f"the experiment {there.attrs['experiment']}"]
    if differ or kept.keys() != own.keys():
        what = "; ".join(differ[:3]) or "other fields"
        raise UserError(
            f"out: {folder} holds another result ({what}); name another folder, or --force"
        )


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
    root = Path(__file__).parents[1]
    if (root / ".git").exists():  # else an installed copy inside somebody else's repository
        command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            found = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=10)
            if found.returncode == 0:
                return found.stdout.strip()
    return "unknown"


def config_hash(config: Any) -> str:
    """Eight hexadecimal digits that name a config.

    >>> @dataclasses.dataclass(frozen=True)
    ... class C:
    ...     m: int = 3
    >>> config_hash(C()) == config_hash(C(m=3)) != config_hash(C(m=4))
    True
    """
    return hashlib.sha256(to_json(dataclasses.asdict(config)).encode()).hexdigest()[:8]


def to_json(value: Any, indent: int | None = None) -> str:
    """JSON that never holds NaN."""
    return json.dumps(value, indent=indent, allow_nan=False)


@contextlib.contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """A folder that can be written, known before the expensive part begins.

    Folders made for it are taken away again if nothing was put into them.

    Raises:
        UserError: the folder can't be made or written.

    """
    made = [p for p in (path, *path.parents) if not p.exists()]
    try:
        with cannot_write_to(path):
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
        yield path
    finally:
        with contextlib.suppress(OSError):  # not empty, or never made: stays as it is
            for folder in made:
                folder.rmdir()


@contextlib.contextmanager
def cannot_write_to(path: Path) -> Iterator[None]:
    """Turn an operating system's error into a sentence for the user."""
    try:
        yield
    except OSError as error:
        raise UserError(f"out: cannot write to {path}: {error.strerror or error}") from error


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files under temporary names first, then rename them: whole, or not there.

    Raises:
        UserError: the disk is full or the folder not writable; nothing is left behind.

    """
    written: dict[str, Path] = {}
    mask = os.umask(0)
    os.umask(mask)
    try:
        with cannot_write_to(folder):
            for name, content in files.items():
                descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder)
                written[name] = Path(temporary)
                with os.fdopen(descriptor, "wb") as file:
                    os.fchmod(file.fileno(), 0o666 & ~mask)  # mkstemp's are for their owner alone
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
            for name, path in written.items():
                path.replace(folder / name)
    finally:
        for path in written.values():
            path.unlink(missing_ok=True)
