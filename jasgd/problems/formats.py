"""The formats of published images: IDX, and the binary records of CIFAR; nothing is unpickled."""

from __future__ import annotations

import math
import struct

import numpy as np

from jasgd.problems.sources import DatasetError

_UNSIGNED_BYTE = 0x08  # the IDX code of the element type that images have
_INTEGERS = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4"}  # IDX codes and NumPy's dtypes
_REALS = {0x0D: ">f4", 0x0E: ">f8"}
_MOST_AXES = 8
_SIDE, _CHANNELS = 32, 3  # of a CIFAR image
_PIXELS = _CHANNELS * _SIDE**2


def idx_size(head: bytes) -> int | None:
    """The size that the header of an IDX file states, in bytes; None where it is no such header.

    Args:
      head: the file, or its first bytes.

    Returns:
      The size.

    Example:
      >>> idx_size(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7]))
      15
    """
    if len(head) < 4 or head[:2] != b"\0\0" or head[2] not in _INTEGERS | _REALS:
        return None
    start = 4 + 4 * head[3]
    if not 1 <= head[3] <= _MOST_AXES or len(head) < start:
        return None
    return start + math.prod(_shape(head)) * np.dtype((_INTEGERS | _REALS)[head[2]]).itemsize


def _shape(head: bytes) -> tuple[int, ...]:
    return struct.unpack(f">{head[3]}I", head[4 : 4 + 4 * head[3]])


def parse_idx(content: bytes, where: str = "the IDX file", *, integers: bool = False) -> np.ndarray:
    """Parses an IDX file: two zeros, type, number of axes, their lengths big-endian, the elements.

    Args:
      content: the decompressed file.
      where: what the error calls it.
      integers: whether elements may be integers of other kinds than unsigned bytes.

    Returns:
      A read-only array of the shape that the header states, uint8 without ``integers``, sharing memory with
      ``content``.

    Raises:
      DatasetError: for a header that is not IDX of such elements, or states another size than there is.

    Example:
      >>> parse_idx(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]))
      array([[7, 8, 9]], dtype=uint8)

    Sources:
      Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", 1998,
      and the description of the format published with MNIST.
    """
    allowed = _INTEGERS if integers else {_UNSIGNED_BYTE: ">u1"}
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in allowed:
        elements = "integers" if integers else "unsigned bytes"
        raise DatasetError(f"{where} is no IDX file of {elements}: it starts with {content[:4].hex()!r}")
    axes = content[3]
    start = 4 + 4 * axes
    if not 1 <= axes <= _MOST_AXES:
        raise DatasetError(f"{where}: an IDX file here has 1…{_MOST_AXES} axes, and its header states {axes}")
    if len(content) < start:
        raise DatasetError(f"{where}: an IDX header of {axes} axes takes {start} bytes, found {len(content)}")
    shape, expected = _shape(content), idx_size(content)
    if len(content) != expected:
        # What follows the stated size may be of any length, and is not read to its end.
        more = " or more" if len(content) > (expected or 0) else ""
        raise DatasetError(
            f"{where}: the IDX header states shape {shape}, so {expected} bytes, found {len(content)}{more}"
        )
    return np.frombuffer(content, allowed[content[2]], offset=start).reshape(shape)


def parse_cifar10(content: bytes, where: str = "the CIFAR-10 file") -> tuple[np.ndarray, np.ndarray]:
    """Parses CIFAR-10 binary records: a label byte, then 1,024 red, 1,024 green, 1,024 blue, row by row.

    Args:
      content: the file.
      where: what the error calls it.

    Returns:
      Images, uint8 [N, 32, 32, 3], and labels, int32 [N].

    Raises:
      DatasetError: for a size that is no multiple of a record's 3,073 bytes, or a label above 9.

    Example:
      >>> images, labels = parse_cifar10(bytes([3]) + bytes([10] * 1024 + [20] * 1024 + [30] * 1024))
      >>> images.shape, images[0, 5, 5].tolist(), labels.tolist()
      ((1, 32, 32, 3), [10, 20, 30], [3])

    Sources:
      A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    images, labels = _parse_records(content, where, (10,))
    return images, labels[0]


def parse_cifar100(content: bytes, where: str = "the CIFAR-100 file") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Parses CIFAR-100 binary records: as CIFAR-10's, with two label bytes, the coarse one of 20 and the fine of 100.

    Args:
      content: the file.
      where: what the error calls it.

    Returns:
      Images, uint8 [N, 32, 32, 3]; coarse labels, int32 [N]; fine labels, int32 [N].

    Raises:
      DatasetError: for a size that is no multiple of a record's 3,074 bytes, or a label out of its range.

    Example:
      >>> images, coarse, fine = parse_cifar100(bytes([3, 77]) + bytes([10] * 1024 + [20] * 1024 + [30] * 1024))
      >>> images[0, 5, 5].tolist(), coarse.tolist(), fine.tolist()
      ([10, 20, 30], [3], [77])

    Sources:
      A. Krizhevsky, "Learning multiple layers of features from tiny images", 2009.
    """
    images, (coarse, fine) = _parse_records(content, where, (20, 100))
    return images, coarse, fine


def _parse_records(content: bytes, where: str, classes: tuple[int, ...]) -> tuple[np.ndarray, list[np.ndarray]]:
    """Images, and the labels of each label byte, which are below the number of classes."""
    size = len(classes) + _PIXELS
    if not content or len(content) % size:
        raise DatasetError(f"{where}: the size must be a multiple of {size} bytes, found {len(content)}")
    records = np.frombuffer(content, np.uint8).reshape(-1, size)
    labels = [records[:, byte].astype(np.int32) for byte in range(len(classes))]
    for column, count in zip(labels, classes, strict=True):
        if column.max() >= count:
            raise DatasetError(f"{where}: labels must lie in 0…{count - 1}, found {column.max()}")
    planes = records[:, len(classes) :].reshape(-1, _CHANNELS, _SIDE, _SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels
