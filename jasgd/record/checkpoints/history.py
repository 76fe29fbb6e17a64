"""The history of a run up to its last save: its segments, in memory or on disk only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from jasgd.record.checkpoints.segments import Link, Segment, joined, read_segment
from jasgd.record.execution import row_dtype

RECENT = 100  # rows that are kept in memory whatever else is, for those who look at recent ones


class History:
    """The segments of a run, in their order.

    Args:
      folder: of the checkpoints, where segments are read from; None where all are in memory.
      on_disk: whether a segment that was written is not kept in memory.

    Attributes:
      recent: the last rows that were applied.
      counts: gradients that were applied and dropped.
      tickets: which tickets have a row, see :class:`Tickets`.
      evaluations: what ``evaluate`` gave, which is little, and is kept in memory whatever else is.
    """

    def __init__(self, folder: Path | None = None, *, on_disk: bool = False):
        self._folder, self._on_disk = folder, on_disk
        self._segments: list[Segment | Link] = []
        self.recent = np.zeros(0, row_dtype(dropped=False))
        self.counts = 0, 0
        self.tickets = Tickets()
        self.evaluations: list[dict[str, float]] = []

    def append(self, segment: Segment, link: Link | None = None) -> None:
        """Adds the next segment, with where it was written if it was."""
        self._segments.append(link if link is not None and self._on_disk else segment)
        self.recent = np.concatenate([self.recent, segment.applied])[-RECENT:]
        applied, dropped = self.counts
        self.counts = applied + len(segment.applied), dropped + len(segment.dropped)
        self.tickets.note(segment.applied["ticket"])
        self.tickets.note(segment.dropped["ticket"])
        self.evaluations += segment.evaluations

    def written(self, count: int, link: Link | None) -> None:
        """Says that the last so many segments were written together, and where; None where they have nothing."""
        if self._on_disk:
            self._segments[len(self._segments) - count :] = [] if link is None else [link]

    @property
    def last_evaluation(self) -> dict[str, float] | None:
        """What ``evaluate`` gave last; None before there is one."""
        return self.evaluations[-1] if self.evaluations else None

    def whole(self) -> Segment:
        """All of it as one segment; SavedRunError where a file was damaged meanwhile."""
        return joined(list(self._all()))

    def _all(self) -> Iterator[Segment]:
        for one in self._segments:
            if isinstance(one, Link):
                assert self._folder is not None
                yield read_segment(self._folder, one)[0]
            else:
                yield one


class Tickets:
    """Which tickets have a row, in memory that does not grow with the run.

    Attributes:
      next: the lowest ticket above all that have one.
      pending: those below it that have none, in order: gradients that were under way, or were lost.

    Example:
      >>> tickets = Tickets()
      >>> tickets.note(np.array([0, 3, 1]))
      >>> tickets.next, tickets.pending
      (4, [2])
    """

    def __init__(self) -> None:
        self.next = 0
        self.pending: list[int] = []

    def begin(self, first: int) -> None:
        """Says which ticket the run begins with: those below it are none of its own."""
        self.next = first

    def note(self, tickets: np.ndarray) -> None:
        """Notes that these have rows; int64."""
        if len(tickets):
            end = max(self.next, int(tickets.max()) + 1)
            without = np.concatenate([np.asarray(self.pending, np.int64), np.arange(self.next, end)])
            self.pending = without[~np.isin(without, tickets)].tolist()
            self.next = end
