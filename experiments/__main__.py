"""``toymodels``, or ``python -m experiments``: what there is, and how long it takes.

toymodels                           every experiment, in a line each
toymodels NAME [options]            run one; the same as python -m experiments.NAME
toymodels --completion bash|zsh     a line for the shell's start-up file: Tab completes
"""

import dataclasses
import runpy
import sys
import typing
from typing import Any

from toymodels.errors import UserError
from toymodels.study import cli
from toymodels.study.display import duration
from toymodels.study.options import Options

from . import TOOLS, load_study, names, summary, times

SHELLS = {
    "bash": "_toymodels() { mapfile -t COMPREPLY < "
    '<(toymodels --complete "${COMP_WORDS[@]:1:COMP_CWORD}"); }; '
    "complete -o default -F _toymodels toymodels",
    "zsh": '_toymodels() { compadd -- ${(f)"$(toymodels --complete "${(@)words[2,CURRENT]}")"}; }; '
    "compdef _toymodels toymodels",
}


def main() -> None:
    """Run from the command line."""
    with cli.plain_errors():
        match sys.argv[1:]:
            case []:
                print_list()
            case ["--completion", shell] if shell in SHELLS:
                print(SHELLS[shell])
            case ["--complete", *words]:
                print("\n".join(completions(words)))
            case ["-h" | "--help"]:
                print(__doc__)
            case [name, *options] if name in (*names(), *TOOLS):
                module = f"{__package__}.{name}"
                sys.argv = [module, *options]
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            case [other, *_]:
                raise UserError(
                    f"the first word must be one of {', '.join((*names(), *TOOLS))}; got {other!r}"
                )


def print_list() -> None:
    """Print every experiment with its first line, and the times of its presets."""
    known = times()
    print("toymodels NAME [--preset quick|paper|...] [--help], or python -m experiments.NAME\n")
    for name in names():
        fastest = sorted(known.get(name, {}).items(), key=lambda pair: pair[1])
        durations = [f"{preset} {duration(seconds)}" for preset, seconds in fastest]
        print(f"{name}\n    {summary(name)}")
        if durations:
            print(f"    on 2 cores: {', '.join(durations)}")
    print("\nTools:\n")
    for name in TOOLS:
        print(f"{name}\n    {summary(name)}")


def completions(words: list[str]) -> list[str]:
    """What the last of these words may become: an experiment, an option, one of its values.

    >>> completions(["mnist"]), completions(["mnist_aux", "--loss", ""])
    (['mnist_aux'], ['kl', 'mse'])
    """
    *before, last = words or [""]
    if not before:
        found: list[str] = [*names(), *TOOLS]
    elif before[0] in names():
        presets = load_study(before[0]).presets
        fields: dict[str, Any] = typing.get_type_hints(type(presets["quick"]))
        fields |= {f.name: f.type for f in dataclasses.fields(Options)}
        values = {"--" + name.replace("_", "-"): literals(kind) for name, kind in fields.items()}
        values |= {"--preset": list(presets), "--config": []}
        options = [word for word in before if word in values]
        found = [*values, "--help"]
        if not last.startswith("-") and options and values[options[-1]]:
            found = values[options[-1]]
    else:
        found = []
    return [word for word in found if word.startswith(last)]


def literals(kind: Any) -> list[str]:
    """The values of a field that has few: of a Literal, or of a tuple of them."""
    if typing.get_origin(kind) is tuple:
        kind = typing.get_args(kind)[0]
    return (
        list(map(str, typing.get_args(kind))) if typing.get_origin(kind) is typing.Literal else []
    )


if __name__ == "__main__":
    main()
