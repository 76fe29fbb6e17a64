"""Where a worker's time goes, read off JAX's own trace of a run.

XLA says when its kernels run (*compute*, which for native rounds contains reads and commits), and JAX when a compiled
function is called: what lies between is *dispatch*, which contains waiting for the interpreter's lock behind a
computation. What jasgd does besides is marked here, from outside: *copies* and adds of parameters through NumPy,
*waiting* for a scheme's mutex or its peers. The rest is *bookkeeping*: batches, staleness, rows, and the loop itself,
all in Python. *off processor* is the share of the time in which the worker's thread did not run, whatever it was
waiting for; it is contained in the others.
"""

import contextlib
import tempfile
import threading
import time
from pathlib import Path
from unittest import mock

import jax
import numpy as np
from jax.profiler import TraceAnnotation

import jasgd
from jasgd.core.buffers import Buffers
from jasgd.training.engines import threads

KINDS = ("compute", "dispatch", "copies", "waiting", "bookkeeping")
COMPUTE, DISPATCH, WORKER = "ThunkExecutor::Execute", "PjitFunction", "jasgd worker"


def _marked(name, function):
    def call(*args, **kwargs):
        with TraceAnnotation(name):
            return function(*args, **kwargs)

    return call


class _Mutex:
    """A lock that says how long it was waited for."""

    def __init__(self, lock):
        self._lock = lock

    def __enter__(self):
        self.acquire()

    def acquire(self, *args, **kwargs):
        with TraceAnnotation("waiting"):
            return self._lock.acquire(*args, **kwargs)

    def __exit__(self, *_):
        self._lock.release()

    def __getattr__(self, name):
        return getattr(self._lock, name)


class _NumPy:
    """NumPy whose ``add`` says when it runs."""

    add = staticmethod(_marked("copies", np.add))

    def __getattr__(self, name):
        return getattr(np, name)


def shares(run, scheme):
    """Shares of the workers' time.

    Args:
      run: function that trains once, by ``jasgd.train`` with a scheme that is given to it.
      scheme: a factory of ``jasgd.schemes``.

    Returns:
      For each of ``KINDS``, and for "off processor", its share of the time that the workers worked, 0 … 1.
    """
    worked = []

    def work(*args):
        with TraceAnnotation(WORKER):
            started, ran = time.perf_counter(), time.thread_time()
            original(*args)
            worked.append((time.perf_counter() - started, time.thread_time() - ran))

    def factory(setup):
        instance = jasgd.schemes.selection.make(scheme, setup)
        if isinstance(getattr(instance, "_mutex", None), type(threading.Lock())):
            instance._mutex = _Mutex(instance._mutex)
        if gates := getattr(instance, "_gates", None):  # the synchronous scheme's
            instance._gates = list(map(_Mutex, gates))
        return instance

    factory.__name__ = jasgd.schemes.describe(scheme)
    original, options = threads.work, jax.profiler.ProfileOptions()
    options.python_tracer_level = 0
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(mock.patch.object(threads, "work", work))
        stack.enter_context(mock.patch.object(Buffers, "read", _marked("copies", Buffers.read)))
        stack.enter_context(mock.patch("jasgd.schemes.hogwild_sgd.np", _NumPy()))  # alone: JAX adds with NumPy as well
        jax.profiler.start_trace(folder, profiler_options=options)
        try:
            run(factory)
        finally:
            jax.profiler.stop_trace()
        (file,) = Path(folder).rglob("*.xplane.pb")
        shares_of_time = _read(jax.profiler.ProfileData.from_file(str(file)))
    wall, ran = (sum(values) for values in zip(*worked, strict=True))
    return shares_of_time | {"off processor": 1 - ran / wall}


def _read(profile):
    totals, all_ns = dict.fromkeys(KINDS, 0.0), 0.0
    for line in (line for plane in profile.planes for line in plane.lines):
        events = [(e.start_ns, e.end_ns, e.name.split("(")[0]) for e in line.events]
        spans = [(start, end) for start, end, name in events if name == WORKER]
        if not spans:
            continue
        ((start, end),) = spans
        within = {
            kind: _union([(s, e) for s, e, name in events if name in names and s >= start and e <= end])
            for kind, names in {
                "compute": {COMPUTE},
                "called": {COMPUTE, DISPATCH},
                "copies": {"copies"},
                "waiting": {"waiting"},
            }.items()
        }
        totals["compute"] += within["compute"]
        totals["dispatch"] += within["called"] - within["compute"]
        totals["copies"] += within["copies"]
        totals["waiting"] += within["waiting"]
        totals["bookkeeping"] += end - start - within["called"] - within["copies"] - within["waiting"]
        all_ns += end - start
    return {kind: total / all_ns for kind, total in totals.items()}


def _union(spans):
    """How long at least one of the spans lasts."""
    total, reached = 0.0, 0.0
    for start, end in sorted(spans):
        total += max(0.0, end - max(start, reached))
        reached = max(reached, end)
    return total
