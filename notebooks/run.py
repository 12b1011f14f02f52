"""Run notebooks from their sources, and keep each beside it as it came out.

python notebooks/run.py [NAME ...]
"""

import re
import sys
from pathlib import Path

import jupytext
from nbclient import NotebookClient

HERE = Path(__file__).parent


def run(source: Path) -> None:
    """Execute a py:percent file in a fresh kernel, and write the notebook."""
    notebook = jupytext.read(source)
    NotebookClient(notebook, timeout=None, kernel_name="python3").execute(cwd=str(HERE))
    for number, cell in enumerate(notebook.cells):
        cell.id = f"{source.stem}-{number}"  # the same source, the same file
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            if output.output_type == "stream":  # a warning names the temporary file of its cell
                output.text = re.sub(r"\S*/ipykernel_\d+/\d+\.py:", "line ", output.text)
    jupytext.write(notebook, source.with_suffix(".ipynb"))


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(p.stem for p in HERE.glob("[0-9]*.py")):
        print(name, flush=True)
        run(HERE / f"{name.removesuffix('.py')}.py")
