"""The images: MNIST, found on disk or downloaded, and the embedded digits that stand in for it.

Every byte is checked against a SHA-256 written here, so a result can name the data it came from.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import math
import os
import struct
import sys
import tempfile
import threading
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, Literal, NamedTuple
from urllib.parse import urlsplit

import numpy as np

from toymodels.errors import UserError


class File(NamedTuple):
    """A published idx file: its name, and the size and SHA-256 of its decompressed bytes."""

    name: str
    size: int
    sha256: str


# fmt: off
FILES = {"mnist": {
    "train_images": File("train-images-idx3-ubyte", 47_040_016,
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
    "train_labels": File("train-labels-idx1-ubyte", 60_008,
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
    "test_images": File("t10k-images-idx3-ubyte", 7_840_016,
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
    "test_labels": File("t10k-labels-idx1-ubyte", 10_008,
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
}}
MIRRORS = {"mnist": ("https://storage.googleapis.com/cvdf-datasets/mnist",
                     "https://ossci-datasets.s3.amazonaws.com/mnist")}
FOLDERS = {"mnist": (".", "mnist", "MNIST/raw", "raw")}  # below the data folder; 3: torchvision's
# fmt: on
DIGITS_SHA256 = {  # of scikit-learn's 1,797 images and labels, in its order, as uint8
    "digits-images": "8f26b2bd9d135c256808f68f14fdabddde6d9c7f869ae419704b051f0f14b3b3",
    "digits-labels": "8ba4f891220f5e4c9c819638d1602d74b83618f167043c6da52a2a247841ddf0",
}
ANSWER_SECONDS = 5.0  # a mirror that has sent nothing by then is given up,
STALL_SECONDS = 15.0  # and so is one that falls silent for this long half-way


@dataclass(frozen=True, eq=False)
class Dataset:
    """Raw labelled images, training and test; a pixel in [-1, 1] is `image * (2 / white) - 1`."""

    name: Literal["mnist", "digits"]
    train_images: np.ndarray  # grey levels, uint8 (n, height, width), maybe read-only; 0 is black
    train_labels: np.ndarray  # classes, int32 (n,)
    test_images: np.ndarray
    test_labels: np.ndarray
    white: int  # grey level of white: 255 for MNIST, 16 for the digits
    sha256: dict[str, str]  # name of each verified part -> SHA-256 of its decompressed bytes
    n_classes: int = 10


class _Unavailable(Exception):
    """Neither found nor downloaded, and why: the one failure from which "auto" recovers."""


def load(
    name: str, data_dir: Path | None = None, announce: Callable[[str], None] = print
) -> Dataset:
    """Load "mnist" or the embedded "digits"; "auto" is MNIST where it can be had, else the digits.

    MNIST is looked for in `data_dir`, else in $TOYMODELS_DATA, else in the user's cache folder;
    what is missing is downloaded into the sub-folder `mnist`. `announce` is given one line when
    files were downloaded, and one when "auto" falls back.

    Raises `UserError` for an unknown name, a `data_dir` that is no folder, "mnist" that cannot be
    had, and a damaged or unreadable file (for "auto" too: a broken copy must not go unnoticed).

    >>> digits = load("digits")
    >>> digits.train_images.shape, digits.test_images.shape, digits.white
    ((1437, 8, 8), (360, 8, 8), 16)
    """
    if name not in ("auto", "mnist", "digits"):
        raise UserError(f"dataset must be one of auto, mnist, digits; got {name!r}")
    if name == "digits":
        return _digits()
    try:
        return _idx_dataset("mnist", _data_folder(data_dir), announce)
    except _Unavailable as why:
        if name == "mnist":
            remedy = "put its four files there, name another --data-dir or choose --dataset digits"
            raise UserError(f"MNIST could not be had: {why}; {remedy}") from why
        stand_in = "the embedded 8x8 handwritten digits of scikit-learn"
        announce(f"MNIST could not be had: {why}; running on {stand_in} instead.")
        return _digits()


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


def _digits() -> Dataset:
    """The embedded digits; of the images sorted by label, every fifth one is a test image.

    The sort is stable and nothing is drawn: the split is stratified, and the same for ever.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images, labels = bunch.images.astype(np.uint8), bunch.target.astype(np.uint8)
    sha256 = [hashlib.sha256(array.tobytes()).hexdigest() for array in (images, labels)]
    if sha256 != list(DIGITS_SHA256.values()):
        advice = "install another version or choose --dataset mnist"
        raise UserError(f"this scikit-learn's digits have the wrong checksum (SHA-256); {advice}")
    test = np.zeros(len(labels), bool)
    test[np.argsort(labels, kind="stable")[::5]] = True
    labels = labels.astype(np.int32)
    parts = images[~test], labels[~test], images[test], labels[test]
    return Dataset("digits", *parts, white=16, sha256=dict(DIGITS_SHA256))


def _idx_dataset(name: Literal["mnist"], folder: Path, announce: Callable[[str], None]) -> Dataset:
    """The dataset `FILES[name]`: the files that lie below the folder, and the rest downloaded."""
    files = FILES[name]
    paths = {part: _find(name, file.name, folder) for part, file in files.items()}
    arrays = {part: _read(path, files[part]) for part, path in paths.items() if path}
    missing = {part: file for part, file in files.items() if part not in arrays}
    if missing:
        try:
            arrays |= _download(missing, MIRRORS[name], folder / name)
        except _Unavailable as why:
            raise _Unavailable(f"it is not in {folder}, and {why}") from why
        except OSError as error:
            refusal = f"{folder / name} cannot be written to ({error.strerror})"
            raise _Unavailable(f"it is not in {folder}, and {refusal}") from error
        announce(f"Downloaded and verified {len(missing)} files into {folder / name}.")
    return Dataset(
        name,
        arrays["train_images"],
        arrays["train_labels"].astype(np.int32),
        arrays["test_images"],
        arrays["test_labels"].astype(np.int32),
        white=255,
        sha256={file.name: file.sha256 for file in files.values()},
    )


def _data_folder(data_dir: Path | None) -> Path:
    """The folder the user gave, which must exist, else the cache, which a download creates."""
    import pooch

    folder = Path(data_dir or os.environ.get("TOYMODELS_DATA") or pooch.os_cache("toymodels"))
    folder = folder.expanduser()
    usable = os.access(folder, os.X_OK) and folder.is_dir()
    if not usable and (data_dir or os.access(folder, os.F_OK)):
        raise UserError(f"{folder} is not a folder to read data from; create it or name another")
    return folder


def _find(dataset: str, name: str, folder: Path) -> Path | None:
    """The first file of that name, compressed or not, also with the dot that some copies have."""
    spellings = (name, name.replace("-idx", ".idx"))
    names = [f"{spelling}{suffix}" for spelling in spellings for suffix in ("", ".gz")]
    paths = (folder / subfolder / name for subfolder in FOLDERS[dataset] for name in names)
    return next((path for path in paths if os.access(path, os.F_OK) and path.is_file()), None)


def _read(path: Path, file: File) -> np.ndarray:
    """The verified array in a file on disk; whatever is wrong with the file is a `UserError`."""
    remedy = "delete it to have it downloaded again, or name another folder with --data-dir"
    try:
        with path.open("rb") as stream:
            return read_idx(_verified(stream, file))
    except ValueError as wrong:
        raise UserError(f"{path} {wrong}; {remedy}") from wrong
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {remedy}") from error


def _verified(stream: BinaryIO, file: File) -> bytes:
    """The decompressed bytes of a stream, gzip or not; `ValueError` if they are not the file's."""
    stream.seek(0)
    is_gzip = stream.read(2) == b"\x1f\x8b"
    stream.seek(0)
    try:  # one byte too many is enough to know: a gzip file may grow without end
        data = (gzip.GzipFile(fileobj=stream) if is_gzip else stream).read(file.size + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError("is a truncated or corrupt gzip file") from error
    if len(data) != file.size:
        size = f"{len(data):,}" if len(data) < file.size else "more"
        raise ValueError(f"has the wrong size: {size} bytes instead of {file.size:,}")
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise ValueError("has the wrong checksum (SHA-256)")
    return data


def _download(
    files: dict[str, File], mirrors: tuple[str, ...], folder: Path
) -> dict[str, np.ndarray]:
    """Download files into a folder, where each gets its name only once its bytes are verified.

    A mirror is asked until its first failure and never again, so being offline costs seconds.
    """
    arrays: dict[str, np.ndarray] = {}
    failures = []
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as scratch:
        for mirror in mirrors:
            try:
                for part in [part for part in files if part not in arrays]:
                    name = files[part].name
                    data = _fetch(f"{mirror}/{name}.gz", files[part])
                    Path(scratch, name).write_bytes(data)
                    Path(scratch, name).replace(folder / name)
                    arrays[part] = read_idx(data)
                return arrays
            except _Unavailable as why:
                failures.append(f"{urlsplit(mirror).hostname}: {why}")
    raise _Unavailable(f"the download failed ({'; '.join(failures) or 'no mirror'})")


def _fetch(url: str, file: File) -> bytes:
    """Download a file into memory, verified; `_Unavailable` says in a few words why it failed.

    Pooch downloads in a thread, for no socket timeout covers name resolution, or a host with many
    addresses of which none answers.
    """
    import pooch
    from rich.console import Console
    from rich.progress import Progress

    body, answered = io.BytesIO(), threading.Event()
    replies, errors = list[Any](), list[Exception]()
    on_terminal = sys.stderr.isatty()
    with Progress(console=Console(stderr=True), transient=True, disable=not on_terminal) as shown:
        task = shown.add_task(file.name, total=None)

        def update(count: int) -> None:
            answered.set()
            shown.update(task, advance=count, total=bar.total or None)
            if body.tell() > file.size + 2**16:  # compressed or not, it is not that long
                raise ValueError("never ends")

        bar = SimpleNamespace(total=0, update=update, reset=lambda: None, close=lambda: None)
        download = pooch.HTTPDownloader(
            progressbar=bar,
            chunk_size=2**16,
            timeout=(ANSWER_SECONDS, STALL_SECONDS),
            hooks={"response": lambda reply, **_: replies.append(reply)},
        )

        def work() -> None:
            try:
                download(url, body, None)
            except Exception as error:
                errors.append(error)
            for reply in replies:  # pooch leaves a failed one open
                reply.close()
            answered.set()

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        if answered.wait(ANSWER_SECONDS):
            thread.join()
        else:
            raise _Unavailable(f"no answer within {ANSWER_SECONDS:g} s")
    try:
        if errors:
            raise errors[0]
        return _verified(body, file)
    except (OSError, ValueError) as error:
        reason = str(error).split(" for url")[0]  # requests writes at length
        raise _Unavailable(reason if len(reason) < 80 else type(error).__name__) from error
