"""Command lines of every experiment with extreme values: a result, or a sentence before the work.

``python tests/fuzz/commands.py SEED`` repeats a case. A case changes an option or two of an
experiment at its smallest. Most cases end where the first program would be compiled, those of
`whole` run to their end; then the files must hold what was asked for, and the statistics of
summary.json must follow from results.nc.
"""

import contextlib
import io
import json
import math
import os
import sys
import types
import typing
import warnings
from pathlib import Path

import child
import jax
import numpy as np
import small
from scipy import stats

import experiments
from toymodels.study import cli, results
from toymodels.sweep import chunks

WHOLE = 100
"""Seeds from this on run whole now and then: seconds to minutes each."""

INTEGERS = (
    *(-(2**63), -1, 0, 1, 2, 3, 5, 10, 64, 65, 1000, 10**6, 10**7, 2**31 - 1, 2**31, 2**63, 10**30),
    *("1.5", "x", "", "nan", "1e3", "0x10", "1_000", "٣"),
)
FLOATS = (
    *(-1.0, 0.0, -0.0, 1e-320, 1e-50, 1e-38, 1e-10, 0.25, 1.0, 1.0000001, 2.0, 1e4, 1e8, 1e38),
    *(1e39, 1e300, "nan", "inf", "-inf", "x", "", "1e999", "1,5"),
)
STRINGS = (
    *("", "uniform", "gaussian", "blur:-1", "blur:nan", "samples:0", "samples:10000000", "x:y:z"),
    *(
        "perlin:0",
        "spectrum:1e300",
        "blend:2",
        "nan",
        "all",
        "hidden1",
        "hidden9",
        "\x1b[31m",
        "a\nb",
    ),
)
OPTIONS = {
    "data_dir": ("/nowhere", "/dev/null", "", "\x1b[2J", "x" * 300),
    "out": ("/dev/null/x", "/proc/x", "{}/a/b/c", "{}/" + "x" * 300, "{}/\x1b[31m", "{}/a b"),
    "store": ("/dev/null/x", "{}/store", "{}/" + "x" * 300),
    "chunk": INTEGERS,
    "memory": FLOATS,
    "devices": (0, 1, 2, 3, 10**6, -1, "x"),
    "shard": ("1/1", "2/2", "0/1", "3/2", "1", "1/0", "a/b", "1/999999999", "1/9999999999", "-1/2"),
    "precision": ("float32", "bfloat16", "tensorfloat32", "float64", "x"),
}


class ReachedCompilerError(Exception):
    """All that can be refused before the work has been looked at."""


def stop(*args):
    """Stand in for the compiler."""
    raise ReachedCompilerError


def value(case, annotation):
    """Something that a user may write for a field of this type."""
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation is int:
        return case.random.choice(INTEGERS)
    if annotation is float:
        return case.random.choice(FLOATS)
    if origin is typing.Literal:
        return case.random.choice((*inner, *inner, "x", ""))
    if origin in (types.UnionType, typing.Union):
        return value(case, case.random.choice(inner))
    if origin is tuple:
        number = case.random.choice((0, 1, 1, 2, 3, 3, 40))
        return tuple(value(case, inner[0]) for _ in range(number))
    return "None" if annotation is type(None) else case.random.choice(STRINGS)


def drawn(case) -> tuple[str, dict[str, object]]:
    """An experiment, and all that is asked of it."""
    name = case.draw(experiments.names())
    asked = small.fields(name)
    kinds = typing.get_type_hints(type(experiments.load_study(name).presets["quick"]))
    for _ in range(case.random.choice((1, 1, 1, 2))):
        if case.random.random() < 0.2:
            option = case.draw(OPTIONS)
            asked[option] = str(case.random.choice(OPTIONS[option])).format(case.folder)
        else:
            field = case.draw(sorted(kinds))
            asked[field] = value(case, kinds[field])
    asked.setdefault("out", str(case.folder / "out"))
    return name, asked


def call(name: str, words: list[str]) -> tuple[int, str, str]:
    """Run a command in this process: its exit code, and what it printed."""
    study = experiments.load_study(name)
    sys.argv = [f"experiments.{name}", *words]
    out, err = io.StringIO(), io.StringIO()
    code = 0
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            cli.main(study)
        except SystemExit as ended:
            code = ended.code
        except ReachedCompilerError:
            code = -1
    return code, out.getvalue(), err.getvalue()


def case(case: child.Case) -> str:
    """Run a command line, and look at what it says and leaves."""
    whole = case.seed >= WHOLE and case.random.random() < 0.2
    chunks.compile_within = genuine if whole else stop
    name, asked = drawn(case)
    words = [word for field, wanted in asked.items() for word in small.words(field, wanted)]
    case.note(f"python -m experiments.{name} --quiet {' '.join(map(repr, words))}")
    before = sorted(case.folder.rglob("*"))
    os.chdir(case.folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        code, out, err = call(name, ["--quiet", *words])
    jax.clear_caches()
    case.note(f"exit {code}: {err[-600:]}")
    assert "Traceback" not in err
    assert not out
    if code == -1:
        return "accepted"
    if code == 0:
        check(case, name, asked)
        return "computed"
    assert code == 2, "the numbers are complete, and something behind them is not"
    if "full helptext" in err:  # a word that is no value of its type: the words of tyro itself
        assert sorted(case.folder.rglob("*")) == before
        return "not parsed"
    assert err.startswith("error: "), err
    assert len(err.splitlines()) == 1, err
    if "every point has values that are not finite" in err:
        return "failed"
    assert not whole or sorted(case.folder.rglob("*.nc")) == []
    assert whole or sorted(case.folder.rglob("*")) == before, "something was written"
    return "refused"


def check(case, name: str, asked: dict[str, object]) -> None:
    """A complete folder of what was asked for, whose statistics follow from its values."""
    folder = Path(str(asked["out"]))
    dataset, summary = results.open_result(folder), results.read_summary(folder)
    for kind in ("png", "pdf"):
        assert (folder / f"figure.{kind}").stat().st_size > 1000
    config = json.loads(dataset.attrs["config"])
    assert dataset.attrs["experiment"] == name
    for field, wanted in asked.items():
        if field in config:
            kept = config[field]
            pairs = zip(kept, wanted, strict=True) if isinstance(kept, list) else [(kept, wanted)]
            assert all(str(a) == str(b) or float(a) == float(b) for a, b in pairs), field
    values, expected = [], []
    for metric in summary["metrics"].values():
        values += metric["values"]
        check_interval(metric)
    for headline in dataset.attrs["headline"].split():
        array = dataset[headline]
        failed = dataset.failed.all([d for d in dataset.failed.dims if d not in array.dims])
        kept = array.where(~failed).values
        expected += kept[np.isfinite(kept)].tolist()
    np.testing.assert_array_equal(sorted(values), sorted(expected))
    assert len(summary["failed"]["points"]) == int(dataset.failed.sum())
    for name in ("accuracy", "loss"):
        if name in dataset and set(dataset.failed.dims) <= set(dataset[name].dims):
            others = [d for d in dataset[name].dims if d not in dataset.failed.dims]
            bad = ~np.isfinite(dataset[name]).all(others)
            assert (~bad | dataset.failed).all(), f"{name} is not finite at a point not named"


def check_interval(metric: dict) -> None:
    """A mean and its interval, by SciPy."""
    values = np.array(metric["values"], np.float64)
    if len(values) and metric["n"] != len(values):
        # A proportion: n counts its trials, and the interval is Wilson's.
        assert metric["n"] % len(values) == 0
        share, n, z = values.mean(), metric["n"], stats.norm.ppf(0.975)
        centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        ends = [metric["mean"], metric["ci_low"], metric["ci_high"]]
        np.testing.assert_allclose(ends, [share, centre - half, centre + half], atol=1e-9)
        return
    assert metric["n"] == len(values)
    if not len(values):
        assert metric["mean"] is None
        return
    np.testing.assert_allclose(metric["mean"], values.mean(), rtol=1e-9, atol=1e-12)
    if len(values) > 1:
        half = stats.t.ppf(0.975, len(values) - 1) * stats.sem(values)
        low, high = values.mean() - half, values.mean() + half
        np.testing.assert_allclose([metric["ci_low"], metric["ci_high"]], [low, high], atol=1e-9)
    else:
        assert metric["ci_low"] is None or math.isnan(metric["ci_low"])


if __name__ == "__main__":
    genuine = chunks.compile_within
    child.main("commands", case, growth=child.BYTES)
