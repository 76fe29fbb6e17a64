"""From the files' bytes to images and labels: train and test."""

from __future__ import annotations

import gzip
import importlib.util
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jasgd.problems.formats import parse_cifar10, parse_cifar100, parse_idx
from jasgd.problems.sources import DatasetError

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]
MNIST_FILES = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"
)  # fmt: skip
MOST_CLASSES = 1_000  # that labels of the user's own may name, where there are fewer images


def idx_arrays(
    files: Sequence[str] = MNIST_FILES,
    *,
    classes: int | None = 10,
    first_label: int = 0,
    transposed: bool = False,
) -> Callable[[Mapping[str, bytes]], Arrays]:
    """Reads images and labels from IDX files.

    Args:
      files: names of the files: training images, their labels, test images, their labels. Images are [N, H, W] or
        [N, H, W, C], labels [N], or [N, K] with the class in the first column.
      classes: number of classes; None where labels may name any.
      first_label: the label of the first class, which becomes 0.
      transposed: whether each image is stored column by column.

    Returns:
      A function from the files' bytes, by name, to training images, uint8 [N, H, W, C], and labels, int32 [N], and the
      same of the test set. It raises DatasetError for files of other shapes or a label out of its range.
    """

    def split(contents: Mapping[str, bytes], images_name: str, labels_name: str) -> tuple[np.ndarray, np.ndarray]:
        images = parse_idx(contents[images_name], images_name)
        labels = parse_idx(contents[labels_name], labels_name, integers=True)
        if images.ndim not in (3, 4) or labels.shape[:1] != images.shape[:1] or labels.ndim > 2 or not images.size:
            prefix = images_name.partition("-images")[0]
            raise DatasetError(
                f"{prefix}: images must be [N, H, W] and labels [N], got {images.shape} and {labels.shape}"
            )
        images = images if images.ndim == 4 else images[..., None]
        labels = labels.reshape(len(labels), -1)[:, 0]
        count = max(MOST_CLASSES, len(images)) if classes is None else classes
        last = first_label + count - 1
        if labels.min() < first_label or labels.max() > last:
            found = labels.min() if labels.min() < first_label else labels.max()
            raise DatasetError(f"{labels_name}: labels must lie in {first_label}…{last}, found {found}")
        images = np.ascontiguousarray(images.swapaxes(1, 2)) if transposed else images
        return images, labels.astype(np.int32) - np.int32(first_label)

    def arrays(contents: Mapping[str, bytes]) -> Arrays:
        train, test = split(contents, *files[:2]), split(contents, *files[2:])
        if train[0].shape[1:] != test[0].shape[1:]:
            shapes = f"{train[0].shape[1:]} for training and {test[0].shape[1:]} for test"
            raise DatasetError(f"images must be of one height, width and number of channels, got {shapes}")
        return *train, *test

    return arrays


def cifar10_arrays(contents: Mapping[str, bytes]) -> Arrays:
    """Training images and labels of the five batches, and those of the test batch."""
    batches = [parse_cifar10(contents[f"data_batch_{i}.bin"], f"data_batch_{i}.bin") for i in range(1, 6)]
    images, labels = zip(*batches, strict=True)
    test_images, test_labels = parse_cifar10(contents["test_batch.bin"], "test_batch.bin")
    return np.concatenate(images), np.concatenate(labels), test_images, test_labels


def cifar100_arrays(labels: Literal["fine", "coarse"]) -> Callable[[Mapping[str, bytes]], Arrays]:
    """Reads CIFAR-100's images with their labels of 100 fine or 20 coarse classes; a function as of idx_arrays."""

    def split(name: str, contents: Mapping[str, bytes]) -> tuple[np.ndarray, np.ndarray]:
        images, coarse, fine = parse_cifar100(contents[name], name)
        return images, fine if labels == "fine" else coarse

    return lambda contents: (*split("train.bin", contents), *split("test.bin", contents))


def digits_arrays(contents: Mapping[str, bytes]) -> Arrays:
    """scikit-learn's digits, resized to 28×28; every fifth, by class, is a test image."""
    del contents
    try:
        images, labels = _digits()
    except ImportError as error:
        raise ImportError('the digits data set needs scikit-learn: pip install "jasgd[problems]"') from error
    images = np.rint(_resized(images, 28) * (255 / 16)).astype(np.uint8)[..., None]
    test = np.zeros(len(labels), bool)
    test[np.argsort(labels, kind="stable")[::5]] = True  # no random stream that a NumPy release could change
    return images[~test], labels[~test], images[test], labels[test]


def _resized(images: np.ndarray, size: int) -> np.ndarray:
    """Square images, float64 [n, k, k], by linear interpolation between their corners.

    Products and sums are in the order of ``scipy.ndimage.zoom(..., order=1)``, so that no pixel is rounded to another
    number than by it; its import takes longer than anything else here.
    """
    last = images.shape[1] - 1
    at = np.arange(size) * (last / (size - 1))
    low = np.minimum(at.astype(np.int64), last - 1)
    corners = [(low, 1 - (at - low)), (low + 1, at - low)]  # and their weights
    resized = np.zeros((len(images), size, size))
    for row, row_weight in corners:
        for column, column_weight in corners:
            resized += images[:, row[:, None], column] * row_weight[:, None] * column_weight
    return resized


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """The 8×8 images, float64, and labels, int32, by the file of scikit-learn, whose import takes seconds."""
    package = importlib.util.find_spec("sklearn")
    for folder in (package.submodule_search_locations or ()) if package is not None else ():
        file = Path(folder) / "datasets" / "data" / "digits.csv.gz"
        if file.is_file():
            with gzip.open(file, "rt") as lines:
                rows = np.loadtxt(lines, delimiter=",")
            return rows[:, :-1].reshape(-1, 8, 8), rows[:, -1].astype(np.int32)
    from sklearn.datasets import load_digits

    digits: Any = load_digits()
    return digits.images, digits.target.astype(np.int32)
