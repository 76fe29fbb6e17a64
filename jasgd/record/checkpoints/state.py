"""What a run has come to at one version, with all that is needed to go on with it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from jasgd.record.checkpoints.history import History
from jasgd.record.checkpoints.segments import Link


@dataclasses.dataclass(frozen=True)
class SavedState:
    """A run at one version.

    Attributes:
      version: commits so far.
      trees: pytrees by the name of the file that they are saved in.
      initial: likewise what the run began with; None where it was not kept, or is damaged.
      history: the rows up to here.
      time_s: how long the run took until here, in seconds.
      counters: what schemes counted.
      metadata: of the execution so far.
      outcome: how the run ended, None where it had not.
      message: the same in a sentence.
      folder: of the checkpoints that it was read from; None for a result.
      link: to the last segment there.
      newest: the checkpoint; None for a result.
      damaged: newer checkpoints there that could not be used.
    """

    version: int
    trees: dict[str, Any]
    initial: dict[str, Any] | None
    history: History
    time_s: float
    counters: dict[str, int]
    metadata: dict[str, Any]
    outcome: str | None
    message: str
    folder: Path | None = None
    link: Link | None = None
    newest: Path | None = None
    damaged: tuple[Path, ...] = ()


def parts_of(metadata: dict[str, Any]) -> list[dict[str, Any]]:
    """The parts that a run was made in, of each what differs between them; one for a run that was not gone on with.

    Args:
      metadata: of an execution.

    Returns:
      For each part ``from_version`` and what it was run with, by the names in the metadata.

    Example:
      >>> parts_of({"scheme": "leashed", "workers": 2})
      [{'from_version': 0, 'scheme': 'leashed', 'workers': 2}]
    """
    parts = metadata.get("parts")
    return list(parts) if parts else [part(metadata, 0)]


def part(metadata: dict[str, Any], from_version: int) -> dict[str, Any]:
    """What one part of a run was run with."""
    names = ("scheme", "workers", "native", "why_not_native", "environment")
    return {"from_version": from_version} | {name: metadata[name] for name in names if name in metadata}
