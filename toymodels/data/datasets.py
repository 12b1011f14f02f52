"""The images: MNIST and its kin, found on disk or downloaded, and the embedded digits.

Every byte is checked against a SHA-256 written here, so a result can name the data it came from.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal
from urllib.parse import urlsplit

import numpy as np

from toymodels.data.idx import File, read_idx, read_verified
from toymodels.errors import UserError

Name = Literal["mnist", "fashion", "emnist"]

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
}, "fashion": {  # gzip files as listed by TensorFlow Datasets, url_checksums/fashion_mnist.txt
    "train_images": File("train-images-idx3-ubyte", 47_040_016,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", packed=True),
    "train_labels": File("train-labels-idx1-ubyte", 60_008,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", packed=True),
    "test_images": File("t10k-images-idx3-ubyte", 7_840_016,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", packed=True),
    "test_labels": File("t10k-labels-idx1-ubyte", 10_008,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", packed=True),
}, "emnist": {  # gzip files inside NIST's gzip.zip, as listed by github.com/notwa/mnists, hashes.py
    "train_images": File("emnist-balanced-train-images-idx3-ubyte", 88_435_216,
        "74295e75e4e9fa2c102147460ee7eb763653d5132d883a84fb88932bfb8d2db4", packed=True),
    "train_labels": File("emnist-balanced-train-labels-idx1-ubyte", 112_808,
        "b46d41e5156a0a8aaaa4d18979fdd1588850fa8571018acffd5d93b325a7d6ed", packed=True),
    "test_images": File("emnist-balanced-test-images-idx3-ubyte", 14_739_216,
        "117fc12b015e37ea98bfb2cbba3f77c3782c056cdbd219b87abfc8661d7135db", packed=True),
    "test_labels": File("emnist-balanced-test-labels-idx1-ubyte", 18_808,
        "a67cac948379b67270b9a4d0a01c8ec661598accf2f2b1964340b7c83cb175cd", packed=True),
}}
MIRRORS = {"mnist": ("https://storage.googleapis.com/cvdf-datasets/mnist",
                     "https://ossci-datasets.s3.amazonaws.com/mnist"),
           "fashion": ("https://fashion-mnist.s3.eu-central-1.amazonaws.com",
                       "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/"
                       "data/fashion"),
           "emnist": ()}  # published as one archive only
FOLDERS = {"mnist": (".", "mnist", "MNIST/raw", "raw"),  # below the data folder; 3: torchvision's
           "fashion": ("fashion", "fashion-mnist", "FashionMNIST/raw"),  # "." holds MNIST's
           "emnist": (".", "emnist", "EMNIST/raw", "gzip")}
TITLES = {"mnist": "MNIST", "fashion": "Fashion-MNIST", "emnist": "EMNIST (balanced, from NIST's "
          "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip)"}
CLASSES = {"mnist": 10, "fashion": 10, "emnist": 47}
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

    name: Name | Literal["digits"]
    train_images: np.ndarray  # grey levels, uint8 (n, height, width), maybe read-only; 0 is black
    train_labels: np.ndarray  # classes, int32 (n,)
    test_images: np.ndarray
    test_labels: np.ndarray
    white: int  # grey level of white: 16 for the digits, else 255
    sha256: dict[str, str]  # name of each verified part (decompressed, or .gz) -> its SHA-256
    n_classes: int


class _Unavailable(Exception):
    """Neither found nor downloaded, and why: the one failure from which "auto" recovers."""


def load(
    name: str, data_dir: Path | None = None, announce: Callable[[str], None] = print
) -> Dataset:
    """Load "mnist", "fashion" (Fashion-MNIST), "emnist" (its balanced set: 47 classes of digits and
    letters) or the embedded "digits"; "auto" is MNIST where it can be had, else the digits.

    Files are looked for in `data_dir`, else in $TOYMODELS_DATA, else in the user's cache folder;
    what is missing is downloaded into the sub-folder of the data set's name, but for EMNIST, which
    is published as one archive: its files must be there. `announce` is given one line when files
    were downloaded, and one when "auto" falls back.

    Raises `UserError` for an unknown name, a `data_dir` that is no folder, a data set that cannot
    be had, and a damaged or unreadable file (for "auto" too: a broken copy must not go unnoticed).

    >>> digits = load("digits")
    >>> digits.train_images.shape, digits.test_images.shape, digits.white
    ((1437, 8, 8), (360, 8, 8), 16)
    """
    allowed = ("auto", *TITLES, "digits")
    if name not in allowed:
        raise UserError(f"dataset must be one of {', '.join(allowed)}; got {name!r}")
    if name == "digits":
        return _digits()
    wanted: Name = "mnist" if name == "auto" else name  # type: ignore[assignment]
    try:
        return _idx_dataset(wanted, _data_folder(data_dir), announce)
    except _Unavailable as why:
        if name != "auto":
            remedy = "put its four files there, name another --data-dir or choose --dataset digits"
            raise UserError(f"{TITLES[name]} could not be had: {why}; {remedy}") from why
        stand_in = "the embedded 8x8 handwritten digits of scikit-learn"
        announce(f"MNIST could not be had: {why}; running on {stand_in} instead.")
        return _digits()


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
    return Dataset("digits", *parts, white=16, sha256=dict(DIGITS_SHA256), n_classes=10)


def _idx_dataset(name: Name, folder: Path, announce: Callable[[str], None]) -> Dataset:
    """The dataset `FILES[name]`: the files that lie below the folder, and the rest downloaded."""
    files = FILES[name]
    paths = {part: _find(name, file, folder) for part, file in files.items()}
    arrays = {part: _read(path, files[part]) for part, path in paths.items() if path}
    missing = {part: file for part, file in files.items() if part not in arrays}
    if missing:
        names = "it" if not arrays else " and ".join(file.name for file in missing.values())
        absent = f"{names} {'is' if len(missing) == 1 or not arrays else 'are'} not in {folder}"
        try:
            arrays |= _download(missing, MIRRORS[name], folder / name)
        except _Unavailable as why:
            raise _Unavailable(f"{absent}, and {why}") from why
        except OSError as error:
            refusal = f"{folder / name} cannot be written to ({error.strerror})"
            raise _Unavailable(f"{absent}, and {refusal}") from error
        announce(f"Downloaded and verified {len(missing)} files into {folder / name}.")
    if name == "emnist":  # published on their sides
        for part in ("train_images", "test_images"):
            arrays[part] = arrays[part].transpose(0, 2, 1).copy()
    return Dataset(
        name,
        arrays["train_images"],
        arrays["train_labels"].astype(np.int32),
        arrays["test_images"],
        arrays["test_labels"].astype(np.int32),
        white=255,
        sha256={file.kept: file.sha256 for file in files.values()},
        n_classes=CLASSES[name],
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


def _find(dataset: str, file: File, folder: Path) -> Path | None:
    """The first file of that name, compressed or not, also with the dot that some copies have."""
    spellings = (file.name, file.name.replace("-idx", ".idx"))
    suffixes = (".gz", "") if file.packed else ("", ".gz")
    names = [f"{spelling}{suffix}" for suffix in suffixes for spelling in spellings]
    paths = (folder / subfolder / name for subfolder in FOLDERS[dataset] for name in names)
    return next((path for path in paths if os.access(path, os.F_OK) and path.is_file()), None)


def _read(path: Path, file: File) -> np.ndarray:
    """The verified array in a file on disk; whatever is wrong with the file is a `UserError`."""
    remedy = "delete it to have it downloaded again, or name another folder with --data-dir"
    try:
        with path.open("rb") as stream:
            return read_idx(read_verified(stream, file))
    except ValueError as wrong:
        raise UserError(f"{path} {wrong}; {remedy}") from wrong
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); {remedy}") from error


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
                    name = files[part].kept
                    body, data = _fetch(f"{mirror}/{files[part].name}.gz", files[part])
                    Path(scratch, name).write_bytes(body if files[part].packed else data)
                    Path(scratch, name).replace(folder / name)
                    arrays[part] = read_idx(data)
                return arrays
            except _Unavailable as why:
                failures.append(f"{urlsplit(mirror).hostname}: {why}")
    raise _Unavailable(f"the download failed ({'; '.join(failures) or 'no mirror'})")


def _fetch(url: str, file: File) -> tuple[bytes, bytes]:
    """Download a file into memory: as it came, and the verified bytes in it.

    `_Unavailable` says in a few words why it failed.

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
        data = read_verified(body, file)
        return body.getvalue(), data
    except (OSError, ValueError) as error:
        reason = str(error).split(" for url")[0]  # requests writes at length
        raise _Unavailable(reason if len(reason) < 80 else type(error).__name__) from error
