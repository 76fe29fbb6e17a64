"""The commit of a save, and what is left to do after it; a save that was killed in between leaves that to the next one.

The commit is the renaming of a folder with the new files to ``NEXT``. In it ``REPLACED`` names the old files that go,
which was decided at the commit: what comes into the folder later does not go with them. Files of a folder may also be
in ``NEXT`` of one above it, where readers look as well. So a save holds those folders, the outermost first, and
finishes what is pending in them, and in those within its own, before it commits. Otherwise what was pending would hide,
or be moved over, what is saved later.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from jasgd.record.saving.files import held, is_temporary, remove_abandoned, sync_folder
from jasgd.record.saving.manifest import FILE, LEVELS, NEXT, alike, parse_manifest, seal
from jasgd.record.saving.ownership import DRAFT, GATHERING, walk

REPLACED = ".jasgd-replaced"


@contextlib.contextmanager
def settled(folder: Path) -> Iterator[None]:
    """Holds a folder, and saved ones above it, once nothing is pending in them, nor within it.

    Args:
      folder: it need not exist.

    Raises:
      TimeoutError: where another process holds one of them for a minute.
      SavedRunError: where what is pending was damaged.
      OSError: where it cannot be finished.
    """
    with contextlib.ExitStack() as stack:
        for path in [*_saved_above(folder), folder]:
            stack.enter_context(held(path))
            finish(path)
        for path, _ in walk(folder):
            if path != folder and (path / NEXT).exists():
                with held(path):
                    finish(path)
        yield


def commit(folder: Path, draft: Path, replaced: Iterable[str]) -> None:
    """Makes the files of a draft those of a folder, which is settled; moving them is left to :func:`finish`.

    Args:
      folder: what is saved.
      draft: a folder of the same file system, with a manifest.
      replaced: the old files that go, by their paths from the folder.
    """
    with (draft / REPLACED).open("wb") as file:
        file.write(seal("replaced", {name: {} for name in replaced}))
        file.flush()
        os.fsync(file.fileno())
    sync_folder(draft)
    try:
        os.rename(draft, folder / NEXT)
    except OSError:
        (draft / REPLACED).unlink()
        raise


def finish(folder: Path) -> None:
    """Moves what was renamed to ``NEXT`` in a folder that is held to its place, and removes what it replaces."""
    coming = folder / NEXT
    if coming.is_symlink() or not coming.is_dir():
        return
    if (coming / FILE).exists():
        sync_folder(folder)
        new = _names(coming / FILE)
        # Manifests of folders within after their files, both ways: what is left is then known to be jasgd's.
        for name in sorted(_names(coming / REPLACED) - new, key=_manifests_last):
            _remove(folder, name)
        for name in sorted(new, key=_manifests_last):
            if (coming / name).exists():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(coming / name, folder / name)
        os.replace(coming / FILE, folder / FILE)
        sync_folder(folder)
    shutil.rmtree(coming, ignore_errors=True)


def clear_drafts(folder: Path) -> None:
    """Removes what saves that were killed before their commit have left in a folder that is held, and within it."""
    remove_abandoned(folder, DRAFT)
    for path, _ in walk(folder):
        if path != folder and any(is_temporary(name, DRAFT) for name in os.listdir(path)):
            with held(path):
                removed = remove_abandoned(path, DRAFT)
            if removed:
                _remove_empty(folder, path)


def linked(folder: Path, name: str) -> Path | None:
    """The first link to a folder on the way from a folder to a file within it; None where there is none."""
    parents = [folder / part for part in reversed(Path(name).parents) if part.parts]
    return next((path for path in parents if path.is_symlink()), None)


def _names(path: Path) -> set[str]:
    return set(parse_manifest(path, path.read_bytes())["files"]) if path.exists() else set()


def _manifests_last(name: str) -> tuple[bool, str]:
    return Path(name).name in (FILE, GATHERING), name


def _remove(folder: Path, name: str) -> None:
    path = folder / name
    if linked(folder, name) is None and (path.is_symlink() or path.is_file()):
        path.unlink(missing_ok=True)
    _remove_empty(folder, path.parent)


def _remove_empty(folder: Path, inside: Path) -> None:
    with contextlib.suppress(OSError):  # not empty
        while inside != folder:
            with contextlib.suppress(FileNotFoundError):  # removed before the save was killed that is finished now
                inside.rmdir()
            inside = inside.parent


def _saved_above(folder: Path) -> list[Path]:
    """The folders above one that jasgd saves into, the outermost first."""
    inside = alike(folder / FILE)  # so that a link to the folder is followed too
    above = {Path(os.path.realpath(path)): path for one in inside for path in list(one.parents)[1 : 1 + LEVELS]}
    above.pop(Path(os.path.realpath(folder)), None)
    return [path for real, path in sorted(above.items(), key=lambda one: (len(one[0].parts), one)) if _is_saved(path)]


def _is_saved(folder: Path) -> bool:
    try:
        names = os.listdir(folder)
    except OSError:
        return False
    return any(name in (FILE, NEXT, GATHERING) or is_temporary(name, DRAFT) for name in names)
