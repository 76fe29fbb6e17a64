"""A model state is saved by path beside the parameters, and loaded, checked and replayed from there."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from support.agreement import same_bits
from support.model_states import normalized, plain, transformation

import jasgd
from jasgd.record.trees import digest


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    params, model_state, loss_fn, batches = normalized()
    result = jasgd.train(loss_fn, params, transformation(), batches, scheme="locked", workers=2, steps=20, has_aux=True,
                         model_state=model_state)  # fmt: skip
    return result, result.save(tmp_path_factory.mktemp("runs") / "run")


def test_leaves_lie_under_their_paths(saved):
    result, folder = saved
    for name in ("model_state", "initial_model_state"):
        with np.load(folder / f"{name}.npz") as file:
            assert "['average']['mean']" in file.files
            np.testing.assert_array_equal(file["['average']['mean']"], getattr(result, name)["average"]["mean"])
    metadata = json.loads((folder / "result.json").read_text())["metadata"]
    assert metadata["final_model_state"] == digest(result.model_state)
    assert metadata["initial_model_state"] == digest(normalized()[1])
    assert metadata["dtypes"]["model_state"][2] == "uint32[]"


def test_a_loaded_state_has_the_same_bits_and_replays(saved):
    result, folder = saved
    params, model_state, loss_fn, batches = normalized()
    loaded = jasgd.TrainResult.load(folder, params_like=params, model_state_like=model_state)
    assert jax.tree.structure(loaded.model_state) == jax.tree.structure(model_state)
    assert same_bits(plain(loaded.model_state), plain(result.model_state))
    assert loaded.model_state["key"].dtype == model_state["key"].dtype
    again = jasgd.replay(loaded, loss_fn, transformation(), batches)
    assert again.exact, again.difference
    assert "model_state" in again.compared


def test_without_a_structure_it_is_a_dict_by_path_and_no_replay_begins_with_it(saved):
    _, folder = saved
    params, _, loss_fn, batches = normalized()
    loaded = jasgd.TrainResult.load(folder, params_like=params)
    assert int(loaded.model_state["['count']"]) == 3 + 20
    with pytest.raises(jasgd.ReplayError, match="must be loaded with model_state_like to be replayed"):
        jasgd.replay(loaded, loss_fn, transformation(), batches)


def test_a_structure_that_does_not_fit_is_refused_by_its_leaf(saved):
    _, folder = saved
    _, model_state, _, _ = normalized()
    with pytest.raises(ValueError, match=r"\['count'\].*int32.*|.*count.*int32"):
        jasgd.TrainResult.load(folder, model_state_like=model_state | {"count": jnp.int32(0)})


def test_a_damaged_file_is_named(saved, tmp_path):
    result, _ = saved
    folder = result.save(tmp_path / "run")
    (folder / "model_state.npz").write_bytes(b"nothing")
    with pytest.raises(jasgd.SavedRunError, match=r"model_state\.npz"):
        jasgd.TrainResult.load(folder)


def test_a_run_without_model_state_has_no_such_file_and_takes_no_structure_of_one(tmp_path):
    result = jasgd.train(lambda w, batch: jnp.sum(w**2), jnp.ones(2), transformation(), np.float32, workers=1, steps=3)
    folder = result.save(tmp_path / "run")
    assert not list(folder.glob("*model_state*"))
    assert jasgd.TrainResult.load(folder).model_state is None
    with pytest.raises(ValueError, match="model_state_like must be left out"):
        jasgd.TrainResult.load(folder, model_state_like={"count": jnp.int32(0)})
