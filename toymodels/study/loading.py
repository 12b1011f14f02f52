"""The study of an experiment that lies in a file or module of a user."""

import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from toymodels.errors import UserError, sentence
from toymodels.study.study import Study


def import_study(source: str) -> Study:
    """The ``STUDY`` of a file, if its name ends in .py, or of a module. Its code is run.

    Raises:
        UserError: there is no such file or module, it fails, or it has no ``STUDY``.

    """
    try:
        module = import_file(Path(source)) if source.endswith(".py") else import_name(source)
    except UserError:
        raise
    except Exception as error:
        raise UserError(f"study {source} cannot be imported: {sentence(error)}") from error
    study = getattr(module, "STUDY", None)
    if not isinstance(study, Study):
        raise UserError(
            f"study must be a file or module with a STUDY = tm.Study(...); {source} has none"
        )
    return study


def import_name(name: str) -> ModuleType:
    """A module by its name."""
    if not all(part.isidentifier() for part in name.split(".")):
        raise UserError(f"study must be a .py file, or the name of a module; got {name}")
    return importlib.import_module(name)


def import_file(path: Path) -> ModuleType:
    """The module in a file, which may import what lies beside it."""
    if not path.is_file():
        raise UserError(f"study must be a .py file, or the name of a module; {path} is not there")
    name = f"toymodels_study_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # where dataclasses look up the types of their fields
    sys.path.insert(0, str(path.resolve().parent))
    spec.loader.exec_module(module)
    return module
