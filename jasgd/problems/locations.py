"""Where on this machine a data set's files lie."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jasgd.problems.files import check_files, find_files
from jasgd.problems.sources import Source
from jasgd.showing import Shown, tally

MOST_LISTED = 8  # of the files in a folder that has not the right ones
SYSTEM_FOLDER = Path("/usr/share/datasets")  # where Debian's packages put data sets


@dataclass(frozen=True)
class FileStatus:
    """A file of a data set, and whether it is there.

    Attributes:
      name: its published name.
      path: what it would be read from, None where it is missing.
      status: ``"missing"``; ``"present"``, but not read; read and ``"verified"`` by its SHA-256, or, where none is
        known, ``"well formed"``; or ``"wrong"``.
      problem: what is wrong, ``""`` otherwise.
    """

    name: str
    path: Path | None
    status: Literal["missing", "present", "verified", "well formed", "wrong"]
    problem: str = ""


@dataclass(frozen=True, repr=False)
class Location(Shown):
    """Where a data set would be read from.

    Attributes:
      name: the data set.
      folder: the folder that has all its files, or None where none has.
      origin: where that folder came from: ``"data_dir"``, ``"$JASGD_DATA_DIR"``, ``"cache"``, ``"system"``;
        ``"package"`` for a data set that is not read from a folder, ``"nowhere"`` for one that is not there.
      files: the status of each file in that folder; where no folder has all of them, in the one that has most.
      searched: the folders looked at, in order.
    """

    name: str
    folder: Path | None
    origin: str
    files: tuple[FileStatus, ...]
    searched: tuple[Path, ...]

    def _facts(self) -> dict[str, Any]:
        files = tally(file.status for file in self.files) or None
        return {"name": self.name, "origin": self.origin, "folder": self.folder, "files": files}


def cache_folder() -> Path:
    """The folder that downloads go to: ``jasgd/datasets`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jasgd" / "datasets"


def search(
    name: str, source: Source | None, data_dir: str | os.PathLike[str] | None = None, *, verify: bool = False
) -> Location:
    """Looks for a data set's files on disk.

    Args:
      name: the data set.
      source: its files; None where they come with a package.
      data_dir: the only folder to look in, with its subfolders named after the data set; None for the usual ones.
      verify: whether to read the files and compare them with their SHA-256.

    Returns:
      The first folder that has all the files, and the status of each file.

    Example:
      >>> from jasgd.problems.sources import MNIST
      >>> location = search("mnist", MNIST, "/nonexistent")
      >>> location.origin, location.files[0].status, [str(folder) for folder in location.searched]
      ('nowhere', 'missing', ['/nonexistent/mnist', '/nonexistent'])
    """
    if source is None:
        return Location(name, None, "package", (), ())
    folders = [(folder, origin, find_files(folder, source)) for folder, origin in _folders(source, data_dir)]
    folder, origin, paths = max(folders, key=lambda one: sum(path is not None for path in one[2].values()))
    complete = all(path is not None for path in paths.values())
    return Location(
        name=name,
        folder=folder if complete else None,
        origin=origin if complete else "nowhere",
        files=_statuses(paths, source, verify),
        searched=tuple(folder for folder, _, _ in folders),
    )


def describe_absence(location: Location) -> str:
    """A sentence on a data set that is not complete: its files, the folders searched, and what lies in them."""
    searched = ", ".join(map(str, location.searched))
    names = ", ".join(file.name for file in location.files)
    present = ", ".join(str(file.path) for file in location.files if file.path is not None)
    partly = f"; there is only {present}" if present else ""
    others = "".join(map(_listing, location.searched)) if not present else ""
    return f"{location.name} was not found: looked in {searched} for {names}, raw or compressed{partly}{others}"


def _listing(folder: Path) -> str:
    """What a folder has, so that a file of another name is seen; empty for a folder that is empty or not there."""
    if folder.is_file():
        return f"; {folder} is a file, not a folder"
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if not names:
        return ""
    listed = ", ".join(names[:MOST_LISTED]) + (", …" if len(names) > MOST_LISTED else "")
    pickled = any(re.search(r"(-python|batches-py)", name) for name in names)
    hint = " (its Python version, whose pickles are never read: get the binary one)" if pickled else ""
    return f"; {folder} has {listed}{hint}"


def _folders(source: Source, data_dir: str | os.PathLike[str] | None) -> list[tuple[Path, str]]:
    def below(root: Path, origin: str) -> list[tuple[Path, str]]:
        there = [folder for folder in source.aliases if (root / folder).is_dir()]
        return [(root / folder, origin) for folder in (*source.folders, *there)]

    if data_dir is not None:
        root = Path(data_dir).expanduser()
        # The subfolder first: MNIST's and Fashion-MNIST's files have the same names.
        return [*below(root, "data_dir"), (root, "data_dir")]
    named = os.environ.get("JASGD_DATA_DIR")
    folders = below(Path(named).expanduser(), "$JASGD_DATA_DIR") if named else []
    return [*folders, *below(cache_folder(), "cache"), *below(SYSTEM_FOLDER, "system")]


def _statuses(all_paths: Mapping[str, Path | None], source: Source, verify: bool) -> tuple[FileStatus, ...]:
    paths = {name: path for name, path in all_paths.items() if path is not None}
    present = [file for file in source.files if file.name in paths]
    problems = check_files(paths, present) if verify else {}

    def status(name: str) -> FileStatus:
        if name not in paths:
            return FileStatus(name, None, "missing")
        if name not in problems:
            return FileStatus(name, paths[name], "present")
        problem = problems[name]
        right = "verified" if next(file.sha256 for file in present if file.name == name) else "well formed"
        return FileStatus(name, paths[name], "wrong" if problem else right, problem)

    return tuple(status(file.name) for file in source.files)
