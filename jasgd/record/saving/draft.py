"""New files of a saved folder, before they are its own, and what its manifest is to say of them."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jasgd.record.saving.arrays import described, write_arrays
from jasgd.record.saving.manifest import FILE


class Draft(NamedTuple):
    """New files of a folder, before they are its own.

    Attributes:
      path: where to write them. Every file that is there in the end, in folders within it too, becomes part of the
        saved folder; one that never changes may be a hard link.
      arrays_of: what the manifest is to say of the arrays in a file, by name of the file.
    """

    path: Path
    arrays_of: dict[str, dict[str, Any]]

    def arrays(self, name: str, arrays: Mapping[str, np.ndarray], *, compress: bool = True, **others: Any) -> None:
        """Writes an .npz file, whose arrays the manifest describes with their digests.

        Args:
          name: of the file.
          arrays: by name, of any dtype.
          compress: whether they are deflated.
          **others: what else the manifest is to say of the file; values that JSON can hold.
        """
        names = member_names(arrays)
        path = self.path / name
        with _named(path), path.open("wb") as file:
            write_arrays(file, dict(zip(names, arrays.values(), strict=True)), compress=compress)
        pairs = zip(names, arrays.items(), strict=True)
        self.arrays_of[name] = {"arrays": [described(*one) | {"name": member} for member, one in pairs]} | others

    def json(self, name: str, value: Any) -> None:
        """Writes a file of JSON, for people to read as well."""
        self.text(name, json.dumps(value, indent=2, sort_keys=True) + "\n")

    def text(self, name: str, text: str) -> None:
        """Writes a file of text, as UTF-8."""
        path = self.path / name
        with _named(path):
            path.write_text(text, encoding="utf-8")


def member_names(names: Mapping[str, Any]) -> list[str]:
    """Names for the arrays of an .npz file: their own, but for those that a file cannot have."""

    def possible(name: str) -> bool:
        try:
            return len(name.encode()) < 1 << 15 and "\0" not in name
        except UnicodeEncodeError:
            return False

    return [name if possible(name) else f"array {i}" for i, name in enumerate(names)]


def files_of(draft: Draft) -> dict[str, Any]:
    """What the manifest is to say of a draft's files."""
    names = sorted(path.relative_to(draft.path).as_posix() for path in draft.path.rglob("*") if path.is_file())
    return {name: entry_of(draft.path / name) | draft.arrays_of.get(name, {}) for name in names if name != FILE}


def entry_of(path: Path) -> dict[str, Any]:
    """What a manifest says of any file."""
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": path.stat().st_size}


@contextlib.contextmanager
def _named(path: Path) -> Iterator[None]:
    """Has an error name the file that is written, as that of a full disk does not by itself."""
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
