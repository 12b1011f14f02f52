"""``python -m experiments``: what there is."""

import ast
from pathlib import Path

for path in sorted(Path(__file__).parent.glob("[!_]*.py")):
    first_line = (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
    print(f"python -m experiments.{path.stem}\n    {first_line}")
