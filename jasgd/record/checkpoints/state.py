"""What a run has come to at one version, with all that is needed to go on with it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
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


def parts_of(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The parts that a run was made in, of each what differs between them; one for a run that was not gone on with.

    Args:
      metadata: of an execution.

    Returns:
      For each part ``from_version`` and what it was run with, by the names in the metadata, whole.

    Example:
      >>> parts_of({"scheme": "leashed", "workers": 2})
      [{'from_version': 0, 'scheme': 'leashed', 'workers': 2}]
    """
    parts = metadata.get("parts")
    if not parts:
        return [_part(metadata, 0)]
    whole: list[dict[str, Any]] = []
    for part in parts:
        environment = (whole[-1]["environment"] if whole else {}) | part.get("environment", {})
        whole.append(part | {"environment": environment})
    return whole


def with_part(before: Mapping[str, Any], metadata: Mapping[str, Any], version: int) -> list[dict[str, Any]]:
    """The parts of a run of which another one begins, as its metadata keep them.

    Of an environment they keep what is not as it was in the part before, None for what is not there any more.

    Args:
      before: metadata of the execution so far.
      metadata: of the part that begins.
      version: at which it begins; parts that began there or later have no commits, and are left out.

    Returns:
      What :func:`parts_of` reads.

    Example:
      >>> with_part({"environment": {"jax": "0.10", "load": 1}}, {"environment": {"jax": "0.10", "load": 2}}, 9)[1]
      {'from_version': 9, 'environment': {'load': 2}}
    """
    whole = [part for part in parts_of(before) if part["from_version"] < version] + [_part(metadata, version)]
    kept, known = [], {}
    for part in whole:
        present = dict.fromkeys(known) | part["environment"]
        changed = {name: value for name, value in present.items() if name not in known or known[name] != value}
        kept.append(part | {"environment": changed})
        known = present
    return kept


def _part(metadata: Mapping[str, Any], from_version: int) -> dict[str, Any]:
    names = (
        "scheme", "workers", "native", "why_not_native", "devices", "device_kinds", "environment", "engine",
        "worker_environments",
    )  # fmt: skip
    return {"from_version": from_version} | {name: metadata[name] for name in names if name in metadata}
