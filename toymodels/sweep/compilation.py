"""Compiled programs kept on disk for the next process."""

import hashlib
from importlib import metadata
from pathlib import Path

import jax
import pooch

from toymodels.sweep import settings


def keep_compiled_programs() -> None:
    """Turn on JAX's compilation cache in a folder of this jaxlib and this processor alone.

    Programs compiled for another processor have crashed processes: never share the folder.
    """
    key = hashlib.sha256(settings.processor().encode()).hexdigest()[:8]
    folder = Path(
        pooch.os_cache("toymodels"), "compiled", f"jaxlib-{metadata.version('jaxlib')}-{key}"
    )
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
