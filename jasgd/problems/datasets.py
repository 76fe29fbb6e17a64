"""MNIST, Fashion-MNIST, CIFAR-10 and scikit-learn's digits: found on disk or downloaded, verified, as arrays."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from jasgd.problems.files import find_files, parse_cifar10, parse_idx, read_files
from jasgd.problems.locations import Location, cache_folder, describe_absence, search
from jasgd.problems.sources import CIFAR10, FASHION_MNIST, MNIST, DatasetError, Source, fetch
from jasgd.showing import Shown

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Shown):
    """Images and labels as published, raw.

    Attributes:
      name: a key of :data:`DATASETS`.
      train_images: uint8 [N, H, W, C], pixels 0…255.
      train_labels: int32 [N], classes 0…classes − 1.
      test_images: uint8 [M, H, W, C].
      test_labels: int32 [M].
      classes: the number of classes.
      published_divisor: what the published ASAP.SGD code divides pixels by: 1 or 255.
    """

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    classes: int = 10
    published_divisor: float = 1.0

    def _facts(self) -> dict[str, Any]:
        return vars(self)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of an image."""
        height, width, channels = self.train_images.shape[1:]
        return height, width, channels

    def pixel_statistics(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean and standard deviation of the training set's pixels over 255, per channel; each float64 [C]."""
        counts = np.zeros((self.shape[2], 256), np.int64)
        for start in range(0, len(self.train_images), 5_000):  # in chunks, as bincount widens what it counts
            chunk = self.train_images[start : start + 5_000]
            for channel, row in enumerate(counts):
                row += np.bincount(chunk[..., channel].ravel(), minlength=256)
        share, value = counts / counts.sum(axis=1, keepdims=True), np.arange(256) / 255
        mean = share @ value
        return mean, np.sqrt(share @ value**2 - mean**2)


@dataclass(frozen=True, repr=False)
class DatasetInfo(Shown):
    """One row of :data:`DATASETS`.

    Attributes:
      title: the data set in one line.
      source: its files; None where they come with a package.
      arrays: from the files' bytes, by name, to train images and labels, test images and labels.
      published_divisor: see :class:`Dataset`.
    """

    title: str
    source: Source | None
    arrays: Callable[[Mapping[str, bytes]], Arrays]
    published_divisor: float

    def _facts(self) -> dict[str, Any]:
        files = None if self.source is None else [file.name for file in self.source.files]
        return {"title": self.title, "files": files, "published_divisor": self.published_divisor}


def load_dataset(name: str, data_dir: str | os.PathLike[str] | None = None, download: bool = True) -> Dataset:
    """Loads a data set; every file is compared with its published SHA-256.

    It is looked for in the folder ``data_dir``, and nowhere else if that is not None; otherwise in the folder NAME of
    ``$JASGD_DATA_DIR``, of the cache (``~/.cache/jasgd/datasets``, or below ``$XDG_CACHE_HOME``) and of
    ``/usr/share/datasets``; otherwise it is downloaded into the cache. Files may be raw or compressed.

    Args:
      name: a key of :data:`DATASETS`. ``"digits"`` comes with scikit-learn and needs no files: its 8×8 images are
        resized to 28×28 bilinearly and scaled from 0…16 to 0…255; every fifth, by class, is a test image.
      data_dir: a folder that holds the files, or holds them in a subfolder NAME.
      download: whether to download what is in none of the folders.

    Returns:
      The data set; its arrays are read-only.

    Raises:
      ValueError: for an unknown name.
      DatasetError: for files that are missing, truncated or not the published ones; a :class:`ValueError` too.
      ImportError: where pooch (to download) or scikit-learn and SciPy (for ``"digits"``) are not installed.

    Example:
      >>> digits = load_dataset("digits")
      >>> digits.train_images.shape, digits.test_images.shape, digits.train_images.dtype
      ((1437, 28, 28, 1), (360, 28, 28, 1), dtype('uint8'))

    Sources:
      MNIST: Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition",
      1998. Fashion-MNIST: H. Xiao, K. Rasul, R. Vollgraf, "Fashion-MNIST: a novel image dataset for benchmarking
      machine learning algorithms", 2017, arXiv:1708.07747. CIFAR-10: A. Krizhevsky, "Learning multiple layers of
      features from tiny images", 2009. Pixel divisors of the ASAP.SGD experiments: read from its published C++ code.
    """
    info = describe_dataset(name)
    contents: dict[str, bytes] = {}
    if info.source is not None:
        location = locate(name, data_dir)
        folder = location.folder
        if folder is None:
            if data_dir is not None or not download:
                argument = "download=False" if data_dir is None else f"data_dir={os.fspath(data_dir)!r}"
                raise DatasetError(f"{argument}: {describe_absence(location)}")
            folder = cache_folder() / info.source.folders[0]
            present = find_files(folder, info.source)
            for archive in info.source.archives:
                if any(present[held] is None for held in archive.holds):
                    fetch(archive, info.source.mirrors, folder)
        paths = {file: path for file, path in find_files(folder, info.source).items() if path is not None}
        contents = read_files(paths, info.source.files)
    arrays = info.arrays(contents)
    for array in arrays:
        array.setflags(write=False)
    return Dataset(name, *arrays, published_divisor=info.published_divisor)


def locate(name: str, data_dir: str | os.PathLike[str] | None = None, *, verify: bool = False) -> Location:
    """The place where :func:`load_dataset` would read a data set from; nothing is downloaded.

    Args:
      name: a key of :data:`DATASETS`.
      data_dir: as for :func:`load_dataset`.
      verify: whether to read the files and compare them with their SHA-256.

    Returns:
      The folder and the status of each file.

    Raises:
      ValueError: for an unknown name.

    Example:
      >>> locate("digits").origin
      'package'
    """
    return search(name, describe_dataset(name).source, data_dir, verify=verify)


def describe_dataset(name: str) -> DatasetInfo:
    """The row of :data:`DATASETS` for a name; ValueError, naming those that exist, where there is none."""
    if name not in DATASETS:
        raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {name!r}")
    return DATASETS[name]


def _idx_arrays(contents: Mapping[str, bytes]) -> Arrays:
    def split(prefix: str) -> tuple[np.ndarray, np.ndarray]:
        images = parse_idx(contents[f"{prefix}-images-idx3-ubyte"], f"{prefix}-images-idx3-ubyte")
        labels = parse_idx(contents[f"{prefix}-labels-idx1-ubyte"], f"{prefix}-labels-idx1-ubyte")
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise DatasetError(
                f"{prefix}: images must be [N, H, W] and labels [N], got {images.shape} and {labels.shape}"
            )
        return images[..., None], labels.astype(np.int32)

    return *split("train"), *split("t10k")


def _cifar10_arrays(contents: Mapping[str, bytes]) -> Arrays:
    batches = [parse_cifar10(contents[f"data_batch_{i}.bin"], f"data_batch_{i}.bin") for i in range(1, 6)]
    images, labels = zip(*batches, strict=True)
    test_images, test_labels = parse_cifar10(contents["test_batch.bin"], "test_batch.bin")
    return np.concatenate(images), np.concatenate(labels), test_images, test_labels


def _digits_arrays(contents: Mapping[str, bytes]) -> Arrays:
    try:
        from scipy.ndimage import zoom
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError('the digits data set needs scikit-learn and SciPy: pip install "jasgd[problems]"') from error
    digits: Any = load_digits()
    resized = zoom(digits.images, np.array([1, 28 / 8, 28 / 8]), order=1)
    images = np.rint(resized * (255 / 16)).astype(np.uint8)[..., None]
    labels = digits.target.astype(np.int32)
    test = np.zeros(len(labels), bool)
    test[np.argsort(labels, kind="stable")[::5]] = True  # no random stream that a NumPy release could change
    return images[~test], labels[~test], images[test], labels[test]


DATASETS: dict[str, DatasetInfo] = {
    "mnist": DatasetInfo("MNIST: handwritten digits, 28×28, 60,000 + 10,000", MNIST, _idx_arrays, 1),
    "fashion_mnist": DatasetInfo("Fashion-MNIST: clothes, 28×28, 60,000 + 10,000", FASHION_MNIST, _idx_arrays, 1),
    "cifar10": DatasetInfo("CIFAR-10: photographs, 32×32×3, 50,000 + 10,000", CIFAR10, _cifar10_arrays, 255),
    "digits": DatasetInfo("scikit-learn's digits, resized: 28×28, 1,437 + 360", None, _digits_arrays, 1),
}
