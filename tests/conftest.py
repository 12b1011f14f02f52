"""What all tests share."""

import os
from pathlib import Path

# Most of a small program's time is LLVM's, which compiles it once more quickly without optimising.
# XLA's own passes, and hence what is computed, stay. Before JAX is imported; children inherit it.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import hypothesis
import jax
import pytest

jax.config.update("jax_platforms", "cpu")

# Compilation makes the first example slow: no deadline, or tests are flaky.
hypothesis.settings.register_profile("toymodels", deadline=None, derandomize=True)
hypothesis.settings.load_profile("toymodels")

MNIST = Path(__file__).parents[2] / "shared" / "mnist"


def pytest_configure(config):
    """Points that fail or do not move are told in a warning, which is no fault of a test."""
    config.addinivalue_line("filterwarnings", r"ignore:\d+ of \d+ points:UserWarning")


@pytest.fixture(autouse=True, scope="module")
def _programs_of_one_file():
    """Forget a file's compiled programs after it: a thousand tests' take gigabytes."""
    yield
    jax.clear_caches()


@pytest.fixture
def mnist_dir() -> Path:
    """Folder with the real MNIST, where this checkout has one beside it."""
    if not MNIST.is_dir():
        pytest.skip("the real MNIST is not here")
    return MNIST


@pytest.fixture
def x64():
    """Float64 for the test."""
    with jax.enable_x64(True):
        yield
