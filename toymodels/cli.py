"""The command line of every experiment: options, progress, files, the closing table, plain errors.

Nothing heavy is imported before the command line is parsed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from toymodels.errors import UserError, at_least

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.sweep import Progress


@dataclass(frozen=True)
class Options:
    """How an experiment runs; none of these changes what comes out."""

    preset: Literal["quick", "paper"] = "quick"
    """Where the defaults of the other options come from."""
    data_dir: Path | None = None
    """Folder with MNIST's idx files, raw or gz (None: $TOYMODELS_DATA, else the user's cache)."""
    out: Path | None = None
    """Folder of the results (None: results/<experiment>/<hash of the config>)."""
    chunk: int | None = None
    """Seeds at once (None: 1 on a CPU, up to 10 on an accelerator)."""
    cache: bool = False
    """Keep compiled programs on disk for the next run of the same shapes."""
    quiet: bool = False
    """Print nothing but errors."""

    def __post_init__(self) -> None:
        at_least(self, 1, "chunk")


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
        print("interrupted: nothing was written", file=sys.stderr, flush=True)
        # A chunk may still be computing in another thread; an ordinary exit would wait for it.
        os._exit(130)


def parse(
    experiment: str, description: str | None, presets: Mapping[str, Any]
) -> tuple[Any, Options]:
    """Config and options from the command line; ``--preset`` decides the other defaults."""
    import tyro

    @dataclass(frozen=True)
    class Preset:
        preset: Literal["quick", "paper"] = "quick"

    asked = [word for word in sys.argv[1:] if word not in ("-h", "--help")]
    preset = tyro.cli(Preset, args=asked, return_unknown_args=True, add_help=False)[0].preset
    default = presets[preset]

    flat = tyro.conf.arg(name="")  # --seeds, not --config.seeds
    command = dataclasses.make_dataclass(
        "Command",
        [
            ("config", Annotated[type(default), flat], default),
            ("options", Annotated[Options, flat], Options(preset=preset)),
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

    def say(line: str) -> None:
        if not options.quiet:
            print(line, flush=True)

    if getattr(config, "dataset", None) == "auto":  # a result names what was run
        name = datasets.load("auto", options.data_dir, say).name
        config = dataclasses.replace(config, dataset=name)
    folder = options.out or Path("results", experiment, results.config_hash(config))
    if options.cache:
        keep_compiled_programs()
    with results.output_folder(folder):
        with progress_display(options.quiet) as progress, memory_errors():
            dataset = run(config, data_dir=options.data_dir, chunk=options.chunk, progress=progress)
        results.write_files(folder, results.files(dataset) | plotting.render(plot(dataset)))
    if not options.quiet:
        print_table(dataset)
        print(f"results in {folder}")
    failed = results.failed_seeds(dataset)
    if len(failed) == dataset.sizes["seed"]:
        raise UserError("every seed diverged to values that are not finite; try smaller rates")


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
        yield lambda stage, done, total: None
    elif sys.stderr.isatty():
        from rich import progress as bars
        from rich.console import Console

        columns = (
            bars.TextColumn("{task.description:>9}"),
            bars.BarColumn(),
            bars.MofNCompleteColumn(),
            bars.TimeElapsedColumn(),
            bars.TextColumn("left"),
            bars.TimeRemainingColumn(),
        )
        with bars.Progress(*columns, console=Console(stderr=True), transient=True) as display:
            task = display.add_task("starting", total=None)
            yield lambda stage, done, total: display.update(
                task, description=stage, completed=done, total=total
            )
    else:
        yield PlainLines()


class PlainLines:
    """Progress as lines: each stage as it begins, then every tenth of it."""

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Print a line if a stage begins or another tenth is done."""
        if done == 0:
            self.start, self.tenth = time.perf_counter(), 0
            print(f"{stage} ...", file=sys.stderr, flush=True)
        elif (tenth := 10 * done // total) > self.tenth:
            self.tenth = tenth
            elapsed = time.perf_counter() - self.start
            left = elapsed / done * (total - done)
            line = f"{stage}: {done} of {total}, {elapsed:.0f} s, about {left:.0f} s left"
            print(line, file=sys.stderr, flush=True)


def print_table(dataset: xr.Dataset) -> None:
    """The metrics with their intervals, beside what the literature reports where it can."""
    from rich.console import Console
    from rich.table import Table

    from toymodels import plotting, results

    headline = dataset[dataset.attrs["headline"]]
    (dim,) = set(headline.dims) - {"seed"}
    table = Table()
    table.add_column(str(dim))
    for name in ("mean", "95 % interval"):
        table.add_column(name, justify="right")
    sources = dataset.source.values if "source" in dataset.coords else []
    for source in sources:
        table.add_column(str(source), justify="right")
    for name, metric in results.metrics(dataset).items():
        row = [name, number(metric["mean"]), "-"]
        if metric["ci_low"] is not None:
            row[2] = f"{number(metric['ci_low'])} to {number(metric['ci_high'])}"
        for source in sources:
            known = dataset.sel({"source": source, dim: name})
            half = float(known.published_half_width)
            row.append(number(float(known.published)) + (f" ± {number(half)}" if half > 0 else ""))
        table.add_row(*row)
    print(f"{headline.attrs['description'].capitalize()}: {plotting.caption(dataset)}")
    Console().print(table)
    if failed := results.failed_seeds(dataset):
        print(f"left out, not finite: seeds {', '.join(map(str, failed))}")


def number(x: float | None) -> str:
    """Three decimals, or a dash for what is not known."""
    return "-" if x is None else f"{x:.3f}"
