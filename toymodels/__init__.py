"""toymodels: a simulator of subliminal learning in small networks.

``import toymodels as tm`` lists what a theorist uses: ``tm.teach``, ``tm.rotate``, ``tm.distil``,
``tm.Study``. Each name is imported when it is first used, so that the import itself costs nothing and
a command line can answer ``--help`` before JAX is loaded. The list stands in ``__init__.pyi``, where
type checkers and editors read it, too.
"""

import ast
import importlib
from pathlib import Path
from typing import Any

__version__ = "0.1.0"


def _public_names() -> dict[str, tuple[str, str]]:
    """The names that the stub lists: name -> (module, name there)."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text())
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in imports
        for alias in node.names
    }


_NAMES = _public_names()
__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _NAMES[name]
    try:
        value = getattr(importlib.import_module(module), attribute)
    except AttributeError:
        value = importlib.import_module(f"{module}.{attribute}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """The public names, for completion at a prompt."""
    return sorted({*globals(), *__all__})
