"""accumulate=k: one commit for the mean gradient of k mini-batches."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.every_scheme import EVERY, ids
from support.training_runs import of

import jasgd
from jasgd.core.batching.accumulation import mean_of
from jasgd.core.batching.micro_batches import together

ROWS = np.random.default_rng(1).standard_normal((44, 6)).astype(np.float32)
TX = optax.sgd(0.05, momentum=0.9)


def loss_fn(w, batch):
    return jnp.mean((batch @ w - 1) ** 2)


def drawn(ticket):
    return jasgd.minibatches(ROWS, 4)(ticket)


@pytest.mark.parametrize("scheme", ids(EVERY))
def test_it_is_one_mini_batch_of_so_many_times_the_size(scheme):
    workers = {"workers": 1, "scheme": EVERY[scheme]}
    large = jasgd.train(
        loss_fn, jnp.ones(6), TX, lambda t: np.concatenate([drawn(3 * t + i) for i in range(3)]), steps=20, **workers
    )
    several = jasgd.train(loss_fn, jnp.ones(6), TX, drawn, steps=20, accumulate=3, **workers)
    np.testing.assert_allclose(several.params, large.params, rtol=1e-5)
    np.testing.assert_allclose(several.execution.loss, large.execution.loss, rtol=1e-5)
    assert several.execution.commits == 20
    assert several.execution.metadata["accumulate"] == 3
    assert not several.execution.staleness.any()


@pytest.mark.parametrize("scheme", ids(EVERY))
@pytest.mark.parametrize("batches", ["minibatches", "function", "list", "worker"])
def test_an_epoch_has_a_gradient_for_each_whole_group(scheme, batches):
    rows = jasgd.minibatches(ROWS, 4)  # 11 mini-batches an epoch
    asked = []

    def for_worker(ticket, worker):
        asked.append(ticket)
        return rows(ticket)

    for_worker.batches_per_epoch = 11
    function = lambda ticket: rows(ticket)  # noqa: E731
    function.batches_per_epoch = 11
    batches = {
        "minibatches": rows, "function": function, "list": [rows(i) for i in range(11)], "worker": for_worker
    }[batches]  # fmt: skip
    result = jasgd.train(loss_fn, jnp.ones(6), TX, batches, epochs=2, accumulate=3, **of(scheme))
    result.execution.validate()
    taken = sorted([*result.execution.ticket.tolist(), *result.execution.dropped.ticket.tolist()])
    assert taken == list(range(4 if scheme.startswith("synchronous") else 7))
    end = "all 2 epochs were taken (7 gradients of 3 mini-batches each, and 1 left over, too few for another)"
    assert result.message.startswith(end)
    if batches is for_worker:
        assert set(asked) >= set(range(21))
    if not scheme.startswith("hogwild"):
        assert jasgd.replay(result, loss_fn, TX, batches).exact


def test_more_than_all_epochs_have_is_refused():
    with pytest.raises(ValueError, match="accumulate must be at most 11, which all epochs have, got 12"):
        jasgd.train(loss_fn, jnp.ones(6), TX, jasgd.minibatches(ROWS, 4), epochs=1, accumulate=12)


def test_mini_batches_of_several_shapes_are_one_gradient():
    sizes = [4, 4, 3, 4, 4, 3]
    batches = [ROWS[4 * i : 4 * i + size] for i, size in enumerate(sizes)]
    result = jasgd.train(loss_fn, jnp.ones(6), TX, batches, epochs=1, accumulate=3, workers=1, scheme="sequential")
    expected = np.mean([loss_fn(jnp.ones(6), batch) for batch in batches[:3]])
    np.testing.assert_allclose(result.execution.loss[0], expected, rtol=1e-6)
    assert len(result.execution) == 2
    assert jasgd.replay(result, loss_fn, TX, batches).exact


@pytest.mark.parametrize("sizes", [(4, 4, 4), (4, 4, 3)])
def test_aux_is_the_mean_or_the_sum_or_the_last(sizes):
    parts = [np.full(size, i, np.float32) for i, size in enumerate(sizes)]

    def once(state, batch):
        aux = {"mean": jnp.max(batch), "count": jnp.int32(2), "is_last": jnp.max(batch) > 1, "half": jnp.float16(3)}
        return jnp.max(batch), aux, (batch[:1],), state + 1

    loss, aux, (gradient,), state = jax.jit(lambda batch: mean_of(once, jnp.int32(0), batch))(together(parts))
    assert float(loss) == float(gradient[0]) == float(aux["mean"]) == 1.0
    assert (int(aux["count"]), bool(aux["is_last"]), int(state)) == (6, True, 3)
    assert (aux["half"], aux["half"].dtype) == (3, jnp.float16)


def test_sums_of_half_precision_are_in_single():
    parts = [np.full(1, 1e4, np.float16)] * 16  # whose sum no float16 holds
    once = lambda state, batch: (batch[0], None, (batch,), state)  # noqa: E731
    loss, _, (gradient,), _ = mean_of(once, (), together(parts))
    assert (loss, gradient[0], gradient.dtype) == (1e4, 1e4, np.float16)


def test_each_mini_batch_has_the_key_of_its_own_number():
    def random_loss(w, batch, key):
        return loss_fn(w, batch), jax.random.uniform(key)

    batches = jasgd.minibatches(ROWS, 4)
    result = jasgd.train(random_loss, jnp.ones(6), TX, batches, accumulate=3, steps=12, workers=2, seed=5, has_aux=True)
    for ticket, uniform in zip(result.execution.ticket.tolist(), result.aux["aux"].tolist(), strict=True):
        keys = [jax.random.fold_in(jax.random.key(5), 3 * ticket + i) for i in range(3)]
        np.testing.assert_allclose(uniform, np.mean([jax.random.uniform(key) for key in keys]), rtol=1e-6)
    assert jasgd.replay(result, random_loss, TX, batches).exact


def test_a_model_state_goes_through_all_mini_batches():
    def counting(w, batch, model_state):
        return loss_fn(w, batch), {"seen": model_state["seen"] + 1, "last": 0.5 * model_state["last"] + jnp.sum(batch)}

    batches = jasgd.minibatches(ROWS, 4)
    state = {"seen": jnp.int32(0), "last": jnp.float32(0)}
    result = jasgd.train(counting, jnp.ones(6), TX, batches, accumulate=3, steps=5, workers=1, model_state=state)
    last = 0.0
    for number in range(15):
        last = 0.5 * last + float(np.sum(batches(number)))
    assert int(result.model_state["seen"]) == 15
    np.testing.assert_allclose(result.model_state["last"], last, rtol=1e-4)
    assert jasgd.replay(result, counting, TX, batches).exact


def test_a_run_is_gone_on_with_where_it_stopped_and_only_with_the_same_number():
    def through(options, **more):
        batches = [ROWS[4 * i : 4 * i + 4] for i in range(11)]
        return jasgd.train(loss_fn, jnp.ones(6), TX, batches, workers=1, scheme="leashed", **options, **more)

    whole = through({"accumulate": 3}, steps=9)
    part = through({"accumulate": 3}, steps=4)
    rest = through({"accumulate": 3}, steps=9, resume=part)
    assert rest.execution.ticket.tolist() == list(range(9))
    np.testing.assert_array_equal(rest.params, whole.params)
    with pytest.raises(ValueError, match="accumulate must be that of the run that is gone on with, 3, got 1"):
        through({}, steps=9, resume=part)


def test_activations_of_one_mini_batch_are_in_memory_at_a_time():
    def wide(w, batch):
        return jnp.mean(jnp.tanh(jnp.tanh(batch[:, None] * w) * w))

    def once(state, batch):
        loss, gradient = jax.value_and_grad(wide)(w, batch)
        return loss, None, (gradient,), state

    def memory(count):
        batch = together([np.ones(64, np.float32)] * count)
        compiled = jax.jit(lambda batch: mean_of(once, (), batch)).lower(batch).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    w = jnp.ones(4096)
    assert memory(8) < 1.5 * memory(2)


@pytest.mark.parametrize("way", ["minibatches", "function"])
def test_a_simulation_has_the_same_gradients(way):
    rows = jasgd.minibatches(ROWS, 4)
    batches = rows if way == "minibatches" else lambda ticket: rows(ticket)
    recorded = jasgd.train(loss_fn, jnp.ones(6), TX, rows, accumulate=3, steps=30, workers=3)
    (simulated,) = jasgd.simulate(loss_fn, jnp.ones(6), TX, batches, execution=recorded.execution, accumulate=3)
    np.testing.assert_allclose(simulated.execution.loss, recorded.execution.loss, rtol=1e-4)
    assert simulated.execution.metadata["accumulate"] == 3
