"""One store under changed code, data and settings: no sweep may take another's numbers.

``python tests/fuzz/settings.py SEED`` repeats a case. A case draws two sweeps that differ in what
is easily forgotten, runs them in turn against one store, and compares each to the bit with the same
sweep without a store.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import child
import engine
import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr

from toymodels import sweep
from toymodels.sweep.store import Store


class Sweep(NamedTuple):
    """What a case draws."""

    constant: int = 0
    """Which array the program closes over."""
    scalar: float = 1.0
    """A Python number that it closes over."""
    branch: bool = False
    """Which side of a Python ``if`` is traced."""
    activation: str = "tanh"
    loop: int = 3
    data: int = 0
    first: int = 0
    seeds: int = 2
    rates: tuple[float, ...] = (0.1, 0.3, 1.0)
    width: int | None = None
    precision: str = "float32"
    x64: bool = False
    setting: str = ""
    """A setting of JAX that is not as it comes."""


VALUES = {
    "constant": (0, 1, 2),
    "scalar": (1.0, 1.0 + 1e-7, 2.0),
    "branch": (False, True),
    "activation": ("tanh", "relu", "gelu"),
    "loop": (3, 4),
    "data": (0, 1, 2, 3),
    "first": (0, 1, 2**31 - 3),
    "seeds": (1, 2),
    "rates": ((0.1, 0.3, 1.0), (1.0, 0.1), (0.1, 0.3, 1.0, 2.0), (0.1, 0.30000001)),
    "width": (None, 1, 2, 3),
    "precision": ("float32", "bfloat16"),
    "x64": (False, True),
    "setting": (
        "",
        "jax_use_direct_linearize",
        "jax_use_simplified_jaxpr_constants",
        "jax_softmax_custom_jvp",
        "jax_threefry_partitionable",
        "jax_default_prng_impl",
    ),
}

ENVIRONMENTS = (
    {"JAX_ENABLE_X64": "1"},
    {"JAX_RANDOM_SEED_OFFSET": "7"},
    {"JAX_DEFAULT_PRNG_IMPL": "rbg"},
    {"JAX_USE_SIMPLIFIED_JAXPR_CONSTANTS": "1"},
    {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"},
    {"JAX_DEFAULT_MATMUL_PRECISION": "bfloat16"},
    {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_max_isa=SSE4_2"},
    {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_cpu_enable_fast_math=true"},
    {"XLA_FLAGS": "--xla_backend_optimization_level=0 --xla_force_host_platform_device_count=2"},
    {"OMP_NUM_THREADS": "1"},
    {"PYTHONHASHSEED": "3", "LC_ALL": "C", "TZ": "Asia/Kolkata"},
    "taskset",
)


def arrays(which: int, shape: tuple[int, ...]) -> np.ndarray:
    """Arrays that resemble each other: the last differ in a bit, a sign of zero, their order."""
    array = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    array.flat[0] = 0.0
    if which == 1:
        array.flat[-1] = np.nextafter(array.flat[-1], np.float32(9))
    elif which == 2:
        array.flat[0] = -0.0
        array.flat[1] *= 2
    elif which == 3:
        array = array[::-1].copy()
    return array


def run(asked: Sweep, store: Store | None) -> xr.Dataset:
    """A sweep as drawn."""
    constant = arrays(asked.constant, (4, 4))
    act = getattr(jax.nn, asked.activation)

    def prepare(data, seed):
        w = jax.random.normal(jax.random.key(seed), (4, 4)) + constant
        return w, {"scale": jnp.linalg.norm(w)}

    def point(data, w, rate):
        def step(w, _):
            w = w - asked.scalar * rate * jax.grad(lambda w: act(data @ w).std())(w)
            return (w.T if asked.branch else w), jnp.linalg.norm(w)

        return {"curve": jax.lax.scan(step, w, None, length=asked.loop)[1]}

    with contextlib.ExitStack() as held:
        held.enter_context(jax.enable_x64(asked.x64))
        if asked.setting:
            held.enter_context(changed(asked.setting))
        return sweep.grid(
            lambda: sweep.Program(prepare, point),
            shared={"seed": range(asked.first, asked.first + asked.seeds)},
            points={"rate": asked.rates},
            variables=engine.VARIABLES,
            data=arrays(asked.data, (16, 4)),
            precision=asked.precision,
            options=sweep.RunOptions(store=store, width=asked.width),
        )[0]


@contextlib.contextmanager
def changed(setting: str):
    """Hold a setting of JAX at another value than it has."""
    before = getattr(jax.config, setting)
    jax.config.update(setting, "rbg" if isinstance(before, str) else not before)
    try:
        yield
    finally:
        jax.config.update(setting, before)


def drawn(case) -> list[Sweep]:
    """A sweep, and one that differs from it in a field or two."""
    first = Sweep(**{name: case.random.choice(values) for name, values in VALUES.items()})
    if case.random.random() < 0.5:
        first = Sweep()
    fields = case.random.sample(sorted(VALUES), case.random.choice((1, 1, 2)))
    return [first, first._replace(**{name: case.random.choice(VALUES[name]) for name in fields})]


def case(case: child.Case) -> str:
    """Run several sweeps over one store, now and then one of them in another environment."""
    store, several = Store(case.folder / "store"), drawn(case)
    elsewhere = case.random.random() < 0.1
    if elsewhere:
        case.note(in_environment(case, store))
    for asked in [*several, several[0]]:
        case.note(repr(asked))
        xr.testing.assert_identical(run(asked, store), alone(asked))
    return "elsewhere" if elsewhere else "computed"


KNOWN: dict[Sweep, xr.Dataset] = {}


def alone(asked: Sweep) -> xr.Dataset:
    """The sweep without a store."""
    if asked not in KNOWN:
        KNOWN[asked] = run(asked, None)
    return KNOWN[asked]


def in_environment(case, store: Store) -> str:
    """Fill the store in a process with other environment variables, or on one processor."""
    change = case.draw(ENVIRONMENTS)
    prefix, variables = [], change
    if change == "taskset":
        variables = {}
        if shutil.which("taskset"):
            prefix = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]
    code = (
        "import sys; from pathlib import Path\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import child, settings\n"
        f"settings.run(settings.Sweep(), settings.Store(Path({str(store.folder)!r})))\n"
    )
    command = [*prefix, sys.executable, "-c", code]
    done = subprocess.run(
        command, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return repr(change)


if __name__ == "__main__":
    child.main("settings", case)
