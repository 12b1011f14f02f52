"""What a command line says: the options of every experiment and tool, with their help.

Nothing heavy is imported here.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

from toymodels.errors import UserError
from toymodels.files import read_regular
from toymodels.study import configs
from toymodels.study.options import Options

if TYPE_CHECKING:
    from toymodels.study.study import Study

PRESET = "Preset: the defaults of the other options."
CONFIG = """File with the defaults of the other options: the summary.json of a result, whose config runs
again with the CHUNK that it had. Options that are given win over the file."""


def parse(study: Study) -> tuple[Any, Options]:
    """Config and options from the command line; ``--preset`` or ``--config`` decides the defaults.

    Raises:
        UserError: the file of ``--config`` cannot be used, or ``--preset`` contradicts it.

    """
    import tyro

    names: Any = Literal[tuple(study.presets)]
    kinds = [("preset", names | None, None), ("config", Path | None, None)]
    asked = [word for word in sys.argv[1:] if word not in ("-h", "--help")]
    first: Any = dataclasses.make_dataclass("Defaults", kinds)
    (found, _) = tyro.cli(first, args=asked, return_unknown_args=True, add_help=False)
    preset, options = found.preset, Options()
    if found.config is None:
        preset = preset or "quick"
        default = study.presets[preset]
    else:
        default, width = read_config_file(study, found.config, asked)
        options = dataclasses.replace(options, chunk=width)
        if preset:
            refuse_contradiction(preset, study.presets[preset], default, found.config)

    fields = [
        (
            "preset",
            Annotated[names if preset else names | None, tyro.conf.arg(help=PRESET)],
            preset,
        ),
        ("config", Annotated[Path | None, tyro.conf.arg(help=" ".join(CONFIG.split()))], None),
        *explain_fields(default),
        *explain_fields(options),
    ]
    chosen = vars(arguments(dataclasses.make_dataclass("Command", fields), study.description))

    def fill_fields(kind: type[Any]) -> Any:
        return kind(**{field.name: chosen[field.name] for field in dataclasses.fields(kind)})

    return fill_fields(type(default)), fill_fields(Options)


def read_config_file(study: Study, path: Path, words: Sequence[str]) -> tuple[Any, int | None]:
    """The config of a result, and how many of its models ran side by side, from its summary.json.

    Args:
        study: the experiment that is to run.
        path: the file, or the folder with it.
        words: the command line, which gives fields that the file does not have.

    Raises:
        UserError: the file is not there, is no summary, is of another experiment, or its fields are
            not those of the experiment.

    """
    path = path / "summary.json" if path.is_dir() else path
    try:
        found = json.loads(read_regular(path, most=2**28))
        experiment, stored = found["experiment"], found["config"]
        width = found.get("provenance", {}).get("width")
    except FileNotFoundError as error:
        raise UserError(
            f"config must be the summary.json of a result; {path} is not there"
        ) from error
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise UserError(f"config must be the summary.json of a result; {path} is none") from error
    if not isinstance(stored, dict):
        raise UserError(f"config must be the summary.json of a result; {path} is none")
    if experiment != study.name:
        raise UserError(f"config must be of a result of {study.name}; {path} is of {experiment}")
    try:
        config = configs.rebuild_config(type(study.presets["quick"]), stored, study.name)
    except UserError as error:
        raise UserError(f"config {path}: {error}") from error
    given = {word.partition("=")[0].replace("_", "-") for word in words}
    for name in configs.list_missing(config, stored):
        if (option := f"--{name.replace('_', '-')}") not in given:
            raise UserError(f"config {path} has no value of the field {name}; give it as {option}")
    return config, width if isinstance(width, int) and width > 0 else None


def refuse_contradiction(name: str, preset: Any, config: Any, path: Path) -> None:
    """Refuse a preset beside the config of a file that is another one.

    Raises:
        UserError: they differ in a field.

    """
    for field, own, other in configs.differ_from(preset, configs.keep_fields(config)):
        if field in config.unused:
            continue
        raise UserError(
            f"preset {name} contradicts config {path}: {field} is {configs.write_value(own)} in the "
            f"preset and {configs.write_value(other)} in the file; give only one of them"
        )


def explain_fields(defaults: Any) -> list[tuple[str, Any, Any]]:
    """The fields of a dataclass as options, each with its docstring as one paragraph.

    tyro reads docstrings itself, but keeps the line breaks of the source in them.
    """
    import docstring_parser
    import tyro

    said: dict[str, str] = {}
    for kind in reversed(type(defaults).__mro__):
        if dataclasses.is_dataclass(kind):
            for told in docstring_parser.parse_from_object(kind).params:
                said[told.arg_name] = " ".join((told.description or "").split())
    kinds = get_type_hints(type(defaults), include_extras=True)
    names = [field.name for field in dataclasses.fields(defaults)]
    return [
        (name, Annotated[kinds[name], tyro.conf.arg(help=said.get(name))], getattr(defaults, name))
        for name in names
    ]


def program() -> str:
    """How this command was called, up to its options: a module, or a file of the user's own."""
    module = sys.modules["__main__"].__spec__
    name = module.name.removesuffix(".__main__") if module else sys.argv[0]
    return f"python -m {name}" if module else f"python {name}"


def arguments(
    kind: Any, description: str | None, words: Sequence[str] | None = None, **default: Any
) -> Any:
    """What the command line says, as the dataclass that declares its options.

    Of several dataclasses (``A | B``) the first word says which; without a word it is the one of
    ``default=A()``. ``words`` stand in the place of the command line's own.
    """
    import tyro

    words = sys.argv[1:] if words is None else words
    if {"-h", "--help"} & set(words):  # tyro would print each paragraph as one long line
        print(wrap_text(description or ""), end="\n\n")
    flags = (tyro.conf.FlagCreatePairsOff,)
    return tyro.cli(kind, prog=program(), description="", args=words, config=flags, **default)


def wrap_text(text: str) -> str:
    r"""Paragraphs as wide as the terminal; lines that are set off stay as they are.

    >>> print(wrap_text("One\n two.\n\n    x = 1\n"))
    One two.
    <BLANKLINE>
        x = 1
    """
    width = shutil.get_terminal_size().columns
    paragraphs = re.split(r"\n\s*\n", text.rstrip())
    return "\n\n".join(
        p if p.startswith(" ") else textwrap.fill(" ".join(p.split()), width) for p in paragraphs
    )
