"""What all tests share."""

from pathlib import Path

import hypothesis
import jax
import pytest

jax.config.update("jax_platforms", "cpu")

# Compilation makes the first example slow: no deadline, or tests are flaky.
hypothesis.settings.register_profile("toymodels", deadline=None, derandomize=True)
hypothesis.settings.load_profile("toymodels")

MNIST = Path(__file__).parents[2] / "shared" / "mnist"


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
