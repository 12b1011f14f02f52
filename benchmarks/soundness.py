"""Does compiled code compute the right numbers, and the same every time? Run it on a new jaxlib.

The programs of the main experiments, small, and sums of many shapes, each called many times: on all
cores, on one, with XLA's optimisations off, with sums left to XLA (`toymodels.sweep.soundness`), and in
float64. Every way is a process of its own, on the same inputs to the bit. See docs/soundness.md.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
PROTECTION = "--xla_cpu_experimental_ynn_fusion_type=-reduce"


class Way(NamedTuple):
    """How a child process computes."""

    environment: dict[str, str]
    one_core: bool = False
    wide: bool = False
    """Whether in float64."""


WAYS = {
    "all_cores": Way({}),
    "one_core": Way({}, one_core=True),
    "unoptimised": Way({"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}),
    "protected": Way({"XLA_FLAGS": PROTECTION}),
    "float64": Way({"JAX_ENABLE_X64": "1"}, one_core=True, wide=True),
}


def compute(way: Way, calls: int, path: Path) -> None:
    """Call every program so often; write the least and the largest of each number, and a report.

    The report has, by program, the number of calls, that of different results (bit for bit), and the
    shortest time of a call.
    """
    if way.one_core:
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import jax  # after the core is chosen: JAX counts its threads when it starts
    import numpy as np
    from soundness_programs import cases

    def widened(leaf: Any) -> Any:
        return leaf.astype("float64") if getattr(leaf, "dtype", None) == np.float32 else leaf

    arrays: dict[str, Any] = {}
    report: dict[str, Any] = {}
    with jax.default_matmul_precision("float32"):
        for name, case in cases().items():
            if way.wide and case.random:
                continue
            inputs = jax.tree.map(widened, case.inputs) if way.wide else case.inputs
            program, seen = jax.jit(case.function), set()
            least: list[Any] = []
            most: list[Any] = []
            shortest = float("inf")
            for _ in range(calls):
                start = time.perf_counter()
                leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(program(*inputs))]
                shortest = min(shortest, time.perf_counter() - start)
                seen.add(hashlib.sha256(b"".join(leaf.tobytes() for leaf in leaves)).digest())
                least = list(map(np.minimum, least or leaves, leaves))
                most = list(map(np.maximum, most or leaves, leaves))
            report[name] = {"calls": calls, "results": len(seen), "shortest_s": shortest}
            arrays |= {f"{name} {i} least": leaf for i, leaf in enumerate(least)}
            arrays |= {f"{name} {i} most": leaf for i, leaf in enumerate(most)}
            jax.clear_caches()
    np.savez(path, **arrays)
    print(json.dumps({"jaxlib": metadata.version("jaxlib"), "programs": report}))


def apart(ours: Any, others: Any, name: str) -> float:
    """The largest difference of any call's numbers, each array's over its largest number."""
    import numpy as np

    worst = 0.0
    for key in ours:
        if key.startswith(f"{name} "):
            reference = np.float64(others[key.rsplit(" ", 1)[0] + " least"])
            size = np.abs(reference).max() or 1.0
            worst = max(worst, float(np.abs(np.float64(ours[key]) - reference).max() / size))
    return worst


def compared(calls: int, fewer: int) -> dict[str, Any]:
    """A report on the installed jaxlib: by program, results on all cores and what is apart."""
    import numpy as np

    told, numbers = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        for name, way in WAYS.items():
            path = Path(folder) / f"{name}.npz"
            many = calls if name in ("all_cores", "protected") else fewer
            command = [sys.executable, str(HERE / "soundness.py"), "--way", name]
            command += ["--calls", str(many), "--path", str(path)]
            environment = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu", **way.environment}
            run = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
            told[name], numbers[name] = json.loads(run.stdout), dict(np.load(path))
            print(f"{name}: done", file=sys.stderr, flush=True)
    programs = {}
    for name, found in told["all_cores"]["programs"].items():
        programs[name] = found | {
            f"{other}_results": told[other]["programs"][name]["results"]
            for other in ("one_core", "unoptimised", "protected")
        }
        shortest = told["protected"]["programs"][name]["shortest_s"]
        programs[name]["protected_time"] = shortest / found["shortest_s"]
        programs[name] |= {
            f"{other}_apart": apart(numbers["all_cores"], numbers[other], name)
            for other in WAYS
            if name in told[other]["programs"] and other != "all_cores"
        }
    return {"jaxlib": told["all_cores"]["jaxlib"], "cores": os.cpu_count(), "programs": programs}


def table(report: dict[str, Any]) -> str:
    """A report as lines; the many sums of random shapes as one: the worst of each column."""
    programs = dict(report["programs"])
    sums = [programs.pop(name) for name in list(programs) if name.startswith("sums_")]
    columns = list(sums[0])
    programs["sums, the worst of each"] = {key: max(one[key] for one in sums) for key in columns}
    lines = [f"{'jaxlib ' + report['jaxlib']:24}" + "".join(f"{key:>22}" for key in columns)]
    for name, row in programs.items():
        values = (row.get(key, "") for key in columns)
        cells = (f"{v:22.1e}" if isinstance(v, float) else f"{v:>22}" for v in values)
        lines.append(f"{name:24}" + "".join(cells))
    return "\n".join(lines)


def main() -> None:
    """Compare, print a table, and add the report to a JSON file by version if asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--way", choices=WAYS, help="one way alone, in this process")
    parser.add_argument("--calls", type=int, default=200, help="on all cores")
    parser.add_argument("--fewer", type=int, default=20, help="calls in the other ways")
    parser.add_argument("--path", type=Path, help="where one way writes its numbers")
    parser.add_argument("--json", type=Path, help="file to add the report to")
    args = parser.parse_args()
    if args.way:
        compute(WAYS[args.way], args.calls, args.path)
        return
    report = compared(args.calls, args.fewer)
    print(table(report))
    if args.json:
        known = json.loads(args.json.read_text()) if args.json.exists() else {}
        known[report["jaxlib"]] = report
        args.json.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n")
    wrong = [name for name, one in report["programs"].items() if one["results"] > 1]
    if wrong:
        sys.exit(f"results that differ from call to call: {', '.join(wrong)}")


if __name__ == "__main__":
    main()
