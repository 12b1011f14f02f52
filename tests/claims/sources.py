"""Where a number of the text comes from: expressions over figures/, benchmarks/ and the code.

An expression has Python's grammar and is evaluated by `value`, without `eval`:

- ``loss.transfer("MSE")``: a variable of figures/loss/results.nc, selected by the labels of its
  coordinates (a string may go without the coordinate's name), still with its seeds;
- ``loss.n``, ``loss.config("m")``, ``loss.provenance("run_s")``: the number of seeds, and entries
  of the attributes;
- ``bench.overlap("ratio_bmm")``: an entry of benchmarks/overlap.json, a list being over rounds;
- ``published.tasks(2)``, ``preset.tasks("paper", "m")``: of PUBLISHED and PRESETS of an experiment;
- ``constant.STEPS("language.carriers")``: of a module of toymodels; a function is called;
- ``+ - * / ** < >`` and the functions of `tests.claims.quantities`.
"""

import ast
import functools
import importlib
import json
import operator
from pathlib import Path
from typing import Any

import xarray as xr

from tests.claims import quantities
from toymodels.stats.statistics import succeeded

ROOT = Path(__file__).parents[2]
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
    ast.Gt: operator.gt,
    ast.Lt: operator.lt,
    ast.GtE: operator.ge,
    ast.LtE: operator.le,
}


@functools.cache
def figure(name: str) -> xr.Dataset:
    """The result of a figure, points that failed as NaN."""
    return succeeded(xr.load_dataset(ROOT / "figures" / name / "results.nc"))


@functools.cache
def benchmark(name: str) -> dict[str, Any]:
    return json.loads((ROOT / "benchmarks" / f"{name}.json").read_text())


def select(array: xr.DataArray, labels: list[str], at: dict[str, Any]) -> xr.DataArray:
    """The part of an array at these labels; a string without a dimension is found in all."""
    for label in labels:
        dims = [d for d in array.dims if d in array.coords and label in array[d].values.tolist()]
        if len(dims) != 1:
            raise KeyError(f"{label!r} is a label of {len(dims)} dimensions of {array.name}")
        array = array.sel({dims[0]: label}, drop=True)
    array = array.sel(at, drop=True)
    return array.squeeze([d for d in array.dims if array.sizes[d] == 1 and d != "seed"], drop=True)


def attribute(owner: str, name: str, labels: list[Any], at: dict[str, Any]) -> Any:
    """What ``owner.name(*labels, **at)`` stands for."""
    if owner == "bench":
        entry = functools.reduce(lambda found, key: found[key], labels, benchmark(name))
        return xr.DataArray(entry, dims="seed") if isinstance(entry, list) else entry
    if owner == "published":
        known = importlib.import_module(f"experiments.{name}").PUBLISHED
        return functools.reduce(lambda found, key: found[key], labels, known)
    if owner == "constant":
        found = getattr(importlib.import_module(f"toymodels.{labels[0]}"), name)
        for key in labels[1:]:
            found = found[key] if isinstance(found, dict) else getattr(found, key)
        return found(**at) if callable(found) else found
    if owner == "preset":
        presets = importlib.import_module(f"experiments.{name}").PRESETS
        return getattr(presets[labels[0]], labels[1])
    if name == "n":
        return figure(owner).sizes["seed"]
    if name in figure(owner).attrs:
        about = json.loads(figure(owner).attrs[name])
        return functools.reduce(lambda found, key: found[key], labels, about)
    return select(figure(owner)[name], labels, at)


def value(source: str) -> Any:
    """The value of an expression: a number, or an array with the dimension ``seed``."""
    return evaluate(ast.parse(source.strip(), mode="eval").body)


def selectors(source: str) -> str:
    """What the calls of an expression are given, but for other expressions of data."""
    nodes = list(ast.walk(ast.parse(source.strip(), mode="eval")))
    calls = [node for node in nodes if isinstance(node, ast.Call)]
    given = [a for call in calls for a in (*call.args, *(k.value for k in call.keywords))]
    data = (ast.Call, ast.Attribute)
    return " ".join(
        ast.unparse(a) for a in given if not any(isinstance(n, data) for n in ast.walk(a))
    )


def evaluate(node: ast.expr) -> Any:
    match node:
        case ast.Constant(found):
            return found
        case ast.Tuple(elements) | ast.List(elements):
            return [evaluate(element) for element in elements]
        case ast.Attribute(ast.Name(owner), name):
            return attribute(owner, name, [], {})
        case ast.Call(function, arguments, keywords):
            given = [evaluate(argument) for argument in arguments]
            named = {keyword.arg: evaluate(keyword.value) for keyword in keywords}
            match function:
                case ast.Attribute(ast.Name(owner), name):
                    return attribute(owner, name, given, named)
                case ast.Name(name) if name in quantities.__all__:
                    return getattr(quantities, name)(*given, **named)
        case ast.BinOp(left, sign, right) | ast.Compare(left, [sign], [right]):
            return OPERATORS[type(sign)](evaluate(left), evaluate(right))
        case ast.UnaryOp(sign, operand):
            return OPERATORS[type(sign)](evaluate(operand))
    raise SyntaxError(f"not an expression of sources: {ast.unparse(node)}")
