"""Experiments: one file each, with `Config`, `PRESETS`, `run`, `findings` and `plot`.

Most have `derived`, too: what `run` adds to the records of a sweep, and what is made anew when a
figure is drawn anew from them.
"""

import ast
import importlib
import json
from pathlib import Path
from types import ModuleType

from toymodels.errors import UserError

HERE = Path(__file__).parent
TOOLS = ("figures", "published", "show")
"""Modules here that are no experiments."""


def names() -> list[str]:
    """Names of all experiments."""
    return sorted(p.stem for p in HERE.glob("[!_]*.py") if p.stem not in TOOLS)


def named(name: str) -> ModuleType:
    """The module of an experiment.

    Raises:
        UserError: there is none of this name.

    >>> named("mnist_aux").__name__
    'experiments.mnist_aux'

    """
    if name not in names():
        raise UserError(f"experiment must be one of {', '.join(names())}; got {name!r}")
    return importlib.import_module(f"experiments.{name}")


def summary(name: str) -> str:
    """First line of a module's docstring, without importing it."""
    text = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())) or ""
    return text.partition("\n")[0]


def times() -> dict[str, dict[str, float]]:
    """Seconds that presets took on 2 cores, as last measured: experiment -> preset -> seconds."""
    return json.loads((HERE / "times.json").read_text())
