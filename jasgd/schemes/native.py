"""Schemes whose reads and commits are functions that XLA calls, so that a gradient is one call of Python.

What Python threads lose where gradients are small is the interpreter's: two dispatches a gradient, the scheme's own
lines, and one lock for all of it. Here a round is one compiled function, read, gradient, transformation and commit,
which holds that lock nowhere. The shared parameters lie in memory of native.cc, which says how.
"""

from __future__ import annotations

import ctypes
import itertools
import struct
import time
import weakref
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.compiled import Leaves
from jasgd.schemes.leashed import require_persistence
from jasgd.schemes.native_build import library
from jasgd.schemes.protocol import Closed, Committed, Dropped, Gradient, Round, Setup, Snapshot, View, nowhere

KINDS = ("locked", "hogwild", "leashed")  # this order and the next are native.cc's
DONE, LOST, BUSY, STALE, CLOSED, NONFINITE = range(6)
_TOLD = struct.Struct(
    "=6q4d"
)  # attempts, status, version read, version, staleness, tries, loss, C, and when read and computed, in s
_NUMBER = jax.ShapeDtypeStruct((), jnp.int32)
_PLAIN = "?bhilqBHILQefdFD"  # dtypes whose arrays XLA and NumPy lay out alike; bfloat16 besides


class Native:
    """A scheme in memory of native.cc.

    Guarantees. Those of the scheme of that name, with these differences. Nothing relies on the GIL. Parameters are
    copied out for a gradient, out for its update and back: three copies a round, which pays for small networks and not
    for large ones. A gradient that is computed again or dropped costs one more update. A round is indivisible: whoever
    wraps the scheme is called by ``read`` and ``commit`` instead, and there are no points to force interleavings at.

    Args:
      setup: what a scheme is given; with a batch, since a round is traced with one.
      persistence: as of ``leashed``.
      max_staleness: as of all.
      native: True; that executions record it.

    Raises:
      RuntimeError: where native.cc is not compiled yet, and cannot be.
      ValueError: for leaves that it cannot hold, and for a scheme that is watched.
    """

    name: str
    adds = False  # whether what is committed is the update and not what comes of it

    def __init__(
        self, setup: Setup, *, persistence: int | None = None, max_staleness: int | None = None, native: bool = True
    ):
        require_persistence(persistence)
        setup.ledger.drop_above(max_staleness)
        self._require_plain(setup)
        self._setup, self._ledger, self._compiled = setup, setup.ledger, setup.compiled
        self._persistence = persistence
        self._parts = (
            [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in setup.params],
            [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in setup.state],
        )
        self._sizes = [sum(like.size * like.dtype.itemsize for like in part) for part in self._parts]
        self._loss = jax.eval_shape(self._compiled.gradient, setup.params, setup.batch)[0].dtype
        self._gives_params = not self.adds or self._compiled.needs_params
        self._device = next(iter(setup.params[0].devices()))
        self._round, self._again = jax.jit(self._traced_round), jax.jit(self._traced_again)
        self._library = library()
        self._store = self._made(setup.workers, setup.ledger.limit)
        weakref.finalize(self, self._library.JasgdFree, self._store)
        self._told = [
            (ctypes.c_char * _TOLD.size).from_address(self._library.JasgdTold(self._store, worker))
            for worker in range(setup.workers)
        ]
        self._who = [[self._named(self._store, w, finite) for w in range(setup.workers)] for finite in (False, True)]
        self._attempts = [0] * setup.workers  # that Python has seen end
        self._entered = [False] * setup.workers
        self._clock_s = time.perf_counter() - self._library.JasgdNow()  # the zeros of the two may differ

    def round(self, worker: int, ticket: int, batch: Any, check_finite: bool) -> Round:
        """Read, gradient and commit in one call; tries again where another worker came first."""
        if not self._entered[worker]:
            self._library.JasgdEnter()
            self._entered[worker] = True
        who = self._who[check_finite][worker]
        try:
            ending, aux = self._round(who, batch)
            return self._ended(worker, ticket, who, ending, aux)
        except Exception:
            self._library.JasgdAbandon(self._store, worker)
            raise

    def read(self, worker: int) -> View:
        """A copy of the parameters, for those who compute the gradient themselves."""
        block = np.empty(self._sizes[0], np.uint8)
        version = self._library.JasgdView(self._store, worker, block.ctypes.data)
        self._ledger.reading(worker, version)
        return View(version, self._leaves(block, 0))

    def commit(self, gradient: Gradient) -> Committed | Dropped:
        """Applies a gradient that was computed elsewhere."""
        worker = gradient.worker
        self._offer(self._store, gradient)
        who = self._who[False][worker]
        try:
            done = self._ended(worker, gradient.ticket, who, self._again(who), None).done
        except Exception:
            self._library.JasgdAbandon(self._store, worker)
            raise
        assert done is not None  # since any loss is taken
        return done

    def warm_up(self, gradient: Gradient) -> None:
        """Compiles what rounds call, on a store of its own."""
        store = self._made(1, None)
        try:
            who = self._named(store, 0, False)
            jax.block_until_ready(self._round(who, self._setup.batch))
            self._offer(store, gradient)
            jax.block_until_ready(self._again(who))
        finally:
            self._library.JasgdFree(store)

    def snapshot(self) -> Snapshot:
        """A copy; under Hogwild! torn where an add is under way."""
        blocks = [np.empty(size, np.uint8) for size in self._sizes]
        version = self._library.JasgdSnapshot(self._store, *(block.ctypes.data for block in blocks))
        return Snapshot(version, *map(self._leaves, blocks, range(2)))

    def good(self) -> View | None:
        """The newest parameters that a finite loss was computed on, in a round that looked."""
        block = np.empty(self._sizes[0], np.uint8)
        version = self._library.JasgdGood(self._store, block.ctypes.data)
        return None if version < 0 else View(version, self._leaves(block, 0))

    def close(self, reason: str) -> None:
        """Later commits raise Closed; one that has begun to write is finished."""
        self._ledger.close(reason)
        self._library.JasgdClose(self._store)

    @property
    def unfinished(self) -> frozenset[int]:
        """Versions that were claimed by adds which did not end; the execution has no rows for them."""
        claimed = (self._library.JasgdClaimed(self._store, worker) for worker in range(self._setup.workers))
        return frozenset(version for version in claimed if version >= 0)

    @property
    def counters(self) -> dict[str, int]:
        """None but Hogwild's."""
        return {}

    def _ended(self, worker: int, ticket: int, who: Any, ending: jax.Array, aux: Any) -> Round:
        """What became of a gradient, behind further attempts where it needs them."""
        ledger, told = self._ledger, self._told[worker]
        while True:
            self._attempts[worker] += 1
            if _TOLD.unpack_from(told)[0] != self._attempts[worker]:  # asynchronous dispatch is on
                jax.block_until_ready(ending)
            _, status, read, version, tau, tries, loss, factor, read_s, computed_s = _TOLD.unpack_from(told)
            done: Committed | Dropped | None = None
            if status == DONE:
                done = ledger.applied_row(worker, ticket, read, version, tau, factor, loss, tries)
            elif status in (CLOSED, NONFINITE):
                ledger.reading(worker, read)  # and it was not committed
                if status == CLOSED:
                    raise Closed(ledger.closed or "steps")
            elif status == STALE:
                gradient = Gradient(worker, ticket, View(read, ()), (), ending, loss)
                done = ledger.dropped(gradient, version, tau, tries if self.name == "leashed" else 1, "stale")
            elif status == LOST and self._persistence is not None and tries > self._persistence:
                gradient = Gradient(worker, ticket, View(read, ()), (), ending, loss)
                version = self._library.JasgdVersion(self._store)
                done = ledger.dropped(gradient, version, ledger.staleness(read, version), tries, "contended")
            else:
                if status == BUSY:
                    self._library.JasgdWait(self._store, worker)
                ending = self._again(who)
                continue
            return Round(read, loss, aux, read_s + self._clock_s, computed_s + self._clock_s, done)

    def _traced_round(self, who: Any, batch: Any) -> tuple[Any, Any]:
        number, *params = jax.ffi.ffi_call("JasgdRead", [_NUMBER, *self._parts[0]])(who)
        loss, aux, grads = self._compiled.gradient(tuple(params), batch)
        return self._attempted(who, number, loss, grads, tuple(params)), aux

    def _traced_again(self, who: Any) -> Any:
        count, asked = len(self._parts[0]), self._parts[0] if self._compiled.wants_read_params else []
        given = [_NUMBER, jax.ShapeDtypeStruct((), self._loss), *self._parts[0], *asked]
        number, loss, *leaves = jax.ffi.ffi_call("JasgdRecall", given)(who)
        return self._attempted(who, number, loss, leaves[:count], tuple(leaves[count:]))

    def _attempted(self, who: Any, number: Any, loss: Any, grads: Any, read: Leaves) -> Any:
        """Begin, the transformation and End, traced; gives the status."""
        params_like, state_like = self._parts
        count, more = len(params_like), params_like if self._gives_params else []
        like = [_NUMBER, jax.ShapeDtypeStruct((), loss.dtype), *params_like, *state_like, *more]
        # Loss and gradient go through Begin, in the same memory, so that XLA does not compute a part of them again,
        # fused with the update: the bits are those of two calls.
        through = {3 + i: 1 + i for i in range(count + 1)}
        begin = jax.ffi.ffi_call("JasgdBegin", like, input_output_aliases=through)
        tau, loss, *rest = begin(who, number, _as_number(loss), loss, *grads)
        grads, rest = tuple(rest[:count]), rest[count:]
        state, params = tuple(rest[: len(state_like)]), tuple(rest[len(state_like) :])
        if not self._gives_params:  # nothing that the transformation does depends on them
            params = tuple(jnp.zeros(like.shape, like.dtype) for like in params_like)
        change = self._compiled.update if self.adds else self._compiled.applied
        asked = read if self._compiled.wants_read_params else ()
        given, state, factor = change(params, state, grads, tau, loss, asked)
        for leaf, before in zip((*given, *state), (*params_like, *state_like), strict=True):
            if (leaf.shape, leaf.dtype) != (before.shape, before.dtype):
                raise ValueError(f"native must be False, as tx makes {leaf.dtype}{list(leaf.shape)} of "
                                 f"{before.dtype}{list(before.shape)}")  # fmt: skip
        return jax.ffi.ffi_call("JasgdEnd", _NUMBER)(who, _as_number(factor), loss, *grads, *state, *given)

    def _require_plain(self, setup: Setup) -> None:
        if setup.at is not nowhere:
            raise ValueError("native must be False for a scheme that is watched: it has no points to watch")
        leaves = setup.params + setup.state
        platforms = {device.platform for leaf in leaves for device in leaf.devices()}
        if platforms != {"cpu"}:
            raise ValueError(f"device must be a CPU for native=True, got {', '.join(sorted(platforms))}")
        for leaf in leaves:
            if leaf.dtype != jnp.bfloat16 and getattr(leaf.dtype, "char", "no") not in _PLAIN:
                raise ValueError(f"native must be False for arrays of dtype {leaf.dtype}")
        kinds = {leaf.dtype for leaf in setup.params}
        if self.adds and kinds not in ({np.dtype(np.float32)}, {np.dtype(np.float64)}):
            told = ", ".join(sorted(map(str, kinds)))
            raise ValueError(f"native must be False for the scheme {self.name!r} unless all parameters are float32 or "
                             f"all float64, got {told}")  # fmt: skip

    def _made(self, workers: int, limit: int | None) -> int:
        """The address of a new store with the initial parameters and state."""
        most = self._ledger.max_staleness
        limits = [-1 if number is None else number for number in (limit, most)]
        blocks = [_bytes(part) for part in (self._setup.params, self._setup.state)]
        contents = itertools.chain.from_iterable((len(p), b, len(b)) for p, b in zip(self._parts, blocks, strict=True))
        is_double = self._parts[0][0].dtype == np.float64
        kind = KINDS.index(self.name)
        return self._library.JasgdMake(kind, workers, *limits, self._gives_params, is_double, *contents)

    def _named(self, store: int, worker: int, check_finite: bool) -> jax.Array:
        """What the functions of native.cc are told of who calls: an address, in two, a worker, and what it checks."""
        numbers = np.array([store & 0xFFFFFFFF, store >> 32, worker, check_finite], np.uint32)
        return jax.device_put(numbers.view(np.int32), self._device)

    def _offer(self, store: int, gradient: Gradient) -> None:
        kept = _bytes((gradient.loss, *gradient.grads))
        worker = gradient.worker if store == self._store else 0
        self._library.JasgdOffer(store, worker, gradient.view.version, kept, len(kept))

    def _leaves(self, block: np.ndarray, part: int) -> Leaves:
        """Leaves over memory that nobody writes any more."""
        leaves, at = [], 0
        for like in self._parts[part]:
            size = like.size * like.dtype.itemsize
            leaves.append(jax.device_put(block[at : at + size].view(like.dtype).reshape(like.shape), self._device))
            at += size
        return tuple(leaves)


class NativeLocked(Native):
    """Lock-based AsyncSGD: from the staleness to its publication an update has a lock, for which reads wait as well.

    What is current is replaced and not changed in place, as with ``locked(reading="reference")``.
    """

    name = "locked"

    def __init__(self, setup: Setup, *, max_staleness: int | None = None, native: bool = True):
        super().__init__(setup, max_staleness=max_staleness, native=native)


class NativeHogwild(Native):
    """Hogwild!: parameters are added to component by component while others read and add, without a lock."""

    name = "hogwild"
    adds = True

    def __init__(self, setup: Setup, *, max_staleness: int | None = None, native: bool = True):
        super().__init__(setup, max_staleness=max_staleness, native=native)

    @property
    def counters(self) -> dict[str, int]:
        """Overlapped reads, and updates of the optimizer state that were lost."""
        reads, updates = ctypes.c_int64(), ctypes.c_int64()
        self._library.JasgdCounters(self._store, ctypes.byref(reads), ctypes.byref(updates))
        return {"overlapped_reads": reads.value, "lost_state_updates": updates.value}


class NativeLeashed(Native):
    """Leashed-SGD: an update is published if no other came between, and else computed again on the newest."""

    name = "leashed"


NATIVE = {scheme.name: scheme for scheme in (NativeLocked, NativeHogwild, NativeLeashed)}


def _as_number(value: Any) -> Any:
    """A float or a double, which native.cc reads."""
    return value if value.dtype == np.float64 else value.astype(np.float32)


def _bytes(leaves: Leaves) -> bytes:
    return b"".join(np.asarray(leaf).tobytes() for leaf in leaves)
