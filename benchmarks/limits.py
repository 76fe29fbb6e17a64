"""What a scheme is judged against: workers that share nothing, and the plain Optax loop.

m threads each train parameters of their own with the same gradients, the same transformation and the same tickets as
``jasgd.train``. *Fused* is one compiled call, gradient and update; *two-call* is the gradient, then the update. In both
the parameters are donated, since they have one owner. What a scheme loses against two-call is the price of sharing;
what lies between the two is the price of the split.
"""

from __future__ import annotations

import itertools
import threading
import time

import jax
import numpy as np
import optax

from jasgd.core.admission import admit
from jasgd.data import as_batches


def in_threads(workers, body):
    """Seconds from the start of ``workers`` threads, each of which calls ``body(worker)``, to the end of the last.

    Args:
      workers: number of threads.
      body: function of a worker's number, that returns once no work is left.

    Returns:
      Seconds.

    Raises:
      BaseException: what a body raised.
    """
    ready, errors, ends = threading.Barrier(workers + 1), [], [0.0] * workers

    def run(worker):
        try:
            ready.wait()
            body(worker)
        except BaseException as error:
            errors.append(error)
        ends[worker] = time.perf_counter()

    threads = [threading.Thread(target=run, args=(w,)) for w in range(workers)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return max(ends) - started


class Limits:
    """The two limits of a problem, compiled once.

    Args:
      problem: of ``jasgd.problems``.
      tx: transformation that takes ``staleness``.
    """

    def __init__(self, problem, tx):
        self.batches = as_batches(problem.batches)
        self.compiled, self.leaves, self.state = admit(problem.loss_fn, problem.params, tx, problem.batches(0))
        compiled = self.compiled

        def step(leaves, state, batch, staleness):
            loss, _, grads = compiled.gradient(leaves, batch)
            return *compiled.traced_apply(leaves, state, grads, staleness, loss, ()), loss

        self.step = jax.jit(step, donate_argnums=(0, 1))

    def fused(self, workers, steps):
        """Seconds for ``steps`` steps in all by ``workers`` threads, in one call each."""
        return self._run(workers, steps, self._fused)

    def two_call(self, workers, steps):
        """Seconds for ``steps`` steps in all by ``workers`` threads, in two calls each."""
        return self._run(workers, steps, self._two_call)

    def _fused(self, leaves, state, batch, staleness):
        leaves, state, _, loss = self.step(leaves, state, batch, staleness)
        return leaves, state, loss

    def _two_call(self, leaves, state, batch, staleness):
        loss, _, grads = self.compiled.gradient(leaves, batch)
        leaves, state, _ = self.compiled.apply_in_place(leaves, state, grads, staleness, loss, ())
        return leaves, state, loss

    def _run(self, workers, steps, call):
        owned = [(self.compiled.copy(self.leaves), self.compiled.copy(self.state)) for _ in range(workers)]
        first = self.batches(0)
        for worker, (leaves, state) in enumerate(owned):  # compiles
            owned[worker] = call(leaves, state, first, self.compiled.staleness_array(0))[:2]
        jax.block_until_ready(owned)
        tickets = itertools.count()

        def body(worker):
            leaves, state = owned[worker]
            while (ticket := next(tickets)) < steps:
                # An argument, as in a run, where nobody knows the staleness before.
                staleness = self.compiled.staleness_array(ticket % workers)
                leaves, state, loss = call(leaves, state, self.batches(ticket), staleness)
                if not np.isfinite(np.asarray(loss)):
                    raise FloatingPointError(f"the loss at ticket {ticket} is {loss}")

        return in_threads(workers, body)


def plain_loop(problem, tx, steps):
    """Seconds for the loop of Optax's documentation: a jitted gradient, then a jitted update, by one thread.

    Args:
      problem: of ``jasgd.problems``.
      tx: any transformation that needs no extra arguments.
      steps: number of steps.

    Returns:
      Seconds, compilation not counted.
    """
    gradient = jax.jit(jax.value_and_grad(problem.loss_fn))

    @jax.jit
    def apply(params, state, grads):
        updates, state = tx.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    params, state = problem.params, tx.init(problem.params)
    started = 0.0
    for ticket in range(-3, steps):
        if ticket == 0:
            started = time.perf_counter()
        _, grads = gradient(params, problem.batches(max(ticket, 0)))
        params, state = apply(params, state, grads)
    jax.block_until_ready(params)
    return time.perf_counter() - started
