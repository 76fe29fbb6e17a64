"""Writing a saved folder: it holds the old files or the new ones whole, at whatever point the process is killed.

New files are written into a folder of their own, inside the one that is saved into, and put on the disk. One renaming
of it to ``NEXT`` is the commit: from then on readers see the new files (:mod:`jasgd.record.saving.manifest`). Then old
files are removed, the new ones are moved to their places, the manifest last. A save that is killed before the renaming
has changed nothing, and one that is killed after it is finished by the next save. POSIX promises that renaming within a
file system is atomic; nothing else is asked of it, and the folder itself is never away, nor another one.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jasgd.record.saving.arrays import described, write_arrays
from jasgd.record.saving.files import abandoned, claimed, held, remove_abandoned, sync_folder
from jasgd.record.saving.manifest import FILE, NEXT, parse_manifest, read_present, seal
from jasgd.record.saving.ownership import DRAFT, check_free, entries_of, owned


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
        with (self.path / name).open("wb") as file:
            write_arrays(file, dict(zip(names, arrays.values(), strict=True)), compress=compress)
        pairs = zip(names, arrays.items(), strict=True)
        self.arrays_of[name] = {"arrays": [described(*one) | {"name": member} for member, one in pairs]} | others

    def json(self, name: str, value: Any) -> None:
        """Writes a file of JSON, for people to read as well."""
        text = json.dumps(value, indent=2, sort_keys=True)
        (self.path / name).write_text(text + "\n", encoding="utf-8")


def member_names(names: Mapping[str, Any]) -> list[str]:
    """Names for the arrays of an .npz file: their own, but for those that a file cannot have."""

    def possible(name: str) -> bool:
        try:
            return len(name.encode()) < 1 << 15 and "\0" not in name
        except UnicodeEncodeError:
            return False

    return [name if possible(name) else f"array {i}" for i, name in enumerate(names)]


@contextlib.contextmanager
def replacing(folder: str | Path, *, kind: str, overwrite: bool = False) -> Iterator[Draft]:
    """Saves a folder: all files that the body writes, or none.

    Args:
      folder: made if it does not exist.
      kind: what is saved, such as ``"run"``.
      overwrite: whether what jasgd saved in it before is replaced. Files that it did not save are never touched.

    Yields:
      The draft that the body writes into.

    Raises:
      FileExistsError: where the folder has files and is not to be overwritten, or has files that jasgd did not save.
      OSError: where it cannot be written; the folder is then as it was.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with replacing(folder, kind="numbers") as draft:
      ...         draft.arrays("a.npz", {"x": np.arange(2)})
      ...     sorted(os.listdir(folder))
      ['a.npz', 'manifest.json']
    """
    folder = Path(folder)
    with _drafted(folder, overwrite=overwrite) as draft:
        yield draft
        _publish(folder, draft, seal(kind, _files(draft)), overwrite=overwrite)


@contextlib.contextmanager
def adding(folder: str | Path, *, kind: str | None = None) -> Iterator[Draft]:
    """Adds files to a folder: all that the body writes, or none; files of the same names are replaced.

    Args:
      folder: a saved one, or one that saved ones lie in.
      kind: what it is then; None for what it was.

    Yields:
      The draft that the body writes into.

    Raises:
      OSError: where it cannot be written, or was replaced by another process meanwhile; the folder is then as it was.
    """
    folder = Path(folder)
    before = read_present(folder / FILE)
    with _drafted(folder, overwrite=None) as draft:
        yield draft
        old: dict[str, Any] = {"kind": "run", "files": {}}
        if before is not None:
            old = parse_manifest(folder / FILE, before)
        inside = {} if before is not None else {
            name: _entry(folder / name) for name in sorted(owned(folder)) if (folder / name).is_file()
        }  # fmt: skip
        manifest = seal(kind or old["kind"], inside | old["files"] | _files(draft))
        _publish(folder, draft, manifest, overwrite=None, before=before)


@contextlib.contextmanager
def gathering(folder: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """A folder that saved ones are collected in over a long time, such as the runs of a comparison.

    Where nothing is lost by it they lie in their places at once. What they replace stays until the body has ended.

    Args:
      folder: made if it does not exist; removed in the end if it stays empty.
      overwrite: as of :func:`replacing`.

    Yields:
      The folder to save into; the body seals it with :func:`adding`.

    Raises:
      FileExistsError: as :func:`replacing`.
      OSError: where it cannot be written.
    """
    folder = Path(folder)
    with _drafted(folder, overwrite=overwrite) as draft:
        if not entries_of(folder):
            yield folder
            return
        try:
            yield draft.path
        except BaseException:
            if owned(draft.path):
                aside = folder / time.strftime("unfinished-%Y%m%d-%H%M%S")
                os.rename(draft.path, aside)  # hours of work, perhaps
            raise
        _publish(folder, draft, (draft.path / FILE).read_bytes(), overwrite=overwrite)


@contextlib.contextmanager
def _drafted(folder: Path, *, overwrite: bool | None) -> Iterator[Draft]:
    """A draft inside the folder, removed in the end with whatever is still in it."""
    made = _make(folder)
    try:
        with contextlib.ExitStack() as stack:
            with held(folder):
                remove_abandoned(folder, DRAFT)
                _finish(folder)
                if overwrite is not None:
                    check_free(folder, overwrite=overwrite)
                    _check_alone(folder, overwrite=overwrite)
                own = folder / (DRAFT + os.urandom(4).hex())
                stack.callback(shutil.rmtree, own, ignore_errors=True)
                own.mkdir()
                stack.enter_context(claimed(own))
            draft = Draft(own / "files", {})
            draft.path.mkdir()
            yield draft
    except BaseException as error:
        for path in reversed(made):
            with contextlib.suppress(OSError):  # not empty
                path.rmdir()
        if isinstance(error, OSError) and error.errno is not None and DRAFT in str(error.filename or DRAFT):
            message = f"{error.strerror}; nothing was changed"
            raise OSError(error.errno, message, str(folder)) from error
        raise


def _make(folder: Path) -> list[Path]:
    """Makes a folder, and returns those that were made, the outermost first."""
    missing = []
    for path in (folder, *folder.parents):
        if path.exists():
            break
        missing.insert(0, path)
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _check_alone(folder: Path, *, overwrite: bool) -> None:
    if not overwrite and any(name.startswith(DRAFT) and not abandoned(folder / name) for name in os.listdir(folder)):
        raise FileExistsError(f"{folder} is being written by another process")


def _publish(
    folder: Path, draft: Draft, manifest: bytes, *, overwrite: bool | None, before: bytes | None = None
) -> None:
    """Makes the draft's files those of the folder; ``before`` is the manifest that files are added to."""
    (draft.path / FILE).write_bytes(manifest)
    for path in [*draft.path.rglob("*"), draft.path]:
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())
    with held(folder):
        _finish(folder)
        if overwrite is not None:
            check_free(folder, overwrite=overwrite)
        elif read_present(folder / FILE) != before:
            raise OSError(f"{folder} was replaced by another process while files were added to it")
        for name in parse_manifest(draft.path / FILE, manifest)["files"]:
            if (folder / name).is_dir():
                raise IsADirectoryError(f"{folder / name} is a folder, and a file of that name is to be saved")
        os.rename(draft.path, folder / NEXT)
        sync_folder(folder)
        sync_folder(folder.parent)
        _finish(folder)


def _finish(folder: Path) -> None:
    """Moves what was renamed to ``NEXT`` to its place; what a save that was killed has left to do is done likewise."""
    coming = folder / NEXT
    if not coming.is_dir():
        return
    if (coming / FILE).exists():
        new = parse_manifest(coming / FILE, (coming / FILE).read_bytes())["files"]
        for name in sorted(owned(folder) - set(new) - {FILE}):
            (folder / name).unlink(missing_ok=True)
            _remove_empty(folder, (folder / name).parent)
        # A nested folder's manifest after its files, as for the folder itself.
        for name in sorted(new, key=lambda name: name.endswith(FILE)):
            if (coming / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(coming / name, folder / name)
        os.replace(coming / FILE, folder / FILE)
        sync_folder(folder)
    shutil.rmtree(coming, ignore_errors=True)


def _remove_empty(folder: Path, inside: Path) -> None:
    with contextlib.suppress(OSError):  # not empty
        while inside != folder:
            inside.rmdir()
            inside = inside.parent


def _files(draft: Draft) -> dict[str, Any]:
    names = sorted(path.relative_to(draft.path).as_posix() for path in draft.path.rglob("*") if path.is_file())
    return {name: _entry(draft.path / name) | draft.arrays_of.get(name, {}) for name in names if name != FILE}


def _entry(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest(), "size": path.stat().st_size}
