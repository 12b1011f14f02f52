"""Calls of `sweep.grid` with arguments that cannot be, or only just: refused before, or exact.

``python tests/fuzz/calls.py SEED`` repeats a case. The program is y = seed * x + c, so that every
value of a result has a closed form, computed here in float64 from the labels.
"""

import itertools
import math
import warnings

import child
import jax
import jax.numpy as jnp
import numpy as np
import pools
import xarray as xr

from toymodels import sweep
from toymodels.errors import UserError
from toymodels.sweep import chunks

COMPILED = []
"""What was compiled in a case."""


RECORD = [lambda y: y]
"""What is recorded as y, of the line."""


def build(**shape):
    """Affine in every axis; ``k`` is a number of entries, and other shapes change nothing."""
    k = shape.get("k", 2)
    k = int(k) if isinstance(k, (int, np.integer)) and 1 <= k <= 8 else 2

    def prepare(data, **shared):
        seed = sum(map(number, shared.values()))
        return seed, {"s": 2 * seed}

    def point(data, seed, **values):
        c = values.pop("c", 0.0)
        x = sum(map(number, values.values()), 0.0)
        y = seed * x + number(c) + jnp.sum(jnp.asarray(data["d"]))
        recorded = RECORD[0](y)
        return {"y": recorded, "z": jnp.zeros(k) + y} if recorded is not Ellipsis else y

    return sweep.Program(prepare, point, {})


def number(value):
    """A traced value of an axis as a float."""
    return sum(jnp.sum(leaf).astype(float) for leaf in jax.tree.leaves(value))


def arguments() -> dict:
    """A call that is right."""
    return {
        "shared": {"seed": [0, 1, 5]},
        "points": {"x": [0.0, 0.5, -2.0], "c": {"low": -1.0, "high": 3.0}},
        "shapes": {"k": [2]},
        "variables": {
            "s": ((), "1", "twice the seed"),
            "y": ((), "m", "the line"),
            "z": (("i",), "m", "the line, repeated"),
        },
        "coords": {"i": [0, 1]},
        "data": {"d": np.zeros(3, np.float32)},
        "precision": "float32",
        "options": sweep.RunOptions(),
    }


def changed(case) -> dict:
    """A call in which one argument, two or three are drawn from all that a user may write."""
    call = arguments()
    for _ in range(case.random.choice((1, 1, 1, 2, 3))):
        change = case.draw(CHANGES)
        change(case, call)
    return call


def axis(case, call):
    """Another axis in the place of one, or beside it."""
    part = case.draw(("shared", "points", "points"))
    if isinstance(call[part], dict):
        name = case.draw([*list(call[part])[:1], *call[part], case.random.choice(pools.NAMES)])
        call[part] = {**call[part], name: pools.axis(case)}


def renamed(case, call):
    """An axis of another name."""
    part = case.draw(("shared", "points", "shapes"))
    if isinstance(call[part], dict) and call[part]:
        old = case.draw(call[part])
        new = case.draw(pools.NAMES)
        call[part] = {new if name == old else name: call[part][name] for name in call[part]}


def choices(case, call):
    """Labels with arrays of all kinds."""
    if isinstance(call["points"], dict):
        call["points"] = {**call["points"], "c": pools.choices(case)}


def shape(case, call):
    """Values of a shape."""
    call["shapes"] = {"k": pools.axis(case)}


def variable(case, call):
    """Another declaration of a variable."""
    variables = dict(call["variables"])
    name = case.draw([*variables, case.random.choice(pools.NAMES)])
    if case.draw(("gone", "other", "other")) == "gone":
        variables.pop(name, None)
    else:
        variables[name] = case.draw(pools.VARIABLES)
    call["variables"] = variables


def coordinate(case, call):
    """Other coordinates."""
    name = case.draw(("i", "i", case.random.choice(pools.NAMES)))
    call["coords"] = {**call["coords"], name: pools.axis(case)}


def data(case, call):
    """Other data."""
    call["data"] = {"d": case.draw(pools.DATA)}


def options(case, call):
    """Another option."""
    name = case.draw(pools.HOW)
    if isinstance(call["options"], sweep.RunOptions):
        call["options"] = call["options"]._replace(**{name: case.draw(pools.HOW[name])})


def record(case, call):
    """Another record of the line."""
    RECORD[0] = pools.RECORDS[case.draw(pools.RECORDS)]


def ordinary(case, call):
    """Other numbers on an axis: right."""
    part, name = case.draw((("shared", "seed"), ("points", "x"), ("points", "more")))
    if isinstance(call[part], dict):
        numbers = range(2**20) if part == "shared" else pools.ORDINARY
        call[part] = {**call[part], name: case.random.sample(numbers, case.random.randint(1, 5))}
        case.note(repr(call[part]))


def whole(case, call):
    """An argument of another kind altogether."""
    name = case.draw(("shared", "points", "shapes", "variables", "coords", "precision", "options"))
    call[name] = case.draw(pools.ANYTHING)


CHANGES = (
    *(ordinary, ordinary, ordinary, axis, axis, axis, renamed, choices, choices),
    *(shape, variable, coordinate, data, record, options, whole),
)


def expected(dataset: xr.Dataset, call) -> dict[str, np.ndarray]:
    """S and y in float64, and the sizes of what is added up there, which bound the rounding."""
    shared, points = (
        {name: values(axis) for name, axis in call[part].items()} for part in ("shared", "points")
    )
    c = points.pop("c", [0.0])
    seeds = [sum(row) for row in itertools.product(*shared.values())]
    sizes = [sum(map(abs, row)) for row in itertools.product(*shared.values())]
    order = [name for name in call["points"] if name != "c"]
    y, size = [], []
    added = float(np.sum(np.asarray(call["data"]["d"], np.float64)))
    absolute = float(np.sum(np.abs(np.asarray(call["data"]["d"], np.float64))))
    axes = [points[name] if name != "c" else c for name in call["points"]]
    for seed, seed_size in zip(seeds, sizes, strict=True):
        for row in itertools.product(*axes):
            at = dict(zip(call["points"], row, strict=True))
            x = [at[name] for name in order]
            y.append(seed * sum(x) + at.get("c", 0.0) + added)
            bound = seed_size * sum(map(abs, x)) + abs(at.get("c", 0.0)) + absolute
            size.append(bound)
    lengths = [len(values(axis)) for part in ("shared", "points") for axis in call[part].values()]
    s = np.array(seeds).reshape([len(values(axis)) for axis in call["shared"].values()])
    return {"s": 2 * s, "y": np.reshape(y, lengths), "size": np.reshape(size, lengths)}


def values(axis) -> list[float]:
    """The numbers that labels stand for."""
    rows = axis.values() if isinstance(axis, dict) else axis
    return [math.fsum(np.sum(np.asarray(a, np.float64)) for a in jax.tree.leaves(v)) for v in rows]


def check(dataset: xr.Dataset, call) -> None:
    """Every value, label and mark of a result."""
    for part in ("shapes", "shared", "points"):
        for name, axis in (call[part] or {}).items():
            assert dataset[name].values.tolist() == [plain(label) for label in axis], name
            assert len(set(dataset[name].values.tolist())) == dataset.sizes[name], name
    theory = expected(dataset, call)
    most = float(np.finfo(np.float32).max)
    dims = [*call["shared"], *call["points"]]
    over_seed = xr.DataArray(theory["s"], dims=list(call["shared"]))
    y, size = (xr.DataArray(theory[name], dims=dims) for name in ("y", "size"))
    with np.errstate(all="ignore"):
        compare(dataset.s, over_seed, 2 * abs(over_seed) + 1e-30, most)
        compare(dataset.z, y, size, most)
        if RECORD[0] is pools.RECORDS["the line"]:
            compare(dataset.y, y, size, most)
    bad = ~(np.isfinite(dataset.y) & np.isfinite(dataset.s) & np.isfinite(dataset.z))
    for other in set(bad.dims) - set(dataset.failed.dims):
        bad = bad.any(other)
    assert (bad == dataset.failed).all(), "a failed point is not marked, or another one is"
    assert len(bytes(dataset.to_netcdf(engine="h5netcdf"))) > 0


def compare(found: xr.DataArray, theory: xr.DataArray, size: xr.DataArray, most: float) -> None:
    """Equal within the rounding of a few additions, infinite where float32 ends."""
    close = abs(found.astype(float) - theory) <= 3e-6 * size + 1e-37
    size = size.where(np.isfinite(theory), np.inf)
    large = ~np.isfinite(found) & (size > 0.4 * most)
    absent = found.isnull() & found.isnull().all()  # a shape of fewer entries
    assert (close | large | absent).all(), f"{found.name}: {found.values} and not {theory.values}"


def plain(label):
    """A label as Python has it."""
    return label.item() if isinstance(label, np.generic) else label


def case(case: child.Case) -> str:
    """Call `sweep.grid`, and check what it gives or says."""
    RECORD[0] = pools.RECORDS["the line"]
    call = changed(case)
    case.note(f"{call!r}"[:3000])
    COMPILED.clear()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            dataset, execution = sweep.grid(build, **call)
    except UserError as error:
        case.note(child.sentence(error))
        assert not COMPILED, "refused only after it was compiled"
        return "refused"
    assert execution.models > 0
    check(dataset, call)
    return "computed"


def noted(*args):
    """Compile, and note that it was done."""
    COMPILED.append(args[1])
    return genuine(*args)


if __name__ == "__main__":
    genuine, chunks.compile_within = chunks.compile_within, noted
    child.main("calls", case)
