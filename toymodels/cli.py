"""The command line of every experiment: options, progress, files, the closing table, plain errors.

Nothing heavy is imported before the command line is parsed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import hashlib
import itertools
import json
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from toymodels.errors import UserError, at_least, positive

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import Progress


@dataclass(frozen=True)
class Options:
    """How an experiment runs; none of these changes what comes out."""

    data_dir: Path | None = None
    """Folder with MNIST's idx files, raw or gz (None: $TOYMODELS_DATA, else the user's cache)."""
    out: Path | None = None
    """Folder of the results (None: results/<experiment>/<hash of the config>)."""
    chunk: int | None = None
    """Models side by side on a device (None: up to 8 on a CPU, up to 64 on an accelerator)."""
    memory: float | None = None
    """Gigabytes to use on a device (None: 80 % of what is free)."""
    devices: int | None = None
    """Number of local devices (None: all)."""
    store: Path | None = None
    """Folder of finished chunks, with which a killed run goes on, and one with more seeds computes
    only those (None: chunks/ beside the results)."""
    cache: bool = False
    """Keep compiled programs on disk for the next run of the same shapes."""
    quiet: bool = False
    """Print nothing but errors."""

    def __post_init__(self) -> None:
        at_least(self, 1, "chunk", "devices")
        if self.memory is not None:
            positive(self, "memory")


def main(
    experiment: str,
    description: str | None,
    presets: Mapping[str, Any],
    run: Callable[..., xr.Dataset],
    plot: Callable[[xr.Dataset], Figure],
) -> None:
    """Run an experiment; bad input ends it with one sentence and exit 2, Ctrl-C with exit 130."""
    try:
        config, options = parse(experiment, description, presets)
        execute(experiment, config, options, run, plot)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has gone (| head): nobody to tell
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        print(
            "interrupted: finished chunks are kept; the same command goes on from there",
            file=sys.stderr,
            flush=True,
        )
        # A chunk may still be computing in another thread; an ordinary exit would wait for it.
        os._exit(130)


def parse(
    experiment: str, description: str | None, presets: Mapping[str, Any]
) -> tuple[Any, Options]:
    """Config and options from the command line; ``--preset`` decides the other defaults."""
    import tyro

    names: Any = Literal[tuple(presets)]  # the presets of this experiment
    first = dataclasses.make_dataclass("Preset", [("preset", names, "quick")])
    asked = [word for word in sys.argv[1:] if word not in ("-h", "--help")]
    found: Any = tyro.cli(first, args=asked, return_unknown_args=True, add_help=False)
    preset = found[0].preset
    default = presets[preset]

    flat = tyro.conf.arg(name="")  # --seeds, not --config.seeds
    about = "Where the defaults of the other options come from."
    chosen_preset = Annotated[names, tyro.conf.arg(help=about)]
    command = dataclasses.make_dataclass(
        "Command",
        [
            ("config", Annotated[type(default), flat], default),
            ("preset", chosen_preset, preset),
            ("options", Annotated[Options, flat], Options()),
        ],
    )
    chosen: Any = tyro.cli(
        command,
        prog=f"python -m experiments.{experiment}",
        description=description,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    return chosen.config, chosen.options


def execute(
    experiment: str,
    config: Any,
    options: Options,
    run: Callable[..., xr.Dataset],
    plot: Callable[[xr.Dataset], Figure],
) -> None:
    """Run, write the files, print the table."""
    from toymodels import datasets, plotting, results
    from toymodels.store import Store
    from toymodels.sweep import How

    def say(line: str) -> None:
        if not options.quiet:
            print(line, flush=True)

    if getattr(config, "dataset", None) == "auto":  # a result names what was run
        name = datasets.load("auto", options.data_dir, say).name
        config = dataclasses.replace(config, dataset=name)
    beside = options.out or Path("results", experiment)
    folder = options.out or beside / results.config_hash(config)
    if options.cache:
        keep_compiled_programs()
    with results.output_folder(folder):
        with progress_display(options.quiet) as progress, memory_errors():
            how = How(
                width=options.chunk,
                memory=None if options.memory is None else int(options.memory * 1e9),
                devices=options.devices,
                store=Store(options.store or beside / "chunks"),
                progress=progress,
            )
            dataset = run(config, data_dir=options.data_dir, how=how)
        results.write_files(folder, results.files(dataset) | plotting.render(plot(dataset)))
    if not options.quiet:
        print_table(dataset)
        print(f"results in {folder}")
    if dataset.failed.all():
        raise UserError("every point diverged to values that are not finite; try smaller rates")


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Turn an exhausted memory into a sentence."""
    import jax

    try:
        yield
    except (MemoryError, jax.errors.JaxRuntimeError) as error:
        if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
            raise UserError(
                "out of memory: lower chunk, batch, widths or the number of images"
            ) from error
        raise


def keep_compiled_programs() -> None:
    """Turn on JAX's compilation cache in a folder of this jaxlib and this processor alone.

    Programs compiled for another processor have crashed processes: never share the folder.
    """
    import jax
    import pooch

    info = Path("/proc/cpuinfo")
    cpu = info.read_text().split("\n\n")[0] if info.exists() else platform.processor()
    stable = [line for line in cpu.splitlines() if line.startswith(("model name", "flags"))]
    key = hashlib.sha256("\n".join(stable or [cpu]).encode()).hexdigest()[:8]
    folder = Path(
        pooch.os_cache("toymodels"), "compiled", f"jaxlib-{metadata.version('jaxlib')}-{key}"
    )
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)


@contextlib.contextmanager
def progress_display(quiet: bool) -> Iterator[Progress]:
    """On stderr: a bar with a time estimate on a terminal, a dozen plain lines elsewhere."""
    if quiet:
        yield lambda stage, done, total, left_s: None
    elif sys.stderr.isatty():
        from rich import progress as bars
        from rich.console import Console

        columns = (
            bars.TextColumn("{task.description:>9}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("{task.fields[left]}"),
        )
        with bars.Progress(*columns, console=Console(stderr=True), transient=True) as display:
            task = display.add_task("starting", total=None, left="")

            def show(stage: str, done: int, total: int, left_s: float | None) -> None:
                left = "" if left_s is None else f"about {duration(left_s)} left"
                display.update(task, description=stage, completed=done, total=total, left=left)

            yield show
    else:
        yield PlainLines()


class PlainLines:
    """Progress as lines: each stage as it begins, then every tenth of it."""

    def __call__(self, stage: str, done: int, total: int, left_s: float | None) -> None:
        """Print a line if a stage begins or another tenth is done."""
        if done == 0:
            self.start, self.tenth = time.perf_counter(), 0
            print(f"{stage} ...", file=sys.stderr, flush=True)
        elif (tenth := 10 * done // total) > self.tenth and left_s is not None:
            self.tenth = tenth
            elapsed = duration(time.perf_counter() - self.start)
            line = f"{stage}: {done} of {total}, {elapsed}, about {duration(left_s)} left"
            print(line, file=sys.stderr, flush=True)


def duration(seconds: float) -> str:
    """Seconds, or hours, minutes and seconds."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return str(datetime.timedelta(seconds=round(seconds)))


def print_table(dataset: xr.Dataset) -> None:
    """The metrics with their intervals, beside what the literature reports where it can."""
    from rich.console import Console
    from rich.table import Table

    from toymodels import plotting, results, statistics

    name = dataset.attrs["headline"].split()[0]
    headline = statistics.succeeded(dataset)[name]
    dims = [str(dim) for dim in headline.dims if dim != "seed"]
    table = Table()
    for dim in dims:
        table.add_column(dim)
    for column in ("mean", "95 % interval", "n"):
        table.add_column(column, justify="right")
    sources = dataset.source.values if "source" in dataset.coords else []
    for source in sources:
        table.add_column(str(source), justify="right")
    for at in itertools.product(*(headline[dim].values for dim in dims)):
        place = dict(zip(dims, at, strict=True))
        mean, low, high, n = statistics.mean_interval(headline.sel(place).values)
        interval = "-" if low is None else f"{number(low)} to {number(high)}"
        row = [*map(str, at), number(mean), interval, str(n)]
        for source in sources:
            known = dataset.sel({"source": source, **place})
            half = float(known.published_half_width)
            row.append(number(float(known.published)) + (f" ± {number(half)}" if half > 0 else ""))
        table.add_row(*row)
    print(f"{headline.attrs['description'].capitalize()}: {plotting.caption(dataset)}")
    Console().print(table)
    for sentence in json.loads(dataset.attrs["findings"]):
        print(sentence)
    if points := results.failed_points(dataset):
        first = "; ".join(", ".join(f"{k} {v}" for k, v in point.items()) for point in points[:5])
        more = f" and {len(points) - 5} more" if len(points) > 5 else ""
        print(f"left out, not finite: {first}{more}")


def number(x: float | None) -> str:
    """Three decimals, or a dash for what is not known."""
    return "-" if x is None else f"{x:.3f}"
