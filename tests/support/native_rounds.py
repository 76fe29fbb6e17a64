"""Schemes with native rounds, in runs and alone, and waiting for what another thread does."""

import threading
import time

import optax
from support.problems import counting

import jasgd
from jasgd.core.admission import admit
from jasgd.core.ledger import Ledger
from jasgd.core.messages import Gradient
from jasgd.core.scheme import Setup
from jasgd.schemes.selection import WITH_NATIVE

NAMES = list(WITH_NATIVE)
ASYNCHRONOUS = [name for name in NAMES if name != "synchronous"]


def native(name, **options):
    return jasgd.schemes.named(name, native=True, **options)


def tail(*more):
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), *(more or (optax.sgd(0.05),)))


def store(name, *, workers=2, rule=None):
    """A scheme with the counting problem's parameters, and what makes a worker's gradient, which adds 1."""
    params, loss_fn, batches = counting(64)
    tx = optax.chain(jasgd.staleness_adaptive(rule or jasgd.rules.constant()), optax.sgd(1.0))
    compiled, leaves, state = admit(loss_fn, params, tx, batches(0), has_aux=True)
    setup = Setup(leaves, state, compiled, Ledger(workers), workers, batch=batches(0))
    scheme = jasgd.schemes.selection.make(native(name), setup)

    def gradient(worker):
        view = scheme.read(worker)
        loss, _, grads = compiled.gradient(view.params, batches(0))
        return Gradient(worker, 7, view, grads, loss, float(loss))

    return scheme, gradient


def in_threads(*bodies):
    """What each body returns or raises; each runs in a thread of its own."""
    outcomes = [None] * len(bodies)

    def run(number):
        try:
            outcomes[number] = bodies[number]()
        except Exception as error:
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(bodies))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not any(thread.is_alive() for thread in threads)
    return outcomes


def until(condition):
    """Waits until the condition holds, half a minute at most."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
