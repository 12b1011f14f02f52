"""Files that appear whole or not at all, folders that hold one result, and files read with care.

The files of a result are several, and no file system replaces several at once. So they are written
into a folder of their own beside their places (`PARTIAL`), that folder is renamed (`COMPLETE`: this
one step decides), and then each file is moved to its place. A process killed before the step has
changed nothing. After it `recover`, which every reader and writer calls first, moves the rest: all
files are the old ones, or all are the new ones.

Whoever writes into a folder holds a lock on it. What lies under a name of `PARTIAL` while nobody
holds the lock is therefore a dead process's, and can be deleted. The operating system frees a lock
whose process has ended in any way. Where there are no such locks (Windows, some network file
systems), writing goes on without them, and nothing is deleted.
"""

import contextlib
import os
import shutil
import stat
import tempfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from toymodels.errors import UserError

fcntl: Any
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

PARTIAL = ".partial-"
"""How the name of a folder of files begins that are still being written."""
COMPLETE = ".complete"
"""Name of a folder of files that are all written, and wait to be moved to their places."""
REMOVE = ".remove"
"""Name of a file in `COMPLETE` with the names of the files to delete, a line each."""
RUNNING = ".running-"
"""How the name of a file begins that a run holds in the folder of its results."""


@contextlib.contextmanager
def cannot_write_to(path: Path) -> Iterator[None]:
    """Turn an operating system's error into a sentence for the user."""
    try:
        yield
    except OSError as error:
        raise UserError(f"out: cannot write to {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def output_folder(path: Path) -> Iterator[Path]:
    """A folder that can be written, known before the expensive part begins.

    Folders made for it are taken away again if nothing was put into them.

    Raises:
        UserError: the folder can't be made or written.

    """
    with cannot_write_to(path):
        made = [p for p in (path, *path.parents) if not p.exists()]
    try:
        with cannot_write_to(path):
            path.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=path):
                pass
        yield path
    finally:
        with contextlib.suppress(OSError):  # not empty, or never made: stays as it is
            for folder in made:
                folder.rmdir()


def lock(descriptor: int, exclusive: bool = True, wait: bool = True) -> bool | None:
    """Lock an open file or folder until it is closed; None where there are no locks.

    False: another process holds it, and ``wait`` is False.
    """
    if fcntl is None:
        return None
    kind = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    try:
        fcntl.flock(descriptor, kind | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError:  # this file system has none
        return None
    return True


@contextlib.contextmanager
def is_locked(folder: Path) -> Iterator[bool]:
    """Be the only process that writes into a folder; False where there are no locks."""
    if fcntl is None:
        yield False
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        yield bool(lock(descriptor))
    finally:
        os.close(descriptor)


def write_files(folder: Path, files: Mapping[str, bytes], remove: Collection[str] = ()) -> None:
    """Put files into a folder, and delete those named in ``remove``: all of it, or nothing.

    Raises:
        UserError: the disk is full or the folder not writable; nothing is left behind.

    """
    with cannot_write_to(folder), is_locked(folder):
        move_complete(folder)
        partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=folder))
        try:
            for name, content in files.items():
                write_through(partial / name, content)
            if remove:
                write_through(partial / REMOVE, "\n".join(remove).encode())
            if len(files) == 1 and not remove:  # a single file needs no folder to be replaced
                (name,) = files
                (partial / name).replace(folder / name)
            else:
                partial.replace(folder / COMPLETE)
                move_complete(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)


def write_through(path: Path, content: bytes) -> None:
    """Write a file, and wait until the disk has it."""
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def move_complete(folder: Path) -> None:
    """Finish what a process has begun, maybe another one, whose files were all written."""
    complete = folder / COMPLETE
    if not complete.is_dir() or complete.is_symlink():
        return
    with contextlib.suppress(FileNotFoundError):
        for name in (complete / REMOVE).read_text().splitlines():
            (folder / Path(name).name).unlink(missing_ok=True)
        (complete / REMOVE).unlink()
    for path in sorted(complete.iterdir()):
        path.replace(folder / path.name)
    complete.rmdir()


def recover(folder: Path) -> None:
    """Finish what a killed process had begun to put into a folder.

    Raises:
        UserError: the folder isn't writable.

    """
    if (folder / COMPLETE).is_dir():
        with cannot_write_to(folder), is_locked(folder):
            move_complete(folder)


def clean(*folders: Path) -> None:
    """Finish or delete what killed processes have left in folders, those of them that exist."""
    for folder in folders:
        if not folder.is_dir():
            continue
        with cannot_write_to(folder), is_locked(folder) as alone:
            move_complete(folder)
            for path in folder.glob(f"{PARTIAL}*") if alone else ():
                shutil.rmtree(path, ignore_errors=True)


@contextlib.contextmanager
def claim_folder(folder: Path, name: str, about: str) -> Iterator[None]:
    """Keep runs with another ``name`` out of a folder; those with the same share it.

    Args:
        folder: the folder of a run's results.
        name: what tells a run from others, such as the hash of its config.
        about: what another run's user is told about this one.

    Raises:
        UserError: a run with another name is at work in the folder.

    """
    if fcntl is None:
        yield
        return
    own = folder / f"{RUNNING}{name}"
    with cannot_write_to(folder), is_locked(folder):
        for path in folder.glob(f"{RUNNING}*"):
            if path != own and not is_abandoned(path):
                raise UserError(
                    f"out: {folder} is another run's, which is still at work "
                    f"({path.read_text()}); name another folder, or wait for it"
                )
        descriptor = os.open(own, os.O_RDWR | os.O_CREAT, 0o666)
        if lock(descriptor, wait=False):  # the first of those that share it
            os.truncate(descriptor, 0)
            os.write(descriptor, about.encode())
        held = lock(descriptor, exclusive=False)
    try:
        yield
    finally:
        with contextlib.suppress(OSError), is_locked(folder):
            if not held or lock(descriptor, wait=False):  # the last of those that share it
                own.unlink()
        os.close(descriptor)


def is_abandoned(path: Path) -> bool:
    """Whether no run holds a file any more; then it is deleted."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        free = lock(descriptor, wait=False) is not False
        if free:
            path.unlink()
        return free
    finally:
        os.close(descriptor)


def read_regular(path: Path, most: int) -> bytes:
    """The content of a file of at most so many bytes.

    Raises:
        FileNotFoundError: it isn't there.
        UserError: it is no ordinary file (a pipe or a device may never end), too large, or can't
            be read.

    """
    try:
        # A pipe without a writer would be waited for; a link to one is followed first.
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | NONBLOCK)) as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode):
                raise UserError(f"{path} is not an ordinary file")
            if about.st_size > most:
                gigabytes = f"{about.st_size / 1e9:.2f} GB, of {most / 1e9:.2f} GB allowed"
                raise UserError(f"{path} is too large to be read: {gigabytes}")
            return file.read(most)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or error}") from error


NONBLOCK = getattr(os, "O_NONBLOCK", 0)
"""The flag with which opening a pipe does not wait; 0 where there is none."""


def in_use(path: Path) -> bool:
    """Whether another process has a file open to write to it, and a lock on it, as HDF5 has."""
    descriptor = os.open(path, os.O_RDONLY | NONBLOCK)
    try:
        return lock(descriptor, exclusive=False, wait=False) is False
    finally:
        os.close(descriptor)
