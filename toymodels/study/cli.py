"""The command line of every experiment: progress, files, the closing table, plain errors.

Nothing heavy is imported before the command line is parsed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import platform
import shlex
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toymodels.errors import UserError, plain, sentence
from toymodels.study import workers
from toymodels.study.notebook import silence_reading
from toymodels.study.options import Options
from toymodels.study.parsing import arguments as arguments
from toymodels.study.parsing import parse

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from toymodels.study.study import Study


def main(study: Study) -> None:
    """Run a study from the command line."""
    with plain_errors():
        config, options = parse(study)
        execute(study, config, options)


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """End a command with one sentence: bad input with exit 2, Ctrl-C with exit 130.

    Exit 2 says that there is no result, or none with a finite value; exit 1 that the numbers are
    complete and something behind them is not: the figure, the findings, or what was printed.
    """
    try:
        yield
        sys.stdout.flush()  # a full disk behind it is noticed here, and not by the interpreter
    except UserError as error:
        print(f"error: {plain(str(error))}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:  # the reader of our output has gone (| head): nobody to tell
        discard_output()
        sys.exit(1)
    except OSError as error:
        if error.filename is None and error.errno in (errno.ENOSPC, errno.EIO):
            print(f"error: cannot write to standard output: {error.strerror}", file=sys.stderr)
            discard_output()
            sys.exit(1)
        if error.filename is None:
            raise
        print(f"error: {plain(str(error.filename))}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(
            "interrupted: finished chunks are kept; the same command goes on from there",
            file=sys.stderr,
            flush=True,
        )
        # A chunk may still be computing in another thread; an ordinary exit would wait for it.
        os._exit(130)


def discard_output() -> None:
    """Send what is still to be printed nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def execute(study: Study, config: Any, options: Options) -> None:
    """Run, write the numbers, draw the figure, print the table; or help a run (`workers`).

    What is wrong after the numbers are written ends the command with exit 1 and a line for each:
    the numbers stand.

    Raises:
        UserError: the input can't be run, or no point of it has finite values.

    """
    if not options.no_cache:
        silence_reading()
    # Before JAX starts, which counts the cores.
    alone = options.distributed or options.devices is not None or not workers.is_command(study)
    place, helpers = workers.take_place(options.workers, getattr(config, "seeds", 1), alone)

    from toymodels import files
    from toymodels.data import datasets
    from toymodels.stats import points
    from toymodels.study import results
    from toymodels.study.display import print_table, progress_display
    from toymodels.sweep import RunOptions, compilation, processes, settings
    from toymodels.sweep.store import Store

    if options.distributed:
        processes.initialise()
    quiet = options.quiet or not processes.first()

    def say(line: str) -> None:
        if not quiet:
            print(line, flush=True)

    # A result names what was run.
    if getattr(config, "dataset", None) == "auto" and "images" not in study.parts:
        name = datasets.load("auto", options.data_dir, say).name
        config = dataclasses.replace(config, dataset=name)
    beside = options.out or Path("results", study.name)
    digest = results.config_hash(config, study.parts)
    folder = options.out or beside / digest
    store = Store(options.store or beside / "chunks", place.since if options.force else 0)
    compiled = None if options.no_cache else compilation.default_folder()
    this = f"{shlex.join(sys.orig_argv)}, process {os.getpid()} of {platform.node()}"
    run_options = RunOptions(
        width=options.chunk,
        memory=None if options.memory is None else int(options.memory * 1e9),
        devices=options.devices,
        store=store,
        compiled=compilation.CompiledPrograms(compiled) if compiled else None,
        shard=place.among(options.worker),
    )
    if place.parent != os.getpid():
        run_options = run_options._replace(progress=lambda *_: workers.end_with(place.parent))
        with settings.hold_settings():
            study.run(config, data_dir=options.data_dir, options=run_options)
        return
    if options.dry_run:
        if not options.force:
            results.refuse_another(folder, study.name, config, study.parts)
        with settings.hold_settings():
            work = study.plan(config, data_dir=options.data_dir, options=run_options)
        print("\n".join(work.describe(place.n * options.worker[1])))
        return
    with results.output_folder(folder), files.claim_folder(folder, f"{study.name}-{digest}", this):
        files.clean(folder, store.folder, *store.folder.glob("*/"))
        if not options.force:
            results.refuse_another(folder, study.name, config, study.parts)
        with progress_display(quiet) as progress, memory_errors(), warnings.catch_warnings():
            warnings.simplefilter("ignore", results.ResultWarning)  # the table tells the same
            run_options = run_options._replace(progress=progress, announce=say)
            with settings.hold_settings(), workers.start_helpers(helpers):
                dataset = study.run(config, data_dir=options.data_dir, options=run_options)
        faults = save(folder, dataset, study.figure) if processes.first() else []
    if not quiet:
        try:
            print_table(dataset)
        except OSError:
            raise
        except Exception as error:
            faults.append(f"the table could not be printed: {sentence(error)}")
        how_made = json.loads(dataset.attrs["provenance"])
        if (known := how_made["found"]) == how_made["models"]:
            print(f"nothing was left to compute: all {known} models are an earlier run's, by the")
            print("same programs on the same data; --force computes them again")
        print(f"results in {folder}")
    for fault in faults:
        print(f"error: {fault}; results.nc and summary.json are complete", file=sys.stderr)
    if dataset.failed.all():
        advice = "; try smaller rates" if points.has_diverged(dataset) else ""
        raise UserError(f"every point has values that are not finite{advice}")
    if faults:
        sys.exit(1)


def save(folder: Path, dataset: xr.Dataset, figure: Callable[[xr.Dataset], Figure]) -> list[str]:
    """Write a result's numbers, and only then draw its figure; a sentence on what went wrong then.

    A figure of earlier numbers is deleted in the same step in which new ones take their place.

    Raises:
        UserError: the numbers can't be written; what was there before is as it was.

    """
    from toymodels.study import plotting, results

    figures = [f"figure.{kind}" for kind in plotting.KINDS]
    results.write_files(folder, results.files(dataset), remove=figures)
    faults = [dataset.attrs["findings_error"]] if "findings_error" in dataset.attrs else []
    try:
        results.write_files(folder, plotting.render(figure(dataset)))
    except Exception as error:
        faults.append(f"the figure could not be drawn: {sentence(error)}")
    return faults


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
