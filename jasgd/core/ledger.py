"""The bookkeeping that every scheme shares: versions, staleness, the decision to drop, and a row per gradient.

Nothing here locks or waits. Rows lie in preallocated chunks; a writer takes the next row number from a counter and is
then the only one to touch that row. ``next(itertools.count())``, ``dict.setdefault`` with an int key and assignment to
a list's slot are each one C call, atomic under the GIL and under the per-object locks of free-threaded CPython.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jasgd.core.compiled import Leaves
from jasgd.core.health import Health, Made
from jasgd.core.messages import Closed, Committed, Dropped, Gradient, Snapshot, View
from jasgd.inputs.checks import integer
from jasgd.record.execution import DROP_REASONS, Execution, row_dtype

CHUNK = 1 << 14  # rows


class AppliedRow(NamedTuple):
    """The numbers of an applied gradient, all but its time."""

    worker: int
    ticket: int
    version_read: int
    version: int  # commits before this one
    staleness: int  # in updates
    factor: float  # C(τ)
    loss: float
    tries: int


class _Rows:
    """Rows that grow by chunks; the thread that drew a row's number writes it once, and then marks it as written.

    Guarantees. Any number of threads may append, and read meanwhile. A reader copies the marks first, so that of each
    row which it takes for written it has all. Marks are bytes of an object whose writes and copies lock it where there
    is no GIL (from Python 3.14 on; before, a processor must show writes in their order, as x86 does).
    """

    def __init__(self, dtype: np.dtype):
        self._dtype = dtype
        self._chunks: dict[int, tuple[np.ndarray, bytearray]] = {}  # rows, and for each a byte, 1 where it is written
        self._numbers = itertools.count()
        self._taken: dict[int, np.ndarray] = {}  # of each chunk that rows were taken out of, which
        self._gone = 0  # rows in chunks that are no longer kept

    def append(self, row: tuple) -> None:
        place, index = divmod(next(self._numbers), CHUNK)
        chunk = self._chunks.get(place)
        if chunk is None:
            chunk = self._chunks.setdefault(place, (np.zeros(CHUNK, self._dtype), bytearray(CHUNK)))
        rows, written = chunk
        rows[index] = row
        written[index] = 1

    def __len__(self) -> int:
        """How many rows are written."""
        return self._gone + sum(written.count(1) for _, written in self._in_order())

    def take(self) -> np.ndarray:
        """The rows that were written since the last call, each once; for one thread alone.

        A chunk all of whose rows were taken is kept no longer, but the newest two of them, which :meth:`last` reads.
        """
        parts = [np.zeros(0, self._dtype)]
        for place in sorted(list(self._chunks)):
            rows, written = self._chunks[place]
            taken = self._taken.setdefault(place, np.zeros(CHUNK, bool))
            if taken.all():
                continue
            new = np.frombuffer(bytes(written), bool) & ~taken
            parts.append(rows[new])
            taken |= new
        for place in sorted(list(self._chunks))[:-2]:
            if not self._taken[place].all():
                break
            self._gone += CHUNK
            del self._chunks[place], self._taken[place]
        return np.concatenate(parts)

    def last(self, count: int) -> np.ndarray:
        """The last ``count`` rows of those that are written, while others are being written."""
        kept: list[np.ndarray] = []
        for chunk in reversed(self._in_order()):
            kept.insert(0, _written(*chunk, count))
            count -= len(kept[0])
            if count <= 0:
                break
        return np.concatenate(kept) if kept else np.zeros(0, self._dtype)

    def all(self) -> np.ndarray:
        """Every row that is written."""
        parts = [_written(*chunk) for chunk in self._in_order()]
        return np.concatenate(parts) if parts else np.zeros(0, self._dtype)

    def _in_order(self) -> list[tuple[np.ndarray, bytearray]]:
        return [chunk for _, chunk in sorted(self._chunks.copy().items())]  # a copy: others may add and remove some


def _written(rows: np.ndarray, written: bytearray, most: int = CHUNK) -> np.ndarray:
    """The last of the rows that are written, ``most`` ≥ 1 of them."""
    marks = np.frombuffer(bytes(written), bool)  # a copy, before anything of the rows is read
    return rows[np.flatnonzero(marks)[-most:]]


class Ledger:
    """Versions, staleness, drop decisions and rows of one run.

    Args:
      workers: number of workers, ≥ 1.
      limit: commits after which no more are taken, or None.
      version: commits before those of this ledger, of a run that is gone on with.

    Attributes:
      health: whether the parameters that commits make are finite.
      offset_s: what the clock shows when it is started.
      before: rows of gradients that were applied before, for those who look at recent ones.
    """

    def __init__(self, workers: int, *, limit: int | None = None, version: int = 0):
        self.workers = workers
        self.limit = limit
        self.first_version = version
        self.offset_s = 0.0
        self.before = np.zeros(0, row_dtype(dropped=False))
        self._counts_before = 0, 0
        self.max_staleness: int | None = None
        self.closed: str | None = None
        self.health = Health()
        self.started = time.perf_counter()
        self.in_flight = [-1] * workers  # version each worker reads and has not yet committed on, -1 for none
        self._applied = _Rows(row_dtype(dropped=False))
        self._dropped = _Rows(row_dtype(dropped=True))
        self._waiting = np.zeros(0, row_dtype(dropped=False)), np.zeros(0, row_dtype(dropped=True))
        self.health.note_good(version - 1)

    def start(self) -> None:
        """Sets the zero of ``time_s``, or where a run that is gone on with was."""
        self.started = time.perf_counter() - self.offset_s

    def go_on(self, offset_s: float, recent: np.ndarray, counts: tuple[int, int]) -> None:
        """Says what was before the first version of this ledger.

        Args:
          offset_s: how long the run took until then, in seconds.
          recent: the last rows that were applied.
          counts: gradients that were applied and dropped.
        """
        self.offset_s, self.before, self._counts_before = offset_s, recent, counts
        self.start()

    def drop_above(self, max_staleness: int | None) -> None:
        """Sets the staleness above which a scheme drops gradients.

        Args:
          max_staleness: in updates, ≥ 0; None drops none.

        Raises:
          ValueError: for anything else.
        """
        if max_staleness is not None:
            max_staleness = integer("max_staleness", max_staleness, 0, unit="in updates", optional=True)
        self.max_staleness = max_staleness

    def close(self, reason: str) -> None:
        """Later commits are refused; the first reason stays."""
        if self.closed is None:
            self.closed = reason

    def require_open(self, version: int) -> None:
        """Called by a scheme inside its atomic section, before it changes anything.

        Args:
          version: commits so far.

        Raises:
          Closed: after :meth:`close`, or when the limit of commits is reached.
        """
        if self.closed is not None:
            raise Closed(self.closed)
        if self.limit is not None and version >= self.limit:
            raise Closed("steps")

    def note_read(self, worker: int, version: int) -> None:
        """Notes which version a worker has read."""
        self.in_flight[worker] = version

    def staleness_between(self, version_read: int, version: int) -> int:
        """τ in updates: commits between the read and the commit that is being decided on.

        Raises:
          ValueError: where the version read lies in the future, which only a faulty scheme can bring about.
        """
        tau = version - version_read
        if tau < 0:
            raise ValueError(f"version_read must be ≤ the current version {version}, got {version_read}")
        return tau

    def is_too_stale(self, staleness: int) -> bool:
        """Whether ``max_staleness`` says to drop."""
        return self.max_staleness is not None and staleness > self.max_staleness

    def check_made(
        self,
        gradient: Gradient | None,
        version: int,
        made: Leaves,
        before: View | Snapshot | None,
        *,
        in_place: bool = False,
        newest: Callable[[], int] | None = None,
    ) -> None:
        """Looks whether the parameters that a commit has made are finite; a scheme's ``checks_commits`` promises it.

        Args:
          gradient: that was applied, None for several.
          version: commits before this one.
          made: leaves, which no thread changes during this call, nor ever unless ``in_place``.
          before: parameters of that version or an older one, None where there are none.
          in_place: whether later commits change the leaves.
          newest: where commits may overlap and change the leaves during this call, gives the version of the newest.
        """
        of = (-1, -1) if gradient is None else (gradient.worker, gradient.ticket)
        self.health.check(Made(version, made, *of, before), in_place=in_place, newest=newest)

    def record_applied(
        self, gradient: Gradient, version: int, staleness: int, factor: Any, tries: int = 1
    ) -> Committed:
        """Writes the row of an applied gradient."""
        g, c = gradient, float(np.asarray(factor))
        row = (g.worker, g.ticket, g.view.version, version, staleness, c, g.loss_value, tries, self.now())
        self._applied.append(row)  # not by record_row, which every gradient would pay for
        self.in_flight[g.worker] = -1
        return Committed(version, staleness, c, tries)

    def record_row(self, row: AppliedRow) -> Committed:
        """Like :meth:`record_applied`, for a scheme that has the numbers alone."""
        self._applied.append((*row, self.now()))
        self.in_flight[row.worker] = -1
        return Committed(row.version, row.staleness, row.factor, row.tries)

    def record_dropped(self, gradient: Gradient, version: int, staleness: int, tries: int, reason: str) -> Dropped:
        """Writes the row of a dropped gradient.

        Raises:
          ValueError: for a reason that is none of ``jasgd.record.execution.DROP_REASONS``.
        """
        if reason not in DROP_REASONS:
            raise ValueError(f"reason must be one of {', '.join(DROP_REASONS)}, got {reason!r}")
        g, why = gradient, DROP_REASONS.index(reason)
        self._dropped.append(
            (
                g.worker,
                g.ticket,
                g.view.version,
                version,
                staleness,
                np.nan,
                g.loss_value,
                tries,
                self.now(),
                why,
            )
        )
        self.in_flight[g.worker] = -1
        return Dropped(reason, version, staleness, tries)

    def now(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    def recent(self, count: int) -> np.ndarray:
        """About the last ``count`` rows applied, while the run goes on; a structured array."""
        rows = self._applied.last(count)
        if len(rows) < count and len(self.before):
            rows = np.concatenate([self.before[len(rows) - count :], rows])
        return rows

    @property
    def newest_version(self) -> int:
        """Commits so far, by the rows; one that has no row yet is not among them."""
        # Each other worker may have written one row of an older version after the newest one.
        last = self.recent(self.workers)["version"]
        return max(self.first_version, int(last.max()) + 1) if len(last) else self.first_version

    @property
    def counts(self) -> tuple[int, int]:
        """Gradients applied and dropped so far."""
        applied, dropped = self._counts_before
        return applied + len(self._applied), dropped + len(self._dropped)

    def below(self, version: int) -> tuple[np.ndarray, np.ndarray]:
        """The rows that were not sealed yet, applied below a version or dropped up to it; for one thread alone.

        Args:
          version: commits so far.

        Returns:
          Structured arrays of the applied and the dropped gradients that are written by now, in the order of versions
          and of times.
        """
        self._gather()
        applied, dropped = self._waiting
        applied, dropped = applied[applied["version"] < version], dropped[dropped["version"] <= version]
        return applied[np.lexsort((applied["ticket"], applied["version"]))], dropped[np.argsort(dropped["time_s"])]

    def seal(self, version: int) -> tuple[np.ndarray, np.ndarray]:
        """Like :meth:`below`, and lets go of these rows, which the caller keeps."""
        sealed = self.below(version)
        applied, dropped = self._waiting
        self._waiting = applied[applied["version"] >= version], dropped[dropped["version"] > version]
        return sealed

    def execution(self, metadata: dict, earlier: tuple[np.ndarray, np.ndarray] | None = None) -> Execution:
        """The record of the run; only when no worker commits any more.

        Args:
          metadata: what it says besides.
          earlier: the rows of applied and of dropped gradients that were sealed; None where none can have been.

        Returns:
          The execution.
        """
        in_flight = [[worker, version] for worker, version in enumerate(self.in_flight) if version >= 0]
        if earlier is None:
            applied, dropped = self._applied.all(), self._dropped.all()
        else:
            self._gather()
            applied, dropped = map(np.concatenate, zip(earlier, self._waiting, strict=True))
        return Execution.from_rows(applied, dropped, metadata | {"workers": self.workers, "in_flight": in_flight})

    def _gather(self) -> None:
        new = self._applied.take(), self._dropped.take()
        applied, dropped = map(np.concatenate, zip(self._waiting, new, strict=True))
        self._waiting = applied, dropped
