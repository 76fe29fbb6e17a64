"""Where everything lies in a folder of checkpoints, and which old ones go.

``checkpoint-000012`` is a saved folder, as are the folder itself, which has the initial parameters, and all others that
jasgd writes; ``rows/00000/000012.npz`` is the segment that was written with it. Numbers grow with each save, also of a
run that is gone on with, so that none is used twice.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterable
from pathlib import Path

from jasgd.record.saving.arrays import SavedRunError
from jasgd.record.saving.files import is_temporary, temporary_name
from jasgd.record.saving.manifest import FILE, SavedFolder
from jasgd.record.saving.ownership import CHECKPOINTS, DRAFT, entries_of
from jasgd.record.saving.pending import clear_drafts, settled

KIND = "checkpoint"
FOLDER_KIND = CHECKPOINTS
STATE = "checkpoint.json"
#: files of pytrees in a checkpoint
PARAMS, MODEL_STATE, OPT_STATE = "params.npz", "model_state.npz", "opt_state.npz"
INITIAL = "initial_"  # prefix of the files with what a run began with
_NAME = re.compile(r"checkpoint-(\d{6,})")
_IN_A_FOLDER = 1000  # segments, since a save lists the folder that it writes to


def name_of(number: int) -> str:
    """The folder of a checkpoint, by its number."""
    return f"checkpoint-{number:06d}"


def segment_file(number: int) -> str:
    """The file of the segment that is written with a checkpoint."""
    return f"rows/{number // _IN_A_FOLDER:05d}/{number:06d}.npz"


def saves_in(folder: Path) -> list[tuple[int, Path]]:
    """The checkpoints in a folder with their numbers, the newest first; damaged ones too, not those never completed."""
    if not folder.is_dir():
        return []
    named = [(match, folder / name) for name in os.listdir(folder) if (match := _NAME.fullmatch(name))]
    return sorted(((int(match[1]), path) for match, path in named if entries_of(path)), reverse=True)


def next_number(folder: Path) -> int:
    """A number above all that were used in a folder."""
    numbers = [int(match[1]) for name in _names(folder) if (match := _NAME.fullmatch(name))]
    rows = folder / "rows"
    if groups := sorted(name for name in _names(rows) if name.isdigit()):
        numbers += [int(name[:-4]) for name in _names(rows / groups[-1]) if name[:-4].isdigit() and name[-4:] == ".npz"]
    return max(numbers, default=0) + 1


def remove_old(folder: Path, keep: int, damaged: Collection[Path] = ()) -> None:
    """Removes all checkpoints but so many, the newest that are not damaged, and what killed saves have left.

    A file that jasgd did not save is never removed, nor a checkpoint that has one.
    """
    kept = [path for _, path in saves_in(folder) if path not in damaged][:keep]
    for name in _names(folder):
        path = folder / name
        if not _NAME.fullmatch(name) or path in kept or path.is_symlink() or not path.is_dir():
            continue
        with contextlib.suppress(OSError), settled(path):
            clear_drafts(path)
        entries = set(os.listdir(path))
        if entries <= _files_of(path):
            # Renamed first: else one that is removed in part would be taken for a damaged one.
            aside = folder / temporary_name(DRAFT)
            os.rename(path, aside)
            _remove(aside, entries)


def remove_segments(folder: Path, files: Iterable[str]) -> None:
    """Removes segments that no checkpoint relies on."""
    for file in files:
        (folder / file).unlink(missing_ok=True)


def remove_parts(folder: Path) -> None:
    """Removes segments that a killed save has not written to their end; nothing may be saved there meanwhile."""
    for group in _names(folder / "rows"):
        for name in _names(folder / "rows" / group):
            prefix = re.match(r"\.\d{6,}\.npz\.part-", name)
            if prefix is not None and is_temporary(name, prefix[0]):
                (folder / "rows" / group / name).unlink(missing_ok=True)


def segments_above(folder: Path, number: int) -> list[str]:
    """The segments in a folder whose number is above another."""
    found = []
    for group in _names(folder / "rows"):
        names = _names(folder / "rows" / group)
        numbers = [int(name[:-4]) for name in names if name[:-4].isdigit() and name[-4:] == ".npz"]
        found += [segment_file(one) for one in sorted(numbers) if one > number]
    return found


def _files_of(path: Path) -> set[str]:
    known = {STATE, PARAMS, MODEL_STATE, OPT_STATE, FILE}
    with contextlib.suppress(SavedRunError, OSError):
        known |= set(SavedFolder(path).manifest or ())
    return known


def _remove(path: Path, names: set[str]) -> None:
    with contextlib.suppress(OSError):
        for name in names:
            (path / name).unlink(missing_ok=True)
        path.rmdir()


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except (FileNotFoundError, NotADirectoryError):
        return []
