"""What native schemes have in common: shared parameters in memory of native.cc, and how Python reads and fills it.

What Python threads lose where gradients are small is the interpreter's: two dispatches a gradient, the scheme's own
lines, and one lock for all of it. In a native scheme a worker's round is one compiled function, which XLA runs without
that lock; it reads and commits by functions of native.cc.
"""

from __future__ import annotations

import contextlib
import copy
import ctypes
import itertools
import struct
import types
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jasgd.core.compiled import Compiled, Leaves
from jasgd.core.devices import name_of, putting_like
from jasgd.core.health import NonFiniteCommit
from jasgd.core.messages import Gradient, Snapshot, View
from jasgd.core.scheme import NativeScheme, Setup, unwatched
from jasgd.jax_settings import processors
from jasgd.schemes.native.build import library

KINDS = ("locked", "hogwild", "leashed", "synchronous")  # this order and the next are store.h's
DONE, LOST, BUSY, STALE, CLOSED, NONFINITE, OPEN, HANDED_IN = range(8)
NUMBER = jax.ShapeDtypeStruct((), jnp.int32)
_ANSWER = struct.Struct("=6q4d2qd")
_OF_RUN = ("_store", "_memory", "_callers", "_ledger", "_library", "_at_point", "_attempts", "_entered", "_inside")
_PLAIN = "?bhilqBHILQefdFD"  # dtypes whose arrays XLA and NumPy lay out alike; bfloat16 besides


class Answer(NamedTuple):
    """The result of a worker's round, as native.cc reports it."""

    attempts: int  # that have ended
    status: int
    version_read: int
    version: int
    staleness: int
    tries: int
    loss: float
    factor: float
    read_s: float
    computed_s: float
    ticket: int  # which Python sets, where it matters
    nonfinite: int  # the first leaf that the commit made not finite, -1 for none
    waited_s: float  # synchronous: how long the read waited for the update


class Unfit(ValueError):
    """Native rounds cannot train this problem; the message says why."""


class NativeStore(NativeScheme):
    """A scheme in memory of native.cc.

    Guarantees. Those of the scheme of that name, with these differences. Nothing relies on the GIL. Parameters are
    copied out for a gradient, out for its update and back: three copies a round, which pays for small networks and not
    for large ones. A round is indivisible: of a scheme that is wrapped, ``read`` and ``commit`` are called instead, and
    there are no points to force interleavings at. A loss that is not finite is refused after its transformation, which
    is called for it.

    Args:
      setup: what a scheme receives; with a batch, since a round is traced with one.
      native: True; that executions record it.

    Raises:
      CannotCompile: where native.cc is not compiled yet, and cannot be, or cannot be loaded.
      Unfit: for arrays that it cannot hold or that lie elsewhere than on one CPU, a transformation that changes their
        types, JAX's settings that look for NaN, a scheme that is watched, and a setup without a batch.
      ValueError: for ``native`` that is not True.
    """

    checks_commits = True
    averages = False  # whether a commit is of several gradients
    adds = False  # whether what is committed is the update and not what comes of it
    rounds_are_shared = False  # whether all objects of this very class trace the same; not of those derived of it
    copies_locked = True  # whether a read, of a scheme that has a lock, has it while it copies

    def __init__(self, setup: Setup, *, native: bool = True):
        if native is not True:
            raise ValueError(f"native must be True for {type(self).__name__}, got {native!r}")
        _require_plain(setup, self.name, self.adds)
        super().__init__(setup)
        self._setup = setup
        self._params_like, self._state_like = (
            [jax.ShapeDtypeStruct(leaf.shape, leaf.dtype) for leaf in part] for part in (setup.params, setup.state)
        )
        self._loss = jax.eval_shape(self._compiled.gradient, setup.params, setup.batch)[0].dtype
        self._gives_params = not self.adds or self._compiled.needs_params
        self._require_kept_types(setup)
        self._library = library()
        self._store = self._new_store(setup.workers, setup.ledger.limit, setup.version)
        # Not at the end of the process, when a worker that could not be stopped may still use it.
        weakref.finalize(self, self._library.JasgdFree, self._store).atexit = False
        self._memory = [
            (ctypes.c_char * _ANSWER.size).from_address(self._library.JasgdAnswer(self._store, worker))
            for worker in range(setup.workers)
        ]
        self._callers = [
            [self._caller(self._store, w, finite) for w in range(setup.workers)] for finite in (False, True)
        ]
        self._attempts = [0] * setup.workers  # that Python has seen end
        self._entered, self._inside = [False] * setup.workers, [False] * setup.workers

    def read(self, worker: int) -> View:
        """A copy of the parameters, for a caller that computes the gradient itself."""
        block = np.empty(size_of(self._params_like), np.uint8)
        version = self._library.JasgdView(self._store, worker, block.ctypes.data)
        self._ledger.note_read(worker, version)
        return View(version, self._leaves(block, self._params_like))

    def snapshot(self) -> Snapshot:
        """A copy; under Hogwild! torn where an add is under way."""
        likes = self._params_like, self._state_like
        blocks = [np.empty(size_of(like), np.uint8) for like in likes]
        version = self._library.JasgdSnapshot(self._store, *(block.ctypes.data for block in blocks))
        return Snapshot(version, *map(self._leaves, blocks, likes))

    def good(self) -> View | None:
        """The newest parameters with a finite loss in a round that looked, or some from before a bad commit."""
        block = np.empty(size_of(self._params_like), np.uint8)
        version = self._library.JasgdGood(self._store, block.ctypes.data)
        return None if version < 0 else View(version, self._leaves(block, self._params_like))

    def close(self, reason: str) -> None:
        """Later commits raise Closed; one that has begun to write is finished."""
        self._ledger.close(reason)
        self._library.JasgdClose(self._store)

    def _note_health(self, worker: int, ticket: int, answer: Answer) -> None:
        """Notes a commit after which parameters are not finite, as native.cc has seen while it copied or added."""
        if answer.nonfinite >= 0:
            of = (-1, -1) if self.averages or self.adds else (worker, ticket)
            version = self._library.JasgdFirstNonfinite(self._store) if self.adds else answer.version
            self._ledger.health.note(NonFiniteCommit(version, answer.nonfinite, not self.adds, *of))

    def note_in_flight(self) -> None:
        """Tells the ledger what workers have read whose rounds did not end, as they could not be stopped or failed."""
        for worker, inside in enumerate(self._inside):
            if inside:
                self._ledger.note_read(worker, self._answer(worker).version_read)

    def _compiled_rounds(self) -> tuple[Any, Any]:
        """The compiled round and the compiled rest of one, which runs of the same functions share."""

        def make(compiled: Compiled) -> tuple[Any, Any]:
            traced = copy.copy(self)
            for name in _OF_RUN:
                vars(traced).pop(name, None)
            traced._compiled, traced._setup = compiled, types.SimpleNamespace(workers=self._setup.workers)  # type: ignore
            return jax.jit(traced._traced_round), jax.jit(traced._traced_again)

        if not vars(type(self)).get("rounds_are_shared"):  # of a derived class each object may trace something else
            return make(self._compiled)
        return self._compiled.shared((type(self), self._setup.workers if self.averages else None, self._loss), make)

    def _traced_round(self, caller: Any, batch: Any) -> tuple[Any, Any]:
        """A round, traced; of the scheme it may read only what :data:`_OF_RUN` does not name."""
        raise NotImplementedError

    def _traced_again(self, caller: Any) -> Any:
        """The rest of a round that has its gradient, traced; likewise."""
        raise NotImplementedError

    @contextlib.contextmanager
    def _spare(self) -> Iterator[tuple[int, jax.Array]]:
        """A store to try things on, and its one worker as a caller."""
        store = self._new_store(1, None, 0)
        yield store, self._caller(store, 0, False)
        self._library.JasgdFree(store)  # not after an exception, when a thread of XLA's may still use it

    def _enter(self, worker: int) -> None:
        """Says that this is the worker's own thread, which may wait; XLA's threads must not."""
        if not self._entered[worker]:
            self._library.JasgdEnter()
            self._entered[worker] = True

    def _ended(self, worker: int, ending: jax.Array) -> Answer:
        """What became of a call, once it has ended: at once but where asynchronous dispatch is on."""
        self._attempts[worker] += 1
        if _ANSWER.unpack_from(self._memory[worker])[0] != self._attempts[worker]:
            jax.block_until_ready(ending)
        return self._answer(worker)

    def _answer(self, worker: int) -> Answer:
        return Answer._make(_ANSWER.unpack_from(self._memory[worker]))

    def _require_kept_types(self, setup: Setup) -> None:
        params, state = setup.params, setup.state
        if self._compiled.wants_worker:
            raise Unfit("native must be False, as tx asks for the worker")
        read = params if self._compiled.wants_read_params else ()
        loss = jax.ShapeDtypeStruct((), self._loss)
        change = self._compiled.update if self.adds else self._compiled.traced_apply
        changed, after, _ = jax.eval_shape(change, params, state, params, NUMBER, loss, read)
        for leaf, before in zip((*changed, *after), (*params, *state), strict=True):
            if (leaf.shape, leaf.dtype) != (before.shape, before.dtype):
                raise Unfit(f"native must be False, as tx makes {leaf.dtype}{list(leaf.shape)} of "
                            f"{before.dtype}{list(before.shape)}")  # fmt: skip

    def _new_store(self, workers: int, limit: int | None, version: int) -> int:
        """The address of a new store with the initial parameters and state, and the version of them."""
        limits = [-1 if number is None else number for number in (limit, self._ledger.max_staleness, version)]
        blocks = [as_bytes(part) for part in (self._setup.params, self._setup.state)]
        parts = zip((self._params_like, self._state_like), blocks, strict=True)
        contents = itertools.chain.from_iterable((len(like), block, len(block)) for like, block in parts)
        kind, is_double = KINDS.index(self.name), self._params_like[0].dtype == np.float64
        flags = self._gives_params, is_double, workers <= processors(), self.copies_locked
        return self._library.JasgdMake(kind, workers, *limits, *flags, *contents)

    def _caller(self, store: int, worker: int, check_finite: bool) -> jax.Array:
        """What the functions of native.cc learn of their caller: an address, in two, a worker, and what it checks."""
        numbers = np.array([store & 0xFFFFFFFF, store >> 32, worker, check_finite], np.uint32)
        return self._put(numbers.view(np.int32))

    def _put(self, array: np.ndarray) -> jax.Array:
        """Where the parameters are, and committed to be there where they are."""
        return putting_like(self._setup.params[0])(array)

    def _offer(self, store: int, worker: int, gradient: Gradient) -> None:
        """Leaves a gradient with a worker, as its round would."""
        kept = as_bytes((gradient.loss, *gradient.grads))
        read = as_bytes(gradient.view.params) if self._compiled.wants_read_params else None
        version, loss = gradient.view.version, gradient.loss_value
        self._library.JasgdOffer(store, worker, version, loss, kept, len(kept), read)

    def _leaves(self, block: np.ndarray, like: list[jax.ShapeDtypeStruct]) -> Leaves:
        """Leaves over memory that no thread writes any more."""
        leaves, start = [], 0
        for leaf in like:
            size = leaf.size * leaf.dtype.itemsize
            leaves.append(self._put(block[start : start + size].view(leaf.dtype).reshape(leaf.shape)))
            start += size
        return tuple(leaves)


def as_number(value: Any) -> Any:
    """A traced scalar as a float or a double, which native.cc reads."""
    return value if value.dtype == np.float64 else value.astype(np.float32)


def as_bytes(leaves: Leaves) -> bytes:
    """The bytes of arrays one after another, as they lie in native.cc's memory."""
    return b"".join(np.asarray(leaf).tobytes() for leaf in leaves)


def size_of(like: list[jax.ShapeDtypeStruct]) -> int:
    """The number of bytes of arrays one after another."""
    return sum(leaf.size * leaf.dtype.itemsize for leaf in like)


def _require_plain(setup: Setup, name: str, adds: bool) -> None:
    if setup.at_point is not unwatched:
        raise Unfit("native must be False for a scheme that is watched: it has no points to watch")
    if setup.batch is None:
        raise Unfit("native must be False where there is no batch to trace a round with")
    config: Any = jax.config
    if config.jax_debug_nans or config.jax_debug_infs:
        raise Unfit("native must be False with jax_debug_nans or jax_debug_infs, which look at gradients")
    if setup.compiled.model_state is not None:
        raise Unfit("native rounds carry no model_state")
    leaves = setup.params + setup.state
    devices = {device for leaf in leaves for device in leaf.devices()} | {*setup.devices}
    if len(devices) > 1 or {device.platform for device in devices} != {"cpu"}:
        names = ", ".join(sorted(map(name_of, devices)))
        raise Unfit(f"{'devices' if setup.devices else 'device'} must be one CPU for native=True, got {names}")
    for leaf in leaves:
        if leaf.dtype != jnp.bfloat16 and getattr(leaf.dtype, "char", "no") not in _PLAIN:
            raise Unfit(f"native must be False for arrays of dtype {leaf.dtype}")
    kinds = {leaf.dtype for leaf in setup.params}
    if adds and kinds not in ({np.dtype(np.float32)}, {np.dtype(np.float64)}):
        dtypes = ", ".join(sorted(map(str, kinds)))
        raise Unfit(f"native must be False for the scheme {name!r} unless all parameters are float32 or all float64, "
                    f"got {dtypes}")  # fmt: skip
