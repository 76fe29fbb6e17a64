"""The numbers of a run as JSON lines, written while it goes on: one object a line, for any tool that reads them."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal

from jasgd.callbacks.callback import RunOptions
from jasgd.callbacks.metrics import Logged
from jasgd.callbacks.state import RunState
from jasgd.inputs.checks import chosen
from jasgd.record.saving.files import write_whole
from jasgd.record.trees import to_json


class JsonLines(Logged):
    """Writes a JSON object a line: ``event``, ``version``, ``time_s`` and the numbers of :attr:`RunState.metrics`.

    Events are ``start``, ``progress``, ``evaluation``, ``checkpoint`` and ``end``, the last with ``outcome`` and
    ``message``. Each line is written whole and at once, so that a file may be read while the run goes on; numbers that
    are not finite are null. ``pandas.read_json(path, lines=True)`` gives a table.

    Args:
      path: of the file; its folder must exist.
      every_s: seconds between two lines of progress, > 0.
      existing: what to do with a file that is there and not empty: ``"refuse"``; ``"append"``, as for a run that is
        resumed, where a line that a kill has cut off is removed, and lines of a killed part above the version that the
        run goes on from, which come again; or ``"replace"``.

    Raises:
      TypeError, ValueError: for arguments that cannot work. Where it may not write, ``train`` raises FileExistsError or
        FileNotFoundError before it begins.

    Example:
      >>> JsonLines("log.jsonl", every_s=2)
      JsonLines('log.jsonl', every_s=2, existing='refuse')
    """

    def __init__(
        self,
        path: str | Path,
        *,
        every_s: float = 1.0,
        existing: Literal["refuse", "append", "replace"] = "refuse",
    ):
        if not isinstance(path, (str, os.PathLike)):
            raise TypeError(f"path must be the path of a file, got {type(path).__name__} {path!r}")
        chosen("existing", existing, ("refuse", "append", "replace"))
        super().__init__(every_s)
        self.path, self.existing = Path(path), existing
        self._file: Any = None

    def __repr__(self) -> str:
        return f"JsonLines({str(self.path)!r}, every_s={self._every_s:g}, existing={self.existing!r})"

    def check(self, options: RunOptions) -> None:
        """Refuses a file that it may not write, before the run begins."""
        if not self.path.parent.is_dir():
            raise FileNotFoundError(f"path must lie in a folder that exists, got {self.path}")
        if self.path.is_dir():
            raise IsADirectoryError(f"path must be that of a file, got the folder {self.path}")
        if self.existing == "refuse" and self.path.exists() and self.path.stat().st_size:
            raise FileExistsError(f"{self.path} exists: existing must be 'append' or 'replace' to write there")

    def on_start(self, state: RunState) -> None:
        """Opens the file."""
        super().on_start(state)
        self._close()
        if self.existing == "append" and self.path.is_file():
            content = self.path.read_bytes()
            if (kept := _to_go_on_with(content, state.version)) != content:
                write_whole(self.path, kept)
        self._file = self.path.open("ab" if self.existing == "append" else "wb")
        self._line("start", state)

    def on_checkpoint(self, state: RunState) -> None:
        """Writes where the checkpoint is."""
        self._line("checkpoint", state, {"checkpoint": str(state.checkpoint)})

    def on_evaluation(self, state: RunState) -> None:
        """Writes the numbers of the evaluation."""
        self._line("evaluation", state, state.evaluated)

    def write(self, numbers: dict[str, float], step: int, state: RunState) -> None:
        """Writes the numbers of recent gradients."""
        self._line("progress", state, numbers)

    def on_end(self, state: RunState) -> None:
        """Writes how the run ended, and closes the file."""
        try:
            super().on_end(state)
            self._line("end", state, {"outcome": str(state.outcome), "message": state.message})
        finally:
            self._close()

    def _line(self, event: str, state: RunState, more: dict[str, Any] | None = None) -> None:
        if self._file is None:  # the run had ended before it began
            return
        record = {"event": event, "version": state.version, "time_s": round(state.time_s, 6)} | (more or {})
        self._file.write(json.dumps(to_json(record), allow_nan=False).encode() + b"\n")
        self._file.flush()

    def _close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            file.close()


def _to_go_on_with(content: bytes, version: int) -> bytes:
    """What stays in a file to which a run appends that goes on from a version.

    A last line without its end, as a kill leaves it, goes: what is appended would make it one that none can read. That
    of a file which another program wrote may lack no more than its end, which it is given. Lines of higher versions are
    written again, and go where no "end" is after them, as of a part that was killed. A run that begins at version 0 may
    be another one than the file has, and leaves them.
    """
    *whole, rest = content.split(b"\n")
    if rest and _record(rest) is not None:
        whole.append(rest)
    records = [_record(line) for line in whole]
    ends = [i for i, record in enumerate(records) if record and record.get("event") == "end"]
    last_end = ends[-1] if ends else -1
    kept = (
        line
        for i, (line, record) in enumerate(zip(whole, records, strict=True))
        if i <= last_end or not version or not _is_above(record, version)
    )
    return b"".join(line + b"\n" for line in kept)


def _record(line: bytes) -> dict[str, Any] | None:
    """The object on a line, empty for another value; None for what is no JSON."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else {}


def _is_above(record: dict[str, Any] | None, version: int) -> bool:
    of_line = (record or {}).get("version")
    return isinstance(of_line, int) and of_line > version
