"""A recorded execution comes to the same bits again, elsewhere too; whatever was altered since is found."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import same_bits
from support.every_scheme import needs_compiler
from support.optax_loop import plain_optax
from support.problems import counting, network
from support.random_runs import SCHEMES, Case

import jasgd
from jasgd.record.environment import DECIDES_BITS
from jasgd.record.execution import COLUMNS
from jasgd.replaying.nonfinite import first_nonfinite

IN_DEFAULT = 9  # random runs in the default suite, the first ones; they try every scheme
RUNS = 100


def tail(lr=0.05):
    return optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(lr, momentum=0.9))


@pytest.fixture(scope="module")
def recorded():
    """A run of four workers, and what it was given."""
    params, loss_fn, batches = network()
    given = loss_fn, tail(), batches
    return jasgd.train(loss_fn, params, given[1], batches, workers=4, steps=120), given


def without(result, **changes):
    """The result with columns of its execution changed."""
    return dataclasses.replace(result, execution=dataclasses.replace(result.execution, **changes))


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


def in_a_process_of_its_own(folder, indices, **environment):
    told = subprocess.run(
        [sys.executable, str(Path(__file__).parent.parent / "support" / "replays.py"), str(folder), *map(str, indices)],
        env=os.environ | {"PYTHONPATH": str(Path(jasgd.__file__).parent.parent)} | environment,
        capture_output=True, text=True, timeout=200, check=False,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    return json.loads(told.stdout)


@pytest.mark.newest
@pytest.mark.parametrize(
    "indices",
    [(1, 2, 5), pytest.param(range(4, RUNS, 4), marks=[pytest.mark.full, needs_compiler])],
    ids=["some", "more"],
)
def test_a_saved_run_comes_to_the_same_bits_in_a_process_of_its_own(tmp_path, indices):
    for index in indices:
        Case.of(index).train().save(tmp_path / str(index))
    told = in_a_process_of_its_own(tmp_path, indices)
    same = {"exact": True, "compared": ["params", "opt_state"], "difference": ""}
    assert told == {str(index): same for index in indices}


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
    at = jasgd.testing.Interleaving([*zero, *one, (0, "base")])
    scheme = jasgd.testing.watched(jasgd.schemes.leashed(persistence=0), at)
    result = jasgd.train(loss_fn, params, tail(), batches, workers=2, steps=40, scheme=scheme)
    assert len(result.execution.dropped) > 0
    assert jasgd.replay(result, loss_fn, tail(), batches).exact


@pytest.mark.parametrize("scheme", ["locked", "leashed"])
def test_a_transformation_that_asks_for_the_read_parameters_gets_those_of_the_record(scheme):
    params, loss_fn, batches = network()
    tx = optax.chain(jasgd.delay_compensated(2.0, mean_square_decay=0.95), tail())
    # Worker 1 reads before the first commit of worker 0, and commits behind it.
    before = {"locked": "commit", "leashed": "base"}[scheme]
    at = jasgd.testing.Interleaving([(0, "read"), (1, "read"), (0, before), (0, "read"), (1, before)])
    watched = jasgd.testing.watched(jasgd.schemes.named(scheme), at)
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


class Dropping(jasgd.schemes.Locked):
    """Drops every third gradient."""

    def commit(self, gradient):
        if gradient.ticket % 3:
            return super().commit(gradient)
        version = self._version
        return self._ledger.dropped(gradient, version, version - gradient.view.version, 1, "stale")


@pytest.fixture(scope="module")
def dropping():
    """A run that dropped some gradients, and what it was given."""
    params, loss_fn, batches = network()
    given = loss_fn, tail(), batches
    result = jasgd.train(loss_fn, params, given[1], batches, workers=3, steps=60, scheme=Dropping)
    assert len(result.execution.dropped) > 20
    assert jasgd.replay(result, *given).exact
    return result, given


@pytest.mark.parametrize("column", [*COLUMNS, "dropped.loss", "dropped.reason", "row_hash", "dropped.row_hash"])
def test_one_flipped_bit_in_any_column_is_found_in_its_row(dropping, column):
    result, given = dropping
    ex, row = result.execution, 3
    inner = column.removeprefix("dropped.")
    table = ex.dropped if inner != column else ex
    values = getattr(table, inner).copy()
    values.view(np.uint8)[row * values.itemsize] ^= 1
    altered = dataclasses.replace(table, **{inner: values})
    changes = {"dropped": altered} if inner != column else {inner: values}
    with pytest.raises(jasgd.ExecutionError, match=rf"row {row}: "):
        jasgd.replay(without(result, **changes), *given)


@pytest.mark.parametrize("column", ["ticket", "version_read", "factor", "loss"])
def test_a_column_altered_together_with_its_hashes_is_found_by_what_is_computed(recorded, column):
    result, given = recorded
    ex, row = result.execution, 57
    values = getattr(ex, column).copy()
    changes = {column: values, "row_hash": None}
    if column == "version_read":
        values[row] = ex.version[row] - (ex.staleness[row] == 0)
        changes["staleness"] = ex.version - values
    elif column == "ticket":
        values[row] = 10**6
    else:
        values.view(np.int32)[row] ^= 1
    again = jasgd.replay(without(result, **changes), *given)
    assert not again.exact
    assert again.difference.startswith(f"row {row} (version {row}, ")
    assert again.rows_that_differ == 1 or column in ("ticket", "version_read")
    if column in ("ticket", "version_read"):
        assert again.max_difference > 0


def flipped(tree, leaf=0):
    leaves, structure = jax.tree.flatten(tree)
    arrays = [np.array(x) for x in leaves]
    arrays[leaf].view(np.uint8).reshape(-1)[0] ^= 1
    return jax.tree.unflatten(structure, [jnp.asarray(a) for a in arrays])


@pytest.mark.parametrize("leaf", [0, 5])
def test_one_flipped_bit_in_the_initial_or_final_parameters_is_found(recorded, leaf):
    result, given = recorded
    with pytest.raises(jasgd.ReplayError, match="initial_params of the result must be those that the run began with"):
        jasgd.replay(dataclasses.replace(result, initial_params=flipped(result.initial_params, leaf)), *given)
    again = jasgd.replay(dataclasses.replace(result, params=flipped(result.params, leaf)), *given)
    path = jax.tree_util.keystr(jax.tree_util.tree_leaves_with_path(result.params)[leaf][0])
    assert not again.exact
    assert again.difference == f"final params{path} has other bits than were recorded"
    assert again.rows_that_differ == 0
    assert 0 < again.max_difference < 1e-6
    assert "differs" in again.summary()


def test_a_flipped_bit_in_the_final_optimizer_state_or_the_digests_is_found(recorded):
    result, given = recorded
    again = jasgd.replay(dataclasses.replace(result, opt_state=flipped(result.opt_state)), *given)
    assert again.difference.startswith("final opt_state[0]")
    for name in ("final_params", "final_opt_state"):
        metadata = result.execution.metadata | {name: "0" * 64}
        assert not jasgd.replay(without(result, metadata=metadata), *given).exact


def test_another_loss_or_step_size_is_found_in_the_first_row_that_it_changes(recorded):
    result, (loss_fn, tx, batches) = recorded
    again = jasgd.replay(result, lambda p, b: 1.5 * loss_fn(p, b), tx, batches)
    assert again.difference.startswith("row 0 ")
    assert again.rows_that_differ == again.rows
    again = jasgd.replay(result, loss_fn, tail(lr=0.051), batches)
    first = int(np.flatnonzero(result.execution.version_read > 0)[0])
    assert again.difference.startswith(f"row {first} ")
    assert "loss is" in again.difference


def test_a_flipped_aux_is_found():
    case = next(c for c in map(Case.of, range(RUNS)) if c.model == "aux")
    result = case.train()
    assert case.replay(result).exact
    aux = {name: column.copy() for name, column in result.aux.items()}
    name = next(name for name in aux if "scaled" in name)
    aux[name].view(np.int32)[5] ^= 1
    again = case.replay(dataclasses.replace(result, aux=aux))
    assert again.difference.startswith("row 5 ")
    assert f"aux {name} is" in again.difference


@pytest.mark.parametrize("name", [*DECIDES_BITS, "dtypes of batch", "digest of tx.init(params)"])
def test_what_decides_bits_and_is_not_as_it_was_is_refused_by_name(recorded, name):
    result, given = recorded
    metadata = dict(result.execution.metadata)
    if name in DECIDES_BITS:
        metadata["environment"] = metadata["environment"] | {name: "other"}
        was = "other"
    elif name == "digest of tx.init(params)":
        metadata["initial_opt_state"] = was = "0" * 64
    else:
        metadata["dtypes"] = metadata["dtypes"] | {"batch": ["float64[16,12]", "int32[16]"]}
        was = ["float64[16,12]", "int32[16]"]
    elsewhere = without(result, metadata=metadata)
    with pytest.raises(jasgd.ReplayError, match=rf"{re.escape(name)} is .*, recorded was {re.escape(repr(was))}"):
        jasgd.replay(elsewhere, *given)
    with pytest.warns(RuntimeWarning, match="not what the run was made with"):
        again = jasgd.replay(elsewhere, *given, strict=False, upto=None if name == "jaxlib" else 0)
    assert again.exact  # nothing really is another
    assert [m.name for m in again.environment] == [name]


def test_flags_in_another_order_are_the_same_flags():
    from jasgd.record.environment import mismatches

    assert mismatches({"xla_flags": "--a=1 --b=2"}, {"xla_flags": "--b=2  --a=1"}) == []
    assert [m.name for m in mismatches({"xla_flags": "--a=1"}, {"xla_flags": "--a=2"})] == ["xla_flags"]


@pytest.mark.parametrize("flag", ["threads", "xla_flags"])
def test_a_process_with_other_flags_refuses(tmp_path, flag):
    Case.of(6).train().save(tmp_path / "6")
    script = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import jasgd; jasgd.configure_cpu(threads_per_worker=int(sys.argv[3]))\n"
        "from pathlib import Path\n"
        "from support.replays import Case\n"
        "case = Case.of(6)\n"
        "try:\n"
        "    case.replay(case.load(Path(sys.argv[2])))\n"
        "except jasgd.ReplayError as error:\n"
        "    print(error)\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent.parent), str(tmp_path), str(1 + (flag == "threads"))],
        env=os.environ
        | {"PYTHONPATH": str(Path(jasgd.__file__).parent.parent)}
        | ({"XLA_FLAGS": "--xla_cpu_enable_fast_math=true"} if flag == "xla_flags" else {}),
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    expected = {
        "threads": "threads is 2, recorded was 1",
        "xla_flags": "xla_flags is '--xla_cpu_enable_fast_math=true', recorded was ''",
    }
    assert expected[flag] in told.stdout, told.stderr


@pytest.mark.parametrize("upto", [-1, 121, 2.0, True])
def test_upto_is_a_number_of_commits(recorded, upto):
    result, given = recorded
    with pytest.raises(ValueError, match=r"upto must be an integer in 0…120 \(the run's commits\).*got"):
        jasgd.replay(result, *given, upto=upto)


def test_a_result_without_initial_parameters_says_so(recorded, tmp_path):
    result, given = recorded
    with pytest.raises(jasgd.ReplayError, match="must have initial_params"):
        jasgd.replay(dataclasses.replace(result, initial_params=None), *given)
    result.save(tmp_path)
    with pytest.raises(jasgd.ReplayError, match="must be loaded with params_like"):
        jasgd.replay(jasgd.TrainResult.load(tmp_path), *given)
    loaded = jasgd.TrainResult.load(tmp_path, params_like=result.params)  # the optimizer state comes by path
    assert jasgd.replay(loaded, *given).exact


@pytest.mark.parametrize("column", ["worker", "version", "version_read", "staleness"])
def test_an_inconsistent_execution_is_refused_with_its_first_row(recorded, column):
    result, given = recorded
    values = getattr(result.execution, column).copy()
    values[[41, 60]] = 10**4
    with pytest.raises(jasgd.ExecutionError, match=rf"^row 41: {column} 10000"):
        jasgd.replay(without(result, **{column: values}), *given)


def test_a_bad_hash_in_a_file_names_its_column_and_row(recorded, tmp_path):
    result, _ = recorded
    result.save(tmp_path)
    path = tmp_path / "execution.npz"
    with np.load(path) as file:
        arrays = dict(file)
    arrays["worker"][17] ^= 1
    np.savez(path, **arrays)
    with pytest.raises(jasgd.ExecutionError, match=r"column worker has hash .*; row 17: was altered"):
        jasgd.TrainResult.load(tmp_path)


def diverging(workers=3):
    """A run whose parameters grow at every commit until they are too large."""
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.constant()), optax.sgd(12.0))

    def loss_fn(params, batch):
        return jnp.mean(params["w"] ** 2) * batch

    return {"w": jnp.ones(4)}, loss_fn, tx, lambda ticket: np.float32(1), workers


def test_a_diverged_run_comes_to_its_last_good_parameters_and_to_its_end():
    params, loss_fn, tx, batches, workers = diverging()
    result = jasgd.train(loss_fn, params, tx, batches, workers=workers, steps=10**5, throw=False)
    assert result.outcome == "diverged"
    again = jasgd.replay(result, loss_fn, tx, batches)
    assert again.exact, again.difference
    assert again.compared == ("params", "opt_state")
    good = result.execution.metadata["params_version"]
    assert same_bits(jasgd.replay(result, loss_fn, tx, batches, upto=good).params, result.params)


def test_the_first_commit_that_is_not_finite_is_found():
    params, loss_fn, tx, batches, workers = diverging()
    result = jasgd.train(loss_fn, params, tx, batches, workers=workers, steps=400, on_nonfinite="pass")
    found = first_nonfinite(result, loss_fn, tx, batches)
    assert found.where == ("params['w']",)
    before = jasgd.replay(result, loss_fn, tx, batches, upto=found.version)
    behind = jasgd.replay(result, loss_fn, tx, batches, upto=found.version + 1)
    assert before.exact
    assert behind.exact
    assert np.isfinite(before.params["w"]).all()
    assert not np.isfinite(behind.params["w"]).all()
    assert not found.gradient or not np.isfinite(result.execution.loss[found.row])
    assert first_nonfinite(result, loss_fn, tx, batches, upto=found.version) is None


def test_a_gradient_that_is_not_finite_is_told_from_an_update_that_is_not():
    def loss_fn(w, batch):
        return jnp.sqrt(w).sum() * batch  # the slope at 0 is infinite

    tx, batches = optax.sgd(0.0), lambda ticket: np.float32(ticket == 7)
    result = jasgd.train(loss_fn, jnp.zeros(2), tx, batches, workers=1, steps=9, on_nonfinite="pass")
    found = first_nonfinite(result, loss_fn, tx, batches)
    assert found is not None
    assert found.gradient


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
    at = jasgd.testing.Interleaving([(0, "read"), *torn, (1, "added 1"), (0, "read")])  # and worker 1's row is written
    scheme = jasgd.testing.watched(jasgd.schemes.hogwild(), at)
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
            raise RuntimeError("lost behind its claim")

    scheme = jasgd.testing.watched(jasgd.schemes.hogwild(), at)
    result = jasgd.train(loss_fn, params, tail(), batches, workers=1, steps=9, scheme=scheme, throw=False)
    metadata = result.execution.metadata | {"scheme": "hogwild"}
    assert metadata["unfinished"] == [4]
    again = jasgd.replay(without(result, metadata=metadata), loss_fn, tail(), batches)
    assert again.exact, again.difference
    assert (again.version, again.rows, again.irreproducible["unfinished_commits"]) == (5, 4, 1)
    assert again.compared == ("params", "opt_state")


def test_settings_of_the_thread_that_trained_are_held_against_the_record():
    params, loss_fn, batches = network()
    with jax.default_matmul_precision("highest"):
        result = jasgd.train(loss_fn, params, tail(), batches, workers=2, steps=30)
        assert jasgd.replay(result, loss_fn, tail(), batches).exact
    with pytest.raises(jasgd.ReplayError, match="default_matmul_precision is None, recorded was 'highest'"):
        jasgd.replay(result, loss_fn, tail(), batches)


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
