"""Lock-based AsyncSGD: one mutex guards the parameters, for reading and for writing."""

from __future__ import annotations

import threading
from typing import Literal

from jasgd.schemes import protocol
from jasgd.schemes.protocol import Committed, Dropped, Gradient, Setup, Snapshot, View


class Locked:
    """A worker copies the parameters under the mutex, and updates them in place under the same mutex.

    ``reading="copy"`` is the published scheme: the store owns its buffers, donates them to the update, and hands out
    copies. An update also makes the copy that its worker reads next, unless another worker commits before it asks.
    ``reading="reference"`` hands out the current immutable arrays instead, and each update makes new ones: no copy, at
    the price of fresh memory per update.

    Guarantees. No torn read, no lost update; versions form a chain. Commits linearize inside the mutex; so do reads,
    but for one of a copy that the worker's own commit made, which linearizes where the current version is found to be
    that copy's: a commit under way then comes behind it. A worker waits for another's copy or update, never for
    another's gradient. Of the GIL it needs that loading an attribute is atomic.
    """

    name = "locked"

    def __init__(
        self,
        setup: Setup,
        *,
        reading: Literal["copy", "reference"] = "copy",
        max_staleness: int | None = None,
    ):
        if reading not in ("copy", "reference"):
            raise ValueError(f"reading must be 'copy' or 'reference', got {reading!r}")
        setup.ledger.drop_above(max_staleness)
        self._compiled, self._ledger, self._at = setup.compiled, setup.ledger, setup.at
        self._mutex = threading.Lock()
        self._in_place = reading == "copy"
        self._version = 0
        # The caller keeps the initial arrays, so they must not be donated: copies of them may.
        self._params = self._compiled.copy(setup.params) if self._in_place else setup.params
        self._state = self._compiled.copy(setup.state) if self._in_place else setup.state
        self._next: list[View | None] = [None] * setup.workers  # what each worker's own commit has copied

    def read(self, worker: int) -> View:
        """The parameters as they are while the mutex is held, or as this worker's own commit left and copied them."""
        view, self._next[worker] = self._next[worker], None
        if view is not None and view.version == self._version:  # as if it had kept the mutex
            self._ledger.reading(worker, view.version)
            self._at("read", worker)
            return view
        with self._mutex:
            self._at("read", worker)
            view = View(self._version, self._copied(self._params))
            self._ledger.reading(worker, view.version)
        return view

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        """Applies the gradient while the mutex is held."""
        compiled, ledger, worker = self._compiled, self._ledger, gradient.worker
        self._at("commit", worker)
        with self._mutex:
            version = self._version
            ledger.require_open(version)
            tau = ledger.staleness(gradient.view.version, version)
            if ledger.is_too_stale(tau):
                return ledger.dropped(gradient, version, tau, 1, "stale")
            read = compiled.read(gradient.view)
            given = self._params, self._state, gradient.grads, compiled.staleness(tau), gradient.loss, read
            if self._in_place:
                self._params, self._state, factor, copied = compiled.apply_in_place_and_copy(*given)
                self._next[worker] = View(version + 1, copied)
            else:
                self._params, self._state, factor = compiled.apply(*given)
            self._version = version + 1
        return ledger.applied(gradient, version, tau, factor)

    def warm_up(self, gradient: Gradient) -> None:
        """Compiles what commits call; changes nothing."""
        params, state = self._copied(self._params), self._copied(self._state)
        apply = self._compiled.apply_in_place_and_copy if self._in_place else self._compiled.apply
        apply(
            params,
            state,
            gradient.grads,
            self._compiled.staleness(0),
            gradient.loss,
            self._compiled.read(gradient.view),
        )

    def snapshot(self) -> Snapshot:
        """A copy taken under the mutex; TimeoutError where an update does not end."""
        if not self._mutex.acquire(timeout=protocol.HELD_S):
            raise TimeoutError(f"an update has held the mutex for more than {protocol.HELD_S:g} s")
        try:
            return Snapshot(self._version, self._copied(self._params), self._copied(self._state))
        finally:
            self._mutex.release()

    def _copied(self, leaves: tuple) -> tuple:
        return self._compiled.copy(leaves) if self._in_place else leaves

    def close(self, reason: str) -> None:
        """Later commits raise Closed; one that holds the mutex is finished first."""
        self._ledger.close(reason)

    @property
    def counters(self) -> dict[str, int]:
        """None."""
        return {}
