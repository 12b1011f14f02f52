"""Compiled programs kept on disk for the next process."""

import hashlib
import platform
from importlib import metadata
from pathlib import Path

import jax
import pooch


def keep_compiled_programs() -> None:
    """Turn on JAX's compilation cache in a folder of this jaxlib and this processor alone.

    Programs compiled for another processor have crashed processes: never share the folder.
    """
    info = Path("/proc/cpuinfo")
    cpu = info.read_text().split("\n\n")[0] if info.exists() else platform.processor()
    stable = [line for line in cpu.splitlines() if line.startswith(("model name", "flags"))]
    key = hashlib.sha256("\n".join(stable or [cpu]).encode()).hexdigest()[:8]
    folder = Path(
        pooch.os_cache("toymodels"), "compiled", f"jaxlib-{metadata.version('jaxlib')}-{key}"
    )
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
