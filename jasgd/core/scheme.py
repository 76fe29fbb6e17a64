"""What a synchronization scheme is: how reading the shared parameters and publishing an update are made atomic."""

from __future__ import annotations

import abc
import dataclasses
from collections.abc import Callable, Collection
from typing import Any, ClassVar

from jasgd.core.compiled import Compiled, Leaves
from jasgd.core.ledger import Ledger
from jasgd.core.messages import Committed, Dropped, Gradient, Round, Snapshot, View
from jasgd.showing import Shown

HELD_S = 10.0  # how long a snapshot waits for a mutex that an update may hold for ever


def unwatched(point: str, worker: int) -> None:
    """The default of :attr:`Setup.at_point`: no test watches."""


@dataclasses.dataclass(repr=False)
class Setup(Shown):
    """All that a scheme receives to work with.

    Attributes:
      params: initial leaves of the parameters, jax arrays.
      state: initial leaves of the optimizer state, jax arrays.
      compiled: the traced functions.
      ledger: the bookkeeping.
      workers: number of workers, ≥ 1.
      at_point: called as ``at_point(point, worker)`` where an interleaving matters; tests wait in it, see
        :mod:`jasgd.testing`.
      batch: a mini-batch, for what is traced with one.
      devices: the jax devices that compute, where it is not only the one of the parameters; else empty.
      why_not_native: why the workers' rounds are not native, where the caller left that open; the selection writes it.
      version: that parameters and state are of; 0 but for a run that is gone on with.
    """

    params: Leaves
    state: Leaves
    compiled: Compiled
    ledger: Ledger
    workers: int
    at_point: Callable[[str, int], None] = unwatched
    batch: Any = None
    devices: tuple[Any, ...] = ()
    why_not_native: str = ""
    version: int = 0

    def _facts(self) -> dict[str, Any]:
        return {"workers": self.workers, "params": self.params, "state": self.state, "batch": self.batch}


class Scheme(abc.ABC):
    """A scheme in operation; derive from it, and write ``read``, ``commit`` and ``snapshot``: the rest has defaults.

    ``train(scheme=...)`` takes a function that makes a scheme of a :class:`Setup`; the derived class is one.
    ``read`` and ``commit`` are called by the worker that they receive, at most one call per worker at a time;
    ``snapshot``, ``close`` and ``counters`` by any thread at any time. Commit k turns version k into k + 1; a run whose
    scheme commits and does not advance is stopped as failed.

    A scheme finds in ``self._ledger`` the bookkeeping, in ``self._compiled`` the traced functions, and calls
    ``self._at_point(point, worker)`` where an interleaving matters.

    Attributes:
      name: what executions record; where it is empty, the name of the class.
      checks_commits: whether ``commit`` calls ``ledger.check_made`` with what it has made; else workers look at what
        they read, and the first commit after which parameters are not finite is not always known exactly.
      needs_every_worker: whether workers wait for each other, so that a run without one of them is over.
      is_set_up: whether ``__init__`` of this class was called.
      reuses_memory: whether memory that ``read`` gave out is used again when no reference to it is left.
      rows_per_version: how many gradients each commit applies, None where that is not known beforehand.

    Args:
      setup: what the scheme works with.
    """

    name: ClassVar[str] = ""
    checks_commits: bool = False
    needs_every_worker: bool = False
    reuses_memory: bool = False
    rows_per_version: int | None = None
    is_set_up: bool = False

    def __init__(self, setup: Setup):
        self.is_set_up = True
        self._compiled, self._ledger, self._at_point = setup.compiled, setup.ledger, setup.at_point

    @abc.abstractmethod
    def read(self, worker: int) -> View:
        """The parameters to compute on. Tells the ledger with ``ledger.note_read``. May raise Closed."""

    @abc.abstractmethod
    def commit(self, gradient: Gradient) -> Committed | Dropped:
        """Applies a gradient or drops it; raises Closed, and changes nothing, once the run is over.

        Inside its atomic section a scheme calls ``ledger.require_open``, ``ledger.staleness_between`` and
        ``ledger.is_too_stale``; it returns what ``ledger.record_applied`` or ``ledger.record_dropped`` returns. The
        reason of a drop is one of ``jasgd.record.execution.DROP_REASONS``.
        """

    @abc.abstractmethod
    def snapshot(self) -> Snapshot:
        """The parameters now, for evaluation, without stopping a worker; also before the first commit."""

    def whole_snapshot(self) -> Snapshot:
        """Parameters and state that contain all commits below one version, and nothing of others; for checkpoints.

        Where ``snapshot`` may be torn, commits have to wait for this one.
        """
        return self.snapshot()

    def close(self, reason: str) -> None:
        """Refuses later commits, for the reason; a scheme whose workers wait for each other wakes them as well."""
        self._ledger.close(reason)

    @property
    def counters(self) -> dict[str, int]:
        """What the scheme counts beyond the ledger; a name that ``result.metrics`` has itself is left out there."""
        return {}

    @property
    def unfinished(self) -> Collection[int]:
        """Versions that commits claimed and did not finish; the execution has no rows for them."""
        return ()

    def warm_up(self, gradient: Gradient) -> None:
        """Compiles what commits call, before the clock starts; changes nothing."""
        self.successor(self.snapshot(), gradient, 0)

    def reuse_memory(self) -> None:  # noqa: B027 (nothing, where a scheme uses no memory again)
        """Allows the scheme to use memory again, as only the workers see what it gives out.

        ``train`` calls this before ``warm_up``, of the scheme itself: one that wraps another, or derives from one of
        the library, may keep what it reads, so it must not hand this on.
        """

    def note_in_flight(self) -> None:  # noqa: B027 (nothing, where the ledger has all)
        """When the run is over, tells the ledger what it does not know of rounds that did not end."""

    def successor(self, base: Snapshot, gradient: Gradient, staleness: int) -> tuple[Snapshot, Any]:
        """The snapshot that a gradient turns another one into; changes nothing.

        Args:
          base: what the gradient is applied to.
          gradient: the gradient.
          staleness: τ in updates.

        Returns:
          The next snapshot, and the factor C(τ).
        """
        compiled = self._compiled
        params, state, factor = compiled.apply(
            base.params,
            base.state,
            gradient.grads,
            compiled.staleness_array(staleness),
            gradient.loss,
            compiled.asked(gradient.view.params, gradient.worker),
        )
        return Snapshot(base.version + 1, params, state), factor


class NativeScheme(Scheme):
    """A scheme that reads, computes and commits in one call, in place of the worker's loop."""

    @abc.abstractmethod
    def round(self, worker: int, ticket: int, batch: Any, check_finite: bool) -> Round:
        """Reads, computes and commits; where ``check_finite``, it commits no loss that is not finite."""

    @abc.abstractmethod
    def rehearse(self) -> float:
        """Compiles a round before the clock starts, in place of ``warm_up``; returns its duration in seconds."""

    def settle(self, worker: int) -> None:
        """Waits for what becomes of the worker's last gradient, where its round may end before."""

    def good(self) -> View | None:
        """When the run is over, the newest parameters that gave a finite loss in a round that checked."""
        return None


#: What makes a scheme for a run: a class derived from :class:`Scheme`, or a function of a :class:`Setup`.
SchemeFactory = Callable[[Setup], Scheme]


def require_threads(native: object) -> None:
    """ValueError where a class whose rounds are Python's is asked for native ones."""
    if native is not False:
        raise ValueError(f"native must be False for this class, got {native!r}: use jasgd.schemes.named(...)")
