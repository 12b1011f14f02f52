"""``python -m experiments``: what there is, and how long it takes."""

from experiments import TOOLS, names, summary, times
from toymodels import cli
from toymodels.display import duration


def main() -> None:
    """Print every experiment with its first line, and the times of its presets."""
    known = times()
    print("python -m experiments.NAME [--preset quick|paper|...] [--help]\n")
    for name in names():
        each = [f"{preset} {duration(s)}" for preset, s in known.get(name, {}).items()]
        print(f"{name}\n    {summary(name)}")
        if each:
            print(f"    on 2 cores: {', '.join(each)}")
    print()
    for name in TOOLS:
        print(f"python -m experiments.{name}\n    {summary(name)}")


if __name__ == "__main__":
    with cli.plain_errors():
        main()
