"""Locked, Hogwild! and Leashed-SGD in native rounds: read, gradient, transformation and commit in one call."""

from __future__ import annotations

import ctypes
import time
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.core.batching.native_rows import gathered
from jasgd.core.compiled import Leaves
from jasgd.core.ledger import AppliedRow
from jasgd.core.messages import Closed, Committed, Dropped, Gradient, Round, Snapshot, View
from jasgd.core.scheme import Setup
from jasgd.schemes.hogwild_sgd import PAUSE_S
from jasgd.schemes.leashed_sgd import require_persistence
from jasgd.schemes.native.store import (
    BUSY,
    CLOSED,
    DONE,
    LOST,
    NONFINITE,
    NUMBER,
    STALE,
    NativeStore,
    Unfit,
    as_number,
    size_of,
)


class NativeAsynchronous(NativeStore):
    """What the three have in common.

    Guarantees. As :class:`NativeStore`. Each attempt at a commit, lost or dropped ones too, costs an update.

    Attributes:
      rows_per_version: 1.

    Args:
      setup: what a scheme receives.
      persistence: as of ``leashed``.
      max_staleness: as of all.
      native: True.

    Raises:
      ValueError: for options out of their ranges; else as :class:`NativeStore`.
    """

    rows_per_version = 1

    def __init__(
        self, setup: Setup, *, persistence: int | None = None, max_staleness: int | None = None, native: bool = True
    ):
        require_persistence(persistence)
        setup.ledger.drop_above(max_staleness)
        super().__init__(setup, native=native)
        self._persistence = persistence
        self._round, self._again = self._compiled_rounds()

    def round(self, worker: int, ticket: int, batch: Any, check_finite: bool) -> Round:
        """Read, gradient and commit in one call; tries again where another worker came first."""
        self._enter(worker)
        caller = self._callers[check_finite][worker]
        self._inside[worker] = True
        try:
            ending, aux = self._round(caller, batch)
            concluded = self._concluded(worker, ticket, caller, ending, aux)
            self._inside[worker] = False
            return concluded
        except Exception:
            self._library.JasgdAbandon(self._store, worker)
            raise

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        """Applies a gradient that was computed elsewhere."""
        worker = gradient.worker
        self._offer(self._store, worker, gradient)
        caller = self._callers[False][worker]
        try:
            done = self._concluded(worker, gradient.ticket, caller, self._again(caller), None).done
        except Exception:
            self._library.JasgdAbandon(self._store, worker)
            raise
        assert isinstance(done, (Committed, Dropped))  # since any loss is taken
        return done

    def warm_up(self, gradient: Gradient) -> None:
        """Compiles what commits call, on a store of its own."""
        with self._spare() as (store, caller):
            self._offer(store, 0, gradient)
            jax.block_until_ready(self._again(caller))

    def rehearse(self) -> float:
        """Compiles what rounds call, on a store of its own, and gives the time of a round in s."""
        zeros = bytes(np.dtype(self._loss).itemsize + size_of(self._params_like))
        with self._spare() as (store, caller):
            jax.block_until_ready(self._round(caller, self._setup.batch))
            self._library.JasgdOffer(store, 0, 0, 0.0, zeros, len(zeros), None)
            jax.block_until_ready(self._again(caller))
            started = time.perf_counter()
            jax.block_until_ready(self._round(caller, self._setup.batch))
            return time.perf_counter() - started

    @property
    def unfinished(self) -> frozenset[int]:
        """Versions that were claimed by adds which did not end; the execution has no rows for them."""
        claimed = (self._library.JasgdClaimed(self._store, worker) for worker in range(self._setup.workers))
        return frozenset(version for version in claimed if version >= 0)

    def _concluded(self, worker: int, ticket: int, caller: Any, ending: jax.Array, aux: Any) -> Round:
        """What became of a gradient, after further attempts where it needs them."""
        ledger = self._ledger
        while True:
            answer = self._ended(worker, ending)
            status, read, version, tau, tries, loss = answer[1:7]
            done: Committed | Dropped | None = None
            if status == DONE:
                self._note_health(worker, ticket, answer)
                done = ledger.record_row(AppliedRow(worker, ticket, read, version, tau, answer.factor, loss, tries))
            elif status in (CLOSED, NONFINITE):
                ledger.note_read(worker, read)  # and it was not committed
                if status == CLOSED:
                    raise Closed(ledger.closed or "steps")
            elif status == STALE:
                gradient = Gradient(worker, ticket, View(read, ()), (), ending, loss)
                done = ledger.record_dropped(gradient, version, tau, tries if self.name == "leashed" else 1, "stale")
            elif status == LOST and self._persistence is not None and tries > self._persistence:
                gradient = Gradient(worker, ticket, View(read, ()), (), ending, loss)
                version = self._library.JasgdVersion(self._store)
                done = ledger.record_dropped(
                    gradient, version, ledger.staleness_between(read, version), tries, "contended"
                )
            else:
                if status == BUSY:
                    self._library.JasgdWait(self._store, worker)
                ending = self._again(caller)
                continue
            return Round(read, loss, aux, answer.read_s, answer.computed_s, done)

    def _traced_round(self, caller: Any, batch: Any) -> tuple[Any, Any]:
        caller, batch = gathered(caller, batch)
        number, *params = jax.ffi.ffi_call("JasgdRead", [NUMBER, *self._params_like])(caller)
        loss, aux, grads = self._compiled.gradient(tuple(params), batch)
        loss = loss.astype(self._loss)  # which a later batch may change
        return self._attempted(caller, number, loss, grads, tuple(params)), aux

    def _traced_again(self, caller: Any) -> Any:
        count, read = len(self._params_like), self._params_like if self._compiled.wants_read_params else []
        recalled = [NUMBER, jax.ShapeDtypeStruct((), self._loss), *self._params_like, *read]
        number, loss, *leaves = jax.ffi.ffi_call("JasgdRecall", recalled)(caller)
        return self._attempted(caller, number, loss, leaves[:count], tuple(leaves[count:]))

    def _attempted(self, caller: Any, number: Any, loss: Any, grads: Any, read: Leaves) -> Any:
        """Begin, the transformation and End, traced; gives the status."""
        params_like, state_like = self._params_like, self._state_like
        count, more = len(params_like), params_like if self._gives_params else []
        like = [NUMBER, jax.ShapeDtypeStruct((), loss.dtype), *params_like, *state_like, *more]
        # Loss and gradient go through Begin, in the same memory, so that XLA does not compute a part of them again,
        # fused with the update: the bits are those of two calls.
        through = {3 + i: 1 + i for i in range(count + 1)}
        begin = jax.ffi.ffi_call("JasgdBegin", like, input_output_aliases=through)
        tau, loss, *rest = begin(caller, number, as_number(loss), loss, *grads)
        grads, rest = tuple(rest[:count]), rest[count:]
        state, params = tuple(rest[: len(state_like)]), tuple(rest[len(state_like) :])
        if not self._gives_params:  # nothing that the transformation does depends on them
            params = tuple(jnp.zeros(like.shape, like.dtype) for like in params_like)
        change = self._compiled.update if self.adds else self._compiled.traced_apply
        read = read if self._compiled.wants_read_params else ()
        changed, state, factor = change(params, state, grads, tau, loss, read)
        return jax.ffi.ffi_call("JasgdEnd", NUMBER)(caller, as_number(factor), loss, *grads, *state, *changed)


class NativeLocked(NativeAsynchronous):
    """Lock-based AsyncSGD: an update has a lock from its staleness to its publication, and a read while it copies.

    Memory aside, for what is current is replaced and not changed in place, this is the published scheme. With
    ``reading="reference"`` a read has the lock for a reference alone, and copies when others have it.
    """

    name = "locked"
    rounds_are_shared = True

    def __init__(
        self,
        setup: Setup,
        *,
        reading: Literal["copy", "reference"] = "copy",
        max_staleness: int | None = None,
        native: bool = True,
    ):
        if reading not in ("copy", "reference"):
            raise Unfit(f"reading must be 'copy' or 'reference' with native rounds, got {reading!r}")
        self.copies_locked = reading == "copy"
        super().__init__(setup, max_staleness=max_staleness, native=native)


class NativeHogwild(NativeAsynchronous):
    """Hogwild!: parameters are added to component by component while others read and add, without a lock."""

    name = "hogwild"
    rounds_are_shared = True
    adds = True

    def whole_snapshot(self) -> Snapshot:
        """A copy with all commits that were claimed, while no other is; TimeoutError where one of them does not end."""
        self._library.JasgdPause(self._store, 1)
        try:
            until = time.monotonic() + PAUSE_S
            while self._library.JasgdAdding(self._store):
                if time.monotonic() > until:
                    raise TimeoutError(f"an add has not ended for {PAUSE_S:g} s, while the others wait")
                time.sleep(0.0001)
            return self.snapshot()
        finally:
            self._library.JasgdPause(self._store, 0)

    def __init__(self, setup: Setup, *, max_staleness: int | None = None, native: bool = True):
        super().__init__(setup, max_staleness=max_staleness, native=native)

    @property
    def counters(self) -> dict[str, int]:
        """Overlapped reads, and updates of the optimizer state that were lost."""
        reads, updates = ctypes.c_int64(), ctypes.c_int64()
        self._library.JasgdCounters(self._store, ctypes.byref(reads), ctypes.byref(updates))
        return {"overlapped_reads": reads.value, "lost_state_updates": max(0, updates.value)}  # adds under way


class NativeLeashed(NativeAsynchronous):
    """Leashed-SGD: an update is published if no other came between, and else computed again on the newest."""

    name = "leashed"
    rounds_are_shared = True
