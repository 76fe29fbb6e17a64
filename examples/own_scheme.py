"""Your own synchronization scheme: stale synchronous parallel (SSP), in one class.

    python examples/own_scheme.py

A worker may be at most ``slack`` gradients ahead of the slowest one; if it is farther ahead, it waits in ``read``. This
bounds staleness. Say worker i has made c gradients when it reads: the others have made at least c - slack each, and
while i computes, none of them gets beyond c + slack + 1. So τ ≤ (m - 1)(2·slack + 1). You will see that this holds
while one worker stalls again and again, and that Leashed-SGD, where no worker waits, has no such bound.

Source: Q. Ho et al., "More effective distributed ML via a stale synchronous parallel parameter server", NeurIPS 2013.
"""

import functools
import threading
import time

import jasgd

jasgd.configure_cpu()
jasgd.keep_compiled()  # a second start compiles nothing, see docs/start.md

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from jasgd.schemes import Gradient, Scheme, Setup, Snapshot, View  # noqa: E402


class StaleSynchronous(Scheme):
    """Reads wait for the slowest worker; commits apply the gradient to the current parameters, under the same mutex.

    Guarantees. No torn read, no lost update; versions form a chain. A worker that has made c gradients reads only
    once every other has made at least c - slack. Linearizes inside the mutex; nothing relies on the GIL. A stalled
    worker stalls the run, once the others are ``slack`` + 1 ahead of it; ``close`` wakes all that wait.
    """

    name = "stale_synchronous"
    needs_every_worker = True  # without one of them, the others would wait for ever

    def __init__(self, setup: Setup, *, slack: int = 1):
        if isinstance(slack, bool) or not isinstance(slack, int) or slack < 0:
            raise ValueError(f"slack must be an integer ≥ 0 in gradients, got {slack!r}")
        super().__init__(setup)
        self._slack = slack
        self._current = Snapshot(setup.version, setup.params, setup.state)
        self._counts = [0] * setup.workers
        self._changed = threading.Condition()  # the mutex, and where workers wait that are too far ahead
        self._waits = 0

    def read(self, worker: int) -> View:
        """The current parameters, once the slowest worker is near enough."""
        with self._changed:
            if not self._may_go_on(worker):
                self._waits += 1
                self._at_point("wait", worker)
                self._changed.wait_for(lambda: self._may_go_on(worker) or self._ledger.closed is not None)
            self._ledger.require_open(self._current.version)
            view = View(self._current.version, self._current.params)
            self._ledger.note_read(worker, view.version)
        self._at_point("read", worker)
        return view

    def commit(self, gradient: Gradient):
        """Applies the gradient and wakes the workers that may now go on."""
        self._at_point("commit", gradient.worker)
        with self._changed:
            base = self._current
            self._ledger.require_open(base.version)
            tau = self._ledger.staleness_between(gradient.view.version, base.version)
            self._current, factor = self.successor(base, gradient, tau)
            self._counts[gradient.worker] += 1
            self._changed.notify_all()
        return self._ledger.record_applied(gradient, base.version, tau, factor)

    def snapshot(self) -> Snapshot:
        """The current parameters; immutable."""
        return self._current

    def close(self, reason: str) -> None:
        """Refuses later commits and wakes the workers that wait."""
        with self._changed:
            self._ledger.close(reason)
            self._changed.notify_all()

    @property
    def counters(self) -> dict[str, int]:
        """Reads that had to wait."""
        return {"waits": self._waits}

    def _may_go_on(self, worker: int) -> bool:
        return self._counts[worker] - min(self._counts) <= self._slack


def stale_synchronous(*, slack: int):
    """What ``jasgd.train(scheme=...)`` takes."""
    return functools.partial(StaleSynchronous, slack=slack)


def stalling(point, worker):
    """Worker 0 stalls for 20 ms after every read, as on a processor that others use as well."""
    if point == "read" and worker == 0:
        time.sleep(0.02)


def main(workers=4, slack=1):
    bound = (workers - 1) * (2 * slack + 1)
    print(f"{workers} workers, slack {slack}: staleness is at most (m - 1)(2·slack + 1) = {bound}.")
    for scheme in (stale_synchronous(slack=slack), jasgd.schemes.leashed()):
        result = jasgd.train(
            lambda w, batch: jnp.mean((w - batch) ** 2),
            jnp.zeros(50),
            optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.5)),
            lambda ticket: np.random.default_rng(ticket).normal(1.0, 0.1, 50).astype(np.float32),
            scheme=jasgd.testing.watched(scheme, stalling),
            workers=workers,
            steps=600,
        )
        execution = result.execution
        taken = np.bincount(execution.worker, minlength=workers).tolist()
        counters = ", ".join(f"{name} {count}" for name, count in result.counters.items())
        print(
            f"{jasgd.schemes.describe(scheme):26} {execution.commits} updates in {result.duration_s:.2f} s, "
            f"largest staleness {execution.staleness.max():3d}, gradients by worker {taken} {counters}"
        )


if __name__ == "__main__":
    main()
