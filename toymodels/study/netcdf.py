"""NetCDF files from anywhere: read as data alone, within bounds, or refused in one sentence.

HDF5, in which they are written, can do more than hold arrays: a link to another file, an array that
lies in one, or terabytes of which not one byte is stored. None of these is in a result.
"""

import io
from pathlib import Path
from typing import Any

import xarray as xr

from toymodels.errors import UserError
from toymodels.files import in_use, read_regular

LARGEST = 2**31
"""Bytes of a file, and of the arrays in it, that are read."""


def read_netcdf(path: Path) -> xr.Dataset:
    """The dataset in a file, which is read once and closed.

    Raises:
        FileNotFoundError: it isn't there.
        UserError: it is damaged, too large, no ordinary file, or not of arrays alone.

    """
    content = read_regular(path, LARGEST)
    try:
        if reason := unfit(content):
            raise UserError(f"{path} {reason}")
        return xr.load_dataset(io.BytesIO(content), engine="h5netcdf")
    except UserError:
        raise
    except Exception as error:  # there is hardly one that h5py does not raise at damaged files
        if in_use(path):
            raise UserError(
                f"{path} is open in another process, which writes to it; close it there first"
            ) from error
        raise UserError(f"{path} is damaged, or not a result of toymodels") from error


def unfit(content: bytes) -> str:
    """What a file holds beside arrays of a moderate size; nothing, if it is fit to be read."""
    import h5py  # type: ignore[import-untyped]

    total = 0
    with h5py.File(io.BytesIO(content), "r") as file:
        for name in file:
            found: Any = file.get(name, getlink=True)
            if not isinstance(found, h5py.HardLink):
                return "holds a link to another place, which is not followed"
            found = file[name]
            if not isinstance(found, h5py.Dataset):
                return "holds more than arrays"
            if found.is_virtual or found.external:
                return "holds an array that lies in another file, which is not read"
            chunk = found.dtype.itemsize
            for n in found.chunks or ():
                chunk *= n
            total += max(found.nbytes, chunk)
    return f"holds arrays of {total / 1e9:.2f} GB, too many to read" if total > LARGEST else ""
