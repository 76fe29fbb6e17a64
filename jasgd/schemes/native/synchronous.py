"""Synchronous SGD in native rounds: read, gradient, mean, transformation and commit in one call."""

from __future__ import annotations

import ctypes
import struct
import time
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from jasgd.core.batching.native_rows import gathered
from jasgd.core.ledger import AppliedRow
from jasgd.core.messages import Closed, Committed, Dropped, Gradient, HandedIn, Round, View
from jasgd.core.scheme import Setup
from jasgd.schemes.native.store import BUSY, CLOSED, DONE, HANDED_IN, NONFINITE, NUMBER, OPEN, NativeStore, as_number


class NativeSynchronous(NativeStore):
    """The worker that hands in the last gradient of a round computes the update, and writes the rows of all.

    The others' rounds end where they hand in theirs. They draw their next mini-batch meanwhile, and their next read
    waits for the update; so workers do not come to the interpreter at the same moment. A worker's gradient is copied
    once where it waits and once for the mean.

    Guarantees. As :class:`NativeStore`, and as of :class:`jasgd.schemes.Synchronous`: every τ = 0, and the same bits.
    Linearizes where the worker that came last publishes. No worker takes a ticket before all have theirs of the round
    before, so a round's tickets follow each other. ``close`` wakes all; a round that has not met by then is given up as
    a whole, and one that has is finished, unless the worker that came last fails. Other workers than one whose call JAX
    compiles for new kinds of arrays may have to wait for that call to end, so no worker waits in it for long.

    Args:
      setup: what a scheme receives.
      native: True.

    Raises:
      As :class:`NativeStore`.
    """

    name = "synchronous"
    averages = True
    rounds_are_shared = True
    needs_every_worker = True  # a run cannot go on without one

    def __init__(self, setup: Setup, *, native: bool = True):
        super().__init__(setup, native=native)
        self.rows_per_version = setup.workers
        self._round, self._again = self._compiled_rounds()
        address = self._library.JasgdMembers(self._store)
        self._members = (ctypes.c_char * (_MEMBER.size * setup.workers)).from_address(address)
        self._recorded = [setup.version] * setup.workers  # the version of which each worker's newest row is, and 1
        self._waits_outside = [False] * setup.workers  # whether a read could not wait

    def read(self, worker: int) -> View:
        """A copy of this round's parameters, for a caller that computes the gradient itself."""
        self._library.JasgdAwait(self._store, worker)
        return super().read(worker)

    def round(self, worker: int, ticket: int, batch: Any, check_finite: bool) -> Round:
        """Read and gradient; of the worker that comes last, mean and commit as well."""
        self._enter(worker)
        _TICKET.pack_into(self._memory[worker], _TICKET_AT, ticket)
        caller = self._callers[check_finite][worker]
        waited_s = 0.0
        while True:
            if self._waits_outside[worker]:
                began = time.perf_counter()
                self._library.JasgdAwait(self._store, worker)
                waited_s += time.perf_counter() - began
            ending, aux = self._round(caller, batch)
            answer = self._ended(worker, ending)
            waited_s += answer.waited_s
            if answer.status != BUSY:
                break
            self._waits_outside[worker] = True  # JAX computes in threads of its own, or compiles while another waits
        done: Committed | HandedIn | None = None
        if answer.status == DONE:
            self._note_health(worker, ticket, answer)
            self._record(answer.version, answer.factor)
            done = Committed(answer.version, 0, answer.factor, 1)
        elif answer.status == HANDED_IN:
            done = self._handed_in(worker, answer.version)
        elif answer.status == CLOSED:
            raise Closed(self._ledger.closed or "steps")
        assert done is not None or answer.status == NONFINITE
        return Round(answer.version_read, answer.loss, aux, answer.read_s, answer.computed_s, done, waited_s)

    def settle(self, worker: int) -> None:
        """Waits until the gradient that the worker has handed in is applied, or the scheme is closed."""
        self._library.JasgdAwait(self._store, worker)

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        """Applies the mean of gradients that were computed elsewhere, and waits for it.

        Raises:
          ValueError: for one that was not computed on this round's parameters.
          Closed: where the scheme is closed, or is while this waits.
        """
        worker, version = gradient.worker, self._library.JasgdVersion(self._store)
        self._ledger.require_open(version)
        if gradient.view.version != version:
            raise ValueError(f"view must be of this round's version {version}, got {gradient.view.version}")
        _TICKET.pack_into(self._memory[worker], _TICKET_AT, gradient.ticket)
        self._offer(self._store, worker, gradient)
        status = self._library.JasgdHandIn(self._store, worker, False)
        if status == OPEN:
            self._note_health(worker, gradient.ticket, self._ended(worker, self._again(self._callers[False][worker])))
        elif status == CLOSED or not self._library.JasgdAwait(self._store, worker):
            raise Closed(self._ledger.closed or "steps")
        return self._row(worker, gradient.ticket, version, self._published()[1], gradient.loss_value)

    def note_in_flight(self) -> None:
        """Notes unfinished rounds; a gradient that is part of a published mean was applied, and gets its row."""
        version, factor = self._published()
        self._record(version - 1, factor)
        for worker in range(self._setup.workers):
            if (read := self._library.JasgdInFlight(self._store, worker)) >= 0:
                self._ledger.note_read(worker, read)

    def warm_up(self, gradient: Gradient) -> None:
        """Compiles what commits call, on a store of its own."""
        with self._spare() as (store, caller):
            self._offer(store, 0, gradient)
            self._library.JasgdHandIn(store, 0, False)
            jax.block_until_ready(self._again(caller))

    def rehearse(self) -> float:
        """Compiles what rounds call, on a store of its own, and gives the time of a round alone in s."""
        with self._spare() as (_, caller):
            jax.block_until_ready(self._round(caller, self._setup.batch))
            started = time.perf_counter()
            jax.block_until_ready(self._round(caller, self._setup.batch))
            return time.perf_counter() - started

    def _handed_in(self, worker: int, version: int) -> Committed | HandedIn:
        """What becomes of a gradient that waits for others; of the last commit of the run, once it is done."""
        limit = self._ledger.limit
        if limit is not None and version + 1 >= limit:
            if not self._library.JasgdAwait(self._store, worker):
                raise Closed(self._ledger.closed or "steps")
            return Committed(version, 0, self._published()[1], 1)
        if not self._library.JasgdAllBegun(self._store, worker, False):  # so that it takes no ticket of this round
            self._library.JasgdAllBegun(self._store, worker, True)
        return HandedIn(version)

    def _published(self) -> tuple[int, float]:
        """The current version, and the factor of the update that made it."""
        factor = ctypes.c_double()
        version = self._library.JasgdPublished(self._store, ctypes.byref(factor))
        return version, factor.value

    def _record(self, version: int, factor: float) -> None:
        """Writes the rows of a commit, of all workers that have none of it yet."""
        for worker, ticket, loss in self._of_last_round():
            if self._recorded[worker] <= version:
                self._row(worker, ticket, version, factor, loss)

    def _of_last_round(self) -> Iterator[tuple[int, int, float]]:
        return _MEMBER.iter_unpack(bytes(self._members))

    def _row(self, worker: int, ticket: int, version: int, factor: float, loss: float) -> Committed:
        self._recorded[worker] = version + 1
        return self._ledger.record_row(AppliedRow(worker, ticket, version, version, 0, factor, loss, 1))

    def _traced_round(self, caller: Any, batch: Any) -> tuple[Any, Any]:
        caller, batch = gathered(caller, batch)
        number, *params = jax.ffi.ffi_call("JasgdReadRound", [NUMBER, *self._params_like])(caller)
        loss, aux, grads = self._compiled.gradient(tuple(params), batch)
        loss = loss.astype(self._loss)  # which a later batch may change
        # The parameters go through Meet in the same memory, so that XLA does not compute a part of the gradient and one
        # of the update together: the bits are those of two calls. So does, of two workers, the own gradient, which is
        # the first then.
        like, count = self._met_like(), len(params)
        end = 1 + (count + 1) * self._setup.workers + len(self._state_like)
        through = {4 + count + i: end + i for i in range(count)}
        if self._setup.workers <= 2:
            through |= {3 + i: 1 + i for i in range(count + 1)}
        meet = jax.ffi.ffi_call("JasgdMeet", like, input_output_aliases=through)
        met = meet(caller, number, as_number(loss), loss, *grads, *params, slots=np.int64(self._setup.workers))
        is_last = met[0] == OPEN  # for all others there is nothing to compute
        return jax.lax.cond(is_last, lambda: self._published_mean(caller, met), lambda: met[0]), aux

    def _traced_again(self, caller: Any) -> Any:
        gathered = jax.ffi.ffi_call("JasgdGathered", self._met_like())
        return self._published_mean(caller, gathered(caller, slots=np.int64(self._setup.workers)))

    def _met_like(self) -> list[jax.ShapeDtypeStruct]:
        """A number, loss and gradient of each worker, the optimizer state, and parameters, read ones if asked for."""
        handed_in = [jax.ShapeDtypeStruct((), self._loss), *self._params_like]
        copies = 2 if self._compiled.wants_read_params else 1
        return [NUMBER, *handed_in * self._setup.workers, *self._state_like, *self._params_like * copies]

    def _published_mean(self, caller: Any, met: Any) -> Any:
        """The transformation of the mean and Publish, traced; gives the status."""
        count = len(self._params_like)
        rest = 1 + (count + 1) * self._setup.workers
        slots = [met[start : start + count + 1] for start in range(1, rest, count + 1)]
        losses, grads = [slot[0] for slot in slots], [tuple(slot[1:]) for slot in slots]
        state, params = tuple(met[rest : (end := rest + len(self._state_like))]), tuple(met[end : end + count])
        read = tuple(met[end + count :])
        changed, state, factor = self._compiled.traced_apply_mean(params, state, grads, losses, read)
        return jax.ffi.ffi_call("JasgdPublish", NUMBER)(caller, as_number(factor), *state, *changed)


_TICKET = struct.Struct("=q")
_TICKET_AT = 10 * 8  # after the other numbers of Answer
_MEMBER = struct.Struct("=2qd")  # as in store.h
