"""What must not go wrong whatever happens: kills, damaged files, clocks, any config at all."""

import dataclasses
import os
import random
import signal
import subprocess
import sys
import time
import types
import typing
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import experiments
from experiments import mnist_aux
from toymodels.errors import UserError
from toymodels.study import results
from toymodels.sweep import store

ROOT = Path(__file__).parents[1]

# A sweep of many small chunks, each of which takes a while, in a process of its own.
SWEEP = """
import sys, jax, jax.numpy as jnp
from pathlib import Path
from toymodels import sweep
from toymodels.study import results
from toymodels.sweep import waiting
from toymodels.sweep.store import Store

waiting.KEEP_S = -1e9  # each chunk by itself, in every run the same

def prepare(data, seed):
    w = jax.random.normal(jax.random.key(seed), (64, 64))
    return w, {"norm": jnp.linalg.norm(w)}

def point(data, w, rho):
    def step(i, v):
        return jnp.tanh(rho * w @ v) / 8
    return {"sum": jax.lax.fori_loop(0, 2000, step, w).sum()}

out = Path(sys.argv[1])
dataset, how = sweep.grid(
    lambda: sweep.Program(prepare, point),
    shared={"seed": range(6)},
    points={"rho": [i / 10 for i in range(8)]},
    variables={"norm": ((), "1", ""), "sum": ((), "1", "")},
    options=sweep.RunOptions(width=2, store=Store(out / "chunks")),
)
results.write_files(out, {"results.nc": bytes(dataset.to_netcdf(engine="h5netcdf"))})
"""


def swept(out):
    return subprocess.Popen([sys.executable, "-c", SWEEP, str(out)], cwd=ROOT)


def loaded(out):
    return xr.load_dataset(out / "results.nc", engine="h5netcdf")


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.slow)])
def test_killed_at_random_moments_a_sweep_loses_nothing_and_ends_in_the_same_bits(tmp_path, kills):
    whole, moments, hits = tmp_path / "whole", random.Random(0), 0
    assert swept(whole).wait() == 0

    def chunks(out):
        return {p.name: p.read_bytes() for p in (out / "chunks").glob("*/[0-9a-f]*")}

    for attempt in range(3 * kills):  # a sweep that comes to its end unharmed starts over elsewhere
        killed, kept = tmp_path / str(attempt), {}
        while not (killed / "results.nc").exists():
            child = swept(killed)
            if hits == kills:
                assert child.wait() == 0
                break
            while child.poll() is None and len(chunks(killed)) == len(kept):  # not yet at work
                time.sleep(0.001)
            time.sleep(moments.uniform(0, 0.1))
            child.send_signal(signal.SIGKILL)
            hits += child.wait() == -signal.SIGKILL
            assert chunks(killed).items() >= kept.items()  # nothing finished is lost or changed
            kept = chunks(killed)
        xr.testing.assert_identical(loaded(killed), loaded(whole))
        assert chunks(killed).keys() == chunks(whole).keys()
        if hits >= kills:
            return
    pytest.fail(f"only {hits} of {kills} kills came before the end")


ARRAYS = {"accuracy": np.linspace(0, 1, 7, dtype=np.float32), "ok": np.array([True, False])}


@given(st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_a_chunk_with_any_byte_changed_or_missing_is_no_chunk(tmp_path, data):
    kept = store.Store(tmp_path)
    kept.save("key", "a", ARRAYS)
    content = bytearray(kept.path("key", "a").read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    whole = kept.path("key", "a").read_bytes()
    kept.path("key", "a").write_bytes(content)
    assert kept.load("key", "a") is None
    kept.path("key", "b").write_bytes(whole)  # in another place it is another chunk's
    assert kept.load("key", "b") is None


def test_no_clock_decides_what_is_found(tmp_path):
    kept = store.Store(tmp_path)
    kept.save("key", "a", ARRAYS)
    for moment in (0, 2**33):  # 1970, and the year 2242
        os.utime(kept.path("key", "a"), (moment, moment))
        assert kept.load("key", "a") is not None


# Any file that says it is a result: h5py may not crash the process, hang it or fill the memory.
READER = """
import random, resource, sys
from pathlib import Path
from toymodels.study import results
from toymodels.errors import UserError

whole, folder, times = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2]), int(sys.argv[3])
chance, refused = random.Random(0), 0
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for _ in range(times):
    content = bytearray(whole)
    for _ in range(chance.randint(1, 8)):
        content[chance.randrange(len(content))] = chance.randrange(256)
    if chance.random() < 0.3:
        del content[chance.randrange(len(content)):]
    (folder / "results.nc").write_bytes(content)
    try:
        results.open_result(folder)
    except UserError as error:
        refused += 1
        assert "\\n" not in str(error)
grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
assert refused and grown < 300_000, (refused, grown)
"""


@pytest.mark.parametrize("times", [60, pytest.param(3000, marks=pytest.mark.slow)])
def test_a_damaged_result_is_refused_or_read_and_nothing_else(tmp_path, times):
    whole = ROOT / "figures" / "behavioural_cloning" / "results.nc"
    arguments = [str(whole), str(tmp_path), str(times)]
    done = subprocess.run(
        [sys.executable, "-c", READER, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


INTEGERS = st.one_of(st.integers(-3, 5), st.sampled_from([2**31 - 1, 2**31, 2**63]))
FLOATS = st.one_of(st.floats(), st.sampled_from([0.0, -1.0, 0.5, 1.0, 1e-30, 1e30]))


def anything(annotation):
    """Values that the command line would let through for a field of this type."""
    if annotation is int:
        return INTEGERS
    if annotation is float:
        return FLOATS
    if annotation is str:
        return st.sampled_from(["", "uniform", "blur:-1", "samples:0", "x:y:z", "nan"])
    if annotation is type(None):
        return st.none()
    if typing.get_origin(annotation) is typing.Literal:
        return st.sampled_from(typing.get_args(annotation))
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return st.one_of(*map(anything, typing.get_args(annotation)))
    if typing.get_origin(annotation) is tuple:
        return st.lists(anything(typing.get_args(annotation)[0]), max_size=4).map(tuple)
    return st.just(annotation())


@pytest.mark.parametrize("name", experiments.names())
@given(data=st.data())
@settings(max_examples=60)
def test_any_config_is_one_or_refused_in_one_sentence(name, data):
    default = experiments.load_study(name).presets["quick"]
    kinds = typing.get_type_hints(type(default))
    field = data.draw(st.sampled_from([f.name for f in dataclasses.fields(default)]))
    value = data.draw(anything(kinds[field]))
    told = None
    try:
        assert results.config_hash(dataclasses.replace(default, **{field: value}))
    except UserError as error:
        told = str(error)
    assert told is None or (told.strip() and "\n" not in told)


@pytest.mark.parametrize("examples", [3, pytest.param(40, marks=pytest.mark.slow)])
def test_any_small_config_runs_and_every_value_is_finite_or_named(examples):
    small = st.fixed_dictionaries(
        {
            "seeds": st.integers(1, 2),
            "first_seed": st.integers(0, 2**31 - 9),
            "m": st.integers(1, 5),
            "widths": st.lists(st.integers(1, 9), min_size=1, max_size=3).map(tuple),
            "train_images": st.integers(1, 90),
            "noise_images": st.integers(1, 90),
            "batch": st.integers(1, 99),
            "teacher_epochs": st.integers(1, 2),
            "student_epochs": st.integers(1, 2),
            "teacher_lr": st.floats(1e-6, 1e6),
            "student_lr": st.floats(1e-6, 1e6),
            "temperature": st.floats(1e-3, 1e3),
            "loss": st.sampled_from(["kl", "mse"]),
            "noise": st.sampled_from(["fixed", "fresh"]),
        }
    )

    @given(small)
    @settings(max_examples=examples)
    def runs(fields):
        dataset = mnist_aux.STUDY.run(mnist_aux.Config(dataset="digits", **fields))
        finite = np.isfinite(dataset.accuracy).all("epoch") & np.isfinite(dataset.loss).all("epoch")
        assert (finite | dataset.failed).all()
        assert dataset.accuracy.max() <= 1
        results.files(dataset)

    runs()
