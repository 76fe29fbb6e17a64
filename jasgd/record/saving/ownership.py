"""Which files of a folder jasgd saved as what the folder holds, and may replace; all others it never touches.

A folder owns the files that its manifest names. A saved folder inside it is a result of its own, unless it was saved
for this one, as the runs of a comparison are: both manifests say so. A comparison that has not ended has no manifest
yet; ``GATHERING`` in its folder says which one it is.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jasgd.record.saving.arrays import SavedRunError
from jasgd.record.saving.files import is_temporary
from jasgd.record.saving.manifest import FILE, NEXT, located, parse_manifest
from jasgd.record.saving.version_1 import MARKERS, kind_1, owned_1

DRAFT = ".jasgd-new-"  # with which the names of unfinished ones begin
GATHERING = ".jasgd-gathering"
CHECKPOINTS, RUN = (
    "checkpoints",
    "run.json",
)  # a folder for those of a run, inside its own, and a file by which it is known
UNFINISHED = "unfinished-"  # with which the names of collections begin that did not come to their end


def refuse(folder: Path, *, overwrite: bool) -> None:
    """Raises the error of a folder that must not be saved into.

    Args:
      folder: it need not exist; nothing of a save that was killed is left to do in it.
      overwrite: as of :func:`jasgd.record.saving.folder.replacing`.
    """
    entries = entries_of(folder)
    if entries and not overwrite:
        replaces = "overwrite=True, or --overwrite, replaces what jasgd saved there"
        raise FileExistsError(f"{folder} is not empty, it has {_some(entries)}: {replaces}")
    mine = owned(folder)
    if foreign := _foreign(folder, mine):
        raise FileExistsError(f"{folder} has what jasgd did not save there and never removes: {_some(foreign)}")
    for path in sorted({(folder / name).parent for name in mine}):  # of which some may be gone
        effective = os.access in os.supports_effective_ids
        if path.exists() and not os.access(path, os.W_OK | os.X_OK, effective_ids=effective):
            raise PermissionError(errno.EACCES, "jasgd may not replace what it saved there", str(path))


def entries_of(folder: Path) -> list[str]:
    """The names in a folder, but for those of unfinished saves."""
    if not folder.is_dir():
        return []
    names = (name for name in os.listdir(folder) if name != GATHERING and not is_temporary(name, DRAFT))
    return sorted(name for name in names if not has_checkpoints(folder, name))


def has_checkpoints(folder: Path, name: str = CHECKPOINTS) -> bool:
    """Whether a name in a folder is that of its run's checkpoints, which saving the run itself never touches."""
    return name == CHECKPOINTS and located(folder / name / RUN).is_file()


def owned(folder: Path) -> set[str]:
    """The files that jasgd saved as what a folder holds, in folders within it too, by their paths from it."""
    manifest, marker = _manifest(folder), gathering_in(folder)
    if manifest is not None:
        found, identity = {*manifest["files"], FILE}, manifest.get("collection")
    elif (folder / FILE).exists():
        return set()  # one that is damaged owns nothing, not even itself
    elif marker is not None:
        found, identity = set(), marker["collection"]
    else:
        found, identity = owned_1(folder), None
    for path, names in walk(folder):
        at = path.relative_to(folder).as_posix()
        if path == folder or FILE not in names:
            continue
        inner = _manifest(path)
        named = f"{at}/{FILE}" in found or (manifest is None and identity is not None)
        if inner is not None and named and inner.get("part_of") == (identity and [identity, at]):
            found |= {f"{at}/{name}" for name in (*inner["files"], FILE)}
        else:  # a later result in the place of what was saved for this one
            found -= {name for name in found if name.startswith(f"{at}/")}
    for path in folder.glob(f"{UNFINISHED}*"):
        aside = None if path.is_symlink() else gathering_in(path)
        if aside is not None and aside.get("set_aside") == path.name:
            found |= {f"{path.name}/{name}" for name in owned(path)}
    return found | ({GATHERING} if marker is not None else set())


def walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    """A folder and those within it, with the names of files and of links; not what unfinished saves have there."""
    for path, folders, names in os.walk(folder):
        # Through a link to a folder nothing is removed, wherever it leads, so it counts as a file.
        links = [name for name in folders if os.path.islink(os.path.join(path, name))]
        folders[:] = sorted(n for n in folders if n not in links and n != NEXT and not is_temporary(n, DRAFT))
        folders[:] = [name for name in folders if not has_checkpoints(Path(path), name)]
        yield Path(path), names + links


def gathering_in(folder: Path) -> dict[str, Any] | None:
    """What ``GATHERING`` in a folder says; None where it is not there, or another one's."""
    try:
        marker = json.loads((folder / GATHERING).read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    known = isinstance(marker, dict) and marker.get("format") == "jasgd" and isinstance(marker.get("collection"), str)
    return marker if known else None


def _manifest(folder: Path) -> dict[str, Any] | None:
    try:
        return parse_manifest(folder / FILE, (folder / FILE).read_bytes())
    except (OSError, SavedRunError):
        return None


def _foreign(folder: Path, mine: set[str]) -> list[str]:
    """What is not of jasgd, or is a result of its own, by the path from a folder."""
    found: list[str] = []
    results: set[Path] = set()
    for path, names in walk(folder):
        others = {name: (path / name).relative_to(folder).as_posix() for name in names}
        others = {name: at for name, at in others.items() if at not in mine}
        if not others or results & set(path.parents):
            continue
        kind = _kind(path) if path != folder and {FILE, GATHERING, *MARKERS} & set(others) else None
        if kind is None:
            found += others.values()
        else:
            results.add(path)
            found.append(f"{path.relative_to(folder).as_posix()} ({kind} of its own)")
    return sorted(found)


def _kind(folder: Path) -> str | None:
    """What a saved folder is, in words; None for one that is none."""
    if (manifest := _manifest(folder)) is not None:
        kind = manifest["kind"]
    else:
        kind = "unfinished comparison" if gathering_in(folder) is not None else kind_1(folder)
    return kind and (kind if kind.endswith("s") else f"{'an' if kind[0] in 'aeiou' else 'a'} {kind}")


def _some(names: list[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
