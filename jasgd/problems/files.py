"""Reading published files: raw or compressed ones are found, checked by their SHA-256 and parsed without unpickling."""

from __future__ import annotations

import gzip
import hashlib
import struct
import tarfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import cast

import numpy as np

from jasgd.problems.sources import CIFAR10, FASHION_MNIST, MNIST, DataFile, DatasetError, Source

_UNSIGNED_BYTE = 0x08  # the IDX code of the one element type that these data sets use
_RECORD_SIDE, _RECORD_CHANNELS = 32, 3  # of a CIFAR-10 image
_RECORD_BYTES = 1 + _RECORD_CHANNELS * _RECORD_SIDE**2
_UNPACKED = "cifar-10-batches-bin"  # the folder inside CIFAR-10's archive
_BROKEN = (EOFError, gzip.BadGzipFile, zlib.error, tarfile.TarError)


def find_files(folder: Path, source: Source) -> dict[str, Path | None]:
    """Where each file of a data set lies in a folder: raw, as ``.gz``, or inside an archive.

    Args:
      folder: the folder to look in; it need not exist.
      source: the data set's files.

    Returns:
      For each file, by name, the path to read it from, or None where it is missing. Nothing is read.
    """
    return {file.name: _find(folder, file, source) for file in source.files}


def _find(folder: Path, file: DataFile, source: Source) -> Path | None:
    candidates = [folder / file.name, folder / (file.name + ".gz"), folder / _UNPACKED / file.name]
    candidates += [folder / archive.name for archive in source.archives if file.name in archive.holds]
    return next((path for path in candidates if path.is_file()), None)


def read_files(paths: Mapping[str, Path], files: Iterable[DataFile]) -> dict[str, bytes]:
    """Reads and verifies files.

    Args:
      paths: for each file, by name, the path to read it from, as :func:`find_files` gives it.
      files: their published sizes and checksums.

    Returns:
      The decompressed bytes of each file, by name; their SHA-256 is the published one.

    Raises:
      DatasetError: for a file that is truncated or is not the published one, with its path, and the size or the
        SHA-256 expected and found.

    Example:
      >>> import hashlib, pathlib, tempfile
      >>> right = DataFile("a", 3, hashlib.sha256(b"abc").hexdigest())
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     path = pathlib.Path(folder, "a")
      ...     _ = path.write_bytes(b"abc")
      ...     read_files({"a": path}, [right])
      {'a': b'abc'}
    """
    contents: dict[str, bytes] = {}
    for file, path, content in _contents(paths, files):
        problem = _problem(path, file, content)
        if problem:
            raise DatasetError(problem)
        contents[file.name] = content
    return contents


def check_files(paths: Mapping[str, Path], files: Iterable[DataFile]) -> dict[str, str]:
    """Verifies files as :func:`read_files` does, without raising.

    Args:
      paths: for each file, by name, the path to read it from.
      files: their published sizes and checksums.

    Returns:
      For each file, by name, the message that :func:`read_files` would raise, or ``""``.
    """
    return {file.name: _problem(path, file, content) for file, path, content in _contents(paths, files)}


def _contents(paths: Mapping[str, Path], files: Iterable[DataFile]) -> Iterator[tuple[DataFile, Path, bytes]]:
    files = tuple(files)
    opened: dict[Path, dict[str, bytes]] = {}  # an archive is decompressed once, for all the files in it
    for file in files:
        path = paths[file.name]
        if path.name.endswith(".tar.gz"):
            if path not in opened:
                opened[path] = _read_archive(path, {f.name: f for f in files})
            content = opened[path].pop(file.name, b"")
        else:
            content = _read_one(path, file)
        yield file, path, content


def _read_one(path: Path, file: DataFile) -> bytes:
    if path.suffix != ".gz":
        return path.read_bytes()
    with gzip.open(path) as stream:
        return _read_up_to(stream, file.size + 1)


def _read_up_to(stream: BufferedIOBase, size: int) -> bytes:
    """The bytes that can be decompressed; a broken stream shows by its size, and a bomb does not fill the memory."""
    chunks: list[bytes] = []
    try:
        # Unlike `read`, `read1` does not lose what precedes the break.
        while size > 0 and (chunk := stream.read1(min(size, 1 << 16))):
            chunks.append(chunk)
            size -= len(chunk)
    except _BROKEN:
        pass
    return b"".join(chunks)


def _read_archive(path: Path, members: Mapping[str, DataFile]) -> dict[str, bytes]:
    """The chosen members of a .tar.gz, read in memory: nothing is unpacked to where a member's name points."""
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path, "r|gz") as archive:
            for member in archive:
                file = members.get(Path(member.name).name)
                stream = archive.extractfile(member) if file and member.isfile() else None
                if file and stream:
                    contents[file.name] = _read_up_to(cast(BufferedIOBase, stream), file.size + 1)
    except _BROKEN:
        pass
    return contents


def _problem(path: Path, file: DataFile, content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    if digest == file.sha256:
        return ""
    where = str(path) if path.name in (file.name, file.name + ".gz") else f"{file.name} in {path}"
    sums = f"expected SHA-256 {file.sha256}, found {digest}"
    if len(content) < file.size:
        measured = "bytes once decompressed" if path.suffix == ".gz" else "bytes"
        return f"{where} is truncated or damaged: expected {file.size} {measured}, found {len(content)}; {sums}"
    known = {"MNIST": MNIST, "Fashion-MNIST": FASHION_MNIST, "CIFAR-10": CIFAR10}
    owner = [title for title, source in known.items() if digest in {f.sha256 for f in source.files}]
    hint = f" (which is a file of {owner[0]})" if owner else ""
    return f"{where} is not the published file: {sums}{hint}"


def parse_idx(content: bytes, where: str = "the IDX file") -> np.ndarray:
    """Parses an IDX file of unsigned bytes: two zeros, type, number of axes, their lengths big-endian, the elements.

    Args:
      content: the decompressed file.
      where: what the error calls it.

    Returns:
      A read-only uint8 array of the shape that the header states, sharing memory with ``content``.

    Raises:
      DatasetError: for a header that is not IDX of unsigned bytes, or states another size than there is.

    Example:
      >>> parse_idx(bytes([0, 0, 8, 2, 0, 0, 0, 1, 0, 0, 0, 3, 7, 8, 9]))
      array([[7, 8, 9]], dtype=uint8)

    Sources:
      Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, "Gradient-based learning applied to document recognition", 1998,
      and the description of the format published with MNIST.
    """
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != _UNSIGNED_BYTE:
        raise DatasetError(f"{where} is no IDX file of unsigned bytes: it starts with {content[:4].hex()!r}")
    axes = content[3]
    start = 4 + 4 * axes
    if len(content) < start:
        raise DatasetError(f"{where}: an IDX header of {axes} axes takes {start} bytes, found {len(content)}")
    shape = struct.unpack(f">{axes}I", content[4:start])
    expected = start + int(np.prod(shape, dtype=object))
    if len(content) != expected:
        raise DatasetError(f"{where}: the IDX header states shape {shape}, so {expected} bytes, found {len(content)}")
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


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
    if not content or len(content) % _RECORD_BYTES:
        raise DatasetError(f"{where}: the size must be a multiple of {_RECORD_BYTES} bytes, found {len(content)}")
    records = np.frombuffer(content, np.uint8).reshape(-1, _RECORD_BYTES)
    labels = records[:, 0].astype(np.int32)
    if labels.max() > 9:
        raise DatasetError(f"{where}: labels must lie in 0…9, found {labels.max()}")
    planes = records[:, 1:].reshape(-1, _RECORD_CHANNELS, _RECORD_SIDE, _RECORD_SIDE)
    return np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), labels
