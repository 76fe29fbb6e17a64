"""Segments: the rows between two saves with all that belongs to them, written once, for every later checkpoint.

Each segment names the one before it by its file and the digest of it, so that a checkpoint which names its last segment
relies on all of them, and what is written does not grow with the run.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jasgd.record.execution import COLUMNS, row_dtype
from jasgd.record.saving.arrays import SavedRunError, in_bytes, read_arrays, write_arrays
from jasgd.record.saving.files import write_whole

VERSION = 1
DROPPED = [*COLUMNS, "reason"]


class Link(NamedTuple):
    """A segment's file, by its path from the folder of the checkpoints, and the SHA-256 of it."""

    file: str
    sha256: str


class Segment(NamedTuple):
    """Rows of consecutive versions, and what else was kept of their gradients.

    Attributes:
      applied: a structured array, in the order of versions and tickets.
      dropped: likewise of the gradients that were dropped meanwhile.
      aux: a column for each scalar that the loss gave besides, in the order of ``applied``.
      timings: columns as of ``TrainResult.timings``.
      evaluations: what ``evaluate`` gave meanwhile.
    """

    applied: np.ndarray
    dropped: np.ndarray
    aux: dict[str, np.ndarray]
    timings: dict[str, np.ndarray]
    evaluations: list[dict[str, float]]


def empty() -> Segment:
    """A segment without rows."""
    return Segment(np.zeros(0, row_dtype(dropped=False)), np.zeros(0, row_dtype(dropped=True)), {}, {}, [])


def joined(segments: Sequence[Segment]) -> Segment:
    """Several segments, one after another, as one.

    A column that some of them do not have is NaN there.

    Example:
      >>> joined([empty(), empty()]).applied.shape
      (0,)
    """
    if not segments:
        return empty()
    return Segment(
        np.concatenate([one.applied for one in segments]),
        np.concatenate([one.dropped for one in segments]),
        _joined_columns([(one.aux, len(one.applied), len(one.dropped)) for one in segments]),
        _joined_columns([(one.timings, len(one.applied), len(one.dropped)) for one in segments]),
        [evaluation for one in segments for evaluation in one.evaluations],
    )


def _joined_columns(parts: list[tuple[dict[str, np.ndarray], int, int]]) -> dict[str, np.ndarray]:
    names = list(dict.fromkeys(name for columns, _, _ in parts for name in columns))
    joined_columns = {}
    for name in names:
        pieces = []
        for columns, applied, dropped in parts:
            rows = dropped if name.startswith("dropped.") else applied
            if rows:
                pieces.append(columns[name] if name in columns else np.full(rows, np.nan))
        first = next(columns[name] for columns, _, _ in parts if name in columns)
        joined_columns[name] = np.concatenate(pieces) if pieces else first[:0]
    return joined_columns


def write_segment(folder: Path, file: str, segment: Segment, before: Link | None) -> Link:
    """Writes a segment's file, such that it is there whole or not at all.

    Args:
      folder: of the checkpoints.
      file: its path from there.
      segment: what to write.
      before: the segment before it.

    Returns:
      The link to it.

    Raises:
      OSError: where it cannot be written.
    """
    arrays = {name: segment.applied[name] for name in COLUMNS}
    arrays |= {f"dropped.{name}": segment.dropped[name] for name in DROPPED}
    arrays |= {f"timings.{name}": column for name, column in segment.timings.items()}
    arrays |= {f"aux.{i}": in_bytes(column) for i, column in enumerate(segment.aux.values())}
    header = {
        "version": VERSION,
        "before": before,
        "evaluations": segment.evaluations,
        "aux": [[name, column.dtype.name] for name, column in segment.aux.items()],
    }
    arrays["header"] = np.array(json.dumps(header))
    memory = io.BytesIO()
    write_arrays(memory, arrays, compress=False)  # which would take a worker's processor
    content = memory.getvalue()
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content)
    return Link(file, hashlib.sha256(content).hexdigest())


def read_segment(folder: Path, link: Link) -> tuple[Segment, Link | None]:
    """Reads what :func:`write_segment` wrote.

    Args:
      folder: of the checkpoints.
      link: to the segment.

    Returns:
      The segment, and the link to the one before it.

    Raises:
      SavedRunError: where the file is missing or was altered; it names it.
    """
    path = folder / link.file
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise SavedRunError(f"{path} is missing") from None
    if hashlib.sha256(content).hexdigest() != link.sha256:
        raise SavedRunError(f"{path} was altered since it was written")
    try:
        arrays = read_arrays(io.BytesIO(content))
        header = json.loads(str(arrays["header"]))
        if header["version"] > VERSION:
            raise SavedRunError(f"is of version {header['version']}, this jasgd reads versions up to {VERSION}")
        segment = Segment(
            _rows(arrays, "", dropped=False),
            _rows(arrays, "dropped.", dropped=True),
            {name: _as(arrays[f"aux.{i}"], dtype) for i, (name, dtype) in enumerate(header["aux"])},
            {name.removeprefix("timings."): column for name, column in arrays.items() if name.startswith("timings.")},
            header["evaluations"],
        )
        return segment, None if header["before"] is None else Link(*header["before"])
    except (KeyError, TypeError, ValueError) as error:
        raise SavedRunError(f"{path} {error}") from error


def _rows(arrays: Mapping[str, np.ndarray], prefix: str, *, dropped: bool) -> np.ndarray:
    rows = np.zeros(len(arrays[f"{prefix}version"]), row_dtype(dropped=dropped))
    for name in DROPPED if dropped else COLUMNS:
        rows[name] = arrays[prefix + name]
    return rows


def _as(array: np.ndarray, name: str) -> Any:
    dtype = jax.numpy.dtype(name)
    return array.view(dtype) if array.dtype.kind == "V" else array
