"""Compiled programs kept on disk: for the next run, and for the other workers of this one.

A folder for every identity of jaxlib, processor, number of threads, flags and settings
(`toymodels.sweep.settings.identity`) holds a file for every program, named by the hash of its text
and devices. What another processor or version has compiled is therefore never even opened.
Such code has crashed processes.

A file is written whole or not at all and begins with a SHA-256 of its own place and content: a file
that is damaged, or lies in another's place, is not believed, and its program is compiled again.
The machine code is the same whether it comes from the disk or from the compiler, and so are the bits.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax
import pooch
from jax.experimental import serialize_executable

from toymodels import files
from toymodels.sweep import processes, settings
from toymodels.sweep.programs import Compile, Traced, digest
from toymodels.sweep.store import DIGEST, signature

VARIABLE = "TOYMODELS_COMPILED"
"""Environment variable: the folder of compiled programs; none are kept if it is empty."""

LARGEST = 10**9
"""Bytes that all compiled programs may take together; those not used for longest are deleted."""

PATIENCE_S = 120.0
"""Seconds to wait for a program that another process compiles, before compiling it here, too."""

PAUSE_S = 0.05
"""Seconds between two looks for it."""


class CompiledPrograms:
    """A folder of compiled programs; it may be deleted at any time."""

    def __init__(self, folder: Path) -> None:
        """Have found and compiled nothing yet."""
        self.folder = folder
        self.found = self.compiled = 0

    def describe(self) -> str | None:
        """One line on what was compiled and found since the last call; None if nothing was."""
        compiled, found = self.compiled, self.found
        self.compiled = self.found = 0
        if not compiled + found:
            return None
        return (
            f"programs: {compiled} compiled, {found} found in {self.folder} (--no-cache: no folder)"
        )

    def compile(
        self, programs: Sequence[tuple[jax.stages.Lowered, str]], devices: Sequence[Any], first: int
    ) -> list[Any]:
        """The programs, ready to run: found here, or compiled and kept.

        Where several processes need the same programs, each program is compiled by one of them.

        Args:
            programs: traced programs, each with the hash of all that decides what it computes.
            devices: the devices that they run on.
            first: the program to begin with; other workers begin with others.

        """
        folder = self.folder / identity(devices[0])
        usable = prepare_folder(folder)
        order = [(first + i) % len(programs) for i in range(len(programs))]
        ready: dict[int, Any] = {}
        until = time.monotonic() + PATIENCE_S
        while len(ready) < len(programs):
            before = len(ready)
            for i in order:
                if i in ready:
                    continue
                lowered, name = programs[i]
                path = folder / f"{name}.program"
                loaded = load(path, lowered, devices) if usable else None
                if loaded is None:
                    with claim(path, usable) as free:
                        if not free and time.monotonic() < until:
                            continue  # another process compiles it
                        loaded = load(path, lowered, devices) if usable else None
                        if loaded is None:
                            ready[i] = compile_alone(lowered, devices[0].platform)
                            self.compiled += 1
                            if usable:
                                save(path, ready[i])
                                self.evict(path)
                            continue
                ready[i] = loaded
                self.found += 1
            if len(ready) == before:
                time.sleep(PAUSE_S)
        return [ready[i] for i in range(len(programs))]

    def evict(self, latest: Path) -> None:
        """Delete programs, those not used for longest first, until all take `LARGEST` bytes at most.

        The ``latest`` stays.
        """
        with contextlib.suppress(OSError):  # another process may delete them, too
            about = {path: path.stat() for path in self.folder.glob("*/*.program")}
            size = sum(stat.st_size for stat in about.values())
            others = sorted(about.keys() - {latest}, key=lambda path: about[path].st_mtime_ns)
            for path in others:
                if size <= LARGEST:
                    break
                path.unlink(missing_ok=True)
                size -= about[path].st_size


def compiler(kept: CompiledPrograms | None, devices: Sequence[Any], worker: int) -> Compile:
    """A function that makes the programs of a shape ready to run.

    Args:
        kept: compiled programs on disk (None: compile all).
        devices: the devices that they run on.
        worker: the number of this worker, the first is 1; each begins at another program.

    """

    def compile_or_find(traced: Traced) -> tuple[Any, Any]:
        if kept is None or traced.names is None or processes.several():
            return compile_both(traced, devices[0].platform)
        named = list(zip((traced.prepare, traced.point), traced.names, strict=True))
        prepare, point = kept.compile(named, devices, worker - 1)
        return prepare, point

    return compile_or_find


def compile_both(traced: Traced, platform: str) -> tuple[Any, Any]:
    """Compile both functions for a platform ("cpu", "gpu", "tpu")."""
    return compile_alone(traced.prepare, platform), compile_alone(traced.point, platform)


def compile_alone(lowered: jax.stages.Lowered, platform: str) -> Any:
    """Compile a program with our flags for a platform."""
    return lowered.compile(compiler_options=settings.compiler_options(platform) or None)


def default_folder() -> Path | None:
    """Where compiled programs are kept: as `VARIABLE` says, else in the user's cache; None: nowhere."""
    said = os.environ.get(VARIABLE)
    if said is None:
        return Path(pooch.os_cache("toymodels"), "compiled")
    return Path(said) if said else None


def identity(device: jax.Device) -> str:
    """Name of the folder for all that decides machine code beside the program."""
    return f"jaxlib-{metadata.version('jaxlib')}-{digest(repr(settings.identity(device)))[:16]}"


def prepare_folder(folder: Path) -> bool:
    """Make a folder that only its owner can write; False where that cannot be had.

    What lies in it is executed: a folder that others can write is not used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
    except OSError:
        return False
    own = not hasattr(os, "getuid") or about.st_uid == os.getuid()
    return own and not about.st_mode & 0o022 and os.access(folder, os.W_OK)


def save(path: Path, compiled: Any) -> None:
    """Keep a program; a backend that cannot serialise it, or a full disk, is no fault of the run."""
    try:
        body, *_ = serialize_executable.serialize(compiled)
        sealed = signature(path.parent.name, path.name, body) + body
        files.write_files(path.parent, {path.name: sealed})
    except Exception:
        return


def load(path: Path, lowered: jax.stages.Lowered, devices: Sequence[Any]) -> Any:
    """A kept program; None if it is not there or is damaged."""
    try:
        content = files.read_regular(path, LARGEST)
        body = content[DIGEST:]
        if content[:DIGEST] != signature(path.parent.name, path.name, body):
            return None
        loaded = serialize_executable.deserialize_and_load(
            body,
            jax.tree.structure(lowered.args_info),
            lowered.out_tree,
            devices[0].client,
            list(devices),
        )
    except Exception:  # not there, no file, or whatever JAX raises on what it has written itself
        return None
    with contextlib.suppress(OSError):  # now it is used: see `CompiledPrograms.evict`
        os.utime(path)
    return loaded


@contextlib.contextmanager
def claim(path: Path, usable: bool) -> Iterator[bool]:
    """Be the process that compiles a program; False while another one is.

    The operating system ends the claim of a process that has ended in any way.
    """
    if not usable:
        yield True
        return
    place = path.with_suffix(".lock")
    try:
        descriptor = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError:
        yield True
        return
    try:
        free = files.lock(descriptor, wait=False) is not False
        yield free
        if free:
            place.unlink(missing_ok=True)
    finally:
        os.close(descriptor)
