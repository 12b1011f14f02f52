"""Compiled programs on disk: the same bits, never another's, and no fault of theirs is the run's."""

import fcntl
import json
import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import xarray as xr

from toymodels import sweep
from toymodels.errors import UserError
from toymodels.sweep import Program, RunOptions, compilation, settings
from toymodels.sweep.compilation import CompiledPrograms

ROOT = Path(__file__).parents[1]


def build(factor=1.0, inside=lambda x: x):
    """Normal draws, products and a loop: enough arithmetic for other code to give other bits."""
    constants = np.full(300, factor, np.float32)

    def prepare(data, seed):
        w = jax.random.normal(jax.random.key(seed), (16, 16))
        return w, {"start": jnp.linalg.norm(w)}

    def point(data, w, rate):
        def step(w, _):
            w = w - rate * jax.grad(lambda w: jnp.tanh(inside(w @ w)).std())(w)
            return w, jnp.linalg.norm(w)

        return {"curve": jax.lax.scan(step, w, None, length=5)[1] * constants.mean()}

    return Program(prepare, point)


def run(compiled=None, **program):
    dataset, _ = sweep.grid(
        lambda: build(**program),
        shared={"seed": [0, 1]},
        points={"rate": [0.1, 0.3, 1.0]},
        variables={"start": ((), "1", "norm"), "curve": (("step",), "1", "norms")},
        coords={"step": range(5)},
        options=RunOptions(compiled=compiled),
    )
    return dataset


def programs(folder):
    return sorted(folder.glob("*/*.program"))


@pytest.fixture
def kept(tmp_path):
    """A folder with both programs of `build`."""
    run(CompiledPrograms(tmp_path))
    assert len(programs(tmp_path)) == 2
    return tmp_path


@pytest.fixture
def compiled(monkeypatch):
    """The names of what is compiled."""
    names = []
    genuine = jax.stages.Lowered.compile

    def compiles(self, *args, **options):
        names.append("prepare" if "jit_prepare" in self.as_text()[:200] else "point")
        return genuine(self, *args, **options)

    monkeypatch.setattr(jax.stages.Lowered, "compile", compiles)
    return names


def test_a_found_program_gives_the_bits_of_a_compiled_one(tmp_path, compiled):
    alone = run()
    first = CompiledPrograms(tmp_path)
    xr.testing.assert_identical(run(first), alone)
    assert (first.compiled, first.found) == (0, 0)  # told and begun anew by `describe`
    compiled.clear()
    again = CompiledPrograms(tmp_path)
    lines = []
    dataset, _ = sweep.grid(
        build,
        shared={"seed": [0, 1]},
        points={"rate": [0.1, 0.3, 1.0]},
        variables={"start": ((), "1", "norm"), "curve": (("step",), "1", "norms")},
        coords={"step": range(5)},
        options=RunOptions(compiled=again, announce=lines.append),
    )
    xr.testing.assert_identical(dataset, alone)
    assert compiled == []
    assert lines[0] == f"programs: 0 compiled, 2 found in {tmp_path} (--no-cache: no folder)"


def test_programs_that_differ_in_a_constant_alone_are_not_taken_for_one_another(kept):
    other = run(CompiledPrograms(kept), factor=2.0)
    xr.testing.assert_identical(other, run(factor=2.0))
    assert not other.equals(run(CompiledPrograms(kept)))
    assert len(programs(kept)) == 3  # they prepare alike


DAMAGES = {
    "truncated": lambda content: content[:-100],
    "empty": lambda content: b"",
    "begun": lambda content: content[:20],
    "flipped": lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    "overwritten": lambda content: content[:32] + b"\x00" * (len(content) - 32),
    "another's": lambda content: content + b"\x00",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_programs_are_compiled_again_and_replaced(damage, kept, compiled):
    whole = {path: path.read_bytes() for path in programs(kept)}
    for path, content in whole.items():
        path.write_bytes(damage(content))
    xr.testing.assert_identical(run(CompiledPrograms(kept)), run())
    assert sorted(compiled) == sorted(["prepare", "point"] * 2)
    compiled.clear()
    run(CompiledPrograms(kept))
    assert compiled == []


def test_programs_in_each_others_places_are_not_believed(kept, compiled):
    one, other = programs(kept)
    contents = one.read_bytes(), other.read_bytes()
    one.write_bytes(contents[1])
    other.write_bytes(contents[0])
    xr.testing.assert_identical(run(CompiledPrograms(kept)), run())
    assert len(compiled) == 4


def test_what_decides_machine_code_names_the_folder(monkeypatch, tmp_path):
    def folder():
        return compilation.identity(jax.devices()[0])

    plain = folder()
    assert plain == folder()
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_max_isa=AVX2")
    assert folder() != plain
    monkeypatch.undo()
    for name in ("processor", "threads"):
        monkeypatch.setattr(settings, name, lambda: "another")
        assert folder() != plain
        monkeypatch.undo()
    monkeypatch.setattr(compilation.metadata, "version", lambda package: "0.0.1")
    assert folder().startswith("jaxlib-0.0.1-")
    monkeypatch.undo()
    with jax.enable_x64(True):
        assert folder() != plain
    assert folder() == plain


def test_programs_that_call_python_are_not_kept(tmp_path):
    """Their code holds addresses of this process."""
    prints = CompiledPrograms(tmp_path)
    run(prints, inside=lambda x: jax.debug.callback(lambda y: None, x) or x)
    assert programs(tmp_path) == []


def test_a_folder_that_others_can_write_is_not_used(kept, compiled):
    """What lies in it is executed."""
    (folder,) = kept.iterdir()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    run(CompiledPrograms(kept))
    assert sorted(compiled) == ["point", "prepare"]


def test_a_folder_that_cannot_be_made_costs_the_compilation_alone(tmp_path, compiled):
    place = tmp_path / "file"
    place.write_text("")
    xr.testing.assert_identical(run(CompiledPrograms(place / "folder")), run())
    assert place.read_text() == ""


def test_a_program_that_cannot_be_written_costs_nothing(tmp_path, monkeypatch):
    def full(*args, **options):
        raise UserError("out: cannot write: no space left on device")

    monkeypatch.setattr(compilation.files, "write_files", full)
    xr.testing.assert_identical(run(CompiledPrograms(tmp_path)), run())
    assert programs(tmp_path) == []


def test_the_programs_not_used_for_longest_are_deleted(tmp_path, monkeypatch):
    monkeypatch.setattr(compilation, "LARGEST", 250)
    for age, name in enumerate(("a/new", "b/old", "a/older", "b/oldest")):
        path = tmp_path / f"{name}.program"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(bytes(100))
        os.utime(path, (10**9 - age, 10**9 - age))
    CompiledPrograms(tmp_path).evict(tmp_path / "a/new.program")
    assert [path.stem for path in programs(tmp_path)] == ["new", "old"]
    monkeypatch.setattr(compilation, "LARGEST", 1)
    CompiledPrograms(tmp_path).evict(tmp_path / "b/old.program")
    assert [path.stem for path in programs(tmp_path)] == ["old"]


def test_a_found_program_is_a_used_one(kept):
    for path in programs(kept):
        os.utime(path, (10**9, 10**9))
    run(CompiledPrograms(kept))
    assert all(path.stat().st_mtime > 10**9 for path in programs(kept))


@pytest.mark.parametrize("worker", [1, 2])
def test_each_worker_begins_with_another_program(worker, tmp_path, compiled):
    kept = CompiledPrograms(tmp_path)
    sweep.grid(
        build,
        shared={"seed": [0]},
        points={"rate": [0.1]},
        variables={"start": ((), "1", "norm"), "curve": (("step",), "1", "norms")},
        coords={"step": range(5)},
        options=RunOptions(compiled=kept, shard=(worker, 2)),
    )
    assert compiled == [["prepare", "point"], ["point", "prepare"]][worker - 1]


def test_a_program_that_another_process_compiles_is_waited_for(kept, compiled, monkeypatch):
    """The other's claim ends, and its program is there, while this one sleeps."""
    paths = programs(kept)
    contents = [path.read_bytes() for path in paths]
    claims = [path.with_suffix(".lock").open("w") for path in paths]
    for path, claim in zip(paths, claims, strict=True):
        path.unlink()
        fcntl.flock(claim, fcntl.LOCK_EX)
    naps = []

    def sleep(seconds):
        naps.append(seconds)
        path, claim = paths.pop(), claims.pop()
        path.write_bytes(contents.pop())
        claim.close()

    clock = SimpleNamespace(sleep=sleep, monotonic=time.monotonic)
    monkeypatch.setattr(compilation, "time", clock)
    xr.testing.assert_identical(run(CompiledPrograms(kept)), run())
    assert len(naps) == 2
    assert sorted(compiled) == ["point", "prepare"]  # of the run without a folder


def test_nobody_is_waited_for_for_ever(kept, compiled, monkeypatch):
    claims = [path.with_suffix(".lock").open("w") for path in programs(kept)]
    for path, claim in zip(programs(kept), claims, strict=True):
        path.unlink()
        fcntl.flock(claim, fcntl.LOCK_EX)
    monkeypatch.setattr(compilation, "PATIENCE_S", -1.0)
    run(CompiledPrograms(kept))
    assert sorted(compiled) == ["point", "prepare"]
    for claim in claims:
        claim.close()


@pytest.mark.parametrize("said", ["", "here", None])
def test_the_environment_says_where_programs_are_kept(said, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv(compilation.VARIABLE)
    if said is not None:
        monkeypatch.setenv(compilation.VARIABLE, said)
    expected = {"": None, "here": Path("here"), None: tmp_path / "toymodels" / "compiled"}
    assert compilation.default_folder() == expected[said]


TRITON = "xla_gpu_enable_triton_gemm"


@pytest.mark.parametrize(
    ("platform", "flags", "expected"),
    [
        ("gpu", None, {TRITON: False}),
        ("gpu", "--xla_gpu_deterministic_ops=true", {TRITON: False}),
        ("gpu", f"--{TRITON}=true", {}),
        ("gpu", f"--xla_gpu_autotune_level=0 --{TRITON}", {}),
        ("gpu", f"--{TRITON}_of_another_name=true", {TRITON: False}),
        ("cpu", None, {}),
        ("tpu", None, {}),
    ],
)
def test_products_of_triton_are_off_on_gpus_unless_the_user_says_otherwise(
    platform, flags, expected, monkeypatch
):
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    if flags is not None:
        monkeypatch.setenv("XLA_FLAGS", flags)
    assert settings.compiler_options(platform) == expected
    device = SimpleNamespace(platform=platform, device_kind="")
    assert ((TRITON, False) in settings.identity(device)) == bool(expected)
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    assert settings.provenance().get("compiler_options", {}) == expected


@pytest.mark.parametrize("folder", ["kept", "none"])
def test_the_flags_of_a_platform_reach_the_compiler(folder, tmp_path, monkeypatch):
    """As on a GPU; the flag changes nothing on a CPU."""
    plain, given = run(), []
    genuine = jax.stages.Lowered.compile

    def compiles(self, compiler_options=None):
        given.append(compiler_options)
        return genuine(self, compiler_options)

    monkeypatch.setattr(jax.stages.Lowered, "compile", compiles)
    monkeypatch.setattr(settings, "compiler_options", lambda platform: {TRITON: False})
    compiled = CompiledPrograms(tmp_path) if folder == "kept" else None
    xr.testing.assert_identical(run(compiled), plain)
    assert given == [{TRITON: False}] * 2


def test_wrong_options_are_refused():
    with pytest.raises(UserError, match="compiled must be CompiledPrograms, or None; got 'here'"):
        run("here")


@pytest.mark.slow
def test_a_command_keeps_its_programs_and_finds_them(tmp_path):
    def command(out, *options):
        tiny = "--dataset digits --seeds 2 --widths 8 --noise-images 64"
        epochs = "--teacher-epochs 1 --student-epochs 1"
        environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
        for name in (compilation.VARIABLE, "TF_CPP_MIN_LOG_LEVEL"):  # JAX has set the latter here
            environment.pop(name, None)
        done = subprocess.run(
            [
                *(sys.executable, "-m", "experiments.mnist_aux", *tiny.split(), *epochs.split()),
                *("--out", tmp_path / out, *options),
            ],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "cpu_aot_loader" not in done.stderr[:2000]
        found = [line for line in done.stdout.splitlines() if line.startswith("programs: ")]
        return found, json.loads((tmp_path / out / "summary.json").read_text())["metrics"]

    compiled = tmp_path / "cache" / "toymodels" / "compiled"
    without, expected = command("none", "--no-cache")
    assert (without, compiled.exists()) == ([], False)
    first, metrics = command("first")
    assert len(first) == 1
    assert metrics == expected
    (folder,) = compiled.iterdir()
    assert folder.name.startswith("jaxlib-")
    assert len(programs(compiled)) == 2  # two workers, or one, compile each of them once
    second, metrics = command("second")
    assert second == [f"programs: 0 compiled, 2 found in {compiled} (--no-cache: no folder)"]
    assert metrics == expected
