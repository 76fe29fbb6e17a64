"""Sequential SGD: one worker, every gradient fresh. The reference of the other schemes."""

from __future__ import annotations

from typing import final

from jasgd.core.messages import Committed, Dropped, Gradient, Snapshot, View
from jasgd.core.scheme import Scheme, Setup


@final
class Sequential(Scheme):
    """One worker reads the current parameters and updates them.

    Guarantees. One worker; every τ = 0; the bits of a plain Optax loop. ``snapshot`` may be called by any thread: the
    current snapshot is immutable and replaced by one assignment.
    """

    name = "sequential"
    checks_commits = True
    rows_per_version = 1

    def __init__(self, setup: Setup):
        if setup.workers != 1:
            raise ValueError(f"workers must be 1 for the scheme 'sequential', got {setup.workers}")
        super().__init__(setup)
        self._current = Snapshot(setup.version, setup.params, setup.state)

    def read(self, worker: int) -> View:
        """The current parameters."""
        current = self._current
        self._ledger.note_read(worker, current.version)
        return View(current.version, current.params)

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        """Applies the gradient."""
        base = self._current
        self._ledger.require_open(base.version)
        tau = self._ledger.staleness_between(gradient.view.version, base.version)
        self._current, factor = self.successor(base, gradient, tau)
        self._ledger.check_made(gradient, base.version, self._current.params, base)
        return self._ledger.record_applied(gradient, base.version, tau, factor)

    def snapshot(self) -> Snapshot:
        """The current parameters; immutable."""
        return self._current
