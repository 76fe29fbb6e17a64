"""Records that were altered: every flipped bit is found, and its row is named."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.problems import network
from support.random_runs import Case
from support.recorded_runs import tail, without

import jasgd
from jasgd.record.execution import COLUMNS


class Dropping(jasgd.schemes.Locked):
    """Drops every third gradient."""

    def commit(self, gradient):
        if gradient.ticket % 3:
            return super().commit(gradient)
        version = self._version
        return self._ledger.record_dropped(gradient, version, version - gradient.view.version, 1, "stale")


@pytest.fixture(scope="module")
def dropping():
    """A run that dropped some gradients, and what it was given."""
    params, loss_fn, batches = network()
    arguments = loss_fn, tail(), batches
    result = jasgd.train(loss_fn, params, arguments[1], batches, workers=3, steps=60, scheme=Dropping)
    assert len(result.execution.dropped) > 20
    assert jasgd.replay(result, *arguments).exact
    return result, arguments


@pytest.mark.parametrize("column", [*COLUMNS, "dropped.loss", "dropped.reason", "row_hash", "dropped.row_hash"])
def test_one_flipped_bit_in_any_column_is_found_in_its_row(dropping, column):
    result, arguments = dropping
    ex, row = result.execution, 3
    inner = column.removeprefix("dropped.")
    table = ex.dropped if inner != column else ex
    values = getattr(table, inner).copy()
    values.view(np.uint8)[row * values.itemsize] ^= 1
    altered = dataclasses.replace(table, **{inner: values})
    changes = {"dropped": altered} if inner != column else {inner: values}
    with pytest.raises(jasgd.ExecutionError, match=rf"row {row}: "):
        jasgd.replay(without(result, **changes), *arguments)


@pytest.mark.parametrize("column", ["ticket", "version_read", "factor", "loss"])
def test_a_column_altered_together_with_its_hashes_is_found_by_what_is_computed(recorded, column):
    result, arguments = recorded
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
    again = jasgd.replay(without(result, **changes), *arguments)
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
    result, arguments = recorded
    with pytest.raises(jasgd.ReplayError, match="initial_params of the result must be those that the run began with"):
        jasgd.replay(dataclasses.replace(result, initial_params=flipped(result.initial_params, leaf)), *arguments)
    again = jasgd.replay(dataclasses.replace(result, params=flipped(result.params, leaf)), *arguments)
    path = jax.tree_util.keystr(jax.tree_util.tree_leaves_with_path(result.params)[leaf][0])
    assert not again.exact
    assert again.difference == f"final params{path} has other bits than were recorded"
    assert again.rows_that_differ == 0
    assert 0 < again.max_difference < 1e-6
    assert "differs" in again.summary()


def test_a_flipped_bit_in_the_final_optimizer_state_or_the_digests_is_found(recorded):
    result, arguments = recorded
    again = jasgd.replay(dataclasses.replace(result, opt_state=flipped(result.opt_state)), *arguments)
    assert again.difference.startswith("final opt_state[0]")
    for name in ("final_params", "final_opt_state"):
        metadata = result.execution.metadata | {name: "0" * 64}
        assert not jasgd.replay(without(result, metadata=metadata), *arguments).exact


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
    case = next(c for c in map(Case.of, itertools.count()) if c.model == "aux")
    result = case.train()
    assert case.replay(result).exact
    aux = {name: column.copy() for name, column in result.aux.items()}
    name = next(name for name in aux if "scaled" in name)
    aux[name].view(np.int32)[5] ^= 1
    again = case.replay(dataclasses.replace(result, aux=aux))
    assert again.difference.startswith("row 5 ")
    assert f"aux {name} is" in again.difference


@pytest.mark.parametrize("column", ["worker", "version", "version_read", "staleness"])
def test_an_inconsistent_execution_is_refused_with_its_first_row(recorded, column):
    result, arguments = recorded
    values = getattr(result.execution, column).copy()
    values[[41, 60]] = 10**4
    with pytest.raises(jasgd.ExecutionError, match=rf"^row 41: {column} 10000"):
        jasgd.replay(without(result, **{column: values}), *arguments)


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
