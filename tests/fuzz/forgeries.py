"""Files of other formats, and archives that look like a chunk."""

import functools
import io
import pickle
import tempfile
import zipfile
from pathlib import Path

import numpy as np

EXECUTED = Path(tempfile.gettempdir(), "toymodels-fuzz-executed")
"""A file that appears if anybody unpickles what lies in a forged archive."""


class Trap:
    """An object whose unpickling leaves a trace."""

    def __reduce__(self):
        return Path.touch, (EXECUTED,)


def foreign(case) -> bytes:
    """The content of a file of another kind."""
    arrays = io.BytesIO()
    np.savez(arrays, scale=np.ones(2, np.float32))
    return case.draw(
        (
            arrays.getvalue(),
            pickle.dumps(Trap()),
            b"\x89HDF\r\n\x1a\n" + bytes(200),
            b"CDF\x01" + bytes(200),
            b"\x89PNG\r\n\x1a\n" + bytes(50),
            b"PK\x03\x04" + bytes(100),
            b"<!DOCTYPE html><html>404</html>",
            b'{"a": 1}\n',
            b"\x1b[31mred\x1b[0m\n",
            b"version https://git-lfs.github.com/spec/v1\n",
            b"\x93NUMPY\x01\x00\x76\x00" + bytes(118),
            bytes(100_000),
        )
    )


def header(shape, dtype="<f4") -> bytes:
    """An array of NumPy's format that ends behind its header."""
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        buffer, {"descr": dtype, "fortran_order": False, "shape": shape}
    )
    return buffer.getvalue()


def archive(members: dict[str, bytes], compression=zipfile.ZIP_STORED) -> bytes:
    """A zip archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as file:
        for name, content in members.items():
            file.writestr(name, content)
    return buffer.getvalue()


def body(case, arrays) -> bytes:
    """An archive that is not a chunk's, made of the arrays of one: no points, or none that fit."""
    name = case.draw(sorted(arrays))
    array = arrays[name]
    kind = case.draw(
        (
            "no archive",
            "no member",
            "missing",
            "more",
            "longer",
            "flat",
            "scalar",
            "deep",
            "type",
            "order of bytes",
            "objects",
            "records",
            "huge",
            "bomb",
            "nonsense",
            "twice",
        )
    )
    if kind == "no archive":
        return foreign(case)
    if kind == "no member":
        return archive({})
    if kind == "huge":
        shape = case.draw(((2**40,), (2**62, 2**62), (10**9, 3), (2**31, 2)))
        return archive({f"{name}.npy": header(shape)})
    if kind == "bomb":
        return bomb(name)
    if kind == "nonsense":
        return archive({f"{name}.npy": case.random.randbytes(200), "../x": b"", name: b""})
    if kind == "twice":
        file = io.BytesIO()
        np.savez(file, **{name: array[:0]})
        return file.getvalue() + file.getvalue()
    changed = dict(arrays)
    if kind == "missing":
        del changed[name]
    elif kind == "more":
        changed["value more"] = array
    elif kind == "longer":
        changed[name] = np.concatenate([array, array])
    elif kind == "flat":
        changed[name] = array.reshape(-1, 1, 1)
    elif kind == "scalar":
        changed[name] = array.ravel()[0]
    elif kind == "deep":
        changed[name] = array[None]
    elif kind == "type":
        kinds = (np.int64, bool, np.complex64, "S3", "U3", "M8[s]")
        changed[name] = np.zeros(array.shape, case.draw(kinds))
    elif kind == "order of bytes":
        changed = {key: value.astype(value.dtype.newbyteorder()) for key, value in arrays.items()}
    elif kind == "objects":
        changed[name] = np.array([Trap()] * len(array), object)
    else:
        changed[name] = np.zeros(array.shape, [("a", "<f4"), ("b", "<i8")])
    file = io.BytesIO()
    np.savez(file, **changed)
    return file.getvalue()


@functools.cache
def bomb(name: str) -> bytes:
    """A small archive with an array of a gigabyte, all of it zero."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open(f"{name}.npy", "w") as member,
    ):
        member.write(header((2**28,)))
        for _ in range(64):
            member.write(bytes(2**24))
    return buffer.getvalue()
