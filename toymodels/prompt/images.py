"""Labelled images at a prompt: a data set by its name, or images of your own."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from toymodels.data import datasets
from toymodels.errors import UserError
from toymodels.prompt.arguments import check_count, check_positive
from toymodels.sweep.narrow import describe_value
from toymodels.training import tasks
from toymodels.training.config import ProtocolConfig


@dataclass(frozen=True, eq=False)
class ImageData:
    """Labelled images, training and test, on the device."""

    task: tasks.Task
    """Name, checksums, numbers of classes and pixels."""
    train_images: jax.Array
    """Grey levels from 0 (black) to ``task.white``, (n, height, width)."""
    train_labels: jax.Array
    """Classes from 0 to n_classes - 1, (n,)."""
    test_images: jax.Array
    """Other images, (n, height, width)."""
    test_labels: jax.Array
    """Their classes, (n,)."""

    @property
    def name(self) -> str:
        """Name of the data set."""
        return self.task.name

    @property
    def n_classes(self) -> int:
        """Number of classes."""
        return self.task.n_classes

    @property
    def n_pixels(self) -> int:
        """Number of pixels of an image."""
        return self.task.n_pixels

    @property
    def train(self) -> tasks.Images:
        """The training images and their labels."""
        return self.train_images, self.train_labels

    @property
    def test(self) -> tasks.Images:
        """The test images and their labels."""
        return self.test_images, self.test_labels

    def pixels(self, images: jax.Array) -> jax.Array:
        """Convert images (n, height, width) to what a network reads: rows (n, pixels) in [-1, 1].

        >>> import toymodels as tm
        >>> digits = tm.load("digits")
        >>> x = digits.pixels(digits.test_images)
        >>> x.shape, float(x.min()), float(x.max())
        ((360, 64), -1.0, 1.0)
        """
        return self.task.pixels(images)

    def __repr__(self) -> str:
        """Sizes in place of arrays."""
        n, height, width = self.train_images.shape
        return (
            f"ImageData({self.name}: {n:,} training and {len(self.test_images):,} test images of "
            f"{height}x{width} pixels, {self.n_classes} classes)"
        )


def load(
    name: str = "auto",
    *,
    train_images: int | None = ProtocolConfig.train_images,
    data_dir: Path | str | None = None,
) -> ImageData:
    """Load a data set.

    Args:
        name: "mnist", "fashion" (Fashion-MNIST), "emnist" (balanced, 47 classes), "digits" (8x8,
            embedded), or "auto": MNIST if it is on this machine or can be downloaded, else the
            digits.
        train_images: number of training images, the first of the data set; all of them if it has
            fewer (None: all).
        data_dir: folder of the files (None: $TOYMODELS_DATA, else the user's cache).

    Raises:
        UserError: an unknown name, a data set that cannot be had, a damaged file.

    >>> import toymodels as tm
    >>> tm.load("digits")
    ImageData(digits: 1,437 training and 360 test images of 8x8 pixels, 10 classes)
    >>> tm.load("cifar")
    Traceback (most recent call last):
    toymodels.errors.UserError: dataset must be one of auto, mnist, fashion, emnist, digits; got 'cifar'

    """
    if train_images is not None:
        check_count("train_images", train_images)
    raw = datasets.load(name, None if data_dir is None else Path(data_dir))
    first = slice(train_images)
    train = raw.train_images[first], raw.train_labels[first]
    return images(
        raw.name,
        train,
        (raw.test_images, raw.test_labels),
        n_classes=raw.n_classes,
        white=raw.white,
        sha256=raw.sha256,
    )


def images(
    name: str,
    train: tasks.Images,
    test: tasks.Images,
    *,
    n_classes: int | None = None,
    white: Any = None,
    sha256: dict[str, str] | None = None,
) -> ImageData:
    """Make a data set of images of your own.

    Args:
        name: name of the data set, for results.
        train: images (n, height, width), from 0 (black) to ``white``, and labels (n,), integers
            from 0 to n_classes - 1.
        test: others, of the same height and width.
        n_classes: number of classes (None: one more than the largest label).
        white: value of a white pixel; a network reads ``2 * image / white - 1``. (None: 255, if the
            images are of uint8.)
        sha256: checksums by name (None: computed from the arrays).

    Raises:
        UserError: images that are no such arrays or go beyond white, or labels that are not as
            many, or no classes.

    >>> import toymodels as tm
    >>> bars = np.zeros((4, 8, 8), np.uint8)
    >>> bars[::2, 3], bars[1::2, :, 3] = 255, 255
    >>> tm.images("bars", (bars, np.array([0, 1, 0, 1])), (bars[:2], np.array([0, 1])))
    ImageData(bars: 4 training and 2 test images of 8x8 pixels, 2 classes)

    """
    splits: list[tasks.Images] = []
    for part, split in (("train", train), ("test", test)):
        if not isinstance(split, tuple | list) or len(split) != 2:
            raise UserError(f"{part} must be a pair, images and labels; got {type(split).__name__}")
        pixels, labels = map(np.asarray, split)
        if labels.dtype.kind not in "iu" or pixels.dtype.kind not in "iuf" or not labels.size:
            raise UserError(
                f"{part} must be images of numbers and labels of integers; "
                f"got types {pixels.dtype} and {labels.dtype}, shapes {pixels.shape} and {labels.shape}"
            )
        splits.append((pixels, labels))
    if white is None:
        kinds = {str(pixels.dtype) for pixels, _ in splits}
        if kinds != {"uint8"}:
            raise UserError(
                f"white must be given where images are not of uint8; they are of {', '.join(kinds)}"
            )
        white = 255
    check_positive("white", white)
    if n_classes is None:
        n_classes = 1 + max(int(labels.max()) for _, labels in splits)
    check_count("n_classes", n_classes)
    task, _ = tasks.bring(name, *splits, n_classes=n_classes, white=white, sha256=sha256)
    for part, (pixels, _) in zip(("train", "test"), splits, strict=True):
        if not (pixels.min() >= 0 and pixels.max() <= white):  # NaN, too
            raise UserError(
                f"{part} images must be from 0 (black) to white, {white}; "
                f"got {pixels.min()} to {pixels.max()}"
            )
    (train_images, train_labels), (test_images, test_labels) = splits
    return ImageData(
        task,
        jnp.asarray(train_images),
        jnp.asarray(train_labels, jnp.int32),
        jnp.asarray(test_images),
        jnp.asarray(test_labels, jnp.int32),
    )


def check_data(data: Any) -> None:
    """Raise a UserError unless a value is what `load` or `images` returns."""
    if not isinstance(data, ImageData):
        raise UserError(
            f"data must be what tm.load or tm.images returns; got {describe_value(data)}"
        )
