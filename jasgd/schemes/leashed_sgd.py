"""Leashed-SGD: immutable snapshots, published by compare-and-swap, with a bound on the retries."""

from __future__ import annotations

import threading
from typing import final

from jasgd.core.messages import Committed, Dropped, Gradient, Snapshot, View
from jasgd.core.recycling import Retired
from jasgd.core.scheme import Scheme, Setup, require_threads
from jasgd.inputs.checks import is_integer


@final
class Leashed(Scheme):
    """A worker computes on the current snapshot without copying it, and publishes a new snapshot if none came between.

    If one came between, staleness and step size are computed again on the newest; after more than ``persistence``
    failures the gradient is dropped. The optimizer state, and with it the law, is part of the snapshot: a lost attempt
    leaves no trace in it, so the law counts a gradient once, at its publication.

    Guarantees. No torn read, no lost update; versions form a chain. No blocking on a stalled peer: no parameter is
    read, computed or copied under a lock. Linearizes at the comparison and assignment in ``_swap``; CPython has no
    compare-and-swap of references, so these two statements have a mutex to themselves. A read is one load of an
    attribute. Memory: a snapshot lives while it is current or a worker holds it as view, or as base and candidate; with
    the workers' gradients that makes at most 3m + 1 vectors of parameters at once. The trainer holds one more, the
    newest with a finite loss, and evaluation another; of less than a megabyte also the last few that were made. Memory
    of larger ones is used again once no thread can read it.

    Source:
      Bäckström, Walulya, Papatriantafilou, Tsigas, "Consistent lock-free parallel stochastic gradient descent for fast
      and stable convergence", IPDPS 2021, arXiv 2102.09032.
    """

    name = "leashed"
    checks_commits = True
    rows_per_version = 1

    def __init__(
        self, setup: Setup, *, persistence: int | None = None, max_staleness: int | None = None, native: bool = False
    ):
        require_threads(native)
        require_persistence(persistence)
        setup.ledger.drop_above(max_staleness)
        super().__init__(setup)
        self._persistence = persistence
        self._current, self._first = Snapshot(setup.version, setup.params, setup.state), setup.version
        self._swap_mutex = threading.Lock()
        self._retired = Retired(setup.compiled, setup.workers)

    def reuse_memory(self) -> None:
        """Uses the memory of large snapshots again once no thread can read it."""
        self.reuses_memory = type(self) is Leashed

    def read(self, worker: int) -> View:
        """The current snapshot's parameters, by reference."""
        current = self._current
        self._ledger.note_read(worker, current.version)
        self._at_point("read", worker)
        return View(current.version, current.params)

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        """Publishes the successor of the newest snapshot, trying again while others come first."""
        compiled, ledger, read_version = self._compiled, self._ledger, gradient.view.version
        read = compiled.asked(gradient.view.params, gradient.worker)
        if self.reuses_memory:
            gradient.view = View(read_version, ())  # nothing else reads it, and its memory may be needed
        tries = 0
        while True:
            base = self._current
            self._at_point("base", gradient.worker)
            ledger.require_open(base.version)
            tau = ledger.staleness_between(read_version, base.version)
            if ledger.is_too_stale(tau):
                return ledger.record_dropped(gradient, base.version, tau, tries, "stale")
            params, state, factor = self._retired.apply(
                base.params, base.state, gradient.grads, compiled.staleness_array(tau), gradient.loss, read
            )
            tries += 1
            self._at_point("publish", gradient.worker)
            if self._swap(base, Snapshot(base.version + 1, params, state)):
                ledger.check_made(gradient, base.version, params, base)
                return ledger.record_applied(gradient, base.version, tau, factor, tries)
            self._retired.keep(params, state)  # was not published, so no other thread has seen it
            del params, state
            self._at_point("lost", gradient.worker)
            if self._persistence is not None and tries > self._persistence:
                version = self._current.version
                return ledger.record_dropped(
                    gradient, version, ledger.staleness_between(read_version, version), tries, "contended"
                )

    def _swap(self, expected: Snapshot, new: Snapshot) -> bool:
        with self._swap_mutex:
            self._ledger.require_open(expected.version)
            if self._current is not expected:
                return False
            self._current = new
        if expected.version > self._first:  # the initial arrays are the caller's
            self._retired.keep(expected.params, expected.state)
        return True

    def warm_up(self, gradient: Gradient) -> None:
        """Compiles what commits call; changes nothing."""
        current = self._current
        rest = (
            gradient.grads,
            self._compiled.staleness_array(0),
            gradient.loss,
            self._compiled.asked(gradient.view.params, gradient.worker),
        )
        if self.reuses_memory:
            self._retired.learn(current.params, current.state, *rest)
        else:
            self._compiled.apply(current.params, current.state, *rest)

    def snapshot(self) -> Snapshot:
        """The current snapshot; immutable."""
        return self._current


def require_persistence(persistence: object) -> None:
    """ValueError for what is no bound on the retries."""
    if persistence is not None and (not is_integer(persistence) or persistence < 0):
        raise ValueError(f"persistence must be an integer ≥ 0, or None for no bound, got {persistence!r}")
