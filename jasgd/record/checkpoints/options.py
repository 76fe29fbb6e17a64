"""What a user says of checkpoints: where, how often, and how many are kept."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jasgd.inputs.checks import integer, positive, switch
from jasgd.showing import brief


@dataclasses.dataclass(frozen=True)
class Checkpoints:
    """Where and how often ``jasgd.train(checkpoint=...)`` saves a run, to go on with it by ``resume=``.

    A save takes a snapshot, and is written by a thread of its own: workers go on. What it costs depends on the size of
    the parameters and on the rows since the save before, not on how long the run is. At the end of a run there is
    another one, which also says how the run ended; one that diverged keeps its last good checkpoint.

    Args:
      folder: for the checkpoints of one run; made if it does not exist.
      every_s: seconds between saves, > 0; None for none by time.
      every_steps: commits between saves, ≥ 1; None for none by commits. A save begins some milliseconds after.
        Without either of the two there is only the one at the end.
      keep: how many checkpoints stay there, the newest, ≥ 1. Where one is damaged, the one before it is used.
      rows_on_disk: whether rows that were saved are no longer kept in memory: a gradient takes some 100 bytes. The
        result reads them back at the end.
      notes: what else is to be kept in the folder, for who goes on with the run, such as how a program was called: a
        dict that JSON can hold, in ``run.json``; None for nothing.

    Raises:
      TypeError, ValueError: for what is none of this.

    Example:
      >>> Checkpoints("runs/mine", every_s=60).keep
      2
    """

    folder: str | os.PathLike[str]
    every_s: float | None = None
    every_steps: int | None = None
    keep: int = 2
    rows_on_disk: bool = False
    notes: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.folder, (str, os.PathLike)) or not os.fspath(self.folder):
            raise TypeError(f"folder must be a path, got {self.folder!r}")
        if self.every_s is not None:
            positive("every_s", self.every_s)
        if self.every_steps is not None:
            integer("every_steps", self.every_steps, 1, optional=True)
        integer("keep", self.keep, 1)
        switch("rows_on_disk", self.rows_on_disk)
        try:
            json.dumps(dict(self.notes or {}))
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"notes must be a dict that JSON can hold, got {brief(repr(self.notes))}: {error}"
            ) from None

    @property
    def path(self) -> Path:
        """The folder as a path."""
        return Path(self.folder)
