"""Cases drawn from seeds: stores, results, calls and command lines that nobody would write.

Each ends in a good result, or in one sentence before the expensive part, within bounded time and
memory. The scripts beside this file say what a case is and what is asserted of it. The first seeds
of each always run; marked ``slow``, 2,000 run. A failure tells the seed and what was drawn, and a
command repeats it: ``python tests/fuzz/calls.py 137``.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent

CASES = {
    "damaged_chunks": (40, 900),
    "damaged_results": (25, 400),
    "calls": (40, 400),
    "commands": (10, 240),
    "settings": (2, 60),
}
"""Script -> how many seeds always run, and how many in the long form."""

ENDS = {
    "damaged_chunks": {"computed", "refused"},
    "damaged_results": {"read", "refused"},
    "calls": {"computed", "refused"},
    "commands": {"accepted", "refused"},
    "settings": {"computed"},
}
"""How some of the cases end: a test in which all are refused would prove little."""

RANGES = [(script, 0, short) for script, (short, _) in CASES.items()]
LONG = [
    pytest.param(script, first, min(first + 100, long), marks=pytest.mark.slow)
    for script, (short, long) in CASES.items()
    for first in range(short, long, 100)
]


def test_the_long_form_has_two_thousand_cases():
    assert sum(long for _, long in CASES.values()) == 2000
    assert all((HERE / f"{script}.py").exists() for script in CASES)


@pytest.mark.parametrize(("script", "first", "behind"), [*RANGES, *LONG])
def test_every_case_ends_well(script, first, behind):
    # A process that is killed, or that kills itself, has not told the end of its last case.
    done = subprocess.run(
        [sys.executable, HERE / f"{script}.py", str(first), str(behind)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"MPLBACKEND": "agg", "TOYMODELS_DATA": "/nowhere"},
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    ended = {line["seed"]: line for line in lines if "seed" in line}
    begun = [line["begins"] for line in lines if "begins" in line]
    if missing := [seed for seed in begun if seed not in ended] or not begun:
        pytest.fail(f"{script}: the process ended within {missing}\n{done.stderr[-3000:]}")
    faults = [
        f"python tests/fuzz/{script}.py {seed}\n" + "\n".join(line["drawn"]) + f"\n{line['fault']}"
        for seed, line in ended.items()
        if "fault" in line
    ]
    assert not faults, f"{len(faults)} of {len(ended)} cases:\n\n" + "\n\n".join(faults)
    assert done.returncode == 0, done.stderr[-3000:]
    assert len(ended) == behind - first
    outcomes = {word for line in ended.values() for word in line["outcome"].split(" and ")}
    assert behind - first < 20 or outcomes >= ENDS[script], outcomes
