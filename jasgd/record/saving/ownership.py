"""Which files of a folder jasgd saved there, and may replace; all others it never touches."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from jasgd.record.saving.arrays import SavedRunError
from jasgd.record.saving.manifest import FILE, NEXT, parse_manifest

DRAFT = ".jasgd-new-"  # with which the names of unfinished ones begin
#: What version 1 wrote, without a manifest, into a folder that had one of the markers.
MARKERS_1 = {"result.json", "comparison.json", "spectrum.json", "executions.json"}
NAMES_1 = MARKERS_1 | {
    *(f"{name}.npz" for name in ("execution", "params", "opt_state", "initial_params", "aux", "timings")),
    *(f"{name}.json" for name in ("recipe", "metrics")),
    *(f"{name}.png" for name in ("loss", "staleness", "step_size", "spectrum")),
}


def check_free(folder: str | Path, *, overwrite: bool = False) -> None:
    """Raises the FileExistsError of a folder that must not be saved into, before anything is computed.

    Args:
      folder: it need not exist.
      overwrite: as of :func:`replacing`.
    """
    folder = Path(folder)
    entries = entries_of(folder)
    if not entries:
        return
    if not overwrite:
        replaces = "overwrite=True, or --overwrite, replaces what jasgd saved there"
        raise FileExistsError(f"{folder} is not empty, it has {_some(entries)}: {replaces}")
    if foreign := _foreign(folder):
        raise FileExistsError(f"{folder} has what jasgd did not save there and never removes: {_some(foreign)}")


def entries_of(folder: Path) -> list[str]:
    """The names in a folder, but for those of unfinished saves."""
    return sorted(name for name in os.listdir(folder) if not name.startswith(DRAFT)) if folder.is_dir() else []


def owned(folder: Path) -> set[str]:
    """The files that jasgd saved in a folder and in those within it, by their paths from it."""
    found: set[str] = set()
    for path, _, names in os.walk(folder):
        at = Path(path).relative_to(folder)
        if NEXT in at.parts or any(part.startswith(DRAFT) for part in at.parts):
            continue
        if FILE in names:
            with contextlib.suppress(SavedRunError):  # one that is damaged owns nothing, not even itself
                files = parse_manifest(Path(path) / FILE, (Path(path) / FILE).read_bytes())["files"]
                found |= {(at / name).as_posix() for name in (*files, FILE)}
        elif MARKERS_1 & set(names):
            found |= {(at / name).as_posix() for name in NAMES_1 & set(names)}
            if "executions.json" in names:
                found |= {file.relative_to(folder).as_posix() for file in Path(path).glob("*/workers-*/seed-*.npz")}
    return found


def _foreign(folder: Path) -> list[str]:
    found = []
    for path, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != NEXT and not name.startswith(DRAFT)]
        found += [(Path(path) / name).relative_to(folder).as_posix() for name in names]
    return sorted(set(found) - owned(folder))


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
