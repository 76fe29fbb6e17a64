"""Reading checkpoints: the newest one all of whose files are what was written."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jasgd.record.checkpoints.history import History
from jasgd.record.checkpoints.layout import (
    FOLDER_KIND,
    INITIAL,
    KIND,
    STATE,
    saves_in,
)
from jasgd.record.checkpoints.segments import Link, Segment, read_segment
from jasgd.record.checkpoints.state import SavedState
from jasgd.record.checkpoints.writing import VERSION
from jasgd.record.saving.arrays import SavedRunError
from jasgd.record.saving.manifest import SavedFolder, read_whole
from jasgd.record.saving.ownership import RUN
from jasgd.record.trees import load_tree
from jasgd.warning_types import CheckpointWarning


def is_checkpoints(folder: Path) -> bool:
    """Whether a folder has the checkpoints of a run, rather than its result."""
    if saves_in(folder):
        return True
    try:
        saved = SavedFolder(folder)
    except (SavedRunError, OSError):
        return False
    return saved.kind == FOLDER_KIND or (saved.manifest is not None and RUN in saved)


def notes_in(folder: Path) -> dict[str, Any]:
    """The notes of :class:`jasgd.Checkpoints` in a folder; SavedRunError where they are damaged."""
    return read_whole(folder, lambda saved: saved.json(RUN))["notes"]


def newest(folder: Path, like: Mapping[str, Any], *, rows_on_disk: bool = False) -> SavedState | None:
    """The newest checkpoint in a folder that is whole; of each damaged one that is newer, a warning names the file.

    Args:
      folder: of the checkpoints.
      like: pytrees in whose structure leaves are put, by the name of their file; a file that is not there is left out.
      rows_on_disk: whether rows are not kept in memory.

    Returns:
      What it holds; None where there is none, as of a run that was killed within its first save.

    Raises:
      SavedRunError: where there are some, and each is damaged.
      ValueError: where a leaf is missing or too many, or of another shape or dtype; it names the leaf.
    """
    errors: dict[Path, Exception] = {}
    for _, path in saves_in(folder):
        try:
            state = _read(folder, path, like, rows_on_disk=rows_on_disk)
        except (SavedRunError, OSError) as error:
            errors[path] = error
            continue
        for error in errors.values():
            _warn(f"{error}; the checkpoint before it is used, {path}, of version {state.version}")
        return dataclasses.replace(state, damaged=tuple(errors))
    if errors:
        reasons = "; ".join(map(str, errors.values()))
        raise SavedRunError(f"no checkpoint in {folder} is whole: {reasons}") from next(iter(errors.values()))
    return None


def _read(folder: Path, path: Path, like: Mapping[str, Any], *, rows_on_disk: bool) -> SavedState:
    def read(saved: SavedFolder) -> tuple[dict[str, Any], dict[str, Any]]:
        if saved.manifest is None:
            raise SavedRunError(f"{path / 'manifest.json'} is missing")
        if saved.kind != KIND:
            raise SavedRunError(f"{path} is no checkpoint, a {saved.kind} was saved there")
        record = saved.json(STATE)
        if record["format"] > VERSION:
            raise SavedRunError(f"{path} is of version {record['format']}, this jasgd reads versions up to {VERSION}")
        return record, {name: load_tree(saved, name, tree) for name, tree in like.items() if name in saved}

    record, trees = read_whole(path, read)
    last = None if record["rows"] is None else Link(*record["rows"])
    history = History(folder, on_disk=rows_on_disk)
    history.tickets.begin(record["first_ticket"])
    chain: list[tuple[Segment | Link, Link]] = []
    link = last
    while link is not None:
        segment, before = read_segment(folder, link)
        chain.insert(0, (link if rows_on_disk else segment, link))
        link = before
    for one, link in chain:
        history.append(read_segment(folder, link)[0] if isinstance(one, Link) else one, link)
    return SavedState(
        version=record["version"],
        trees=trees,
        initial=_initial(folder, like),
        history=history,
        time_s=record["time_s"],
        counters=record["counters"],
        metadata=record["metadata"],
        outcome=record["outcome"],
        message=record["message"],
        folder=folder,
        link=last,
        newest=path,
    )


def _initial(folder: Path, like: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the run began with; None where that is damaged, which a warning says."""

    def read(saved: SavedFolder) -> dict[str, Any]:
        if saved.manifest is None:
            raise SavedRunError(f"{folder / 'manifest.json'} is missing")
        names = {name: INITIAL + name for name in like}
        return {name: load_tree(saved, file, like[name]) for name, file in names.items() if file in saved}

    try:
        return read_whole(folder, read)
    except (SavedRunError, OSError) as error:
        _warn(f"{error}; the run goes on, but cannot be replayed without the parameters that it began with")
        return None


def _warn(text: str) -> None:
    warnings.warn(text, CheckpointWarning, stacklevel=2)
