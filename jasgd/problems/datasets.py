"""Data sets by name: found on disk or downloaded, verified, as arrays."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jasgd.inputs.specs import make, parse_spec
from jasgd.problems.arrays import cifar10_arrays, digits_arrays, idx_arrays
from jasgd.problems.files import find_files, read_files
from jasgd.problems.local_datasets import LOCAL_DATASETS, DatasetInfo
from jasgd.problems.locations import Location, cache_folder, describe_absence, search
from jasgd.problems.sources import CIFAR10, FASHION_MNIST, MNIST, DatasetError, fetch
from jasgd.showing import Shown


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Shown):
    """Images and labels as published, raw.

    Attributes:
      name: what :func:`load_dataset` was given.
      train_images: uint8 [N, H, W, C], pixels 0…255.
      train_labels: int32 [N], classes 0…classes − 1.
      test_images: uint8 [M, H, W, C].
      test_labels: int32 [M].
      classes: the number of classes.
      published_divisor: what the published ASAP.SGD code divides pixels by: 1 or 255; of data sets that it has
        not, what it does to those of their kind.
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


def load_dataset(name: str, data_dir: str | os.PathLike[str] | None = None, download: bool = True) -> Dataset:
    """Loads a data set; every file is compared with its published SHA-256, where one is known.

    It is looked for in the folder ``data_dir``, and nowhere else if that is not None; otherwise in the folder NAME of
    ``$JASGD_DATA_DIR``, of the cache (``~/.cache/jasgd/datasets``, or below ``$XDG_CACHE_HOME``) and of
    ``/usr/share/datasets``; otherwise it is downloaded into the cache. Files may be raw or compressed, whatever their
    suffix; the folders and names of torchvision are found as well.

    Args:
      name: a key of :data:`DATASETS`. ``"digits"`` comes with scikit-learn and needs no files: its 8×8 images are
        resized to 28×28 bilinearly and scaled from 0…16 to 0…255; every fifth, by class, is a test image. Or, from a
        folder of yours, a key of :data:`LOCAL_DATASETS` with its options: ``"emnist:split=letters"``, ``"kmnist"``,
        ``"qmnist"``, ``"cifar100:labels=coarse"``, or ``"idx"``, IDX files of your own. These are not downloaded, and
        checked for their form alone.
      data_dir: a folder that holds the files, or holds them in a subfolder NAME.
      download: whether to download what is in none of the folders.

    Returns:
      The data set; its arrays are read-only.

    Raises:
      ValueError: for an unknown name or option.
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
    folder = None
    if info.source is not None:
        folder = _folder_of(name, info, data_dir, download)
        paths = {file: path for file, path in find_files(folder, info.source).items() if path is not None}
        contents = read_files(paths, info.source.files)
    try:
        arrays = info.arrays(contents)
    except DatasetError as error:  # about files by their names
        raise DatasetError(f"{folder}: {error}") from error
    for array in arrays:
        array.setflags(write=False)
    classes = info.classes or int(max(arrays[1].max(), arrays[3].max())) + 1
    return Dataset(name, *arrays, classes=classes, published_divisor=info.published_divisor)


def _folder_of(name: str, info: DatasetInfo, data_dir: str | os.PathLike[str] | None, download: bool) -> Path:
    """The folder that has a data set's files, into which they are downloaded where none has."""
    source = info.source
    assert source is not None
    location = locate(name, data_dir)
    if location.folder is not None:
        return location.folder
    folder = cache_folder() / source.folders[0]
    if not any(file.sha256 for file in source.files):
        raise DatasetError(
            f"{describe_absence(location)}. No checksum of these files is known here, so they are not downloaded: put "
            f"them into {folder}, or name their folder as data_dir"
        )
    if data_dir is not None or not download:
        argument = "download=False" if data_dir is None else f"data_dir={os.fspath(data_dir)!r}"
        raise DatasetError(f"{argument}: {describe_absence(location)}")
    present = find_files(folder, source)
    for archive in source.archives:
        if any(present[held] is None for held in archive.holds):
            fetch(archive, source.mirrors, folder)
    return folder


def locate(name: str, data_dir: str | os.PathLike[str] | None = None, *, verify: bool = False) -> Location:
    """The place where :func:`load_dataset` would read a data set from; nothing is downloaded.

    Args:
      name: as for :func:`load_dataset`.
      data_dir: as for :func:`load_dataset`.
      verify: whether to read the files and compare them with their SHA-256.

    Returns:
      The folder and the status of each file.

    Raises:
      ValueError: for an unknown name or option.

    Example:
      >>> locate("digits").origin
      'package'
    """
    return search(name, describe_dataset(name).source, data_dir, verify=verify)


def describe_dataset(name: str) -> DatasetInfo:
    """What a data set is made of; ValueError, naming those that exist, for an unknown name or option."""
    if isinstance(name, str):
        if name in DATASETS:
            return DATASETS[name]
        kind, options = parse_spec(name)
        if kind in LOCAL_DATASETS:
            return make(f"dataset {kind!r}", LOCAL_DATASETS[kind], options)
        if kind in DATASETS:
            return make(f"dataset {kind!r}", lambda: DATASETS[kind], options)
    local = ", ".join(LOCAL_DATASETS)
    raise ValueError(f"dataset must be one of {', '.join(DATASETS)}, got {name!r}; from a folder of yours also {local}")


#: The data sets that can be downloaded and checked, by the name that ``load_dataset`` takes.
DATASETS: dict[str, DatasetInfo] = {
    "mnist": DatasetInfo("MNIST: handwritten digits, 28×28, 60,000 + 10,000", MNIST, idx_arrays(), 1),
    "fashion_mnist": DatasetInfo("Fashion-MNIST: clothes, 28×28, 60,000 + 10,000", FASHION_MNIST, idx_arrays(), 1),
    "cifar10": DatasetInfo("CIFAR-10: photographs, 32×32×3, 50,000 + 10,000", CIFAR10, cifar10_arrays, 255),
    "digits": DatasetInfo("scikit-learn's digits, resized: 28×28, 1,437 + 360", None, digits_arrays, 1),
}
