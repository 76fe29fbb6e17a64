"""A result saved comes back whole, as strict JSON and without pickles."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from support.agreement import same_bits
from support.problems import network

import jasgd
from jasgd.record.trees import to_json


@pytest.fixture(scope="module")
def trained():
    params, loss_fn, batches = network()
    params = {**params, "scale": jnp.ones(2, jnp.bfloat16)}
    tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.adam(1e-2))

    def loss(p, batch):
        value = loss_fn({k: v for k, v in p.items() if k != "scale"}, batch) * p["scale"].astype(jnp.float32).sum()
        return value, {"doubled": 2 * value, "file": {"of last/one": value}}

    result = jasgd.train(
        loss, params, tx, batches, workers=3, steps=80, has_aux=True, evaluate=lambda p: {"loss": 1.0, "nan": np.nan}
    )
    return result, params, tx


def test_saved_and_loaded_it_is_the_same(trained, tmp_path):
    result, params, tx = trained
    result.save(tmp_path / "run")
    loaded = jasgd.TrainResult.load(tmp_path / "run", params_like=params, opt_state_like=tx.init(params))
    assert same_bits(loaded.params, result.params)
    assert same_bits(loaded.opt_state, result.opt_state)
    assert jax.tree.structure(loaded.opt_state) == jax.tree.structure(result.opt_state)
    assert loaded.execution.hashes() == result.execution.hashes()
    assert (loaded.outcome, loaded.message) == (result.outcome, result.message)
    assert list(loaded.aux) == list(result.aux) == ["doubled", "file/of last/one"]
    for name in loaded.aux:
        np.testing.assert_array_equal(loaded.aux[name], result.aux[name])
    assert len(loaded.evaluations) == len(result.evaluations)
    assert loaded.metrics.keys() == result.metrics.keys()


def test_aux_may_be_called_what_numpy_calls_its_arguments(trained, tmp_path):
    result = dataclasses.replace(trained[0], aux={"file": np.ones(2), "allow_pickle": np.zeros(3)})
    loaded = jasgd.TrainResult.load(result.save(tmp_path))
    assert {name: column.shape for name, column in loaded.aux.items()} == {"file": (2,), "allow_pickle": (3,)}


def test_without_a_structure_leaves_come_by_path(trained, tmp_path):
    result, _, _ = trained
    result.save(tmp_path)
    loaded = jasgd.TrainResult.load(tmp_path)
    assert loaded.params["['scale']"].dtype == jnp.bfloat16
    with pytest.raises(ValueError, match=r"has no leaf \['w'\], which the given structure has"):
        jasgd.TrainResult.load(tmp_path, params_like={"w": jnp.ones(3)})


def test_the_json_is_strict(trained, tmp_path):
    result, _, _ = trained
    result.save(tmp_path)

    def refuse(constant):
        raise AssertionError(constant)

    record = json.loads((tmp_path / "result.json").read_text(), parse_constant=refuse)
    assert record["outcome"] == "finished"
    assert record["evaluations"][0]["nan"] is None
    assert record["metadata"]["environment"]["jax"] == jax.__version__
    assert to_json({"a": np.float32("inf"), "b": [np.int64(3)]}) == {"a": None, "b": [3]}


def test_metrics_are_means_over_the_record(trained):
    result, _, _ = trained
    ex, m = result.execution, result.metrics
    assert m["updates"] == 80
    assert m["mean_factor"] == pytest.approx(ex.factor.mean())
    assert m["mean_staleness_factor"] == pytest.approx((ex.staleness * ex.factor).mean())
    assert m["staleness_mean"] == pytest.approx(ex.staleness.mean(), rel=1e-5)
    assert m["last_loss"] == pytest.approx(ex.loss.mean(), rel=1e-5)
    assert "leashed, 3 workers" in result.summary()


def test_a_failed_run_keeps_its_traceback_in_the_file(tmp_path):
    def batches(ticket):
        if ticket:
            raise OSError("gone")
        return 0.0

    result = jasgd.train(lambda w, b: jnp.sum(w), jnp.ones(2), optax.sgd(0.1), batches, workers=1, steps=9, throw=False)
    result.save(tmp_path)
    assert "OSError: gone" in jasgd.TrainResult.load(tmp_path).traceback
