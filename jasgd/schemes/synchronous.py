"""Synchronous SGD: every round the workers read the same version, and the mean of their gradients is applied."""

from __future__ import annotations

import threading

import numpy as np

from jasgd.schemes import protocol
from jasgd.schemes.protocol import Committed, Dropped, Gradient, Setup, Snapshot, View


class Synchronous:
    """Workers meet at a barrier; one commit per round, of the mean of all gradients and losses.

    Guarantees. Every τ = 0. Bit-reproducible: a round's gradients are summed in the order of their tickets, whoever
    computed them. Linearizes where the last worker of a round replaces the current snapshot, inside the mutex. A worker
    waits for its peers, so a stalled one stalls the run; ``close`` wakes all.
    """

    name = "synchronous"
    needs_every_worker = True  # a run cannot go on without one

    def __init__(self, setup: Setup):
        self._compiled, self._ledger, self._workers = setup.compiled, setup.ledger, setup.workers
        self._current = Snapshot(0, setup.params, setup.state)
        self._round: list[Gradient] = []
        self._committed: dict[int, Committed] = {}  # by worker
        self._barrier = threading.Condition()

    def read(self, worker: int) -> View:
        """The parameters of this round."""
        current = self._current
        self._ledger.reading(worker, current.version)
        return View(current.version, current.params)

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        """Waits for the round; the last worker to come applies the mean."""
        with self._barrier:
            version = self._current.version
            self._ledger.require_open(version)
            self._ledger.staleness(gradient.view.version, version)
            self._round.append(gradient)
            if len(self._round) == self._workers:
                self._apply_round()
                self._barrier.notify_all()
            else:
                self._barrier.wait_for(lambda: self._current.version > version or self._ledger.closed is not None)
                if self._current.version == version:  # closed while waiting; the round is given up as a whole
                    self._ledger.require_open(version)
            return self._committed[gradient.worker]

    def _apply_round(self) -> None:
        base = self._current
        self._round.sort(key=lambda g: g.ticket)
        params, state, factor = self._compiled.apply_mean(
            base.params,
            base.state,
            [g.grads for g in self._round],
            [g.loss for g in self._round],
            self._compiled.read(self._round[0].view),
        )
        c = float(np.asarray(factor))
        for g in self._round:
            self._committed[g.worker] = self._ledger.applied(g, base.version, 0, c)
        self._current = Snapshot(base.version + 1, params, state)
        self._round = []

    def warm_up(self, gradient: Gradient) -> None:
        """Compiles what commits call; changes nothing."""
        grads, losses = [gradient.grads] * self._workers, [gradient.loss] * self._workers
        self._compiled.apply_mean(*self._current[1:], grads, losses, self._compiled.read(gradient.view))

    def snapshot(self) -> Snapshot:
        """The current parameters; immutable."""
        return self._current

    def close(self, reason: str) -> None:
        """Later commits raise Closed, and so do those that wait."""
        self._ledger.close(reason)  # before the mutex, which an update that never ends would hold
        if self._barrier.acquire(timeout=protocol.HELD_S):
            try:
                self._barrier.notify_all()
            finally:
                self._barrier.release()

    @property
    def counters(self) -> dict[str, int]:
        """None."""
        return {}
