"""What a synchronization scheme is: how reading the shared parameters and publishing an update are made atomic."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from jasgd.core.compiled import Compiled, Leaves
from jasgd.core.ledger import Ledger
from jasgd.core.messages import Committed, Dropped, Gradient, Snapshot, View

HELD_S = 10.0  # how long whoever takes a snapshot waits for a mutex that an update may hold for ever


def require_threads(native: object) -> None:
    """ValueError where a scheme's class whose rounds are Python's is asked for native ones."""
    if native is not False:
        raise ValueError(f"native must be False for this class, got {native!r}: use jasgd.schemes.named(...)")


def nowhere(point: str, worker: int) -> None:
    """The default of :attr:`Setup.at`: nobody watches."""


@dataclasses.dataclass
class Setup:
    """All that a scheme is given to work with.

    Attributes:
      params: initial leaves of the parameters, jax arrays.
      state: initial leaves of the optimizer state, jax arrays.
      compiled: the traced functions.
      ledger: the bookkeeping.
      workers: number of workers, ≥ 1.
      batch: a mini-batch, for what is traced with one.
      at: called as ``at(point, worker)`` where an interleaving matters; tests wait in it, see :mod:`jasgd.testing`.
      why_not_native: why its rounds are not native, where the caller left that open; the selection writes it.
    """

    params: Leaves
    state: Leaves
    compiled: Compiled
    ledger: Ledger
    workers: int
    at: Callable[[str, int], None] = nowhere
    batch: Any = None
    why_not_native: str = ""


class Scheme(Protocol):
    """A scheme in operation. A factory ``Setup -> Scheme`` is what ``train(scheme=...)`` takes; a class is one.

    ``read`` and ``commit`` are called by the worker that they are given, at most one call per worker at a time;
    ``snapshot``, ``close`` and ``counters`` by any thread at any time. Commit k turns version k into k + 1; a run whose
    scheme commits and does not advance is stopped as failed.

    What a scheme may have besides; it is looked up by name, so a class leaves out what it does not need.

    Attributes:
      name: str, what executions record; by default the name of the class.
      needs_every_worker: bool, whether workers wait for each other, so that a run without one of them is over; by
        default False.
      warm_up: method ``warm_up(gradient) -> None`` that compiles what ``commit`` calls, before the clock starts, and
        changes nothing; by default the first commit compiles, while the others wait.
      reuses_reads: bool, whether the class, not one that is derived of it, hands out memory by ``read`` that it uses
        again when no reference to it is left, or writes to that of the gradients it is given. ``train`` sets the
        attribute ``unwatched`` of such a scheme, before ``warm_up``, where it is not wrapped in another one that might
        keep what it cannot know of; by default False.
      round: method ``round(worker, ticket, batch, check_finite) -> Round`` that reads, computes and commits in one, and
        is called instead of ``read`` and ``commit`` where there is one. It commits no loss that is not finite where
        ``check_finite``; when the run is over, ``good() -> View | None`` gives the newest parameters with one that
        was. Instead of ``warm_up``, ``rehearse() -> float`` compiles it and gives the seconds of a round. Who wraps a
        scheme to see its reads and commits must not hand it on.
      note_in_flight: method of a scheme that has ``round``; called when the run is over, to tell the ledger what those
        workers have read whose rounds did not end, or that their gradients were applied all the same.
      unfinished: collection of int, versions that were given out to commits which failed or did not end, and have no
        row; by default empty.
    """

    def read(self, worker: int) -> View:
        """The parameters to compute on. Tells the ledger with ``ledger.reading``. May raise Closed."""
        ...

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        """Applies a gradient or drops it; raises Closed, and changes nothing, once the run is over.

        Inside its atomic section a scheme calls ``ledger.require_open``, ``ledger.staleness`` and
        ``ledger.is_too_stale``; it returns what ``ledger.applied`` or ``ledger.dropped`` returns. The reason of a drop
        is one of ``jasgd.record.execution.DROP_REASONS``.
        """
        ...

    def snapshot(self) -> Snapshot:
        """The parameters now, for evaluation, without stopping a worker."""
        ...

    def close(self, reason: str) -> None:
        """Refuses later commits and wakes whoever waits."""
        ...

    @property
    def counters(self) -> dict[str, int]:
        """What the scheme counts beyond the ledger; a name that ``result.metrics`` has itself is left out there."""
        ...


SchemeFactory = Callable[[Setup], Scheme]


def is_native(scheme: Scheme) -> bool:
    """Whether the workers' rounds are native."""
    return callable(getattr(scheme, "round", None))


def reuses(scheme: Scheme) -> bool:
    """Whether it hands out memory that it uses again: its own class says so, since one derived of it may keep it."""
    return bool(vars(type(scheme)).get("reuses_reads"))
