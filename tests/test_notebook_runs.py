"""A run in a notebook's kernel: progress by itself, and programs that are compiled once."""

import os
import sys
from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
pytest.importorskip("ipykernel")

RUN = """
from experiments.mnist_aux import STUDY
config = STUDY.config(dataset="digits", seeds=1, widths=(8,), noise_images=64,
                      teacher_epochs=1, student_epochs=1)
runs = STUDY.run(config)
"""
COUNT = """
import json
json.loads(runs.attrs["provenance"])["compile_s"]
"""


@pytest.mark.thorough
def test_a_notebook_shows_progress_and_keeps_compiled_programs(tmp_path, monkeypatch):
    from nbclient import NotebookClient

    monkeypatch.setenv("TOYMODELS_COMPILED", str(tmp_path / "programs"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path.cwd()), *sys.path]))
    seen = []

    class Watched(NotebookClient):
        """A client that keeps every text that a display shows, updates too."""

        def process_message(self, msg, cell, cell_index):
            if msg["msg_type"] in ("display_data", "update_display_data"):
                seen.append(msg["content"]["data"]["text/plain"])
            return super().process_message(msg, cell, cell_index)

    v4 = nbformat.v4
    cells = [v4.new_code_cell(text) for text in (RUN, COUNT, RUN)]
    notebook = v4.new_notebook(cells=cells)
    Watched(notebook, timeout=300, kernel_name="python3").execute(cwd=str(tmp_path))
    assert any(line.startswith("compiling") for line in seen)
    assert any(line.startswith("models: 5 of 5") for line in seen)
    (display,) = (o for o in notebook.cells[0].outputs if o.output_type == "display_data")
    assert display.data["text/plain"] == ""  # nothing stays
    kept = list((tmp_path / "programs").rglob("*"))
    assert any(path.is_file() for path in kept)
    # The second run finds the programs, shows its progress, too, and no line of XLA's log.
    assert [o.output_type for o in notebook.cells[2].outputs] == ["display_data"]


def test_elsewhere_nothing_is_shown():
    from toymodels.study.notebook import usual_options

    with usual_options(None) as options:
        assert options is None
