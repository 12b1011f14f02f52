"""Sums on all cores are right, and versions of jaxlib where they are not are refused."""

import os
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from toymodels import sweep
from toymodels.errors import UserError
from toymodels.sweep import soundness

HERE = Path(__file__).parents[1]
PROJECT = tomllib.loads((HERE / "pyproject.toml").read_text())["project"]
LISTS = sorted(HERE.glob("constraints*.txt"))
AFFECTED = ["0.10.2", "0.11.0", "0.11.1", "0.11.2"]
SOUND = ["0.9.2", "0.10.0", "0.10.1", "0.12.0", "0.12.0.1", "0.13.0", "1.0.0"]


def test_a_sum_over_a_broadcast_array_is_exact_every_time():
    total = jax.jit(lambda column: jnp.broadcast_to(column, (2, 1024, 1024)).sum())
    column = jnp.ones((1024, 1))
    assert {float(total(column)) for _ in range(500)} == {2.0 * 1024 * 1024}


def test_sums_of_squares_of_small_products_are_right_every_time():
    # Small integers: every product and sum is exact in float32, in any order.
    rng = np.random.default_rng(0)
    w, x = rng.integers(-9, 10, (3, 3)), rng.integers(-9, 10, (40_000, 3))
    exact = np.square(x @ w).sum(1)
    weights = jnp.asarray(w, jnp.float32)
    squares = jax.jit(jax.vmap(lambda row: jnp.sum((weights.T @ row) ** 2)))
    rows = jnp.asarray(x, jnp.float32)
    for _ in range(300):
        np.testing.assert_array_equal(squares(rows), exact)


def swept():
    """The y of a sweep of one point."""
    double = sweep.Program(lambda data, seed: (seed, {}), lambda data, seed, x: {"y": seed * x})
    axes = {"shared": {"seed": [1]}, "points": {"x": [2.0]}}
    return sweep.grid(lambda: double, **axes, variables={"y": ((), "1", "twice")})[0].y.item()


@pytest.mark.parametrize("version", AFFECTED)
def test_an_affected_version_is_refused_by_name_and_told_what_to_do(monkeypatch, version):
    monkeypatch.setattr(soundness.metadata, "version", lambda package: version)
    monkeypatch.setattr(soundness, "is_protected", lambda: False)
    with pytest.raises(UserError) as refused:
        swept()
    sentence = str(refused.value)
    assert sentence.startswith(f"jaxlib {version} computes wrong sums on CPUs")
    assert f"XLA_FLAGS={soundness.PROTECTION}" in sentence
    assert "\n" not in sentence
    soundness.refuse_wrong_sums("gpu")


@pytest.mark.parametrize("version", AFFECTED)
def test_an_affected_version_computes_under_protection(monkeypatch, version):
    monkeypatch.setattr(soundness.metadata, "version", lambda package: version)
    monkeypatch.setattr(soundness, "is_protected", lambda: True)
    assert swept() == 2.0


@pytest.mark.parametrize("version", SOUND)
def test_a_sound_version_computes_without_protection(monkeypatch, version):
    monkeypatch.setattr(soundness.metadata, "version", lambda package: version)
    monkeypatch.setattr(soundness, "is_protected", lambda: False)
    assert swept() == 2.0


@pytest.mark.parametrize("flags", ["", soundness.PROTECTION])
def test_protection_is_read_off_the_compiled_program(flags):
    program = "from toymodels.sweep.soundness import is_protected; print(is_protected())"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    run = [sys.executable, "-c", program]
    told = subprocess.run(run, env=environment, cwd=HERE, capture_output=True, text=True)
    # Versions before 0.10.2 never hand such a sum on.
    older = tuple(map(int, metadata.version("jaxlib").split(".")[:3])) < (0, 10, 2)
    assert told.stdout.strip() == str(older or bool(flags)), told.stderr


def requirements(lines):
    """What lines require, by name: {name: [requirement, ...]}."""
    found = {}
    for line in lines:
        needed = Requirement(line)
        found.setdefault(canonicalize_name(needed.name), []).append(needed)
    return found


def list_names(path):
    """The pins of a list of constraints, by name."""
    lines = path.read_text().splitlines()
    return requirements(line for line in lines if not line.startswith("#"))


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.name)
def test_no_list_of_versions_names_an_affected_one(path):
    versions = [
        [str(pin.specifier).removeprefix("==") for pin in list_names(path)[name]]
        for name in ("jax", "jaxlib")
    ]
    assert versions[0] == versions[1]
    assert not any(soundness.is_affected(version) for version in versions[1])


@pytest.mark.parametrize("name", ["jax", "jaxlib"])
def test_an_affected_version_may_not_be_installed(name):
    (needed,) = requirements(PROJECT["dependencies"])[name]
    assert not any(needed.specifier.contains(version) for version in AFFECTED)
    assert all(needed.specifier.contains(version) for version in SOUND[1:])


def test_the_lowest_versions_are_the_bounds_themselves():
    lowest = list_names(HERE / "constraints-lowest.txt")
    extras = PROJECT["optional-dependencies"]
    bounds = requirements(PROJECT["dependencies"] + extras["dev"] + extras["explore"])
    del bounds["toymodels"]  # the extra explore, whose bounds are among these
    for name, (needed,) in bounds.items():
        (bound,) = (part.version for part in needed.specifier if part.operator == ">=")
        (pin,) = (part.version for part in lowest[name][0].specifier)
        assert Version(pin) == Version(bound), name
