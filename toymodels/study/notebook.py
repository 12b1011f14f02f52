"""What a run in a notebook does by itself: it shows a line of progress, and keeps compiled programs."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from toymodels.study.display import duration

if TYPE_CHECKING:
    from toymodels.sweep import RunOptions


def silence_reading() -> None:
    """Keep XLA's log from errors that are none, in a process that has not imported JAX yet.

    XLA logs them when it reads a program that it has compiled on the same processor: it does not find
    there the names that it has itself given to what a compiler prefers.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    kernel = sys.modules.get("ipykernel.zmqshell")
    return kernel is not None and kernel.ZMQInteractiveShell.initialized()


@contextlib.contextmanager
def usual_options(options: RunOptions | None) -> Iterator[RunOptions | None]:
    """The given options; without any, in a notebook, those of a command: progress and kept programs.

    The line of progress disappears when the run ends.
    """
    if options is not None or not in_notebook():
        yield options
        return
    silence_reading()
    from IPython.display import display

    from toymodels.sweep import RunOptions, compilation

    folder = compilation.default_folder()
    handle = display(shown(""), display_id=True)

    def show(stage: str, done: int, total: int, left_s: float | None) -> None:
        handle.update(shown(describe_progress(stage, done, total, left_s)))

    try:
        yield RunOptions(
            progress=show, compiled=compilation.CompiledPrograms(folder) if folder else None
        )
    finally:
        handle.update(shown(""))


def describe_progress(stage: str, done: int, total: int, left_s: float | None) -> str:
    """A line on how far a run is.

    >>> describe_progress("models", 3, 10, 7.4)
    'models: 3 of 10, about 7 s left'
    """
    line = f"{stage}: {done} of {total}" if done else f"{stage} ..."
    return line if left_s is None or not done else f"{line}, about {duration(left_s)} left"


def shown(line: str) -> Any:
    """A line as a notebook shows it, without quotes."""
    from IPython.display import Pretty

    return Pretty(line)
