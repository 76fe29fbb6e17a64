"""A recorded execution comes to the same bits again, elsewhere too; whatever was altered since is found."""

import json

import jax
import numpy as np
import optax
import pytest
from support.agreement import same_bits
from support.every_scheme import needs_compiler
from support.optax_loop import plain_optax
from support.problems import counting, network
from support.python_process import TESTS, run_python
from support.random_runs import SCHEMES, Case
from support.recorded_runs import tail, without

import jasgd

IN_DEFAULT = 9  # random runs in the default suite, the first ones; they try every scheme
RUNS = 100


def random_run(index):
    """The number of a random run as a parameter, with the marks that it needs."""
    marks = [pytest.mark.full] if index >= IN_DEFAULT else []
    return pytest.param(index, marks=marks + [needs_compiler] * Case.of(index).scheme.startswith("native"))


@pytest.mark.parametrize("index", [random_run(i) for i in range(RUNS)])
def test_a_random_threaded_run_comes_to_the_same_bits(index):
    case = Case.of(index)
    result = case.train()
    again = case.replay(result)
    assert again.exact, again.difference
    assert again.compared == ("params", "opt_state")
    assert (again.version, again.rows) == (case.steps, len(result.execution))
    assert same_bits(again.params, result.params)
    assert same_bits(again.opt_state, result.opt_state)
    assert jax.tree.structure(again.opt_state) == jax.tree.structure(result.opt_state)


def test_the_default_suite_tries_every_scheme():
    assert {Case.of(i).scheme for i in range(IN_DEFAULT)} == set(SCHEMES)


@pytest.mark.newest
@pytest.mark.parametrize(
    "indices",
    [(1, 2, 5), pytest.param(range(4, RUNS, 4), marks=[pytest.mark.full, needs_compiler])],
    ids=["some", "more"],
)
def test_a_saved_run_comes_to_the_same_bits_in_a_process_of_its_own(tmp_path, indices):
    for index in indices:
        Case.of(index).train().save(tmp_path / str(index))
    outcomes = json.loads(run_python("-W", "error", TESTS / "support" / "replay_script.py", tmp_path, *indices).stdout)
    same = {"exact": True, "compared": ["params", "opt_state"], "difference": ""}
    assert outcomes == {str(index): same for index in indices}


def test_the_replay_of_one_worker_is_plain_optax():
    params, loss_fn, batches = network()
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.constant()), optax.adam(1e-2))
    result = jasgd.train(loss_fn, params, tx, batches, workers=1, steps=40)
    for upto in (0, 1, 23, 40):
        again = jasgd.replay(result, loss_fn, tx, batches, upto=upto)
        expected, _ = plain_optax(loss_fn, params, optax.adam(1e-2), ([batches(t)] for t in range(upto)))
        assert same_bits(again.params, expected)
        assert again.exact
        assert again.compared == (("params", "opt_state") if upto == 40 else ())


@pytest.mark.parametrize("scheme", ["locked", "leashed", "synchronous"])
def test_upto_gives_the_state_that_a_later_gradient_was_computed_on(scheme):
    params, loss_fn, batches = network()
    result = jasgd.train(loss_fn, params, tail(), batches, workers=3, steps=30, scheme=scheme)
    gradient = jax.jit(jax.value_and_grad(loss_fn))
    ex = result.execution
    for row in (0, 11, len(ex) - 1):
        again = jasgd.replay(result, loss_fn, tail(), batches, upto=int(ex.version_read[row]))
        loss, _ = gradient(again.params, batches(int(ex.ticket[row])))
        assert np.float32(loss) == ex.loss[row]


def test_a_version_that_nobody_reads_any_more_is_let_go():
    params, loss_fn, batches = counting()
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.constant()), optax.sgd(1.0))
    result = jasgd.train(loss_fn, params, tx, batches, workers=4, steps=200, scheme="locked", has_aux=True)
    before = len(jax.live_arrays())
    most, rerun = 0, jasgd.replaying.replayer.Rerun(result, loss_fn, tx, batches, upto=None, strict=True, device=None)
    for _ in rerun.commits():
        most = max(most, len(jax.live_arrays()) - before)
    # Each of the 200 versions has two leaves; a version is kept while one of four workers is still to commit on it.
    assert most < 100


def test_gradients_dropped_by_leashed_leave_no_trace():
    params, loss_fn, batches = network()
    # Worker 1 holds the base that worker 0 then replaces, so that its only try fails; worker 0 waits until it has.
    zero, one = [(0, "read"), (0, "base"), (1, "base"), (0, "publish"), (0, "read")], [(1, "publish"), (1, "lost")]
    interleaving = jasgd.testing.Interleaving([*zero, *one, (0, "base")])
    scheme = jasgd.testing.watched(jasgd.schemes.leashed(persistence=0), interleaving)
    result = jasgd.train(loss_fn, params, tail(), batches, workers=2, steps=40, scheme=scheme)
    assert len(result.execution.dropped) > 0
    assert jasgd.replay(result, loss_fn, tail(), batches).exact


@pytest.mark.parametrize("scheme", ["locked", "leashed"])
def test_a_transformation_that_asks_for_the_read_parameters_gets_those_of_the_record(scheme):
    params, loss_fn, batches = network()
    tx = optax.chain(jasgd.delay_compensated(2.0, mean_square_decay=0.95), tail())
    # Worker 1 reads before the first commit of worker 0, and commits after it.
    before = {"locked": "commit", "leashed": "base"}[scheme]
    interleaving = jasgd.testing.Interleaving([(0, "read"), (1, "read"), (0, before), (0, "read"), (1, before)])
    watched = jasgd.testing.watched(jasgd.schemes.named(scheme), interleaving)
    result = jasgd.train(loss_fn, params, tx, batches, workers=2, steps=80, scheme=watched)
    assert result.execution.staleness[result.execution.worker == 1][0] > 0
    named = without(result, metadata=result.execution.metadata | {"scheme": scheme})
    again = jasgd.replay(named, loss_fn, tx, batches)
    assert again.exact, again.difference


def test_an_iterator_serves_as_well():
    params, loss_fn, batches = network()
    items = [batches(t) for t in range(400)]
    result = jasgd.train(loss_fn, params, tail(), iter(items), workers=4, steps=60)
    assert jasgd.replay(result, loss_fn, tail(), iter(items)).exact


def test_hogwild_with_one_worker_comes_to_the_same_bits():
    params, loss_fn, batches = network()
    result = jasgd.train(loss_fn, params, tail(), batches, workers=1, steps=80, scheme="hogwild")
    again = jasgd.replay(result, loss_fn, tail(), batches)
    assert again.exact, again.difference
    assert same_bits(again.params, result.params)
    assert again.irreproducible == {"overlapped_reads": 0, "lost_state_updates": 0, "unfinished_commits": 0}


def test_hogwild_says_how_far_off_it_is():
    params, loss_fn, batches = counting(8)
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.constant()), optax.sgd(1.0))
    # Worker 1 reads while worker 0 has added to the first leaf only: it sees a version that no record holds.
    torn = [(0, "added 0"), (1, "read"), (1, "copied"), (0, "add 1")]
    interleaving = jasgd.testing.Interleaving(
        [(0, "read"), *torn, (1, "added 1"), (0, "read")]
    )  # and worker 1's row is written
    scheme = jasgd.testing.watched(jasgd.schemes.hogwild(), interleaving)
    torn = jasgd.train(loss_fn, params, tx, batches, workers=2, steps=12, scheme=scheme, has_aux=True)
    named = without(torn, metadata=torn.execution.metadata | {"scheme": "hogwild"})
    again = jasgd.replay(named, loss_fn, tx, batches)
    assert not again.exact
    assert again.rows_that_differ >= 1
    assert again.irreproducible["overlapped_reads"] >= 1
    assert again.max_difference == 0  # every addition is of 1, and none of eight elements is lost under the GIL
    assert "torn reads and lost additions leave no record" in again.summary()
    assert "overlapped reads" in again.summary()


def test_a_commit_of_hogwild_that_did_not_end_is_left_out():
    params, loss_fn, batches = network()
    commits = []

    def at(point, worker):
        commits.append(point)
        if commits.count("state") == 5:
            raise RuntimeError("lost after its claim")

    scheme = jasgd.testing.watched(jasgd.schemes.hogwild(), at)
    result = jasgd.train(loss_fn, params, tail(), batches, workers=1, steps=9, scheme=scheme, throw=False)
    metadata = result.execution.metadata | {"scheme": "hogwild"}
    assert metadata["unfinished"] == [4]
    again = jasgd.replay(without(result, metadata=metadata), loss_fn, tail(), batches)
    assert again.exact, again.difference
    assert (again.version, again.rows, again.irreproducible["unfinished_commits"]) == (5, 4, 1)
    assert again.compared == ("params", "opt_state")


def test_a_device_that_was_named_may_be_named_again():
    params, loss_fn, batches = network()
    device = jax.devices("cpu")[0]
    result = jasgd.train(loss_fn, params, tail(), batches, workers=3, steps=30, device=device)
    again = jasgd.replay(result, loss_fn, tail(), batches, device=device)
    assert again.exact
    assert jax.tree.leaves(again.params)[0].committed
    assert jasgd.replay(result, loss_fn, tail(), batches).exact


def test_a_scheme_of_ones_own_is_replayed_as_one_commit_after_another():
    from jasgd.schemes import Sequential

    class Mine(Sequential):
        name = "mine"

    params, loss_fn, batches = network()
    result = jasgd.train(loss_fn, params, tail(), batches, workers=1, steps=30, scheme=Mine)
    assert jasgd.replay(result, loss_fn, tail(), batches).exact
