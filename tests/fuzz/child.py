"""Runs cases in a process of their own, within bounds of time and memory.

A script of cases calls `main` with its function ``case``. Its arguments are a seed, or a first seed
and the seed behind the last: ``python tests/fuzz/chunks.py 137``. Everything that a case does
follows from its seed. A line of JSON is printed when a case begins, and one when it ends.
"""

import faulthandler
import json
import os
import random
import resource
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # as in tests/conftest.py
os.environ["JAX_PLATFORMS"] = "cpu"

SECONDS = 600
"""Longest time of a case: far more than any needs, so that a busy machine fails none."""

BYTES = 6 * 2**30
"""Address space that a process of cases may take beside what it has at the start."""

GROWTH = 600 * 2**20
"""Bytes of memory by which a case may raise the most that its process ever held."""


class Case:
    """A case to be drawn: its seed, its random numbers, a folder, and what was drawn."""

    def __init__(self, group: str, seed: int, folder: Path) -> None:
        self.seed, self.folder = seed, folder
        self.random = random.Random(f"{group} {seed}")
        self.drawn: list[str] = []

    def draw(self, items, what=None):
        """Draw an item of a list, and remember it."""
        item = self.random.choice(list(items))
        self.note(f"{what or ''} {getattr(item, '__name__', repr(item)[:300])}".strip())
        return item

    def note(self, text: str) -> None:
        """Remember something about the case, for the report of a fault."""
        self.drawn.append(text)


def sentence(error: Exception) -> str:
    """The text of a refusal, which must be a single line that a terminal can show."""
    text = str(error)
    assert text.strip(), "a refusal without words"
    assert "\n" not in text, f"a refusal of several lines: {text!r}"
    assert len(text) < 2000, f"a refusal of {len(text)} characters: {text[:300]!r}"
    return text


def main(group: str, case: Callable[[Case], str], growth: int = GROWTH) -> None:
    """Run the cases that the command line names; ``case`` returns how a case ended, or raises."""
    first, *behind = map(int, sys.argv[1:])
    limit_memory()
    out = os.fdopen(os.dup(1), "w", buffering=1)
    for seed in range(first, behind[0] if behind else first + 1):
        print(json.dumps({"begins": seed}), file=out)
        with tempfile.TemporaryDirectory() as folder:
            drawn = Case(group, seed, Path(folder))
            faulthandler.dump_traceback_later(SECONDS, exit=True)
            before = peak()
            try:
                result = {"outcome": case(drawn)}
                assert peak() - before < growth, f"it took {peak() - before} bytes of memory"
            except Exception:
                result = {"fault": traceback.format_exc()}
            faulthandler.cancel_dump_traceback_later()
        print(json.dumps({"seed": seed, **result, "drawn": drawn.drawn}), file=out)


def peak() -> int:
    """Bytes of memory that this process held at most until now."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def limit_memory() -> None:
    """Bound the address space of this process, where the system can."""
    status = Path("/proc/self/statm")
    if status.exists():
        now = int(status.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (now + BYTES, now + BYTES))
