"""What the schemes promise of versions, staleness and reads, against evidence that owes the ledger nothing.

The parameters of ``helpers.counting`` count the updates: after k of them every component is exactly k. So what a
worker read says which version it was, two different components in one view are a torn read, and a final value other
than the number of commits is a lost update.
"""

import numpy as np
import optax
import pytest
from helpers import counting, network

import jasgd
from jasgd.testing import logged

CONSISTENT = {
    "synchronous": "synchronous",
    "locked": "locked",
    "locked, by reference": jasgd.schemes.locked(reading="reference"),
    "leashed": "leashed",
}


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
    steps, workers = 10_000, 8
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

    # τ, told by the loss, which is the version that the gradient was computed on.
    np.testing.assert_array_equal(execution.staleness, execution.version - execution.loss.astype(np.int64))
    np.testing.assert_array_equal(execution.version_read, result.aux["min"].astype(np.int64))

    # The log saw the same commits as the ledger recorded.
    committed = {e.ticket: e.outcome for e in events if e.kind == "commit" and isinstance(e.outcome, tuple)}
    assert set(committed) == set(execution.ticket.tolist())
    for ticket, version, tau in zip(execution.ticket, execution.version, execution.staleness, strict=True):
        assert committed[int(ticket)][:2] == (version, tau)

    told = execution.conservation()
    assert told["applied"] + told["dropped"] + told["in_flight"] + told["gaps"] == told["total"]
    assert told["total"] == (0 if scheme == "synchronous" else (workers - 1) * steps)
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
    told = result.execution.conservation()
    assert told["applied"] + told["dropped"] + told["in_flight"] + told["gaps"] == told["total"] == 7 * 2000
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
@pytest.mark.parametrize("scheme", ["sequential", "synchronous", "locked", "hogwild", "leashed"])
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
    result = jasgd.train(loss_fn, params, tx, batches, scheme=scheme, workers=workers, steps=400)
    assert result.metrics["last_loss"] < 0.7 * result.execution.loss[:16].mean()


def test_synchronous_runs_repeat_to_the_bit_and_the_asynchronous_record_differs():
    params, loss_fn, batches = network()
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.adam(1e-2))

    def final():
        result = jasgd.train(loss_fn, params, tx, batches, scheme="synchronous", workers=5, steps=60)
        return result.execution.metadata["final_params"], result.execution.metadata["final_opt_state"]

    assert final() == final()


def test_the_caller_keeps_the_initial_parameters():
    params, loss_fn, batches = network()
    before = {name: np.array(layer["kernel"]) for name, layer in params.items()}
    for scheme in ("locked", "hogwild", "leashed"):
        jasgd.train(loss_fn, params, optax.adam(0.1), batches, scheme=scheme, workers=2, steps=20)
    for name, layer in params.items():
        np.testing.assert_array_equal(np.asarray(layer["kernel"]), before[name])
