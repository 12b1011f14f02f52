"""The sweep engine: nothing but the grid decides its values, and nothing is computed twice."""

import ast
import functools
import io
import os
import shutil
import subprocess
import sys
import time
import zipfile
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from toymodels import sweep
from toymodels.errors import UserError
from toymodels.sweep import Program, RunOptions, chunks, programs, tracing, waiting
from toymodels.sweep.axes import Grid
from toymodels.sweep.store import Reader, Store, signature

DATA = {"x": np.random.default_rng(0).normal(size=(64, 8)).astype(np.float32)}
VARIABLES = {
    "scale": ((), "1", "of the seed's weights"),
    "curve": (("step",), "1", "norm on the way"),
}


def build(width=8):
    """A few steps of gradient descent: enough arithmetic for different bits to show."""

    def prepare(data, seed):
        w = jax.random.normal(jax.random.key(seed), (8, width))
        return w, {"scale": jnp.linalg.norm(w)}

    def point(data, w, rate, sign):
        def step(w, _):
            gradient = jax.grad(lambda w: jnp.tanh(data["x"] @ w).std())(w)
            w = w - sign["by"] * rate * gradient
            return w, jnp.linalg.norm(w)

        return {"curve": jax.lax.scan(step, w, None, length=20)[1]}

    return Program(prepare, point)


def run(
    *,
    make=build,
    seeds=(0, 1, 2),
    rates=(0.0, 0.1, 0.3, 0.7, 1.0),
    shapes=None,
    data=DATA,
    **how,
):
    return sweep.grid(
        make,
        shapes=shapes,
        shared={"seed": seeds},
        points={"rate": rates, "sign": {"down": {"by": 1.0}, "up": {"by": -1.0}}},
        variables=VARIABLES,
        coords={"step": range(20)},
        data=data,
        options=RunOptions(**how),
    )


def assert_close(a, b):
    xr.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def mesh_of(platform):
    """What is read of a mesh of one device that is not here."""
    return SimpleNamespace(devices=np.array([[SimpleNamespace(platform=platform)]]))


def chunk_files(folder):
    """The chunks of a store, without what it remembers of widths and speeds."""
    about = "width", "speed"
    return {path for path in folder.glob("*/*.chunk") if not path.name.startswith(about)}


def counted():
    """A program, and the list of its traces."""
    traces = []

    def make(**shape):
        program = build(**shape)

        def point(data, w, rate, sign):
            traces.append(shape)
            return program.point(data, w, rate, sign)

        return Program(program.prepare, point)

    return make, traces


def test_values_are_those_of_every_point_by_itself():
    dataset, _ = run()
    program = build()
    for seed in (0, 2):
        w, start = program.prepare(DATA, jnp.int32(seed))
        np.testing.assert_allclose(dataset.scale.sel(seed=seed), start["scale"], rtol=1e-6)
        for rate in (0.0, 0.7):
            alone = program.point(DATA, w, rate, {"by": -1.0})["curve"]
            got = dataset.curve.sel(seed=seed, rate=rate, sign="up")
            np.testing.assert_allclose(got, alone, rtol=1e-4)


def test_dimensions_are_the_named_axes():
    dataset, how = run(shapes={"width": [8, 4]})
    assert dataset.curve.dims == ("width", "seed", "rate", "sign", "step")
    assert dataset.width.values.tolist() == [8, 4]
    assert dataset.sign.values.tolist() == ["down", "up"]
    assert dataset.scale.dims == ("width", "seed")
    assert not dataset.failed.any()
    assert how.models == 2 * 3 * (1 + 10)


@pytest.mark.parametrize("width", [1, 3, 4, 10])
def test_every_width_gives_the_same_values_up_to_rounding(width):
    assert_close(run(width=width)[0], run()[0])


def test_at_one_width_the_bits_do_not_depend_on_company_or_order():
    whole, _ = run(width=4)
    alone, _ = run(seeds=(2,), rates=(0.7,), width=4)
    xr.testing.assert_equal(whole.sel(alone.coords), alone)
    turned, _ = run(seeds=(2, 0, 1), rates=(1.0, 0.7, 0.3, 0.1, 0.0), width=4)
    xr.testing.assert_equal(turned.sel(whole.coords), whole)


def test_sweeps_along_an_axis_are_one_sweep():
    whole, execution = run(rates=(0.0, 0.3, 1.0), width=2)
    halves = [run(rates=rates, width=2) for rates in ((0.0,), (0.3, 1.0))]
    joined, together = sweep.along("rate", halves)
    xr.testing.assert_identical(joined.curve, whole.curve)
    assert joined.rate.values.tolist() == [0.0, 0.3, 1.0]
    assert together.models == execution.models + 3  # the seeds, again
    assert together.run_s == sum(half.run_s for _, half in halves)
    assert together.compile_s == sum(half.compile_s for _, half in halves)


def test_of_several_sweeps_the_narrowest_width_is_told_and_all_that_was_found(tmp_path):
    run(rates=(0.3, 1.0), width=4, store=Store(tmp_path))
    parts = [
        run(rates=rates, width=width, store=Store(tmp_path))
        for rates, width in (((0.0,), 2), ((0.3, 1.0), 4))
    ]
    assert [how.width for _, how in parts] == [2, 4]
    assert sweep.along("rate", parts[::-1])[1].width == 2
    # Of the second its teachers and its students; of the first the teachers: another width.
    assert [how.from_store for _, how in parts] == [3, 3 * (1 + 4)]
    assert sweep.along("rate", parts)[1].from_store == 3 + 3 * (1 + 4)
    assert sweep.along("rate", parts[:1])[1] == parts[0][1]


def test_what_is_recorded_has_the_coordinates_given_and_the_programs_own():
    assert run()[0].coords["step"].values.tolist() == list(range(20))

    def make(width=8):
        return build(width)._replace(coords={"step": range(0, 100, 5)})

    assert run(make=make)[0].step.values.tolist() == list(range(0, 100, 5))


def test_the_times_told_are_parts_of_the_time_it_took():
    start = time.perf_counter()
    _, how = run()
    assert 0 < how.compile_s + how.run_s <= time.perf_counter() - start


def test_seeds_side_by_side_as_on_an_accelerator_change_rounding_at_most(monkeypatch):
    monkeypatch.setattr(tracing, "widest", lambda *_: programs.Width(2, 3))
    dataset, _ = run()
    monkeypatch.undo()
    assert_close(dataset, run()[0])


def test_on_an_accelerator_few_points_leave_room_for_many_seeds():
    mesh = mesh_of("gpu")
    for n, expected in ((1, (64, 1)), (4, (16, 4)), (5, (8, 8)), (64, (1, 64)), (100, (1, 64))):
        assert programs.widest(mesh, Grid.of({"x": range(n)}), None) == expected
    assert programs.widest(mesh, Grid.of({"x": range(100)}), 10) == (6, 10)


def test_on_a_cpu_models_run_one_after_the_other_unless_a_width_is_asked_for():
    mesh = mesh_of("cpu")
    for n in (1, 2, 100):
        assert programs.widest(mesh, Grid.of({"x": range(n)}), None) == (1, 1)
    assert programs.widest(mesh, Grid.of({"x": range(2)}), 7) == (1, 7)


def test_a_point_of_a_wider_shape_costs_more_and_as_much_in_any_company():
    """The estimate of the time to come weighs shapes by it."""
    mesh = programs.device_mesh(None, 1, 1)
    grids = Grid.of({"seed": [0]}), Grid.of({"rate": [0.1, 0.2, 0.3], "sign": {"up": {"by": 1.0}}})

    def cost(shape, points):
        width = programs.Width(1, points)
        return programs.cost(programs.trace(build(shape), DATA, *grids, mesh, width, "salt"))

    assert 1.5 < cost(8, 1) / cost(4, 1) < 2.5
    assert cost(8, 3) == pytest.approx(cost(8, 1), rel=0.05)


def test_a_name_tells_arrays_of_the_same_bytes_apart():
    arrays = [np.zeros(4, np.float32), np.zeros((2, 2), np.float32), np.zeros(4, np.int32)]
    assert len({programs.digest("x", array) for array in arrays}) == 3
    assert programs.digest("x", b"ab") != programs.digest("x", b"ac")


def test_reduced_precision_changes_nothing_on_a_cpu():
    """Names of GPU algorithms, some of which a CPU refuses, are for GPUs alone."""
    mesh = programs.device_mesh(None, 1, 1)
    x = jnp.linspace(0, 1, 48).reshape(3, 4, 4)
    with programs.arithmetic("float32", mesh):
        expected = jax.jit(lambda x: x @ x)(x)
    for precision in ("tensorfloat32", "bfloat16"):
        with programs.arithmetic(precision, mesh):
            np.testing.assert_array_equal(jax.jit(lambda x: x @ x)(x), expected)


@pytest.mark.parametrize("precision", ["float32", "tensorfloat32", "bfloat16"])
def test_products_on_a_gpu_have_the_precision_that_was_asked_for(precision):
    x = jnp.ones((3, 4, 4))
    mesh = mesh_of("gpu")
    with programs.arithmetic(precision, mesh):
        gradient = jax.jit(jax.vmap(jax.grad(lambda x: jnp.tanh(x @ x).sum()))).trace(x)
        text = gradient.lower(lowering_platforms=("cuda",)).as_text()
    lines = [line for line in text.splitlines() if "dot_general" in line]
    said = {
        "float32": "precision = [HIGHEST, HIGHEST] :",
        "tensorfloat32": "lhs_precision_type = tf32, rhs_precision_type = tf32",
        "bfloat16": "lhs_precision_type = bf16, rhs_precision_type = bf16",
    }
    assert len(lines) == 3
    assert all(said[precision] in line for line in lines)


def test_each_shape_is_traced_once_whatever_the_number_of_points():
    make, traces = counted()
    run(make=make, shapes={"width": [4, 8]}, width=2)
    assert traces == [{"width": 4}, {"width": 8}]


def test_a_value_that_is_not_finite_marks_its_point_and_no_other():
    def make():
        program = build()

        def point(data, w, rate, sign):
            curve = program.point(data, w, rate, sign)["curve"]
            return {"curve": jnp.where(rate == jnp.float32(0.3), jnp.nan, curve)}

        return Program(program.prepare, point)

    dataset, _ = run(make=make)
    np.testing.assert_array_equal(
        dataset.failed, (dataset.rate == 0.3).broadcast_like(dataset.failed)
    )


@pytest.mark.thorough
def test_devices_share_the_work_and_change_rounding_at_most(tmp_path):
    script = (
        "import jax, numpy as np, sys; sys.path.insert(0, 'tests')\n"
        "from test_sweep import run, assert_close\n"
        "one, how = run(devices=1, width=2)\n"
        "assert how.devices == 1 and len(jax.local_devices()) == 4\n"
        "for n in (2, 3, 4):\n"
        "    many, how = run(devices=n, width=2)\n"
        "    assert how.devices == n\n"
        "    assert_close(many, one)\n"
    )
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", script], env=flags, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("n_shared", "n_points", "devices", "shape"),
    [
        (5, 84, 8, (1, 8)),
        (16, 4, 8, (8, 1)),
        (4, 2, 8, (4, 2)),
        (5, 5, 2, (2, 1)),
        (3, 1, 1, (1, 1)),
    ],
)
def test_the_mesh_leaves_few_devices_idle(n_shared, n_points, devices, shape):
    assert programs.mesh_shape(devices, n_shared, n_points) == shape


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"width": 0}, "chunk must be an integer of at least 1; got 0"),
        ({"width": 1.5}, "chunk must be an integer of at least 1; got 1.5"),
        ({"memory": 1e9}, "memory must be an integer of at least 1; got"),
        ({"shard": (5, 2)}, r"shard must be \(k, n\) with k from 1 to n; got \(5, 2\)"),
        ({"width": True}, "chunk must be an integer of at least 1; got True"),
        ({"width": 2**63}, "chunk must be at most 1000000; got"),
        ({"shard": (1,)}, r"shard must be \(k, n\) with k from 1 to n; got \(1,\)"),
        ({"store": "store"}, "store must be a Store, or None; got 'store'"),
        ({"progress": None}, "progress must be a function; got None"),
        ({"devices": 1.5}, "devices must be an integer; got 1.5"),
        ({"devices": 99}, "devices must be at least 1 and at most .*; got 99"),
        ({"memory": 100}, "memory: one model needs 0.00 GB at least, of 0.00 GB allowed"),
    ],
)
def test_what_can_not_be_is_said(how, words):
    with pytest.raises(UserError, match=words):
        run(**how)


def needs(width):
    """Bytes of the program that runs so many points side by side."""
    shared, points = (
        Grid.of({"seed": [0]}),
        Grid.of({"rate": range(10), "sign": {"x": {"by": 1.0}}}),
    )
    mesh = programs.device_mesh(1, 1, 10)
    traced = programs.trace(build(), DATA, shared, points, mesh, programs.Width(1, width), "salt")
    return programs.memory.required_bytes(traced.point.compile())


def test_short_memory_halves_the_width_and_a_resumed_run_keeps_it(tmp_path, monkeypatch):
    wide, how = run(width=5)
    assert how.width == 5
    store, short = Store(tmp_path), (needs(3) + needs(5)) // 2
    monkeypatch.setattr(programs.memory, "budget", lambda device: short)
    narrow, how = run(store=store, width=5)
    assert how.width == 3
    assert_close(narrow, wide)
    monkeypatch.undo()
    again, how = run(store=store, width=5)  # with all memory: the sweep goes on as it began
    assert (how.width, how.from_store) == (3, how.models)
    xr.testing.assert_identical(again, narrow)
    assert (
        run(store=store, width=5, memory=10**12)[1].width == 5
    )  # a budget that is asked for counts


@pytest.mark.parametrize(("fits", "tried"), [((8, 5), 1), ((1, 5), 4), ((1, 2), 6)])
def test_seeds_side_by_side_are_given_up_before_points(fits, tried, monkeypatch):
    """Widths are halved, rounded up, until the program fits; here it needs a byte a model."""
    widths = []

    def compiled(width):
        widths.append(tuple(width))
        return (width,)

    monkeypatch.setattr(programs.memory, "required_bytes", lambda width: width[0] * width[1])
    found, _ = programs.compile_within(
        fits[0] * fits[1], programs.Width(8, 5), lambda width: width, compiled
    )
    assert found == fits
    assert widths == [(8, 5), (4, 5), (2, 5), (1, 5), (1, 3), (1, 2)][:tried]
    with pytest.raises(UserError, match=r"needs 0\.00 GB, of 0\.00 GB"):
        programs.compile_within(0, programs.Width(1, 1), lambda width: width, compiled)


def test_a_finished_sweep_is_loaded_to_the_bit_and_nothing_runs(tmp_path):
    first, how = run(store=Store(tmp_path))
    assert how.from_store == 0
    second, how = run(store=Store(tmp_path))
    assert how.from_store == how.models == 33
    xr.testing.assert_identical(first, second)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7])
def test_a_broken_off_sweep_goes_on_to_the_same_bits(tmp_path, kept, chunk_by_chunk):
    undisturbed, _ = run(width=2)
    run(width=2, store=Store(tmp_path))
    files = sorted(chunk_files(tmp_path))
    for path in files[int(kept * len(files)) :]:
        path.unlink()
    resumed, how = run(width=2, store=Store(tmp_path))
    assert how.from_store < how.models
    xr.testing.assert_identical(resumed, undisturbed)


def test_a_damaged_chunk_is_noticed_and_done_again(tmp_path, chunk_by_chunk):
    whole, _ = run(store=Store(tmp_path))
    for i, path in enumerate(sorted(chunk_files(tmp_path))):
        content = bytearray(path.read_bytes())
        if i % 3 == 0:
            content[len(content) // 2] ^= 1
        elif i % 3 == 1:
            content = content[: len(content) // 2]
        else:
            content = b""
        path.write_bytes(content)
    again, how = run(store=Store(tmp_path))
    assert how.from_store == 0
    xr.testing.assert_identical(again, whole)
    assert run(store=Store(tmp_path))[1].from_store == 33


def test_more_seeds_compute_only_the_new_ones(tmp_path):
    run(seeds=(0, 1), store=Store(tmp_path))
    more, how = run(seeds=(0, 1, 2), store=Store(tmp_path))
    assert how.from_store == 22
    xr.testing.assert_identical(more, run()[0])


def altered():
    """Another program whose arrays have the same shapes."""
    program = build()

    def point(data, w, rate, sign):
        return {"curve": program.point(data, w, rate, sign)["curve"] * 2}

    return Program(program.prepare, point)


@pytest.mark.parametrize(
    "change",
    [
        {"make": altered},
        {"data": {"x": DATA["x"] + 1}},
        {"seeds": (3, 4, 5)},
        {"rates": (0.0, 0.1, 0.3, 0.7, 2.0), "width": 1},
        {"width": 3},
    ],
    ids=["program", "data", "seeds", "coordinate", "width"],
)
def test_nothing_old_is_taken_for_a_changed_sweep(tmp_path, change):
    run(store=Store(tmp_path), width=1 if "rates" in change else None)
    changed, how = run(store=Store(tmp_path), **change)
    # Where one coordinate differs, the other points are found; where points alone, the teachers.
    found = {"rates": 3 * (1 + 8), "make": 3, "width": 3}
    assert how.from_store == found.get(next(iter(change)), 0)
    xr.testing.assert_identical(changed, run(**change)[0])


@pytest.fixture
def chunk_by_chunk(monkeypatch):
    """Keep every chunk by itself; small ones computed within a moment share a file otherwise."""
    monkeypatch.setattr(waiting, "KEEP_S", -1e9)


def test_progress_counts_what_is_missing_and_estimates_the_rest(tmp_path, chunk_by_chunk):
    told = []
    run(width=5, seeds=(0, 1), progress=lambda *event: told.append(event))
    assert told[:2] == [("compiling", 0, 1, None), ("models", 0, 22, None)]
    assert [done for _, done, _, _ in told[2:]] == [1, 6, 11, 12, 17, 22]
    assert all(left > 0 for *_, left in told[2:-1])
    assert told[-1][-1] == 0
    run(seeds=(0,), store=Store(tmp_path))
    told.clear()
    run(seeds=(0, 1), store=Store(tmp_path), progress=lambda *event: told.append(event))
    assert told[1] == ("models", 0, 11, None)


def test_a_store_that_can_not_be_written_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"out: cannot write to .*file"):
        run(store=Store(tmp_path / "file"))


def test_small_points_share_a_file_and_each_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(waiting, "KEEP_S", 3600)
    whole, _ = run(store=Store(tmp_path))
    assert len(chunk_files(tmp_path)) == 2  # all teachers, all points
    again, found = run(store=Store(tmp_path), rates=(0.3, 0.1))
    assert found.from_store == found.models
    xr.testing.assert_identical(again, run(rates=(0.3, 0.1))[0])
    xr.testing.assert_identical(run(store=Store(tmp_path))[0], whole)


def test_workers_share_a_sweep_and_what_one_leaves_another_does(tmp_path, chunk_by_chunk):
    store, alone = Store(tmp_path), run(width=2)[0]
    options = {"store": store, "width": 2}

    def dies(stage, done, total, left_s):
        if stage == "models" and done >= 3:
            raise KeyboardInterrupt

    # The second of three begins at its own part, and dies; the first does the rest.
    with pytest.raises(KeyboardInterrupt):
        run(**options, shard=(2, 3), progress=dies)
    kept = chunk_files(tmp_path)
    dataset, how = run(**options, shard=(1, 3))
    xr.testing.assert_identical(dataset, alone)
    assert how.from_store == 3
    assert kept < chunk_files(tmp_path)
    # For the third, nothing is left.
    dataset, how = run(**options, shard=(3, 3))
    xr.testing.assert_identical(dataset, alone)
    assert how.from_store == how.found == how.models


def test_a_chunk_that_another_worker_finished_meanwhile_is_not_computed_again(tmp_path):
    store, computed = Store(tmp_path), []

    def other(stage, done, total, left_s):
        if stage == "models" and done == 0 and not computed:
            computed.append(run(store=store, width=2)[1])

    dataset, how = run(store=store, width=2, progress=other)
    assert how.from_store == how.models == computed[0].models
    assert how.found == 0
    xr.testing.assert_identical(dataset, run(width=2)[0])


def test_a_chunk_that_another_worker_wrote_before_our_own_is_seen(tmp_path):
    store, arrays = Store(tmp_path), {"a": np.zeros(1)}
    reader = Reader(store, "key", 10**6)
    reader.save("first", arrays)
    assert list(reader.new()) == []
    store.save("key", "theirs", {"a": np.ones(1)})
    reader.save("ours", arrays)
    assert [found["a"].tolist() for found in reader.new()] == [[1.0]]


def test_a_store_finds_nothing_older_than_it_is_asked_for(tmp_path):
    Store(tmp_path).save("key", "old", {"a": np.zeros(1)})
    later = Store(tmp_path, since=time.time_ns() + 10**9)
    assert later.names("key") == []
    assert later.load("key", "old") is None
    assert Store(tmp_path, since=1).names("key") == ["old"]


@pytest.mark.parametrize("fewer", [1, 3, 5, 6])
def test_a_longer_axis_in_another_order_computes_only_its_new_values(tmp_path, fewer):
    """Whatever the lengths, of three points or more: chunks have one width."""
    rates = tuple(i / 10 for i in range(fewer + 1))
    run(rates=rates[:-1] if fewer > 1 else (0.5, 0.6), store=Store(tmp_path))
    longer, how = run(rates=rates[::-1], store=Store(tmp_path))
    # Two signs to a rate; three teachers, which are trained again.
    assert how.models - how.from_store == 3 * 2 * (1 if fewer > 1 else 2)
    xr.testing.assert_identical(longer, run(rates=rates[::-1])[0])
    xr.testing.assert_identical(run(rates=rates, store=Store(tmp_path))[0], run(rates=rates)[0])


def test_before_it_computes_a_sweep_says_what_is_there(tmp_path):
    lines = []
    run(store=Store(tmp_path), announce=lines.append)
    run(store=Store(tmp_path), seeds=(0, 1, 2, 3), announce=lines.append)
    run(store=Store(tmp_path), seeds=(0, 1), announce=lines.append)
    assert lines == [
        "to compute: 30 of 30 points, with 3 teachers; the store has 0 points",
        "to compute: 10 of 40 points, with 1 teachers; the store has 30 points",
        "to compute: 0 of 20 points, with 0 teachers; the store has 20 points",
    ]


def shared(path, folder):
    """Whether another store has chunks of the same program."""
    return (folder / path.parent.name).exists()


def test_a_chunk_in_another_chunks_place_is_not_believed(tmp_path, chunk_by_chunk):
    """The fault of a copied file: 130 silently wrong results."""
    own, other = Store(tmp_path / "own"), Store(tmp_path / "other")
    whole, _ = run(store=own)
    run(store=other, make=altered)
    points, strangers = (
        sorted(path for path in chunk_files(one.folder) if not shared(path, two.folder))
        for one, two in ((own, other), (other, own))
    )
    for path, stranger in zip(points, strangers, strict=True):
        path.write_bytes(stranger.read_bytes())
    again, how = run(store=own)
    assert how.from_store == 3  # the teachers' program is one and the same
    xr.testing.assert_identical(again, whole)


def test_two_chunks_exchanged_in_one_store_are_not_believed(tmp_path, chunk_by_chunk):
    whole, _ = run(store=Store(tmp_path))
    first, *_, last = sorted(chunk_files(tmp_path))
    contents = first.read_bytes(), last.read_bytes()
    last.write_bytes(contents[0])
    first.write_bytes(contents[1])
    again, how = run(store=Store(tmp_path))
    assert how.from_store < how.models
    xr.testing.assert_identical(again, whole)


def forged(path, body):
    """A chunk of any body, under the hash that its place asks for."""
    path.write_bytes(signature(path.parent.name, path.stem, body) + body)


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        npz(),
        npz(**{"axis 0": np.zeros((), "U3")}),
        npz(**{"axis 0": np.zeros((2, 2), "U3")}),
        npz(**{"axis 0": np.zeros(2)}),
        npz(width=np.array([0, 0])),
        npz(width=np.array([1, 2**40])),
        npz(width=np.array("4")),
        npz(other=np.array(4)),
    ],
)
def test_a_body_that_is_no_chunk_is_passed_over_whatever_its_hash(tmp_path, body):
    whole, _ = run(store=Store(tmp_path))
    for path in tmp_path.glob("*/*.chunk"):
        forged(path, body)
    again, how = run(store=Store(tmp_path))
    assert how.from_store == 0
    xr.testing.assert_identical(again, whole)


def test_a_chunk_whose_content_is_no_array_or_too_large_unpacked_is_none(tmp_path):
    store, body = Store(tmp_path), npz(x=np.zeros(10**6))
    store.save("key", "name", {})
    forged(store.path("key", "name"), body)
    assert store.load("key", "name", most=10**8)["x"].shape == (10**6,)
    assert len(body) < 10**5
    assert store.load("key", "name", most=10**5) is None
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("x.npy", b"no array")
    forged(store.path("key", "name"), file.getvalue())
    assert store.load("key", "name") is None


@pytest.mark.parametrize("name", [b"\xff\xfe.chunk", b"a\nb.chunk", b" .chunk", b".chunk"])
def test_files_of_any_other_name_are_no_chunks(tmp_path, name):
    run(store=Store(tmp_path))
    for folder in tmp_path.iterdir():
        (folder / os.fsdecode(name)).write_bytes(b"")
    _, how = run(store=Store(tmp_path))
    assert how.from_store == how.models


def test_a_folder_in_a_chunks_place_or_a_file_in_a_folders_is_refused_before(tmp_path, monkeypatch):
    run(store=Store(tmp_path))
    path = min(chunk_files(tmp_path))
    path.unlink()
    path.mkdir()
    monkeypatch.setattr(chunks, "compile_within", lambda *_: pytest.fail("compiled"))
    with pytest.raises(UserError, match=f"out: cannot write to {path}: it is a folder"):
        run(store=Store(tmp_path))
    shutil.rmtree(path.parent)
    path.parent.write_text("")
    with pytest.raises(UserError, match=f"out: cannot write to {path.parent}: Not a directory"):
        run(store=Store(tmp_path))


@pytest.mark.parametrize("field", ["value curve", "axis 1"])
def test_a_chunk_of_other_shapes_is_not_believed_whatever_its_hash(tmp_path, field):
    store, (whole, _) = Store(tmp_path), run()
    run(store=store)
    for path in chunk_files(tmp_path):
        key, name = path.parent.name, path.stem
        arrays = dict(store.load(key, name))
        if field in arrays:
            arrays[field] = arrays[field][..., :-1]
        store.save(key, name, arrays)
    again, how = run(store=store)
    assert how.from_store == 3  # the teachers' chunks have neither
    xr.testing.assert_identical(again, whole)


@pytest.mark.parametrize("kind", ["pipe", "link", "huge"])
def test_what_is_no_chunk_is_passed_over_and_not_waited_for(tmp_path, kind):
    whole, _ = run(store=Store(tmp_path))
    for path in chunk_files(tmp_path):
        path.unlink()
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "link":
            path.symlink_to("/dev/zero")
        else:
            with path.open("wb") as file:
                file.truncate(2**40)
        break
    again, how = run(store=Store(tmp_path))
    assert how.from_store < how.models
    xr.testing.assert_identical(again, whole)


def closing(constant):
    """A program that closes over an array."""

    def make():
        def prepare(data, seed):
            return jnp.float32(seed), {}

        return Program(prepare, lambda data, w, rho: {"sum": rho * w * (constant * data).sum()})

    return make


@pytest.mark.parametrize("hoisted", [False, True])
def test_arrays_that_a_program_closes_over_are_in_its_name(tmp_path, hoisted):
    """Also where JAX keeps them out of its text, as it is to do in future."""
    jax.config.update("jax_use_simplified_jaxpr_constants", hoisted)
    try:
        for factor in (1.0, 2.0):
            dataset, _ = sweep.grid(
                closing(np.full(1000, factor, np.float32)),
                shared={"seed": [1]},
                points={"rho": [1.0]},
                variables={"sum": ((), "1", "sum")},
                data=jnp.ones(1000),
                options=RunOptions(store=Store(tmp_path)),
            )
            assert dataset["sum"].item() == 1000 * factor
    finally:
        jax.config.update("jax_use_simplified_jaxpr_constants", False)


def test_a_program_that_calls_python_is_neither_kept_nor_found(tmp_path):
    """What a callback computes has no part in a name."""
    for factor in (1.0, 2.0):

        def make(factor=factor):
            def point(data, w, rho):
                shape = jax.ShapeDtypeStruct((), jnp.float32)
                value = jax.pure_callback(
                    lambda x: np.float32(factor * x), shape, rho, vmap_method="sequential"
                )
                return {"y": value}

            return Program(lambda data, seed: (seed, {}), point)

        with pytest.warns(UserWarning, match="calls Python functions"):
            dataset, _ = sweep.grid(
                make,
                shared={"seed": [1]},
                points={"rho": [1.0]},
                variables={"y": ((), "1", "y")},
                options=RunOptions(store=Store(tmp_path)),
            )
        assert dataset.y.item() == factor
    assert not list(tmp_path.rglob("*.chunk"))


def printing():
    """A program that prints as it goes."""
    program = build()

    def point(data, w, rate, sign):
        jax.debug.print("rate {}", rate)
        return program.point(data, w, rate, sign)

    return Program(program.prepare, point)


def test_a_program_that_only_prints_is_kept(tmp_path):
    run(make=printing, store=Store(tmp_path))
    assert run(make=printing, store=Store(tmp_path))[1].from_store == 33


KEY = """
import sys; sys.path.insert(0, "tests")
import jax, test_sweep as t
from toymodels.sweep import programs
from toymodels.sweep.axes import Grid
mesh = programs.device_mesh(1, 1, 1)
grids = Grid.of({"seed": [0]}), Grid.of({"rate": [0.5], "sign": {"up": {"by": 1.0}}})
with programs.arithmetic("float32", mesh):
    salt = programs.salt(mesh, "float32", t.DATA)
    traced = programs.trace(t.build(), t.DATA, *grids, mesh, programs.Width(1, 1), salt)
print(traced.point_key)
"""


@functools.cache
def name_under(change):
    """The name of a program in a process with other environment variables, or on one processor."""
    change = ast.literal_eval(change)
    prefix = ["taskset", "-c", str(min(os.sched_getaffinity(0)))] if change == "taskset" else []
    env = os.environ | {"JAX_PLATFORMS": "cpu"} | (change if isinstance(change, dict) else {})
    done = subprocess.run(
        [*prefix, sys.executable, "-c", KEY], env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("change", "same"),
    [
        (
            {
                "JAX_COMPILATION_CACHE_MAX_SIZE": "99",
                "JAX_DEFAULT_PRNG_IMPL": "rbg",
                "JAX_THREEFRY_PARTITIONABLE": "0",
                "JAX_NUMPY_DTYPE_PROMOTION": "strict",
            },
            True,
        ),
        ({"JAX_ENABLE_X64": "1"}, False),
        ({"JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}, False),
        ({"JAX_RANDOM_SEED_OFFSET": "1"}, False),
        ({"JAX_USE_DIRECT_LINEARIZE": "0"}, False),
        ({"XLA_FLAGS": "--xla_cpu_max_isa=AVX2"}, False),
        ({"OPENBLAS_CORETYPE": "Haswell"}, False),
        ("taskset", False),
    ],
    ids=str,
)
def test_a_name_holds_all_that_decides_bits_and_nothing_else(change, same):
    """The user's generator and promotion rules are not in it: ours hold."""

    if change == "taskset" and (len(os.sched_getaffinity(0)) == 1 or not shutil.which(change)):
        pytest.skip("one processor, or no taskset")
    assert (name_under(repr(change)) == name_under("{}")) == same


def test_our_generator_holds_whatever_the_users_is():
    dataset, _ = run()
    with jax.default_prng_impl("rbg"), jax.numpy_dtype_promotion("strict"):
        xr.testing.assert_identical(run()[0], dataset)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"variables": {}}, "variables: prepare records scale, which is not declared; declared"),
        (
            {"variables": {**VARIABLES, "more": ((), "1", "")}},
            "variables: more is declared, but never recorded",
        ),
        (
            {"variables": {**VARIABLES, "curve": ((), "1", "")}},
            r"curve must have the dimensions \(\); it is recorded with the shape \(20,\)",
        ),
        ({"variables": {**VARIABLES, "curve": ("step", "1", "")}}, "variables must be given as"),
        (
            {"variables": {**VARIABLES, "curve": (("rate",), "1", "")}},
            "must not be called like its",
        ),
        ({"variables": {**VARIABLES, "failed": ((), "1", "")}}, "variables must have names other"),
        ({"variables": {**VARIABLES, "rate": ((), "1", "")}}, "axes must have names that no"),
        (
            {"coords": {"step": range(19)}},
            "variables: curve must have a size of 19 along step, as its coordinates have",
        ),
        ({"coords": {"step": [0] * 20}}, "coords of step must hold no value twice; got 0 again"),
        ({"coords": {"step": (("step",), range(20))}}, "coords of step must hold numbers or"),
        ({"coords": {"stp": range(20)}}, "coords: no variable has a dimension stp; there are step"),
        ({"coords": {"rate": range(20)}}, "coords: rate is an axis, which has its own"),
        ({"shapes": {"seed": [8]}}, "axes must have names of their own; got seed twice"),
        ({"shapes": {"width": [8, 8]}}, "axis width must hold no value twice; got 8 again"),
        ({"shared": {"seed": [1, 2**32 + 1]}}, "axis seed must hold numbers that int32 can hold"),
        ({"points": None}, "points must be a mapping of names; got None"),
        ({"coords": 3}, "coords must be a mapping of names; got 3"),
        ({"shapes": {"a/b": [1]}}, "axes must have names of at most 200 printable characters"),
        ({"shapes": {"depth": [1, 2]}}, "build must be a function of depth: got an unexpected"),
        (
            {"points": {"pace": [0.5]}},
            "point must be a function of data, prepared, pace: missing a required argument: 'rate'",
        ),
        ({"shared": {"data": [0]}}, "prepare must be a function of data, data: "),
        ({"variables": {**VARIABLES, "scale": ((), "1", "a\0b")}}, "all of them printable; got"),
        ({"variables": {**VARIABLES, "curve": (("a\nb",), "1", "")}}, "all of them printable; got"),
        ({"data": {"x": np.array([2**32 + 1])}}, "data must hold numbers that int32 can hold; got"),
        ({"data": {"x": np.array([1e300])}}, "data must hold numbers that float32 can hold; got"),
        ({"data": {"x": np.array(["a"])}}, "data must be arrays of numbers; got"),
        ({"data": np.ma.masked_array([1.0], [True])}, "data must not be masked; got"),
        ({"precision": "float31"}, "precision must be one of float32, tensorfloat32, bfloat16"),
        ({"shapes": {"failed": [2]}}, "axes must have names other than failed; got 'failed'"),
        (
            {"points": {"x": [0, np.timedelta64(3, "s")]}},
            "axis x must hold numbers or strings; got",
        ),
        ({"options": "fast"}, "options must be RunOptions, or None; got 'fast'"),
    ],
    ids=str,
)
def test_what_would_fail_or_mislead_after_the_computing_is_refused_before(
    change, words, monkeypatch
):
    monkeypatch.setattr(chunks, "compile_within", lambda *_: pytest.fail("compiled"))
    arguments = {
        "shared": {"seed": [0]},
        "points": {"rate": [0.5], "sign": {"up": {"by": 1.0}}},
        "variables": VARIABLES,
        "coords": {"step": range(20)},
        "data": DATA,
    }
    with pytest.raises(UserError, match=words):
        sweep.grid(build, **(arguments | change))


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (lambda: {"y": jnp.zeros((), jnp.bfloat16)}, "y must be bool, integer or a NumPy float"),
        (lambda: {"y": jnp.zeros((), jnp.complex64)}, "y must be bool, integer or a NumPy float"),
        (lambda: {"y": jax.random.key(0)}, "y must be bool, integer or a NumPy float"),
        (lambda: jnp.zeros(()), "point must record a dict of arrays; got"),
        (lambda: {"y": None}, "y must be an array; it is recorded as NoneType"),
        (lambda: {"y": {"a": 1.0}}, "y must be an array; it is recorded as dict"),
        (lambda: {"y": "text"}, "point must return arrays of numbers; got 'text'"),
    ],
)
def test_records_that_can_not_be_saved_are_refused_before(record, words):
    with pytest.raises(UserError, match=words):
        sweep.grid(
            lambda: Program(lambda data, seed: (seed, {}), lambda data, seed, x: record()),
            shared={"seed": [0]},
            points={"x": [0.5]},
            variables={"y": ((), "1", "")},
        )


def test_all_shapes_are_checked_before_the_first_is_compiled(monkeypatch):
    monkeypatch.setattr(chunks, "compile_within", lambda *_: pytest.fail("compiled"))

    def make(width=8):
        return build(width)._replace(coords={"step": range(20 if width == 8 else 19)})

    with pytest.raises(UserError, match="curve must have a size of 19 along step"):
        run(make=make, shapes={"width": [8, 4]})


def test_coordinates_may_be_a_tuple_and_what_is_prepared_a_number():
    dataset, _ = sweep.grid(
        lambda: Program(lambda data, seed: (2, {}), lambda data, two, x: {"y": data * two * x}),
        shared={"seed": (0,)},
        points={"x": (0.5, 4.0)},
        variables={"y": (("i",), "1", "")},
        coords={"i": (10, 0)},
        data=np.array([1.0, 3.0], ">f8"),
    )
    assert dataset.i.values.tolist() == [10, 0]
    assert dataset.y.values.tolist() == [[[1, 3], [8, 24]]]


def test_a_variable_may_have_any_other_name(tmp_path):
    """Names of NumPy's own arguments included: a chunk holds them, too."""
    names = ("file", "allow_pickle", "args", "kwds", "with space", "axis 0")
    for _ in range(2):
        dataset, how = sweep.grid(
            lambda: Program(
                lambda data, seed: (seed, {}), lambda data, seed, x: dict.fromkeys(names, x)
            ),
            shared={"seed": [0]},
            points={"x": [0.5]},
            variables=dict.fromkeys(names, ((), "1", "")),
            options=RunOptions(store=Store(tmp_path)),
        )
    assert all(dataset[name].item() == 0.5 for name in names)
    assert how.from_store == how.models


def test_on_several_devices_more_seeds_and_points_compute_only_the_new_ones(tmp_path):
    """How devices are laid out must not enter a chunk's name."""
    script = (
        "import sys; sys.path.insert(0, 'tests')\n"
        "import xarray as xr; from pathlib import Path\n"
        "from test_sweep import run, Store\n"
        "store = Store(Path(sys.argv[1]))\n"
        "run(seeds=(0, 1), rates=(0.0, 0.1, 0.3), store=store)\n"
        "more, how = run(seeds=(0, 1, 2), rates=(0.0, 0.1, 0.3, 0.7), store=store)\n"
        "assert how.devices == 4\n"
        "assert how.from_store == 2 * (1 + 6), how\n"
        "xr.testing.assert_identical(more, run(seeds=(0, 1, 2), rates=(0.0, 0.1, 0.3, 0.7))[0])\n"
    )
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        env=os.environ | flags,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_sweep_does_not_read_back_what_it_has_written(tmp_path, monkeypatch):
    loaded, load = [], Store.load

    def noted(store, key, name, *most):
        loaded.append(name)
        return load(store, key, name, *most)

    monkeypatch.setattr(Store, "load", noted)
    run(store=Store(tmp_path))
    assert all(name.startswith("width") for name in loaded)
    run(store=Store(tmp_path))
    assert {path.stem for path in chunk_files(tmp_path)} <= set(loaded)
