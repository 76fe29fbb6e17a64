"""The promise of bits: with one worker and a constant rule, a scheme is plain Optax over the same tickets."""

import jax
import numpy as np
import optax
import pytest
from support.agreement import same_bits
from support.every_scheme import EVERY, NATIVE, ids, needs_compiler
from support.optax_loop import optimizers, plain_optax
from support.problems import network

import jasgd

STEPS = 150
CONSISTENT_NATIVE = ("locked, native", "leashed, native", "synchronous, native")


def adaptive(tx):
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.constant()), tx)


def with_adaptive_last(tx):
    return optax.chain(tx, jasgd.staleness_adaptive(jasgd.rules.constant()))


@pytest.mark.newest
@pytest.mark.parametrize("optimizer", optimizers())
@pytest.mark.parametrize(
    "scheme",
    [
        *(pytest.param(EVERY[name], id=name) for name in ("sequential", "synchronous", "locked", "leashed")),
        *(pytest.param(NATIVE[name], id=name, marks=needs_compiler) for name in CONSISTENT_NATIVE),
        pytest.param(jasgd.schemes.locked(reading="reference", native=False), id="locked by reference"),
    ],
)
def test_one_worker_gives_the_bits_of_plain_optax(scheme, optimizer):
    params, loss_fn, batches = network()
    tx = optimizers()[optimizer]()
    expected, expected_state = plain_optax(loss_fn, params, tx, ([batches(t)] for t in range(STEPS)))
    result = jasgd.train(loss_fn, params, adaptive(tx), batches, scheme=scheme, workers=1, steps=STEPS)
    assert same_bits(result.params, expected)
    assert same_bits(result.opt_state[1], expected_state)
    assert result.execution.ticket.tolist() == list(range(STEPS))


@pytest.mark.newest
@pytest.mark.parametrize("optimizer", optimizers())
@pytest.mark.parametrize("scheme", ["locked", "leashed"])
def test_the_constant_rule_keeps_the_bits_behind_an_optimizer_too(scheme, optimizer):
    params, loss_fn, batches = network()
    tx = optimizers()[optimizer]()
    expected, expected_state = plain_optax(loss_fn, params, tx, ([batches(t)] for t in range(STEPS)))
    result = jasgd.train(loss_fn, params, with_adaptive_last(tx), batches, scheme=scheme, workers=1, steps=STEPS)
    assert same_bits(result.params, expected)
    assert same_bits(result.opt_state[0], expected_state)


@pytest.mark.newest
@pytest.mark.parametrize("optimizer", optimizers())
@pytest.mark.parametrize("workers", [2, 3, 5])
@pytest.mark.parametrize("scheme", ids(["synchronous", "synchronous, native"]))
def test_several_synchronous_workers_give_the_bits_of_the_mean_gradient(scheme, workers, optimizer):
    params, loss_fn, batches = network()
    tx = optimizers()[optimizer]()
    rounds = ([batches(workers * r + i) for i in range(workers)] for r in range(STEPS))
    expected, expected_state = plain_optax(loss_fn, params, tx, rounds)
    result = jasgd.train(loss_fn, params, adaptive(tx), batches, scheme=EVERY[scheme], workers=workers,
                         steps=STEPS)  # fmt: skip
    assert same_bits(result.params, expected)
    assert same_bits(result.opt_state[1], expected_state)


@pytest.mark.parametrize("optimizer", optimizers())
def test_one_hogwild_worker_gives_the_bits_of_adding_the_update_with_numpy(optimizer):
    params, loss_fn, batches = network()
    tx = optimizers()[optimizer]()
    gradient = jax.jit(jax.value_and_grad(loss_fn))
    update = jax.jit(lambda grads, state: tx.update(grads, state))
    state, expected = tx.init(params), jax.tree.map(np.array, params)
    for ticket in range(STEPS):
        _, grads = gradient(jax.tree.map(np.copy, expected), batches(ticket))
        updates, state = update(grads, state)
        jax.tree.map(lambda w, u: np.add(w, np.asarray(u), out=w), expected, updates)
    result = jasgd.train(loss_fn, params, adaptive(tx), batches, scheme="hogwild", workers=1, steps=STEPS)
    assert same_bits(result.params, expected)
    assert same_bits(result.opt_state[1], state)


def test_the_comparison_of_bits_can_tell_one_bit():
    params, _, _ = network()
    other = jax.tree.map(np.array, params)
    other["dense1"]["bias"].view(np.int32)[3] ^= 1
    assert same_bits(params, params)
    assert not same_bits(params, other)


@pytest.mark.parametrize("scheme", ["synchronous", "locked", "leashed", "hogwild"])
def test_the_same_seed_gives_the_same_tickets_whatever_the_scheme(scheme):
    params, loss_fn, batches = network()
    seen = {}

    def noted(ticket):
        batch = batches(ticket)
        seen[ticket] = batch[0].tobytes()
        return batch

    result = jasgd.train(loss_fn, params, adaptive(optax.sgd(0.01)), noted, scheme=scheme, workers=4, steps=20)
    assert all(seen[t] == batches(t)[0].tobytes() for t in result.execution.ticket.tolist())
    assert result.execution.metadata["initial_params"] == jasgd.record.trees.digest(params)
