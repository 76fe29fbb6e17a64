"""Writing checkpoints: the folder with what a run began with, and one save after another."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from jasgd.record.checkpoints.layout import (
    FOLDER_KIND,
    KIND,
    STATE,
    name_of,
    next_number,
    remove_old,
    remove_parts,
    remove_segments,
    saves_in,
    segment_file,
    segments_above,
)
from jasgd.record.checkpoints.segments import Link, Segment, write_segment
from jasgd.record.saving.files import claimed
from jasgd.record.saving.folder import replacing
from jasgd.record.saving.manifest import located
from jasgd.record.saving.ownership import RUN
from jasgd.record.trees import save_tree, to_json

VERSION = 1


@dataclasses.dataclass(frozen=True)
class Save:
    """What one checkpoint is to hold beside its segment.

    Attributes:
      version: commits so far.
      trees: pytrees by the name of their file.
      record: all that JSON can hold, as :func:`jasgd.record.checkpoints.reading.newest` reads it.
    """

    version: int
    trees: dict[str, Any]
    record: dict[str, Any]


class CheckpointFolder:
    """A folder that the checkpoints of one run are written into, by one thread at a time.

    Args:
      path: the folder.
      keep: how many checkpoints stay.
      link: to the last segment that the next one follows; None for the first.
      damaged: checkpoints there that cannot be used, and do not count among those that stay.

    Guarantees. From :meth:`begin` or :meth:`go_on` to :meth:`release` no other process or thread can begin there: two
    that write into one folder would remove each other's segments. The lock ends with the process.
    """

    def __init__(self, path: Path, *, keep: int, link: Link | None = None, damaged: Collection[Path] = ()):
        self._path, self._keep, self._damaged = path, keep, damaged
        self._lock = contextlib.ExitStack()
        self.link = link

    def _take(self) -> None:
        try:
            self._lock.enter_context(claimed(located(self._path / RUN)))
        except BlockingIOError:
            raise FileExistsError(
                f"folder {self._path} has the checkpoints of a run that goes on at present, in another process or "
                f"thread: wait for its end, or give another folder"
            ) from None

    def release(self) -> None:
        """Lets others write into the folder."""
        self._lock.close()

    def go_on(self, newest: Path | None) -> None:
        """Begins to write where a run goes on that is in the folder.

        Args:
          newest: the checkpoint that it goes on with.

        Raises:
          FileExistsError: where another process or thread goes on with it at present.
        """
        self._take()
        remove_parts(self._path)
        saves = saves_in(self._path)
        if saves and saves[0][1] == newest:  # else segments may belong to checkpoints that can be mended
            remove_segments(self._path, segments_above(self._path, saves[0][0]))

    def begin(self, trees: Mapping[str, Any], record: dict[str, Any]) -> None:
        """Writes what the run began with, before it begins.

        Args:
          trees: pytrees by the name of their file, the initial parameters.
          record: what else is to be known, values that JSON can hold.

        Raises:
          FileExistsError: where the folder has the checkpoints of another run, or files that jasgd did not save.
          OSError: where it cannot be written.
        """
        if saves_in(self._path):
            raise FileExistsError(
                f"folder {self._path} has the checkpoints of a run: resume={str(self._path)!r} goes on with it; give "
                f"another folder to begin anew"
            )
        ours = located(self._path / RUN).exists()  # of a run that was killed within its first save
        if ours:
            self._take()
            remove_segments(self._path, segments_above(self._path, 0))
            remove_parts(self._path)
            self.release()
        with replacing(self._path, kind=FOLDER_KIND, overwrite=ours) as draft:
            for name, tree in trees.items():
                save_tree(draft, name, tree)
            draft.json(RUN, to_json(record))
        self._take()

    def save(self, segment: Segment, save: Save) -> Path:
        """Writes a segment and the checkpoint that ends with it, and removes old checkpoints.

        Args:
          segment: the rows since the save before.
          save: what else the checkpoint holds.

        Returns:
          The folder of the checkpoint.

        Raises:
          OSError: where it cannot be written; what was written before stays.
        """
        number = next_number(self._path)
        link = self.link
        if len(segment.applied) or len(segment.dropped) or segment.evaluations:
            link = write_segment(self._path, segment_file(number), segment, self.link)
        self.link = link  # it is there, whatever becomes of the rest
        folder = self._path / name_of(number)
        with replacing(folder, kind=KIND) as draft:
            for name, tree in save.trees.items():
                save_tree(draft, name, tree)
            draft.json(STATE, to_json(save.record | {"format": VERSION, "version": save.version, "rows": link}))
        remove_old(self._path, self._keep, self._damaged)
        return folder
