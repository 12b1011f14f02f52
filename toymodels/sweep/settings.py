"""What decides the bits of a result beside the program: versions, processor, threads, settings.

Some settings are ours: `hold_settings` holds them for every program, whatever the user's environment says
(the random-number generator above all: another one draws other numbers under the same seed). All
others are left to the user, and stand in the name of every chunk (`identity`) and in the
provenance of every result (`provenance`).
"""

import contextlib
import functools
import hashlib
import os
import platform
import re
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

GENERATOR = "threefry2x32"
"""Our random-number generator. Its bits do not depend on the device, on vmap or on sharding."""

PACKAGES = ("toymodels", "jax", "jaxlib", "flax", "optax", "numpy", "scipy")
"""Packages whose code computes: jaxlib takes its LAPACK from scipy."""

ENVIRONMENT = re.compile(
    "XLA_FLAGS|LIBTPU_INIT_ARGS|NVIDIA_TF32_OVERRIDE|TF_CUDNN_.*|CUBLAS_.*"
    "|OPENBLAS_.*|OMP_NUM_THREADS|MKL_.*|NPROC|PJRT_NPROC"
)
"""Environment variables that can change the bits of a program."""

WITHOUT_INFLUENCE = re.compile(
    "jax_(.*cache.*|.*log.*|.*trace.*|.*transfer.*|.*distributed.*|.*visible_devices|check_.*|dump_.*"
    "|debug_.*|captured_.*|cross_host.*|export_.*|platform.*|xla_backend|pprint_.*|num_cpu_devices"
    "|default_device|default_matmul_precision|default_prng_impl|threefry_partitionable"
    "|numpy_.*_promotion)"
)
"""JAX settings that change no value, that `hold_settings` or the sweep sets, or that say which devices
there are (these stand in the name by themselves)."""

DEFAULTS: dict[str, Any] = {
    "jax_allow_f16_reductions": True,
    "jax_disable_jit": False,
    "jax_disable_most_optimizations": False,
    "jax_enable_x64": False,
    "jax_exec_time_optimization_effort": 0.0,
    "jax_high_dynamic_range_gumbel": False,
    "jax_memory_fitting_effort": 0.0,
    "jax_optimization_level": "UNKNOWN",
    "jax_random_seed_offset": 0,
    "jax_softmax_custom_jvp": False,
    "jax_threefry_gpu_kernel_lowering": False,
    "jax_use_direct_linearize": True,
    "jax_use_magma": "auto",
    "jax_use_simplified_jaxpr_constants": False,
}
"""Settings known to change values, and what JAX sets if it is told nothing."""


ON_GPU: dict[str, str | bool] = {"xla_gpu_enable_triton_gemm": False}
"""Flags of XLA that a sweep sets on a GPU. XLA tries many kernels of Triton for every product of matrices,
which takes minutes (130 s, else 28 s, for the main experiment on an H200); the run was as fast without
them."""


def compiler_options(platform: str) -> dict[str, str | bool]:
    """The flags of XLA that a sweep sets on a platform; what the user's XLA_FLAGS names is left to them.

    >>> compiler_options("cpu")
    {}
    """
    said = re.findall(r"--(\w+)", os.environ.get("XLA_FLAGS", ""))
    return {name: on for name, on in ON_GPU.items() if platform == "gpu" and name not in said}


@contextlib.contextmanager
def hold_settings() -> Iterator[None]:
    """Hold the settings that are ours.

    >>> with jax.default_prng_impl("rbg"), hold_settings():
    ...     print(jax.random.key_impl(jax.random.key(0)))
    threefry2x32
    """
    with (
        jax.default_prng_impl(GENERATOR),
        jax.threefry_partitionable(True),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow"),
    ):
        yield


def identity(device: jax.Device) -> list[Any]:
    """All that decides the bits of a program on a device, but the program and the devices' number.

    On a CPU the processor and the number of threads count: code is compiled for the former, and the
    latter decides in which order long sums are taken.
    """
    return [
        *(metadata.version(package) for package in PACKAGES),
        (device.platform, device.device_kind),
        (processor(), threads()) if device.platform == "cpu" else (),
        *sorted(compiler_options(device.platform).items()),
        GENERATOR,
        sorted(environment().items()),
        sorted(values().items()),
    ]


def provenance() -> dict[str, Any]:
    """What a result tells of its settings, as JSON.

    ``jax_settings`` are those that differ from JAX's defaults, ``compiler_options`` the flags of XLA that
    the sweep has set itself, on a GPU.
    """
    changed = {
        name: value
        for name, value in values().items()
        if value != str(DEFAULTS.get(name, value)) or name.upper() in os.environ
    }
    ours = compiler_options(jax.default_backend())
    return {
        **({"compiler_options": ours} if ours else {}),
        "random_numbers": GENERATOR,
        "processor": processor(),
        "threads": threads(),
        "jax_settings": changed,
        "environment": environment(),
    }


def values() -> dict[str, str]:
    """The JAX settings in force that can change a value.

    >>> with jax.enable_x64(True):
    ...     print(values()["jax_enable_x64"])
    True
    """
    return {
        name: str(v)
        for name, v in jax.config.values.items()
        if not WITHOUT_INFLUENCE.fullmatch(name)
    }


def environment() -> dict[str, str]:
    """The environment variables in force that can change a value."""
    return {name: v for name, v in os.environ.items() if ENVIRONMENT.fullmatch(name)}


@functools.cache
def processor() -> str:
    """Name of the processor, and a hash of what it can do (its instruction sets)."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return f"{platform.machine()} {platform.processor()}".strip()
    first = info.read_text().split("\n\n")[0]
    lines: dict[str, str] = dict(re.findall(r"^(.+?)\s*:\s*(.*)$", first, re.M))
    flags = lines.get("flags") or lines.get("Features", "")
    name = lines.get("model name", platform.machine())
    return f"{name} ({hashlib.sha256(flags.encode()).hexdigest()[:8]})"


def threads() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
