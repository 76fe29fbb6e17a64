"""Hogwild!: parameters shared without any lock; reads may be torn and adds may be lost."""

from __future__ import annotations

import threading
import time
from typing import NamedTuple, final

import numpy as np

from jasgd.core.buffers import Buffers
from jasgd.core.compiled import Leaves
from jasgd.core.messages import Committed, Dropped, Gradient, Snapshot, View
from jasgd.core.recycling import kind_of
from jasgd.core.scheme import Scheme, Setup, require_threads

PAUSE_S = 2.0  # how long commits wait for one that does not end


class _State(NamedTuple):
    """An optimizer state and how many commits are contained in it."""

    leaves: Leaves
    commits: int


@final
class Hogwild(Scheme):
    """A worker copies the parameters while others write, and adds its update component by component, without a lock.

    The optimizer state is one immutable reference, replaced without a lock: the last writer wins, and the updates of
    the state that are lost so are counted. Of a model state, integer leaves are added likewise, and others overwritten.

    Guarantees. τ is exact: a commit claims its version index before it adds, and a read takes the number of claims
    before it copies. No crash. Nothing else: torn reads and lost adds are the scheme's nature, and of a model state
    leaves of different commits, or parts of them, may come to stand side by side. Counters: reads during
    which an add was under way (``overlapped_reads``) and updates of the optimizer state that were overwritten
    (``lost_state_updates``). A mutex guards the two integers of claimed and finished adds, since CPython has no atomic
    ones; never a parameter. NumPy releases the GIL for adds of more than some hundred elements; smaller leaves are
    added atomically under the GIL. For a checkpoint commits wait at their claim, until all adds that were claimed are
    done and the parameters are copied.

    Source:
      Niu, Recht, Ré, Wright, "Hogwild!: a lock-free approach to parallelizing stochastic gradient descent", NIPS 2011,
      arXiv 1106.5730.
    """

    name = "hogwild"
    checks_commits = True
    rows_per_version = 1

    def __init__(self, setup: Setup, *, max_staleness: int | None = None, native: bool = False):
        require_threads(native)
        platforms = {d.platform for leaf in setup.params for d in getattr(leaf, "devices", set)()}
        if not platforms <= {"cpu"}:
            raise ValueError(f"device must be a CPU for the scheme 'hogwild', got {', '.join(sorted(platforms))}")
        setup.ledger.drop_above(max_staleness)
        super().__init__(setup)
        self._shared = Buffers(setup.params, workers=setup.workers)
        self._in_place = False  # whether an update takes the place of its gradient, which has one owner
        self._state = _State(setup.state, setup.version)
        self._count_mutex = threading.Lock()
        self._claimed = setup.version
        self._open: set[int] = set()  # versions that were claimed and are not yet added
        self._finished = setup.version
        self._pauses = False  # whether commits wait before they claim a version
        self._goes_on = threading.Event()
        self._overlapped_reads = 0

    def reuse_memory(self) -> None:
        """Uses the memory of copies and of gradients again once no thread can read it."""
        self.reuses_memory = type(self) is Hogwild

    def read(self, worker: int) -> View:
        """A private copy, taken while others may be adding."""
        with self._count_mutex:
            version, adding = self._claimed, self._claimed - self._finished
        self._ledger.note_read(worker, version)
        self._at_point("read", worker)
        params = self._shared.read() if self.reuses_memory else self._shared.copy()
        self._at_point("copied", worker)
        with self._count_mutex:
            self._overlapped_reads += adding > 0 or self._claimed != version
        return View(version, params)

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        """Claims a version, then adds the update leaf by leaf."""
        compiled, ledger, worker = self._compiled, self._ledger, gradient.worker
        self._count_mutex.acquire()
        while self._pauses:
            self._count_mutex.release()
            self._goes_on.wait()
            self._count_mutex.acquire()
        try:
            version = self._claimed
            ledger.require_open(version)
            tau = ledger.staleness_between(gradient.view.version, version)
            too_stale = ledger.is_too_stale(tau)
            if not too_stale:
                self._claimed = version + 1
                self._open.add(version)
        finally:
            self._count_mutex.release()
        if too_stale:
            return ledger.record_dropped(gradient, version, tau, 1, "stale")
        base = self._state
        # A transformation that looks at the current parameters gets a copy of its own, which others may tear.
        current = self._shared.read() if compiled.needs_params else gradient.view.params
        update = compiled.update_in_place if self._in_place else compiled.update
        updates, state, factor = update(
            current,
            base.leaves,
            gradient.grads,
            compiled.staleness_array(tau),
            gradient.loss,
            compiled.asked(gradient.view.params, worker),
        )
        self._at_point("state", worker)
        self._state = _State(state, base.commits + 1)
        with np.errstate(all="ignore"):  # sums that are not finite are said below, with their commit
            for i, (shared, update, adds) in enumerate(zip(self._shared.leaves, updates, compiled.adds, strict=True)):
                self._at_point(f"add {i}", worker)
                if adds:
                    np.add(shared, np.asarray(update), out=shared, casting="unsafe")
                else:
                    np.copyto(shared, np.asarray(update))
                self._at_point(f"added {i}", worker)
        ledger.check_made(gradient, version, self._shared.leaves, gradient.view, in_place=True, newest=self._newest)
        with self._count_mutex:
            self._finished += 1
            self._open.discard(version)
        return ledger.record_applied(gradient, version, tau, factor)

    def _newest(self) -> int:
        """The version of the newest commit that has begun to add."""
        return self._claimed - 1

    def warm_up(self, gradient: Gradient) -> None:
        """Compiles what commits call; changes nothing."""
        compiled, grads = self._compiled, gradient.grads
        self._ledger.health.look(self._shared.leaves)  # compiled for arrays of NumPy, where it is compiled by JAX
        private = self._shared.read() if self.reuses_memory else self._shared.copy()
        rest = compiled.staleness_array(0), gradient.loss, compiled.asked(private, gradient.worker)
        updates, _, _ = compiled.update(private, self._state.leaves, grads, *rest)
        alike = list(map(kind_of, updates)) == list(map(kind_of, grads))
        if self.reuses_memory and alike and all(u is not g for u, g in zip(updates, grads, strict=True)):
            compiled.update_in_place(private, self._state.leaves, updates, *rest)
            self._in_place = True

    def snapshot(self) -> Snapshot:
        """A copy, torn where an add is under way."""
        version = self._claimed
        return Snapshot(version, self._shared.snapshot(), self._state.leaves)

    def whole_snapshot(self) -> Snapshot:
        """A copy with all commits that were claimed, while no other is; TimeoutError where one of them does not end."""
        self._goes_on.clear()
        with self._count_mutex:
            self._pauses = True
        try:
            until = time.monotonic() + PAUSE_S
            while self._finished != self._claimed:
                if time.monotonic() > until:
                    raise TimeoutError(f"an add has not ended for {PAUSE_S:g} s, while the others wait")
                time.sleep(0.0001)
            return self.snapshot()
        finally:
            with self._count_mutex:
                self._pauses = False
            self._goes_on.set()

    @property
    def unfinished(self) -> frozenset[int]:
        """Versions that were claimed by commits which failed or did not end; the execution has no rows for them."""
        with self._count_mutex:
            return frozenset(self._open)

    @property
    def counters(self) -> dict[str, int]:
        """Overlapped reads, and updates of the optimizer state that are known to be lost."""
        # A state is published before its add is counted, so that adds under way would make the difference negative.
        lost = max(0, self._finished - self._state.commits)
        return {"overlapped_reads": self._overlapped_reads, "lost_state_updates": lost}
