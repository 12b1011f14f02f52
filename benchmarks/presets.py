"""How long presets take: what ``python -m experiments`` tells of them.

Runs the preset ``quick`` of every experiment, or of those named, each in a process of its own with
nothing stored, and writes the seconds to experiments/times.json. For ``paper`` the times are those
of the results in figures/, where they were computed whole and by that preset.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import toymodels.experiments as experiments
from mnist_aux import experiment

from toymodels.study import results

FIGURES = Path(__file__).parents[1] / "figures"


def papers() -> dict[str, float]:
    """Seconds of the results in figures/ that are their experiment's preset ``paper``."""
    found = {}
    for path in FIGURES.glob("*/results.nc"):
        dataset = results.open_result(path.parent)
        name, made = dataset.attrs["experiment"], json.loads(dataset.attrs["provenance"])
        preset = experiments.load_study(name).presets["paper"]
        if made["from_store"] == 0 and experiments.load_study(name).read_config(dataset) == preset:
            found[name] = made["compile_s"] + made["run_s"]
    return found


def main() -> None:
    """Measure, and write what was measured."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="experiments (none: all)")
    parser.add_argument("--data-dir", help="folder with MNIST's idx files (default: as toymodels)")
    args = parser.parse_args()
    known, where = experiments.times(), ["--data-dir", args.data_dir] if args.data_dir else []
    for name, seconds in papers().items():
        known.setdefault(name, {})["paper"] = round(seconds, 1)
    for name in args.names or experiments.names():
        fields = vars(experiments.load_study(name).presets["quick"])
        with tempfile.TemporaryDirectory() as scratch:
            run, _ = experiment(name, Path(scratch), *(where if "dataset" in fields else []))
        known.setdefault(name, {})["quick"] = round(run.wall_s, 1)
        print(f"{name}: {run.wall_s:.1f} s", file=sys.stderr, flush=True)
        text = json.dumps(dict(sorted(known.items())), indent=2) + "\n"
        results.write_files(experiments.HERE, {"times.json": text.encode()})


if __name__ == "__main__":
    main()
