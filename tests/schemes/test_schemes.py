"""What the schemes promise of versions, staleness and reads, against evidence that owes the ledger nothing.

The parameters of ``support.problems.counting`` count the updates: after k of them every component is exactly k. So
what a worker read says which version it was, two different components in one view are a torn read, and a final value
other than the number of commits is a lost update.
"""

import logging
import resource
import threading
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, ids
from support.problems import counting, network

import jasgd
from jasgd.core.admission import admit
from jasgd.core.ledger import Ledger
from jasgd.core.messages import Gradient
from jasgd.core.scheme import Setup
from jasgd.testing import logged

CONSISTENT = {
    "synchronous": "synchronous",
    "locked": EVERY["locked"],
    "locked, by reference": jasgd.schemes.locked(reading="reference", native=False),
    "locked, carrying": jasgd.schemes.locked(reading="carry"),
    "leashed": EVERY["leashed"],
}
BY_REFERENCE = "locked, by reference, native"
KINDS = EVERY | CONSISTENT | {BY_REFERENCE: jasgd.schemes.locked(reading="reference", native=True)}


def run_counting(scheme, *, workers=8, steps=10_000, rule=None, size=4096):
    params, loss_fn, batches = counting(size)
    tx = optax.chain(jasgd.staleness_adaptive(rule or jasgd.rules.constant()), optax.sgd(1.0))
    events = []
    factory = jasgd.schemes.named(scheme) if isinstance(scheme, str) else scheme
    result = jasgd.train(
        loss_fn, params, tx, batches, scheme=logged(factory, events), workers=workers, steps=steps, has_aux=True
    )
    return result, events


@pytest.mark.newest
@pytest.mark.parametrize("scheme", CONSISTENT.values(), ids=CONSISTENT)
def test_versions_form_a_chain_and_staleness_is_what_the_parameters_say(scheme):
    steps, workers = 2_000 if scheme == "synchronous" else 10_000, 8  # 16,000 gradients, or 10,000
    result, events = run_counting(scheme, workers=workers, steps=steps)
    execution = result.execution
    rows_per_commit = workers if scheme == "synchronous" else 1

    # A chain of versions, each committed gradient applied once, none lost.
    assert execution.version.tolist() == [k for k in range(steps) for _ in range(rows_per_commit)]
    assert len(set(execution.ticket.tolist())) == len(execution)
    for leaf in (result.params["a"], result.params["b"]):
        assert np.unique(np.asarray(leaf)).tolist() == [steps]
    execution.validate()

    # No torn read: all components of a view agree, and are the version that it says it is.
    for event in events:
        if event.kind == "read":
            values = np.unique(np.concatenate([np.unique(np.asarray(leaf)) for leaf in event.params]))
            assert values.tolist() == [event.outcome.version]
    np.testing.assert_array_equal(result.aux["min"], result.aux["max"])

    # τ from the loss, which is the version that the gradient was computed on.
    np.testing.assert_array_equal(execution.staleness, execution.version - execution.loss.astype(np.int64))
    np.testing.assert_array_equal(execution.version_read, result.aux["min"].astype(np.int64))

    # The log saw the same commits as the ledger recorded.
    committed = {e.ticket: e.outcome for e in events if e.kind == "commit" and isinstance(e.outcome, tuple)}
    assert set(committed) == set(execution.ticket.tolist())
    for ticket, version, tau in zip(execution.ticket, execution.version, execution.staleness, strict=True):
        assert committed[int(ticket)][:2] == (version, tau)

    balance = execution.conservation()
    assert balance["applied"] + balance["dropped"] + balance["in_flight"] + balance["gaps"] == balance["total"]
    assert balance["total"] == (0 if scheme == "synchronous" else (workers - 1) * steps)
    if scheme == "synchronous":
        assert not execution.staleness.any()
    else:
        assert execution.staleness.max() > 0
    assert int(np.asarray(result.opt_state[0].law.updates)) == steps


@pytest.mark.parametrize("scheme", ["locked", "hogwild", "leashed"])
def test_staleness_is_conserved_also_with_drops(scheme):
    params, loss_fn, batches = counting(512)
    factory = jasgd.schemes.named(scheme, max_staleness=2)
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.constant()), optax.sgd(1.0))
    result = jasgd.train(loss_fn, params, tx, batches, scheme=factory, workers=8, steps=2000, has_aux=True)
    balance = result.execution.conservation()
    assert (
        balance["applied"] + balance["dropped"] + balance["in_flight"] + balance["gaps"] == balance["total"] == 7 * 2000
    )
    assert result.execution.staleness.max() <= 2
    drops = result.execution.dropped
    assert (drops.staleness > 2).all()
    assert (drops.staleness == drops.version - drops.version_read).all()
    assert result.metrics["dropped_stale"] == len(drops)
    if scheme != "hogwild":  # a dropped gradient leaves no trace
        assert np.unique(np.asarray(result.params["a"])).tolist() == [2000]


@pytest.mark.parametrize("scheme", ["locked", "leashed", "hogwild"])
def test_the_factor_that_is_recorded_is_the_one_that_was_applied(scheme):
    params, loss_fn, batches = counting(8)
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.threshold(3)), optax.sgd(1.0))
    result = jasgd.train(loss_fn, params, tx, batches, scheme=scheme, workers=6, steps=1000, has_aux=True)
    np.testing.assert_array_equal(result.execution.factor, (result.execution.staleness < 3).astype(np.float32))
    if scheme != "hogwild":
        assert float(result.params["a"][0]) == result.execution.factor.sum()


@pytest.mark.parametrize("optimizer", ["momentum", "adam", "ema"])
@pytest.mark.parametrize("scheme", ids(EVERY))
def test_any_stateful_transformation_trains_under_every_scheme(scheme, optimizer):
    params, loss_fn, batches = network()
    tx = {
        "momentum": optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.05, momentum=0.5)),
        "adam": optax.chain(optax.adamw(3e-3), jasgd.staleness_adaptive(jasgd.rules.tail())),
        "ema": optax.chain(
            optax.clip_by_global_norm(1.0),
            optax.add_decayed_weights(1e-4),
            jasgd.staleness_adaptive(jasgd.rules.tail()),
            optax.sgd(optax.cosine_decay_schedule(0.2, 600)),
        ),
    }[optimizer]
    workers = 1 if scheme == "sequential" else 4
    result = jasgd.train(loss_fn, params, tx, batches, scheme=EVERY[scheme], workers=workers, steps=400)
    assert result.metrics["last_loss"] < 0.7 * result.execution.loss[:16].mean()


@pytest.mark.parametrize("scheme", ids(["synchronous", "synchronous, native"]))
def test_synchronous_runs_repeat_to_the_bit(scheme):
    params, loss_fn, batches = network()
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.adam(1e-2))

    def final():
        result = jasgd.train(loss_fn, params, tx, batches, scheme=EVERY[scheme], workers=5, steps=60)
        return result.execution.metadata["final_params"], result.execution.metadata["final_opt_state"]

    assert final() == final()


def test_the_caller_keeps_the_initial_parameters():
    params, loss_fn, batches = network()
    before = {name: np.array(layer["kernel"]) for name, layer in params.items()}
    for scheme in ("locked", "hogwild", "leashed"):
        jasgd.train(loss_fn, params, optax.adam(0.1), batches, scheme=scheme, workers=2, steps=20)
    for name, layer in params.items():
        np.testing.assert_array_equal(np.asarray(layer["kernel"]), before[name])


def test_a_locked_read_of_what_was_carried_is_the_newest_and_waits_for_nobody():
    scheme, gradient = two_worker_store(jasgd.schemes.locked(reading="carry"))
    first, other = scheme.read(0), scheme.read(1)
    scheme.commit(gradient(0, first))
    with scheme._mutex:  # as another worker's commit would hold it
        mine = scheme.read(0)
    assert mine.version == 1
    np.testing.assert_array_equal(mine.params[0], 1.0)
    scheme.commit(gradient(0, mine))
    scheme.commit(gradient(1, other))  # after worker 0's commit, so what that copied is no longer the newest
    newest = scheme.read(0)
    assert newest.version == 3
    np.testing.assert_array_equal(newest.params[0], 3.0)
    for view, value in ((first, 0), (mine, 1), (newest, 3), (scheme.read(1), 3)):
        np.testing.assert_array_equal(view.params[0], float(value))  # no update donated what a worker holds


def two_worker_store(factory):
    """A scheme with the counting problem's parameters, and the gradients that add 1 to them."""
    params, loss_fn, batches = counting(64)
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.constant()), optax.sgd(1.0))
    compiled, leaves, state = admit(loss_fn, params, tx, batches(0), has_aux=True)
    scheme = jasgd.schemes.selection.make(factory, Setup(leaves, state, compiled, Ledger(2), 2))

    def gradient(worker, view):
        loss, _, grads = compiled.gradient(view.params, batches(0))
        return Gradient(worker, 0, view, grads, loss, float(loss))

    return scheme, gradient


class Compilations(logging.Handler):
    """Which thread compiled, as JAX's log says, and when."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def emit(self, record):
        if "ompil" in (text := record.getMessage()):
            self.seen.append((record.created, record.threadName, text))


@pytest.mark.newest
@pytest.mark.parametrize("optimizer", ["sgd", "adamw", "delay compensated"])
@pytest.mark.parametrize("scheme", ids(KINDS))
def test_nothing_is_compiled_once_the_workers_work(scheme, optimizer):
    params, loss_fn, batches = network()
    adaptive = jasgd.staleness_adaptive(jasgd.rules.tail())
    tx = {
        "sgd": optax.chain(adaptive, optax.sgd(0.01)),
        "adamw": optax.chain(optax.adamw(1e-3), adaptive),  # asks for the parameters
        "delay compensated": optax.chain(
            jasgd.delay_compensated(0.1), adaptive, optax.sgd(0.01)
        ),  # and for the read ones
    }[optimizer]
    log, handler, began = logging.getLogger("jax"), Compilations(), []

    def drawn(ticket):
        if threading.current_thread().name.startswith("jasgd-worker"):
            began.append(time.time())
        return batches(ticket)

    log.addHandler(handler)
    jax.config.update("jax_log_compiles", True)  # the context manager of that name concerns its own thread alone
    try:
        jasgd.train(loss_fn, params, tx, drawn, scheme=KINDS[scheme], steps=300,
                    workers=1 if scheme == "sequential" else 4, evaluate=lambda params: 0.0,
                    evaluate_every_s=0.01)  # fmt: skip
    finally:
        jax.config.update("jax_log_compiles", False)
        log.removeHandler(handler)
    before = "round" if "native" in scheme else "gradient"
    assert any(before in text for _, _, text in handler.seen)  # what was compiled before is seen
    assert [(thread, text) for time_s, thread, text in handler.seen if time_s > min(began)] == []


@pytest.mark.parametrize("scheme", ids(["locked", "hogwild", "leashed", "leashed, native"]))
def test_memory_stays_flat_over_100_000_updates(scheme):
    """But for the rows, which are what is asked for: 65 bytes of the execution and 48 of the timings."""
    sizes, steps = [], 100_000

    def resident(_):
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        sizes.append((pages * resource.getpagesize(), len(jax.live_arrays())))
        return 0.0

    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(1e-6))
    w, batch = jnp.ones(2000), np.float32(1)
    result = jasgd.train(lambda w, b: b * jnp.vdot(w, w), w, tx, lambda t: batch, scheme=EVERY[scheme], workers=2,
                         steps=steps, evaluate=resident, evaluate_every_s=0.5)  # fmt: skip
    versions = np.array([row["version"] for row in result.evaluations])
    begin = int(np.argmax(versions >= steps // 10))  # memory pools have filled by then
    assert versions[begin] < steps // 2
    (before, arrays), (after, arrays_then) = sizes[begin], sizes[-1]
    per_update = (after - before) / (versions[-1] - versions[begin])
    assert per_update < 250  # bytes; two vectors of parameters would be 16,000
    assert abs(arrays_then - arrays) < 60
