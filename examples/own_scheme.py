"""Your own synchronization scheme: stale synchronous parallel (SSP), in one class.

    python examples/own_scheme.py

A worker may be at most ``slack`` gradients ahead of the slowest one; whoever is farther ahead waits in ``read``. This
bounds staleness. Say worker i has made c gradients when it reads: the others have made at least c - slack each, and
while i computes, none of them gets beyond c + slack + 1. So τ ≤ (m - 1)(2·slack + 1). You will see that this holds
while one worker stalls again and again, and that Leashed-SGD, where nobody waits, has no such bound.

Source: Q. Ho et al., "More effective distributed ML via a stale synchronous parallel parameter server", NeurIPS 2013.
"""

import functools
import threading
import time

import jasgd

jasgd.configure_cpu()

import jax.numpy as jnp  # noqa: E402
import numpy as np  # noqa: E402
import optax  # noqa: E402

from jasgd.schemes import Gradient, Setup, Snapshot, View  # noqa: E402


class StaleSynchronous:
    """Reads wait for the slowest worker; commits apply the gradient to the current parameters, under the same mutex.

    Guarantees. No torn read, no lost update; versions form a chain. A worker that has made c gradients reads only
    once every other has made at least c - slack. Linearizes inside the mutex; nothing relies on the GIL. A stalled
    worker stalls the run, once the others are ``slack`` + 1 ahead of it; ``close`` wakes all who wait.
    """

    name = "stale_synchronous"
    needs_every_worker = True  # without one of them, the others would wait for ever

    def __init__(self, setup: Setup, *, slack: int = 1):
        if isinstance(slack, bool) or not isinstance(slack, int) or slack < 0:
            raise ValueError(f"slack must be an integer ≥ 0 in gradients, got {slack!r}")
        self._compiled, self._ledger, self._at, self._slack = setup.compiled, setup.ledger, setup.at, slack
        self._current = Snapshot(0, setup.params, setup.state)
        self._made = [0] * setup.workers
        self._changed = threading.Condition()  # the mutex, and where those wait who are too far ahead
        self._waits = 0

    def read(self, worker: int) -> View:
        """The current parameters, once the slowest worker is near enough."""
        with self._changed:
            if not self._may_go_on(worker):
                self._waits += 1
                self._at("wait", worker)
                self._changed.wait_for(lambda: self._may_go_on(worker) or self._ledger.closed is not None)
            self._ledger.require_open(self._current.version)
            view = View(self._current.version, self._current.params)
            self._ledger.reading(worker, view.version)
        self._at("read", worker)
        return view

    def commit(self, gradient: Gradient):
        """Applies the gradient and wakes those whom it lets go on."""
        self._at("commit", gradient.worker)
        with self._changed:
            base = self._current
            self._ledger.require_open(base.version)
            tau = self._ledger.staleness(gradient.view.version, base.version)
            params, state, factor = self._apply(base, gradient, tau)
            self._current = Snapshot(base.version + 1, params, state)
            self._made[gradient.worker] += 1
            self._changed.notify_all()
        return self._ledger.applied(gradient, base.version, tau, factor)

    def warm_up(self, gradient: Gradient) -> None:
        """Compiles what commits call; changes nothing."""
        self._apply(self._current, gradient, 0)

    def snapshot(self) -> Snapshot:
        """The current parameters; immutable."""
        return self._current

    def close(self, reason: str) -> None:
        """Refuses later commits and wakes whoever waits."""
        with self._changed:
            self._ledger.close(reason)
            self._changed.notify_all()

    @property
    def counters(self) -> dict[str, int]:
        """Reads that had to wait."""
        return {"waits": self._waits}

    def _may_go_on(self, worker: int) -> bool:
        return self._made[worker] - min(self._made) <= self._slack

    def _apply(self, base: Snapshot, gradient: Gradient, tau: int):
        read = self._compiled.read(gradient.view)
        return self._compiled.apply(base.params, base.state, gradient.grads, np.int32(tau), gradient.loss, read)


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
