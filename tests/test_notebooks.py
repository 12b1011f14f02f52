"""The notebooks' sources run from top to bottom, and each lies beside itself as it came out."""

import re
from pathlib import Path

import jupytext
import matplotlib as mpl
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
NOISE = "noise_images=512"
SOURCES = sorted(NOTEBOOKS.glob("[0-9]*.py"))


# These take longest, and what they call is tested elsewhere.
SLOW = [
    pytest.param(path, marks=pytest.mark.slow)
    if path.stem in ("4_owl", "5_contradiction")
    else path
    for path in SOURCES
]


@pytest.mark.parametrize("path", SLOW, ids=lambda path: path.stem)
def test_runs_in_a_quick_mode(path, monkeypatch):
    """With few seeds, images and steps: what is tested is that it runs, not what comes out."""
    quick = re.sub(r"\bepochs=\d+", "epochs=2", path.read_text())
    quick = re.sub(r"_steps=\d+", "_steps=10", quick)
    quick = re.sub(r"\bnoise_images=\d+,", "", quick)
    few = "base_steps=10, student_steps=10, samples=128" if "owl" in path.stem else NOISE
    quick = re.sub(r"\bseeds=\d+", f"seeds=2, {few}", quick)
    mpl.use("agg")
    exec(compile(quick, path.name, "exec"), {"__name__": "notebook"})


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_executed_notebook_is_of_this_source(path):
    source, executed = (
        [(c.cell_type, c.source) for c in jupytext.read(p).cells]
        for p in (path, path.with_suffix(".ipynb"))
    )
    assert executed == source, "run make notebooks"
    outputs = [
        o for c in jupytext.read(path.with_suffix(".ipynb")).cells for o in c.get("outputs", [])
    ]
    assert outputs
    assert not [o for o in outputs if o.output_type == "error"]
