"""Experiments: one file each, which declares a `Config` and its presets and ends in one `Study`."""

import ast
import importlib
import json
from pathlib import Path

from toymodels.errors import UserError
from toymodels.study.study import Study

HERE = Path(__file__).parent
TOOLS = ("explore", "figures", "published", "runs", "show")
"""Modules here that are no experiments."""


def names() -> list[str]:
    """Names of all experiments."""
    return sorted(p.stem for p in HERE.glob("[!_]*.py") if p.stem not in TOOLS)


def load_study(name: str) -> Study:
    """The study of an experiment.

    Raises:
        UserError: there is none of this name.

    >>> load_study("aux_count").headline
    ('transfer', 'final_accuracy')

    """
    if name not in names():
        raise UserError(f"experiment must be one of {', '.join(names())}; got {name[:80]!r}")
    study: Study = importlib.import_module(f"{__name__}.{name}").STUDY
    return study


def no_results(folder: Path) -> UserError:
    """What to tell where a tool finds no result below a folder."""
    return UserError(
        f"folder must hold results; got {folder} without one (the project's own lie in the folder "
        "figures of a checkout, and are not installed)"
    )


def summary(name: str) -> str:
    """First line of a module's docstring, without importing it."""
    text = ast.get_docstring(ast.parse((HERE / f"{name}.py").read_text())) or ""
    return text.partition("\n")[0]


def times() -> dict[str, dict[str, float]]:
    """Seconds that presets took on 2 cores, as last measured: experiment -> preset -> seconds."""
    return json.loads((HERE / "times.json").read_text())
