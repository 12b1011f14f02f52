"""Finished points of a sweep on disk: what was computed once is never computed again.

A folder for every program, named by the SHA-256 of everything that decides its values
(`toymodels.sweep.programs` says what), holds chunks: files with the records of some points, and the name
of each point. A changed config never meets an old chunk, two sweeps can share one store, and a
sweep finds its points in whatever chunks an earlier one of another length or order left them.

A chunk is written under a temporary name and renamed: whole, or not there. It begins with a SHA-256
of its own place and content: a chunk that is damaged, or that was copied to another place, is not
believed, and its points are computed again.
"""

import contextlib
import hashlib
import io
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from toymodels.errors import UserError
from toymodels.files import cannot_write_to, read_regular, write_files
from toymodels.sweep import processes

Arrays = Mapping[str, np.ndarray]

DIGEST = hashlib.sha256().digest_size

NAME = re.compile(r"[\w.-]+", re.ASCII)
"""What a chunk is called; other files are not chunks."""


class Store(NamedTuple):
    """A folder of chunks; it may be deleted at any time at the price of computing them again."""

    folder: Path
    since: int = 0
    """Find nothing that was written earlier (in nanoseconds since 1970), so that it is computed again
    and replaced."""

    def names(self, key: str) -> list[str]:
        """The chunks of a program."""
        found: list[str] = []
        with contextlib.suppress(OSError):
            paths = (self.folder / key).glob("*.chunk")
            found = sorted(path.stem for path in paths if self.finds(path))
        found = [name for name in found if NAME.fullmatch(name)]
        content = processes.agree_bytes("\n".join(found).encode() or None)
        return content.decode().split("\n") if content else []

    def stamp(self, key: str) -> int:
        """A number that changes when a chunk of a program appears."""
        found = 0
        with contextlib.suppress(OSError):
            found = (self.folder / key).stat().st_mtime_ns
        return processes.agree(found)

    def load(self, key: str, name: str, most: int = 2**31) -> Arrays | None:
        """The arrays of a chunk; None if it isn't there, is damaged, or has over ``most`` bytes.

        Neither the file may have more, nor the arrays unpacked.
        """
        content, path = None, self.path(key, name)
        with contextlib.suppress(FileNotFoundError, UserError):  # nothing there, or no file
            content = read_regular(path, most) if self.finds(path) else None
        content = processes.agree_bytes(content)
        if content is None:
            return None
        if content[:DIGEST] != signature(key, name, content[DIGEST:]):
            return None
        try:
            with np.load(io.BytesIO(content[DIGEST:]), allow_pickle=False) as arrays:
                if sum(member.file_size for member in arrays.zip.infolist()) > most:
                    return None  # packed: a few megabytes may become any size
                found = {field: arrays[field] for field in arrays.files}
                return found if all(isinstance(a, np.ndarray) for a in found.values()) else None
        except Exception:  # whatever a body that somebody else wrote makes NumPy raise
            return None

    def check(self, key: str) -> None:
        """Refuse a store in which the chunks of a program could not be written.

        Raises:
            UserError: a file lies in the place of their folder, or a folder in the place of one.

        """
        folder = self.folder / key
        if folder.is_symlink() or folder.exists():
            with cannot_write_to(folder):
                for path in folder.iterdir():
                    if path.suffix == ".chunk" and path.is_dir() and not path.is_symlink():
                        raise UserError(f"out: cannot write to {path}: it is a folder")

    def save(self, key: str, name: str, arrays: Arrays) -> None:
        """Keep a chunk.

        Raises:
            UserError: the folder can't be written; what was there before stays as it was.

        """
        if not processes.first():
            return
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)  # type: ignore[arg-type]
        body = buffer.getvalue()
        path = self.path(key, name)
        with cannot_write_to(path.parent):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_files(path.parent, {path.name: signature(key, name, body) + body})

    def finds(self, path: Path) -> bool:
        """Whether a chunk's file is not too old."""
        return not self.since or path.lstat().st_mtime_ns >= self.since

    def path(self, key: str, name: str) -> Path:
        """Where a chunk lies."""
        return self.folder / key / f"{name}.chunk"


class Reader:
    """Reads the chunks of a program, each of them once, as they appear."""

    def __init__(self, store: Store, key: str, most: int) -> None:
        """Read nothing yet. A chunk of more than ``most`` bytes is passed over."""
        self.store, self.key, self.most = store, key, most
        self.known: set[str] = set()
        self.stamp = -1

    def save(self, name: str, arrays: Arrays) -> None:
        """Keep a chunk, which need not be read again."""
        unchanged = self.store.stamp(self.key) == self.stamp
        self.store.save(self.key, name, arrays)
        self.known.add(name)
        if unchanged:  # or else there are chunks of other workers, which `new` has to read
            self.stamp = self.store.stamp(self.key)

    def new(self) -> Iterator[Arrays]:
        """The chunks that have appeared since the last call.

        Where nothing has, the folder is not even listed: there may be thousands of chunks. What
        another worker writes in the very moment of `save` is seen when its next chunk appears.
        """
        if (stamp := self.store.stamp(self.key)) == self.stamp:
            return
        self.stamp = stamp
        for name in self.store.names(self.key):
            if name not in self.known:
                self.known.add(name)
                arrays = self.store.load(self.key, name, self.most)
                if arrays is not None:
                    yield arrays


def signature(key: str, name: str, body: bytes) -> bytes:
    """Hash of a chunk's place and content."""
    return hashlib.sha256(f"{key}/{name}\n".encode() + body).digest()
