"""Lock-based AsyncSGD: one mutex guards the parameters, for reading and for writing."""

from __future__ import annotations

import threading
from typing import Literal, final

from jasgd.core import scheme as base
from jasgd.core.messages import Committed, Dropped, Gradient, Snapshot, View
from jasgd.core.recycling import Copies, is_large
from jasgd.core.scheme import Scheme, Setup, require_threads


@final
class Locked(Scheme):
    """A worker copies the parameters under the mutex, and updates them in place under the same mutex.

    ``reading="copy"`` is the published scheme: the store owns its buffers, donates them to the update, and hands out
    copies. ``reading="carry"`` is faster where many contend: an update also makes the copy that its worker reads next,
    which it takes without the mutex, unless another worker has committed before it asks. ``reading="reference"`` hands
    out the current immutable arrays instead, and each update makes new ones: no copy, at the price of fresh memory per
    update.

    Guarantees. No torn read, no lost update; versions form a chain. Linearizes inside the mutex, for reads and for
    commits; but a read of what was carried linearizes where the current version is found to be that copy's, so that a
    commit under way comes after it. A worker waits for another's copy or update, never for another's gradient. Nothing
    relies on the GIL but that: loading an attribute is atomic.
    """

    name = "locked"
    checks_commits = True
    rows_per_version = 1

    def __init__(
        self,
        setup: Setup,
        *,
        reading: Literal["copy", "carry", "reference"] = "copy",
        max_staleness: int | None = None,
        native: bool = False,
    ):
        require_threads(native)
        applies = {"copy": "apply_in_place", "carry": "apply_in_place_and_copy", "reference": "apply"}
        if reading not in applies:
            raise ValueError(f"reading must be 'copy', 'carry' or 'reference', got {reading!r}")
        setup.ledger.drop_above(max_staleness)
        super().__init__(setup)
        self._mutex = threading.Lock()
        self._reading, self._in_place = reading, reading != "reference"
        self._apply = getattr(self._compiled, applies[reading])
        self._version = setup.version
        # The caller keeps the initial arrays, so they must not be donated: copies of them may.
        self._params = self._compiled.copy(setup.params) if self._in_place else setup.params
        self._state = self._compiled.copy(setup.state) if self._in_place else setup.state
        self._copies: Copies[None] = Copies(setup.workers)  # that workers have read, where they are large
        self._uses_again = False
        self._carried: list[View | None] = [None] * setup.workers  # what each worker's own commit has copied

    def reuse_memory(self) -> None:
        """Copies large parameters into memory that no thread can read any more."""
        self.reuses_memory = type(self) is Locked

    def read(self, worker: int) -> View:
        """The parameters as they are while the mutex is held, or as this worker's own commit carried them along."""
        view, self._carried[worker] = self._carried[worker], None
        if view is not None and view.version == self._version:  # as if it had kept the mutex
            self._ledger.note_read(worker, view.version)
            self._at_point("read", worker)
            return view
        with self._mutex:
            self._at_point("read", worker)
            view = View(self._version, self._read())
            self._ledger.note_read(worker, view.version)
        return view

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        """Applies the gradient while the mutex is held."""
        compiled, ledger, worker = self._compiled, self._ledger, gradient.worker
        self._at_point("commit", worker)
        with self._mutex:
            version = self._version
            ledger.require_open(version)
            tau = ledger.staleness_between(gradient.view.version, version)
            if ledger.is_too_stale(tau):
                return ledger.record_dropped(gradient, version, tau, 1, "stale")
            read = compiled.asked(gradient.view.params, gradient.worker)
            arguments = self._params, self._state, gradient.grads, compiled.staleness_array(tau), gradient.loss, read
            self._params, self._state, factor, *carried = self._apply(*arguments)
            self._version = version + 1
            # Before another changes them in place.
            ledger.check_made(gradient, version, self._params, gradient.view, in_place=self._in_place)
            if self._reading == "carry":
                self._carried[worker] = View(version + 1, carried[0] if carried else self._read())
        return ledger.record_applied(gradient, version, tau, factor)

    def warm_up(self, gradient: Gradient) -> None:
        """Compiles what commits call; changes nothing."""
        params, state = self._copied(self._params), self._copied(self._state)
        if self.reuses_memory and self._in_place and is_large(params):
            params = self._compiled.copy_into(params, self._params)
            self._uses_again, self._apply = True, self._compiled.apply_in_place  # copies on their own, into old memory
        read, fresh = self._compiled.asked(gradient.view.params, gradient.worker), self._compiled.staleness_array(0)
        self._apply(params, state, gradient.grads, fresh, gradient.loss, read)

    def snapshot(self) -> Snapshot:
        """A copy taken under the mutex; TimeoutError where an update does not end."""
        if not self._mutex.acquire(timeout=base.HELD_S):
            raise TimeoutError(f"an update has held the mutex for more than {base.HELD_S:g} s")
        try:
            return Snapshot(self._version, self._copied(self._params), self._copied(self._state))
        finally:
            self._mutex.release()

    def _read(self) -> tuple:
        """What a worker computes on, in memory that no thread holds where there is some."""
        if not self._uses_again:
            return self._copied(self._params)
        unheld = self._copies.unheld()
        leaves = self._copied(self._params) if unheld is None else self._compiled.copy_into(unheld[1], self._params)
        self._copies.keep(None, leaves)
        return leaves

    def _copied(self, leaves: tuple) -> tuple:
        return self._compiled.copy(leaves) if self._in_place else leaves
