"""The idx format, and published files of it that are known by their SHA-256."""

import gzip
import hashlib
import math
import struct
import zlib
from typing import BinaryIO, NamedTuple

import numpy as np


class File(NamedTuple):
    """A published idx file: its name, and the size and SHA-256 of its decompressed bytes."""

    name: str
    size: int
    sha256: str
    packed: bool = False
    """Whether the SHA-256 is that of the published gzip file instead, if no other is known."""

    @property
    def kept(self) -> str:
        """The name of what the SHA-256 is of."""
        return f"{self.name}.gz" if self.packed else self.name


def read_idx(data: bytes) -> np.ndarray:
    """Parse an idx file of unsigned bytes: a read-only uint8 array of 1 to 3 dimensions.

    Raises `ValueError` unless header and length agree exactly.

    >>> read_idx(bytes([0, 0, 8, 1, 0, 0, 0, 3, 7, 8, 9]))
    array([7, 8, 9], dtype=uint8)
    """
    rank = data[3] if data[:3] == b"\0\0\x08" and len(data) > 3 else 0
    start = 4 + 4 * rank
    if not 1 <= rank <= 3 or len(data) < start:
        raise ValueError("has no idx header for unsigned bytes in 1 to 3 dimensions")
    shape = struct.unpack(f">{rank}I", data[4:start])
    if math.prod(shape) != len(data) - start:
        raise ValueError(f"has {len(data) - start} bytes of data for the idx shape {shape}")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def read_verified(stream: BinaryIO, file: File) -> bytes:
    """The decompressed bytes of a stream, gzip or not; `ValueError` if they are not the file's."""
    stream.seek(0)
    is_gzip = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    if file.packed and not is_gzip:
        raise ValueError("is no gzip file, and a checksum is published of the gzip file only")
    try:  # one byte too many is enough to know: a gzip file may grow without end
        data = (gzip.GzipFile(fileobj=stream) if is_gzip else stream).read(file.size + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError("is a truncated or corrupt gzip file") from error
    if len(data) != file.size:
        size = f"{len(data):,}" if len(data) < file.size else "more"
        raise ValueError(f"has the wrong size: {size} bytes instead of {file.size:,}")
    stream.seek(0)
    known = stream.read(file.size + 2**16) if file.packed else data  # no file is longer when packed
    if hashlib.sha256(known).hexdigest() != file.sha256:
        raise ValueError("has the wrong checksum (SHA-256)")
    return data
