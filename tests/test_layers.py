"""A folder of toymodels is a layer: its imports, those inside functions and for types too, point down."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "toymodels"

BASE = {"errors", "fields", "trees"}
BELOW_TRAINING = {*BASE, "networks", "inits", "measure", "data", "stats"}
ALLOWED = {
    "errors": set(),
    "files": {"errors"},
    "fields": {"errors"},
    "trees": set(),
    "sweep": {"errors", "files"},
    "networks": BASE,
    "inits": {*BASE, "networks"},
    "measure": {*BASE, "networks", "inits"},
    "data": {*BASE, "networks", "inits", "measure"},
    "stats": {"errors"},
    "training": BELOW_TRAINING,
    "theory": {*BELOW_TRAINING, "training"},
    "language": {*BELOW_TRAINING, "training"},
    "prompt": {*BELOW_TRAINING, "training", "sweep"},
    "study": {*BELOW_TRAINING, "training", "language", "sweep", "prompt", "files"},
}
"""What each layer may import beside itself."""

ARRAYS = {"jax", "jaxlib", "flax", "optax"}


def list_imports(path):
    """Names of all modules that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            names = [alias.name for alias in node.names]
            yield from (f"{node.module}.{name}" for name in names)


def find_layer(path):
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(
    path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem[0] != "_"
)


def test_every_layer_has_its_place():
    assert {find_layer(path) for path in FILES} == set(ALLOWED)


@pytest.mark.parametrize("layer", ALLOWED)
def test_imports_point_down(layer):
    found = {
        (str(path.relative_to(ROOT)), name.split(".")[1])
        for path in FILES
        if find_layer(path) == layer
        for name in list_imports(path)
        if name.split(".")[0] == "toymodels" and "." in name
    }
    assert [pair for pair in sorted(found) if pair[1] not in ALLOWED[layer] | {layer}] == []


def test_the_library_knows_no_experiment():
    found = {(path.stem, name) for path in FILES for name in list_imports(path)}
    assert [pair for pair in sorted(found) if pair[1].split(".")[0] == "experiments"] == []


def test_statistics_never_load_jax():
    """Neither by their own imports nor by those of what they import."""
    stats = [path for path in FILES if find_layer(path) == "stats"]
    found = {name.split(".")[0] for path in stats for name in list_imports(path)}
    assert not found & ARRAYS
    modules = [f"toymodels.stats.{path.stem}" for path in stats if path.stem != "__init__"]
    program = f"import sys, {', '.join(modules)}; print({ARRAYS} & sys.modules.keys())"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert loaded.stdout.strip() == "set()", loaded.stdout + loaded.stderr
