"""Synchronous SGD: every round the workers read the same version, and the mean of their gradients is applied."""

from __future__ import annotations

import contextlib
import threading
from typing import final

import numpy as np

from jasgd.core.messages import Committed, Dropped, Gradient, Snapshot, View
from jasgd.core.scheme import Scheme, Setup, require_threads


@final
class Synchronous(Scheme):
    """Workers meet at a barrier; one commit per round, of the mean of all gradients and losses.

    Guarantees. Every τ = 0. Bit-reproducible: a round's gradients are summed in the order of their tickets, whichever
    worker computed them. Linearizes where the last worker of a round replaces the current snapshot, inside the mutex.
    A worker waits for its peers, so a stalled one stalls the run; ``close`` wakes all.
    """

    name = "synchronous"
    checks_commits = True
    needs_every_worker = True  # a run cannot go on without one

    def __init__(self, setup: Setup, *, native: bool = False):
        require_threads(native)
        super().__init__(setup)
        self._workers = self.rows_per_version = setup.workers
        self._current = Snapshot(setup.version, setup.params, setup.state)
        self._round: list[Gradient] = []
        self._factor = 0.0  # of the newest round
        self._mutex = threading.Lock()  # of the round
        # Where each worker waits for the others: locked but for the moment in which it may go on.
        self._gates = [threading.Lock() for _ in range(setup.workers)]
        for gate in self._gates:
            gate.acquire()

    def read(self, worker: int) -> View:
        """The parameters of this round."""
        current = self._current
        self._ledger.note_read(worker, current.version)
        return View(current.version, current.params)

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        """Waits for the round; the last worker to come applies the mean."""
        worker, version = gradient.worker, self._current.version
        with self._mutex:
            self._ledger.require_open(version)
            self._ledger.staleness_between(gradient.view.version, version)
            self._round.append(gradient)
            is_last = len(self._round) == self._workers
            if is_last:
                self._apply_round()
        if is_last:
            self._open(worker)
        else:
            self._gates[worker].acquire()
            if self._current.version == version:  # closed while waiting; the round is given up as a whole
                with self._mutex:  # unless the last worker has come meanwhile
                    if self._current.version == version:
                        self._ledger.require_open(version)
        return self._ledger.record_applied(gradient, version, 0, self._factor)

    def _apply_round(self) -> None:
        base, grads = self._current, sorted(self._round, key=lambda g: g.ticket)
        params, state, factor = self._compiled.apply_mean(
            base.params,
            base.state,
            [g.grads for g in grads],
            [g.loss for g in grads],
            self._compiled.asked(grads[0].view.params, -1),
        )
        self._factor, self._round = float(np.asarray(factor)), []
        self._ledger.check_made(None, base.version, params, base)
        self._current = Snapshot(base.version + 1, params, state)

    def _open(self, last: int | None = None) -> None:
        for worker, gate in enumerate(self._gates):
            if worker != last:
                with contextlib.suppress(RuntimeError):  # it is open already, since the scheme was closed
                    gate.release()

    def warm_up(self, gradient: Gradient) -> None:
        """Compiles what commits call; changes nothing."""
        grads, losses = [gradient.grads] * self._workers, [gradient.loss] * self._workers
        self._compiled.apply_mean(*self._current[1:], grads, losses, self._compiled.asked(gradient.view.params, -1))

    def snapshot(self) -> Snapshot:
        """The current parameters; immutable."""
        return self._current

    def close(self, reason: str) -> None:
        """Later commits raise Closed, and so do those that wait."""
        self._ledger.close(reason)
        self._open()
