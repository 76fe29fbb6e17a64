"""Data sets that are read from a folder of the user's: no checksum of a mirror is known here, their form is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from jasgd.problems.arrays import MNIST_FILES, Arrays, cifar100_arrays, idx_arrays
from jasgd.problems.formats import parse_cifar100, parse_idx
from jasgd.problems.sources import Archive, DataFile, Source
from jasgd.showing import Shown

Split = Literal["balanced", "byclass", "bymerge", "letters", "digits", "mnist"]
_CLASSES: dict[str, int] = {"balanced": 47, "byclass": 62, "bymerge": 47, "letters": 26, "digits": 10, "mnist": 10}


@dataclass(frozen=True, repr=False)
class DatasetInfo(Shown):
    """What a data set is made of, as a row of ``DATASETS`` has it.

    Attributes:
      title: the data set in one line.
      source: its files; None where they come with a package.
      arrays: from the files' bytes, by name, to train images and labels, test images and labels.
      published_divisor: see :class:`jasgd.problems.Dataset`.
      classes: the number of classes; None for as many as the labels name.
    """

    title: str
    source: Source | None
    arrays: Callable[[Mapping[str, bytes]], Arrays]
    published_divisor: float
    classes: int | None = 10

    def _facts(self) -> dict[str, Any]:
        files = None if self.source is None else [file.name for file in self.source.files]
        return {"title": self.title, "files": files, "published_divisor": self.published_divisor}


def emnist(split: Split = "balanced") -> DatasetInfo:
    """EMNIST: handwritten characters, 28×28; the files ``emnist-SPLIT-train-images-idx3-ubyte`` and so on.

    Images are turned upright, as they are stored column by column; ``letters`` has the labels 1…26, which become 0…25.

    Args:
      split: one of balanced, byclass, bymerge, letters, digits, mnist.

    Returns:
      What the data set is made of.

    Raises:
      ValueError: for an unknown split.

    Sources:
      G. Cohen, S. Afshar, J. Tapson, A. van Schaik, "EMNIST: an extension of MNIST to handwritten letters", 2017,
      arXiv:1702.05373.
    """
    _require("split", split, get_args(Split))
    names = [f"emnist-{split}-{part}-{what}" for part in ("train", "test") for what in _KINDS]
    return DatasetInfo(
        f"EMNIST {split}: handwritten characters, 28×28",
        _idx_source(names, ("emnist",), ("EMNIST",), inside=("", "raw", "gzip", "raw/gzip")),
        idx_arrays(names, classes=_CLASSES[split], first_label=1 if split == "letters" else 0, transposed=True),
        1,
        _CLASSES[split],
    )


def kmnist() -> DatasetInfo:
    """Kuzushiji-MNIST: ten cursive Japanese characters, 28×28; files of MNIST's names.

    Returns:
      What the data set is made of.

    Sources:
      T. Clanuwat et al., "Deep learning for classical Japanese literature", 2018, arXiv:1812.01718.
    """
    source = _idx_source(MNIST_FILES, ("kmnist",), ("KMNIST",))
    return DatasetInfo("KMNIST: cursive Japanese characters, 28×28", source, idx_arrays(), 1)


def qmnist() -> DatasetInfo:
    """QMNIST: MNIST with all 60,000 test images; the class is the first of the eight columns of ``idx2-int`` labels.

    Returns:
      What the data set is made of.

    Sources:
      C. Yadav, L. Bottou, "Cold case: the lost MNIST digits", 2019, arXiv:1905.10498.
    """
    names = [f"qmnist-{part}-{what}" for part in ("train", "test") for what in ("images-idx3-ubyte", "labels-idx2-int")]
    source = _idx_source(names, ("qmnist",), ("QMNIST",))
    return DatasetInfo("QMNIST: handwritten digits, 28×28", source, idx_arrays(names), 1)


def cifar100(labels: Literal["fine", "coarse"] = "fine") -> DatasetInfo:
    """CIFAR-100: photographs, 32×32×3; ``train.bin`` and ``test.bin``, or ``cifar-100-binary.tar.gz``.

    Args:
      labels: fine, 100 classes, or coarse, 20.

    Returns:
      What the data set is made of.

    Raises:
      ValueError: for other labels.

    Sources:
      A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    _require("labels", labels, ("fine", "coarse"))
    files = tuple(DataFile(f"{part}.bin", 3074 * count, check=parse_cifar100) for part, count in _CIFAR100.items())
    source = Source(
        files,
        (Archive("cifar-100-binary.tar.gz", "", tuple(file.name for file in files)),),
        mirrors=(),
        folders=("cifar100", "cifar-100"),
        aliases=("CIFAR100",),
        inside=("", "cifar-100-binary"),
    )
    title = f"CIFAR-100, {labels} labels: photographs, 32×32×3"
    return DatasetInfo(title, source, cifar100_arrays(labels), 255, 100 if labels == "fine" else 20)


def idx() -> DatasetInfo:
    """IDX files of your own: images of unsigned bytes, [N, H, W] or [N, H, W, C], and labels 0…K − 1 of any integers.

    Their names begin with ``train-images``, ``train-labels``, ``test-images`` (or ``t10k-images``) and ``test-labels``
    (or ``t10k-labels``), with or without an ending such as ``-idx3-ubyte`` or ``.idx``, and may be compressed.

    Returns:
      What the data set is made of.
    """
    ending = r"([-._]idx\d?)?([-._](ubyte|byte|short|int))?"
    patterns = [f"{part}[-_]{what}{ending}" for part in ("train", "(t10k|test)") for what in ("images", "labels")]
    source = _idx_source(MNIST_FILES, ("idx",), (), patterns=patterns)
    return DatasetInfo("Your own IDX files", source, idx_arrays(classes=None), 1, None)


def _idx_source(
    names: Sequence[str],
    folders: tuple[str, ...],
    aliases: tuple[str, ...],
    *,
    inside: tuple[str, ...] = ("", "raw"),
    patterns: Sequence[str] = ("", "", "", ""),
) -> Source:
    checks = [_check_labels if "labels" in name else parse_idx for name in names]
    files = (DataFile(n, None, "", check, pattern) for n, check, pattern in zip(names, checks, patterns, strict=True))
    return Source(tuple(files), (), (), folders, aliases, inside)


def _check_labels(content: bytes, where: str) -> Any:
    return parse_idx(content, where, integers=True)


def _require(name: str, value: Any, allowed: Sequence[str]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")


_KINDS = ("images-idx3-ubyte", "labels-idx1-ubyte")
_CIFAR100 = {"train": 50_000, "test": 10_000}  # images

#: By the name that ``load_dataset`` takes, with the options of its function, as in ``emnist:split=letters``.
LOCAL_DATASETS: dict[str, Callable[..., DatasetInfo]] = {
    "emnist": emnist,
    "kmnist": kmnist,
    "qmnist": qmnist,
    "cifar100": cifar100,
    "idx": idx,
}
#: The names of all of them, as ``jasgd datasets`` lists those that are there.
LISTED = (*(f"emnist:split={split}" for split in get_args(Split)), "kmnist", "qmnist", "cifar100", "idx")
