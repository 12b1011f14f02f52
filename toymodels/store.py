"""Finished chunks of a sweep on disk: what was computed once is never computed again.

A chunk's name is the SHA-256 of everything that decides its values (`toymodels.sweep` says what),
so that a changed config never meets an old chunk and two sweeps can share one folder. A chunk is
written under a temporary name and renamed: whole, or not there. Its content begins with its own
SHA-256: a damaged file is noticed, and its chunk computed again.
"""

import contextlib
import hashlib
import io
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from toymodels import processes
from toymodels.results import cannot_write_to, write_files

Arrays = Mapping[str, np.ndarray]

DIGEST = hashlib.sha256().digest_size


class Store(NamedTuple):
    """A folder of chunks; it may be deleted at any time at the price of computing them again."""

    folder: Path
    forget: bool = False
    """Find nothing, so that everything is computed again and replaced."""

    def load(self, key: str) -> Arrays | None:
        """The arrays of a chunk; None if it isn't here or is damaged."""
        if self.forget:
            return None
        content = None
        with contextlib.suppress(OSError):
            content = self.path(key).read_bytes()
        content = processes.agreed_bytes(content)
        if content is None:
            return None
        digest, body = content[:DIGEST], content[DIGEST:]
        if hashlib.sha256(body).digest() != digest:
            return None
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            return dict(arrays)

    def save(self, key: str, arrays: Arrays) -> None:
        """Keep a chunk.

        Raises:
            UserError: the folder can't be written; what was there before stays as it was.

        """
        if not processes.first():
            return
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        body = buffer.getvalue()
        content = hashlib.sha256(body).digest() + body
        with cannot_write_to(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        write_files(self.folder, {self.path(key).name: content})

    def path(self, key: str) -> Path:
        """Where a chunk lies."""
        return self.folder / f"{key}.chunk"
