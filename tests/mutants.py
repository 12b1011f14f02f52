"""Which changes to a module would its tests not notice? `python tests/mutants.py MODULE TEST...`

Each mutant is the module with one thing changed: an operator, a comparison, a constant, a sign, a
condition, an argument left out, a returned name. The tests named run on it, in a process of its
own that imports the mutant in the module's place; a mutant that passes them all survives and is
printed. A survivor is a hole in the tests, or an equivalent: a change that changes nothing.

    python tests/mutants.py toymodels.training.losses tests/test_losses.py
"""

import argparse
import ast
import copy
import importlib.util
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

OPERATORS = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.Pow: ast.Mult, ast.MatMult: ast.Mult, ast.FloorDiv: ast.Div, ast.Mod: ast.Mult,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


def changes(node: ast.AST) -> Iterator[ast.AST]:
    """What one node may become."""
    if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in OPERATORS:
        yield with_field(node, op=OPERATORS[type(node.op)]())
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in OPERATORS:
        yield with_field(node, ops=[OPERATORS[type(node.ops[0])](), *node.ops[1:]])
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.Not | ast.Invert):
        yield node.operand
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        yield ast.Constant(node.value + 1)
    elif isinstance(node, ast.IfExp):
        yield node.body
        yield node.orelse
    elif isinstance(node, ast.If | ast.While) and not isinstance(node.test, ast.Constant):
        yield with_field(node, test=ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Call) and node.keywords:
        for i in range(len(node.keywords)):
            yield with_field(node, keywords=node.keywords[:i] + node.keywords[i + 1 :])


def with_field(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for name, value in fields.items():
        setattr(changed, name, value)
    return changed


def places(tree: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Every node that runs, with where it hangs: annotations and docstrings do not."""
    for parent in ast.walk(tree):
        for field, value in ast.iter_fields(parent):
            if field in ("annotation", "returns", "decorator_list", "type_params"):
                continue
            for i, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
                if isinstance(child, ast.AST):
                    yield parent, field, i, child


def mutants(source: str) -> Iterator[tuple[int, str, str]]:
    """Line, what was changed and the module's source, of every mutant."""
    tree = ast.parse(source)
    for parent, field, i, child in list(places(tree)):
        for changed in changes(child):
            before, after = ast.unparse(child), ast.unparse(ast.fix_missing_locations(changed))
            hang(parent, field, i, changed)
            yield (
                child.lineno,
                f"{before.splitlines()[0]} -> {after.splitlines()[0]}",
                ast.unparse(tree),
            )
            hang(parent, field, i, child)


def hang(parent: ast.AST, field: str, i: int | None, node: ast.AST) -> None:
    if i is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[i] = node


CACHE = str(Path(tempfile.gettempdir()) / "toymodels-mutants-cache")
# Imported before the tests: puts the mutant's source under the module's name.
RUN = """
import importlib.util, sys
name, path, tests = sys.argv[1], sys.argv[2], sys.argv[3:]
class Finder:
    def find_spec(self, wanted, path_=None, target=None):
        if wanted == name:
            return importlib.util.spec_from_file_location(name, path)
sys.meta_path.insert(0, Finder())
import pytest
sys.exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow", *tests]))
"""


def survives(module: str, source: str, tests: list[str], timeout: float) -> bool:
    # What no mutant changes is compiled once for all of them.
    cache = {"JAX_COMPILATION_CACHE_DIR": CACHE, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mutant.py"
        path.write_text(source)
        try:
            done = subprocess.run(
                [sys.executable, "-c", RUN, module, str(path), *tests],
                capture_output=True, timeout=timeout, check=False, env=os.environ | cache,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return False
    return done.returncode == 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("module", help="toymodels.training.losses")
    parser.add_argument("tests", nargs="+", help="tests/test_losses.py ...")
    parser.add_argument("--timeout", type=float, default=300, help="seconds; a hang is noticed")
    parser.add_argument("--skip", type=int, default=0, help="mutants already tried")
    args = parser.parse_args()
    spec = importlib.util.find_spec(args.module)
    source = Path(spec.origin).read_text()
    if not survives(args.module, source, args.tests, args.timeout):
        sys.exit("The tests fail without any mutation.")
    all_of_them, alive = list(mutants(source)), 0
    for n, (line, change, text) in enumerate(all_of_them[args.skip :], args.skip):
        if survives(args.module, text, args.tests, args.timeout):
            alive += 1
            print(f"{args.module}:{line}: survives: {change}  [{n}]", flush=True)
    print(f"{args.module}: {alive} of {len(all_of_them) - args.skip} mutants survive")


if __name__ == "__main__":
    main()
