"""Runs that earlier versions saved are loaded for ever, and come out as they came out then."""

import json
import shutil

import jax
import pytest
from support.saved_runs import KINDS, RECIPE, VERSIONS, content

import jasgd
from jasgd.experiments.recipe import Recipe
from jasgd.record.saving.manifest import VERSION
from jasgd.record.trees import digest

SAVED = sorted(VERSIONS.glob("version-*/*/"))


def test_every_version_is_kept_with_a_run_of_every_kind():
    assert {path.parent.name for path in SAVED} == {f"version-{n}" for n in range(1, VERSION + 1)}
    assert {path.name for path in SAVED} == set(KINDS)


@pytest.mark.newest
@pytest.mark.parametrize("folder", SAVED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_it_loads_as_it_did_then(folder, tmp_path):
    expected = json.loads((folder.parent / "expected.json").read_text())[folder.name]
    result = jasgd.TrainResult.load(folder)
    assert content(result) == expected
    assert expected["traceback"] == (folder.name == "failed")
    # Put into the structures they have the digests that training noted.
    _, params, tx = KINDS[folder.name]
    likes = {"params_like": params(), "opt_state_like": tx().init(params())}
    result = jasgd.TrainResult.load(folder, **likes)
    metadata = result.execution.metadata
    assert jax.tree.structure(result.params) == jax.tree.structure(params())
    assert digest(result.params) == metadata["final_params"]
    if folder.parent.name == "version-1":  # whose laws have other leaves now
        ring, old = result.opt_state[0].law.values, jasgd.TrainResult.load(folder).opt_state
        assert ring.tolist() == old["[0].law.recent"].tolist()
        assert digest(result.opt_state[1:]) == digest([v for k, v in old.items() if not k.startswith("[0]")])
    else:
        assert digest(result.opt_state) == metadata["final_opt_state"]
    assert digest(result.initial_params) == metadata["initial_params"] == digest(params())
    if folder.name == "simulated":
        assert Recipe.load(folder) == RECIPE
    # Saved again it is of the present version, and the same.
    again = jasgd.TrainResult.load(jasgd.TrainResult.load(folder).save(tmp_path / "run"), **likes)
    assert digest([again.params, again.opt_state]) == digest([result.params, result.opt_state])
    assert again.execution.hashes() == result.execution.hashes()


@pytest.mark.parametrize("folder", SAVED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_it_is_replaced_on_request_alone(folder, tmp_path):
    run = shutil.copytree(folder, tmp_path / "run")
    (run / "loss.png").write_bytes(b"a picture of it") if folder.parent.name == "version-1" else None
    result = jasgd.TrainResult.load(SAVED[0])
    with pytest.raises(FileExistsError, match=f"{run} is not empty"):
        result.save(run)
    result.save(run, overwrite=True)
    assert jasgd.TrainResult.load(run).message == result.message
    assert not (run / "loss.png").exists()
    assert not (run / "recipe.json").exists()
