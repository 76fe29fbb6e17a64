"""Saved folders that are collected in one over a long time, such as the runs of a comparison."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from jasgd.record.saving.draft import Draft, entry_of, files_of
from jasgd.record.saving.files import held, sync_folder
from jasgd.record.saving.folder import alone, drafted, kept, new_aside, publish, replacing
from jasgd.record.saving.manifest import FILE, seal
from jasgd.record.saving.ownership import GATHERING, entries_of, gathering_in, owned


class Collection(NamedTuple):
    """Where saved folders are collected.

    Attributes:
      path: the folder that they lie in until the end.
      identity: a random text, by which they are known to have been saved for it.
    """

    path: Path
    identity: str

    def replacing(self, name: str, *, kind: str) -> contextlib.AbstractContextManager[Draft]:
        """Saves a folder of the collection, as :func:`jasgd.record.saving.folder.replacing` does.

        Args:
          name: its path within the collection, with ``/``.
          kind: what is saved, such as ``"run"``.
        """
        return replacing(self.path / name, kind=kind, part_of=[self.identity, name])

    @contextlib.contextmanager
    def sealing(self, *, kind: str) -> Iterator[Draft]:
        """Ends the collection: its manifest names all that was saved for it, and what the body writes.

        Args:
          kind: what it is, such as ``"comparison"``.

        Yields:
          The draft that the body writes into.

        Raises:
          OSError: where it cannot be written, or was replaced by another process meanwhile.
        """
        with drafted(self.path, overwrite=None) as draft:
            yield draft
            if (gathering_in(self.path) or {}).get("collection") != self.identity:
                raise OSError(f"{self.path} was replaced by another process while results were collected in it")
            collected = {name: entry_of(self.path / name) for name in sorted(owned(self.path) - {GATHERING})}
            manifest = seal(kind, collected | files_of(draft), collection=self.identity)
            publish(self.path, draft, manifest, overwrite=None, replaced={GATHERING})


@contextlib.contextmanager
def gathering(folder: str | Path, *, overwrite: bool = False) -> Iterator[Collection]:
    """Collects saved folders in one.

    Where nothing is lost by it they lie in their places at once. What they replace stays until the body has ended;
    where that raises, what was collected until then is set aside in the folder, and a note of the error says where.

    Args:
      folder: made if it does not exist; removed in the end if it stays empty.
      overwrite: as of :func:`jasgd.record.saving.folder.replacing`.

    Yields:
      The collection to save into; the body seals it.

    Raises:
      FileExistsError: as :func:`jasgd.record.saving.folder.replacing`.
      OSError: where it cannot be written.
    """
    folder, identity = Path(folder), os.urandom(8).hex()
    with drafted(folder, overwrite=overwrite) as draft:
        with held(folder):
            in_place = not entries_of(folder) and alone(folder, own=draft.path.parent)
            _mark(folder if in_place else draft.path, draft, collection=identity)
        if in_place:
            try:
                yield Collection(folder, identity)
            finally:
                if not entries_of(folder) and (gathering_in(folder) or {}).get("collection") == identity:
                    (folder / GATHERING).unlink(missing_ok=True)
            return
        try:
            yield Collection(draft.path, identity)
        except BaseException as error:
            if owned(draft.path) - {GATHERING}:  # hours of work, perhaps
                aside = new_aside(folder)
                with contextlib.suppress(OSError):  # on a full disk it stays unmarked, and no save replaces it
                    _mark(draft.path, draft, collection=identity, set_aside=aside.name)
                os.rename(draft.path, aside)
                error.add_note(f"what was collected until then is in {aside}")
            raise
        with kept(folder, draft):
            publish(folder, draft, (draft.path / FILE).read_bytes(), overwrite=overwrite)


def _mark(where: Path, draft: Draft, **what: Any) -> None:
    """Writes what :func:`jasgd.record.saving.ownership.gathering_in` reads, by way of the draft's folder."""
    part = draft.path.parent / "marker"
    with part.open("w", encoding="utf-8") as file:
        json.dump({"format": "jasgd"} | what, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, where / GATHERING)
    sync_folder(where)
