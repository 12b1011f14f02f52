"""Processes forked from one that has used JAX: its threads are not there, and it would wait."""

import os

from toymodels.errors import UserError

STARTED: set[int] = set()
"""The process that has run a sweep; a forked process has its parent's."""


def refuse_forked() -> None:
    """Stop if this process was forked from one that has run a sweep: its own would never end.

    Raises:
        UserError: it was.

    """
    if STARTED - {os.getpid()}:
        raise UserError(
            "this process was forked from one that uses JAX, and would wait for ever; start it by "
            'multiprocessing.get_context("spawn")'
        )
    STARTED.add(os.getpid())
