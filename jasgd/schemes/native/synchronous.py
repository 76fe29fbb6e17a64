"""Synchronous SGD in native rounds: read, gradient, barrier, mean, transformation and commit in one call."""

from __future__ import annotations

import ctypes
import struct
import time
from typing import Any

import jax
import numpy as np

from jasgd.core.batching.native_rows import gathered
from jasgd.core.ledger import AppliedRow
from jasgd.core.messages import Closed, Committed, Dropped, Gradient, Round, View
from jasgd.core.scheme import Setup
from jasgd.schemes.native.store import BUSY, CLOSED, DONE, NONFINITE, NUMBER, Answer, NativeStore, as_number, size_of


class NativeSynchronous(NativeStore):
    """Workers meet at a barrier, and each of them computes the same update of the mean of all gradients.

    No worker waits for a peer to compute it: of the two waits in a round of Python's, one is left. It costs
    a copy of every gradient for every worker, so this is for few workers. Where the transformation calls the host, it
    does so once for every worker, and must give all of them the same answer.

    Guarantees. As :class:`NativeStore`, and as of :class:`jasgd.schemes.Synchronous`: every τ = 0, and the same bits.
    Linearizes where the last worker of a round comes to the barrier. ``close`` wakes all; a round that has not met by
    then is given up as a whole, and one that has is finished, unless every worker fails. Other workers than one whose
    call JAX compiles for new kinds of arrays may have to wait for that call to end, so no worker waits in it for long.

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
        sizes = [np.dtype(self._loss).itemsize, *(leaf.size * leaf.dtype.itemsize for leaf in self._params_like)]
        self._sizes = (ctypes.c_int64 * len(sizes))(*sizes)

    def read(self, worker: int) -> View:
        """A copy of this round's parameters, for a caller that computes the gradient itself."""
        self._library.JasgdAwait(self._store, worker)
        return super().read(worker)

    def round(self, worker: int, ticket: int, batch: Any, check_finite: bool) -> Round:
        """Read, gradient, barrier, mean and commit in one call."""
        self._enter(worker)
        self._tell_ticket(worker, ticket)
        self._library.JasgdAwait(self._store, worker)
        self._inside[worker] = True
        caller = self._callers[check_finite][worker]
        ending, aux = self._round(caller, batch)
        answer = self._ended(worker, ending)
        if answer.status == BUSY:  # it was computed by a thread of XLA's, which must not wait for the others
            answer = self._met(worker, answer, check_finite)
        done = None
        if answer.status == DONE:
            self._note_health(worker, ticket, answer)
            done = self._row(worker, ticket, answer.version, answer.factor, answer.loss)
        else:
            self._ledger.note_read(worker, answer.version_read)  # and it was not committed
        self._inside[worker] = False
        if answer.status == CLOSED:
            raise Closed(self._ledger.closed or "steps")
        assert answer.status in (DONE, NONFINITE)
        return Round(answer.version_read, answer.loss, aux, answer.read_s, answer.computed_s, done)

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        """Applies the mean of gradients that were computed elsewhere.

        Raises:
          ValueError: for one that was not computed on this round's parameters.
          Closed: where the scheme is closed, or is while this waits.
        """
        worker, version = gradient.worker, self._library.JasgdVersion(self._store)
        self._ledger.require_open(version)
        if gradient.view.version != version:
            raise ValueError(f"view must be of this round's version {version}, got {gradient.view.version}")
        self._tell_ticket(worker, gradient.ticket)
        self._offer(self._store, worker, gradient)
        self._inside[worker] = True
        answer = self._met(worker, self._answer(worker), False)
        self._inside[worker] = False
        if answer.status == CLOSED:
            raise Closed(self._ledger.closed or "steps")
        self._note_health(worker, gradient.ticket, answer)
        return self._row(worker, gradient.ticket, answer.version, answer.factor, answer.loss)

    def note_in_flight(self) -> None:
        """Notes unfinished rounds; a gradient that is part of a published mean was applied, and gets its row."""
        super().note_in_flight()
        for worker, inside in enumerate(self._inside):
            answer, factor = self._answer(worker), self._library.JasgdPublished(self._store, worker)
            if inside and factor == factor:
                self._row(worker, answer.ticket, answer.version, factor, answer.loss)

    def warm_up(self, gradient: Gradient) -> None:
        """Compiles what commits call, on a store of its own."""
        with self._spare() as (store, caller):
            self._offer(store, 0, gradient)
            self._gather(store, 0, False)
            jax.block_until_ready(self._again(caller))

    def rehearse(self) -> float:
        """Compiles what rounds call, on a store of its own, and gives the time of a round, but its barrier, in s."""
        zeros = bytes(np.dtype(self._loss).itemsize + size_of(self._params_like))
        with self._spare() as (store, caller):
            jax.block_until_ready(self._round(caller, self._setup.batch))
            self._library.JasgdOffer(store, 0, 0, 0.0, zeros, len(zeros), None)
            self._gather(store, 0, False)
            jax.block_until_ready(self._again(caller))
            started = time.perf_counter()
            jax.block_until_ready(self._round(caller, self._setup.batch))
            return time.perf_counter() - started

    def _row(self, worker: int, ticket: int, version: int, factor: float, loss: float) -> Committed:
        return self._ledger.record_row(AppliedRow(worker, ticket, version, version, 0, factor, loss, 1))

    def _tell_ticket(self, worker: int, ticket: int) -> None:
        _TICKET.pack_into(self._memory[worker], _TICKET_AT, ticket)

    def _met(self, worker: int, answer: Answer, check_finite: bool) -> Answer:
        """Meets the others in this thread, with the gradient that the worker has kept."""
        status = self._gather(self._store, worker, check_finite)
        if status == CLOSED:
            return answer._replace(status=CLOSED)
        return self._ended(worker, self._again(self._callers[check_finite][worker]))

    def _gather(self, store: int, worker: int, check_finite: bool) -> int:
        count, sizes = self._setup.workers, self._sizes
        return self._library.JasgdGather(store, worker, count, len(sizes), sizes, check_finite)

    def _traced_round(self, caller: Any, batch: Any) -> tuple[Any, Any]:
        caller, batch = gathered(caller, batch)
        number, *params = jax.ffi.ffi_call("JasgdRead", [NUMBER, *self._params_like])(caller)
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
        return self._published(caller, met), aux

    def _traced_again(self, caller: Any) -> Any:
        gathered = jax.ffi.ffi_call("JasgdGathered", self._met_like())
        return self._published(caller, gathered(caller, slots=np.int64(self._setup.workers)))

    def _met_like(self) -> list[jax.ShapeDtypeStruct]:
        """A number, loss and gradient of each worker, the optimizer state, and parameters, read ones if asked for."""
        handed_in = [jax.ShapeDtypeStruct((), self._loss), *self._params_like]
        copies = 2 if self._compiled.wants_read_params else 1
        return [NUMBER, *handed_in * self._setup.workers, *self._state_like, *self._params_like * copies]

    def _published(self, caller: Any, met: Any) -> Any:
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
