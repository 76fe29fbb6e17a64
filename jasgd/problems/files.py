"""Reading published files: found by any of their usual names, read by their content, and checked by their SHA-256."""

from __future__ import annotations

import hashlib
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from io import BufferedIOBase
from pathlib import Path
from typing import cast

from jasgd.problems.contents import HEAD, Content, read_content, read_up_to, recognised, why_broken
from jasgd.problems.formats import idx_size
from jasgd.problems.sources import CIFAR10, FASHION_MNIST, MNIST, DataFile, DatasetError, Source

_SUFFIXES = ("", ".gz", ".bz2", ".xz")
_PUBLISHED = {"MNIST": MNIST, "Fashion-MNIST": FASHION_MNIST, "CIFAR-10": CIFAR10}


def find_files(folder: Path, source: Source) -> dict[str, Path | None]:
    """Where each file of a data set lies in a folder or the usual ones inside: by any of its names, or in an archive.

    Args:
      folder: the folder to look in; it need not exist.
      source: the data set's files.

    Returns:
      For each file, by name, the path to read it from, or None where it is missing. Nothing is read.
    """
    return {file.name: _find(folder, file, source) for file in source.files}


def _find(folder: Path, file: DataFile, source: Source) -> Path | None:
    for inside in source.inside:
        if path := _spelled(folder / inside, file):
            return path
    archives = [archive.name for archive in source.archives if file.name in archive.holds]
    # A browser may have decompressed it on the way.
    names = [spelled for name in archives for spelled in (name, name.removesuffix(".gz"))]
    return next((path for name in names if (path := folder / name).is_file()), None)


def _spelled(folder: Path, file: DataFile) -> Path | None:
    """The file under the names that it is given: with a dot before ``idx``, compressed, in a folder of its own name."""
    if file.pattern:
        matching = re.compile(rf"{file.pattern}({'|'.join(map(re.escape, _SUFFIXES))})")
        names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
        return next((p for name in names if matching.fullmatch(name) and (p := folder / name).is_file()), None)
    spelled = dict.fromkeys((file.name, file.name.replace("-idx", ".idx")))
    candidates = [
        folder / inside / (name + suffix) for name in spelled for inside in ("", name) for suffix in _SUFFIXES
    ]
    return next((path for path in candidates if path.is_file()), None)


def read_files(paths: Mapping[str, Path], files: Iterable[DataFile]) -> dict[str, bytes]:
    """Reads and verifies files.

    Args:
      paths: for each file, by name, the path to read it from, as :func:`find_files` gives it.
      files: their published sizes and checksums, or what checks those that have none.

    Returns:
      The decompressed bytes of each file, by name; their SHA-256 is the published one, where one is known.

    Raises:
      DatasetError: for a file that is truncated or is not the published one, with its path, what it is instead, and the
        size or the SHA-256 expected and found.

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
        contents[file.name] = content.data
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


def _contents(paths: Mapping[str, Path], files: Iterable[DataFile]) -> Iterator[tuple[DataFile, Path, Content]]:
    files = tuple(files)
    opened: dict[Path, dict[str, Content]] = {}  # an archive is decompressed once, for all the files in it
    for file in files:
        path = paths[file.name]
        if ".tar" in path.suffixes:
            if path not in opened:
                opened[path] = _read_archive(path, {f.name: f for f in files})
            content = opened[path].pop(file.name)
        else:
            content = read_content(path, lambda head, file=file: _most(file, head))
        yield file, path, content


def _most(file: DataFile, head: bytes) -> int:
    """How many bytes of a file are to be read: one more than it should have."""
    size = idx_size(head) if file.size is None else file.size
    return HEAD if size is None else size + 1


def _read_archive(path: Path, members: Mapping[str, DataFile]) -> dict[str, Content]:
    """The chosen members of an archive, read in memory: nothing is unpacked to where a member's name points."""
    contents: dict[str, Content] = {}
    broken = "it is in an archive that does not have it"
    try:
        with tarfile.open(path, "r|*") as archive:  # compressed or not, by its content
            for member in archive:
                file = members.get(Path(member.name).name)
                stream = archive.extractfile(member) if file and member.isfile() else None
                if file and stream:
                    data, why = read_up_to(cast(BufferedIOBase, stream), _most(file, b""))
                    contents[file.name] = Content(data, "tar", why and f"the archive's data {why}")
    except Exception as error:
        broken = f"the archive's data {why_broken(error)}"
        if not contents and (kind := recognised(read_content(path, lambda head: HEAD).data)):
            broken = f"the archive is {kind}"
    return {name: contents.get(name, Content(b"", "tar", broken)) for name in members}


def _problem(path: Path, file: DataFile, content: Content) -> str:
    """What is wrong with a file, with its path; empty where nothing is."""
    data = content.data
    digest = hashlib.sha256(data).hexdigest()
    if digest == file.sha256:
        return ""
    # Folders and suffixes aside, the file has its own name; or it is a member of an archive.
    where = f"{file.name} in {path}" if content.compression == "tar" else str(path)
    kind = recognised(data[:HEAD]) if content.compression != "tar" and not content.broken else ""
    owners = [title for title, source in _PUBLISHED.items() if digest in {f.sha256 for f in source.files}]
    hint = f" (which is a file of {owners[0]})" if owners else ""
    if not file.sha256:
        return _malformed(where, file, content, kind, hint)
    sums = f"expected SHA-256 {file.sha256}, found {digest}"
    if kind:
        return f"{where} is not the published file but {kind}: {sums}"
    size = file.size or 0
    if len(data) < size or content.broken:
        measured = "bytes once decompressed" if content.compression else "bytes"
        why = f"; {content.broken}" if content.broken else ""
        return f"{where} is truncated or damaged: expected {size} {measured}, found {len(data)}{why}; {sums}"
    if len(data) > size:
        return f"{where} is not the published file: it has more than the {size} bytes expected"
    return f"{where} is not the published file: {sums}{hint}"


def _malformed(where: str, file: DataFile, content: Content, kind: str, hint: str) -> str:
    """What is wrong with a file of which no checksum is known, as far as its form shows."""
    if content.broken:
        return f"{where} is damaged: {content.broken}, after {len(content.data)} bytes"
    if kind:
        return f"{where} is no data file but {kind}"
    if hint and not file.pattern:  # what is given as the user's own may be anything
        return f"{where} is not the file of this data set{hint}"
    if file.size is not None and len(content.data) != file.size:
        more = " or more" if len(content.data) > file.size else ""
        return f"{where} is not the published file: expected {file.size} bytes, found {len(content.data)}{more}"
    try:
        if file.check is not None:
            file.check(content.data, where)
    except DatasetError as error:
        return str(error)
    return ""
