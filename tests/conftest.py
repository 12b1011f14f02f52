"""What all tests share."""

import os
from pathlib import Path

# Most of a small program's time is LLVM's, which compiles it once more quickly without optimising.
# XLA's own passes, and hence what is computed, stay. Before JAX is imported; children inherit it.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# Compiled programs of tests do not belong into the user's cache.
os.environ["TOYMODELS_COMPILED"] = ""

import hypothesis
import jax
import pytest

jax.config.update("jax_platforms", "cpu")

# Compilation makes the first example slow: no deadline, or tests are flaky.
hypothesis.settings.register_profile("toymodels", deadline=None, derandomize=True)
hypothesis.settings.load_profile("toymodels")

MNIST = Path(__file__).parents[2] / "shared" / "mnist"


FIRST = {
    *("test_mnist_aux", "test_init_overlap", "test_owl_numbers", "test_theory_linear"),
    *("test_one_step", "test_linear_network", "test_laws", "test_kernels", "test_scaling"),
    "test_teacher_student",
}
"""Files below tests/experiments, tests/theory and tests/fuzz that the first command runs."""

LATER = {
    *("test_cli", "test_notebooks", "test_overlap", "test_language", "test_verbs"),
    *("test_processes", "test_faults", "test_study_train", "test_distributions", "test_audit"),
    *("test_netcdf", "test_mechanism", "test_datasets", "test_transformer", "test_attention"),
    *("test_distillation", "test_losses", "test_traits", "test_approximations"),
    *("test_rounding", "test_moments", "test_attacks", "test_initialisers", "test_queries"),
    *("test_calibration", "test_passing", "test_pretraining"),
}
"""Files in tests/ that the second command runs: what they guard breaks seldom, or takes minutes."""


def pytest_collection_modifyitems(items):
    """Mark what the second command runs, so that the first one takes minutes on two cores."""
    tests = Path(__file__).parent
    for item in items:
        path = item.path
        if tests in path.parents:
            later = path.stem in LATER if path.parent == tests else path.stem not in FIRST
            if later:
                item.add_marker(pytest.mark.thorough)


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
