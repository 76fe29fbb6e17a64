"""Writing a saved folder: it holds the old files or the new ones whole, at whatever point the process is killed.

New files are written into a folder of their own, inside the one that is saved into, and put on the disk. One renaming
of it to ``NEXT`` is the commit: from then on readers see the new files (:mod:`jasgd.record.saving.manifest`). Then old
files are removed, the new ones are moved to their places, the manifest last (:mod:`jasgd.record.saving.pending`). A
save that is killed before the renaming has changed nothing, and one that is killed after it is finished by the next
save. POSIX promises that renaming within a file system is atomic; nothing else is asked of it, and the folder itself is
never away, nor another one.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from jasgd.record.saving.draft import Draft, files_of
from jasgd.record.saving.files import abandoned, claimed, is_temporary, sync_folder, temporary_name
from jasgd.record.saving.manifest import FILE, parse_manifest, read_present, seal
from jasgd.record.saving.ownership import DRAFT, UNFINISHED, owned, refuse
from jasgd.record.saving.pending import clear_drafts, commit, finish, linked, settled

UNCHANGED = "; nothing was changed"


def check_free(folder: str | Path, *, overwrite: bool = False) -> None:
    """Raises the error of a folder that must not be saved into, before anything is computed.

    What a save that was killed has left to do is done first, so that it does not hinder the next one.

    Args:
      folder: it need not exist.
      overwrite: as of :func:`replacing`.

    Raises:
      FileExistsError: as :func:`replacing`.
      OSError: where it cannot be written into.
    """
    folder = Path(folder)
    if not overwrite:
        refuse(folder, overwrite=False)  # at once, however much is in it
    with settled(folder):
        refuse(folder, overwrite=overwrite)


@contextlib.contextmanager
def replacing(
    folder: str | Path, *, kind: str, overwrite: bool = False, keep: bool = False, part_of: list[str] | None = None
) -> Iterator[Draft]:
    """Saves a folder: all files that the body writes, or none.

    Args:
      folder: made if it does not exist.
      kind: what is saved, such as ``"run"``.
      overwrite: whether what jasgd saved in it before is replaced. Files that it did not save are never touched, nor
        saved folders inside that are results of their own.
      keep: whether what the body has written is set aside in the folder where it cannot come to its place, as when
        others have put files there meanwhile; for what takes long to compute again.
      part_of: of what is saved for a collection, see :class:`jasgd.record.saving.gathering.Collection`.

    Yields:
      The draft that the body writes into.

    Raises:
      FileExistsError: where the folder has files and is not to be overwritten, or has files that jasgd did not save.
      OSError: where it cannot be written; the folder is then as it was.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     with replacing(folder, kind="numbers") as draft:
      ...         draft.json("a.json", [1, 2])
      ...     sorted(os.listdir(folder))
      ['a.json', 'manifest.json']
    """
    folder = Path(folder)
    with drafted(folder, overwrite=overwrite) as draft:
        yield draft
        with kept(folder, draft) if keep else contextlib.nullcontext():
            publish(folder, draft, seal(kind, files_of(draft), part_of=part_of), overwrite=overwrite)


@contextlib.contextmanager
def adding(folder: str | Path) -> Iterator[Draft]:
    """Adds files to a saved folder: all that the body writes, or none; files of the same names are replaced.

    Args:
      folder: a saved one.

    Yields:
      The draft that the body writes into.

    Raises:
      FileNotFoundError: where nothing was saved.
      OSError: where it cannot be written, or was replaced by another process meanwhile; the folder is then as it was.
    """
    folder = Path(folder)
    before = read_present(folder / FILE)
    if before is None:
        raise FileNotFoundError(f"{folder} has no {FILE}, and files are added only to what was saved")
    with drafted(folder, overwrite=None) as draft:
        yield draft
        old = parse_manifest(folder / FILE, before)
        links = {name: old.get(name) for name in ("collection", "part_of")}
        manifest = seal(old["kind"], old["files"] | files_of(draft), **links)
        publish(folder, draft, manifest, overwrite=None, before=before)


@contextlib.contextmanager
def drafted(folder: Path, *, overwrite: bool | None) -> Iterator[Draft]:
    """A draft inside the folder, removed in the end with whatever is still in it; None is to add to what is there."""
    made = _make(folder)
    own = folder / temporary_name(DRAFT)
    try:
        with contextlib.ExitStack() as stack:
            if overwrite is False:
                refuse(folder, overwrite=False)
            with _unchanged(folder), settled(folder):
                if overwrite is not None:
                    refuse(folder, overwrite=overwrite)
                    if not overwrite and not alone(folder):
                        raise FileExistsError(f"{folder} is being written by another process")
                    clear_drafts(folder)
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
        # Only what the body writes into the draft concerns the folder, and that names the draft.
        if isinstance(error, OSError) and error.errno is not None and own.name in str(error.filename):
            raise _nothing_changed(folder, error) from error
        raise


def alone(folder: Path, *, own: Path | None = None) -> bool:
    """Whether no other save than the own one is under way in a folder."""
    others = [name for name in os.listdir(folder) if is_temporary(name, DRAFT) and (own is None or name != own.name)]
    return all(abandoned(folder / name) for name in others)


def publish(
    folder: Path,
    draft: Draft,
    manifest: bytes,
    *,
    overwrite: bool | None,
    before: bytes | None = None,
    replaced: set[str] | None = None,
) -> None:
    """Makes the draft's files those of the folder.

    Args:
      folder: what is saved.
      draft: of it.
      manifest: of all files that it has then.
      overwrite: as of :func:`drafted`.
      before: the manifest that files are added to.
      replaced: the old files that go where files are added.
    """
    with contextlib.ExitStack() as stack:
        with _unchanged(folder):
            (draft.path / FILE).write_bytes(manifest)
            _put_on_disk(draft.path)
            stack.enter_context(settled(folder))
            if overwrite is not None:
                refuse(folder, overwrite=overwrite)
                replaced = owned(folder)
            elif read_present(folder / FILE) != before:
                raise OSError(f"{folder} was replaced by another process while files were added to it")
            new = set(parse_manifest(draft.path / FILE, manifest)["files"])
            replaced = (replaced or set()) - new - {FILE}
            _check_places(folder, [name for name in sorted(new) if (draft.path / name).exists()], replaced)
            commit(folder, draft.path, replaced)
        try:
            sync_folder(folder.parent)
            finish(folder)
        except OSError as error:
            message = f"{error.strerror}; the new files are saved, and the next save moves all to their places"
            raise OSError(error.errno, message, str(folder)) from error


@contextlib.contextmanager
def kept(folder: Path, draft: Draft) -> Iterator[None]:
    """Sets a draft aside where the body, which publishes it, raises; the error then says where it is."""
    try:
        yield
    except BaseException as error:
        if not any(draft.path.glob("*")):  # it has come to its place
            raise
        aside = new_aside(folder)
        os.rename(draft.path, aside)
        if isinstance(error, OSError):
            raise type(error)(f"{error}; what was to be saved there is in {aside}") from error
        raise


def new_aside(folder: Path) -> Path:
    """A folder in another that is not there, for what cannot come to its place."""
    stem = folder / time.strftime(f"{UNFINISHED}%Y%m%d-%H%M%S")
    numbered = (stem.with_name(f"{stem.name}-{number}") for number in itertools.count(2))
    return next(path for path in itertools.chain([stem], numbered) if not path.exists())


def _make(folder: Path) -> list[Path]:
    """Makes a folder, and returns those that were made, the outermost first."""
    missing = []
    for path in (folder, *folder.parents):
        if path.exists():
            break
        missing.insert(0, path)
    folder.mkdir(parents=True, exist_ok=True)
    return missing


def _put_on_disk(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        if path.is_dir():
            sync_folder(path)
        else:
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _check_places(folder: Path, names: list[str], replaced: set[str]) -> None:
    """Raises the error of a file that could not be moved to its place once it is too late to change nothing."""
    for name in names:
        if (folder / name).is_dir():
            raise IsADirectoryError(f"{folder / name} is a folder, and a file of that name is to be saved")
        if (link := linked(folder, name)) is not None:
            raise NotADirectoryError(f"{link} is a link, through which nothing is saved")
        for above in Path(name).parents:
            if (folder / above).is_file() and above.as_posix() not in replaced:
                raise NotADirectoryError(f"{folder / above} is a file, and {name} is to be saved")


@contextlib.contextmanager
def _unchanged(folder: Path) -> Iterator[None]:
    """Says of an error of the operating system that nothing was changed."""
    try:
        yield
    except OSError as error:
        if error.errno is None:  # it is ours, and says all
            raise
        raise _nothing_changed(folder, error) from error


def _nothing_changed(folder: Path, error: OSError) -> OSError:
    message = (error.strerror or str(error)).removesuffix(UNCHANGED)
    ours = OSError(error.errno, message + UNCHANGED, str(folder))
    for note in getattr(error, "__notes__", ()):
        ours.add_note(note)
    return ours
