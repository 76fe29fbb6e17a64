"""Reading a saved folder: its manifest names each file with its digest, and nothing else is believed.

A folder is changed by one renaming, which :mod:`jasgd.record.saving.folder` describes: what was renamed lies in
``NEXT`` until it was moved to its place. A reader that finds ``NEXT`` reads from there what is still in it.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from jasgd.record.saving.arrays import SavedRunError, as_described, read_arrays

T = TypeVar("T")
FILE = "manifest.json"
NEXT = ".jasgd-next"
VERSION = 2  # of what is written; 1 had no manifest, and is read for ever, as all others are
LEVELS = 3  # how deep runs lie in the folder of a comparison
ATTEMPTS = 100  # at reading a folder that others replace meanwhile


class SavedFolder:
    """A saved folder as it was at one moment.

    Args:
      folder: where it was saved.

    Attributes:
      folder: the same.
      manifest: what is in it, by name of the file; None for version 1, which had none.
      kind: such as ``"run"``; None for version 1.

    Raises:
      FileNotFoundError: where nothing was saved.
      SavedRunError: where the manifest is damaged, or of a later version.
    """

    def __init__(self, folder: str | Path):
        self.folder = Path(folder)
        self.identity = read_present(self.folder / FILE)
        self.manifest: dict[str, Any] | None = None
        self.kind: str | None = None
        if self.identity is not None:
            content = parse_manifest(self.folder / FILE, self.identity)
            self.manifest, self.kind = content["files"], content["kind"]
        elif not self.folder.is_dir():
            raise FileNotFoundError(f"there is no folder {self.folder}")

    def __contains__(self, name: str) -> bool:
        return located(self.folder / name).is_file() if self.manifest is None else name in self.manifest

    def open(self, name: str, *, verify: bool = True) -> io.BufferedReader:
        """A file of the folder, once it is what was written.

        Args:
          name: of the file.
          verify: whether its digest is checked; False for a caller that names what was altered, and verifies then.

        Returns:
          The open file.

        Raises:
          SavedRunError: where it is missing, or was altered.
        """
        path = self.folder / name
        if self.manifest is not None and name not in self.manifest:
            raise SavedRunError(f"{path} is not among the files that {FILE} names: {', '.join(sorted(self.manifest))}")
        file = open_present(path)
        if file is None:
            raise SavedRunError(f"{path} is missing")
        if verify:
            try:
                self.verify(name, file)
            except BaseException:
                file.close()
                raise
        return file

    def verify(self, name: str, file: io.BufferedReader) -> None:
        """Checks the digest of an open file; SavedRunError where it was altered."""
        if self.manifest is not None:
            file.seek(0)
            if hashlib.file_digest(file, "sha256").hexdigest() != self.manifest[name]["sha256"]:
                raise SavedRunError(f"{self.folder / name} was altered since it was written{self._altered(name, file)}")
        file.seek(0)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of a file by name, each in its dtype; SavedRunError where they are not what was written."""
        with self.open(name) as file:
            return self._arrays(name, file)

    def json(self, name: str) -> Any:
        """What a file of JSON holds; SavedRunError where it is none."""
        with self.open(name) as file:
            content = file.read()
        try:
            return json.loads(content)
        except ValueError as error:  # also of bytes that are no text
            raise SavedRunError(f"{self.folder / name} is damaged: {error}") from error

    def _arrays(self, name: str, file: io.BufferedReader) -> dict[str, np.ndarray]:
        try:
            arrays = read_arrays(file)
            described = None if self.manifest is None else self.manifest[name].get("arrays")
            if described is None:
                return arrays
            return {one["path"]: as_described(arrays[one["name"]], one) for one in described}
        except SavedRunError as error:
            raise SavedRunError(f"{self.folder / name} {error}") from error
        except (KeyError, TypeError) as error:
            raise SavedRunError(f"{self.folder / name} does not have what {FILE} says: {error}") from error

    def _altered(self, name: str, file: io.BufferedReader) -> str:
        """Which array it is, where one can say that."""
        file.seek(0)
        try:
            self._arrays(name, file)
        except SavedRunError as error:
            return f": {error}" if name.endswith(".npz") else ""
        return ""


def read_whole(folder: str | Path, read: Callable[[SavedFolder], T]) -> T:
    """Reads a saved folder as it was at one moment, also while another process saves into it.

    Args:
      folder: where it was saved.
      read: takes the folder, and reads what it wants.

    Returns:
      What ``read`` returns.

    Raises:
      FileNotFoundError: where nothing was saved.
      SavedRunError: where a file is damaged or missing.
    """
    for _ in range(ATTEMPTS):
        saved = SavedFolder(folder)
        try:
            return read(saved)
        except (ValueError, OSError):
            if SavedFolder(folder).identity == saved.identity:
                raise
    raise SavedRunError(f"{folder} was replaced {ATTEMPTS} times while it was read")


def located(path: Path) -> Path:
    """Where a file of a saved folder is at present, which differs from its place after a save was killed."""
    return next((place for place in _places(path) if place.exists()), path)


def open_present(path: Path) -> io.BufferedReader | None:
    """A file of a saved folder, opened for reading wherever it is at present; None where it is nowhere."""
    for place in _places(path):
        try:
            return place.open("rb")
        except (FileNotFoundError, NotADirectoryError):
            continue
    return None


def read_present(path: Path) -> bytes | None:
    """The bytes of such a file, or None."""
    if (file := open_present(path)) is None:
        return None
    with file:
        return file.read()


def seal(
    kind: str, files: Mapping[str, Any], *, collection: str | None = None, part_of: list[str] | None = None
) -> bytes:
    """The manifest, with a digest of itself.

    Args:
      kind: what was saved, such as ``"run"``.
      files: by name, what is to be known of each.
      collection: the identity of a collection of saved folders, such as a comparison; None for what is none.
      part_of: the identity of the collection that it was saved for, and its path within it; None for what stands alone.

    Returns:
      JSON, as UTF-8.

    Example:
      >>> parse_manifest(Path("manifest.json"), seal("run", {}))["kind"]
      'run'
    """
    content = {"format": "jasgd", "version": VERSION, "kind": kind, "files": dict(files)}
    content |= {} if collection is None else {"collection": collection}
    content |= {} if part_of is None else {"part_of": part_of}
    return (json.dumps(content | {"sha256": _digest(content)}, indent=1, sort_keys=True) + "\n").encode()


def parse_manifest(path: Path, content: bytes) -> dict[str, Any]:
    """The manifest that :func:`seal` wrote.

    Args:
      path: for messages.
      content: of the file.

    Returns:
      A dict with ``kind``, ``files`` and, of collections and their parts, ``collection`` and ``part_of``.

    Raises:
      SavedRunError: where it was altered, or is of a later version.
    """
    try:
        manifest = json.loads(content)
        sha256 = manifest.pop("sha256")
        whole, later = sha256 == _digest(manifest), manifest["version"] > VERSION
        inside = all(".." not in Path(name).parts and not Path(name).is_absolute() for name in manifest["files"])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise SavedRunError(f"{path} is damaged: {type(error).__name__}: {error}") from error
    if later:
        raise SavedRunError(f"{path} is of version {manifest['version']}, this jasgd reads versions up to {VERSION}")
    if not whole or not inside:
        raise SavedRunError(f"{path} was altered since it was written")
    return manifest


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _places(path: Path) -> Iterator[Path]:
    """Where a file may be, the newest first: in what was renamed and not yet moved, of its folder and those above."""
    for within in alike(path):
        for above in list(within.parents)[:LEVELS]:
            yield above / NEXT / within.relative_to(above)
    yield path


def alike(path: Path) -> list[Path]:
    """The absolute paths of one that may lead through links: as it is written, and as it leads."""
    real = Path(os.path.realpath(path.parent)) / path.name
    return list(dict.fromkeys([Path(os.path.abspath(path)), real]))
