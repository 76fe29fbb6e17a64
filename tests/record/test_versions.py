"""Runs that earlier versions saved are loaded for ever, and come out as they came out then."""

import hashlib
import json
import shutil

import jax
import numpy as np
import pytest
from support.saved_runs import KINDS, RECIPE, VERSIONS

import jasgd
from jasgd.experiments.recipe import Recipe
from jasgd.record.saving.manifest import VERSION
from jasgd.record.trees import digest, to_json

SAVED = sorted(VERSIONS.glob("version-*/*/"))


def digests(arrays):
    """By name, in the words of ``expected.json``, which the code of that version wrote."""
    described = {name: np.asarray(array) for name, array in arrays.items()}
    return {
        name: f"{a.dtype.name}{list(a.shape)} {hashlib.sha256(a.tobytes()).hexdigest()[:32]}"
        for name, a in described.items()
    }


def test_every_version_is_kept_with_a_run_of_every_kind():
    assert {path.parent.name for path in SAVED} == {f"version-{n}" for n in range(1, VERSION + 1)}
    assert {path.name for path in SAVED} == set(KINDS)


@pytest.mark.newest
@pytest.mark.parametrize("folder", SAVED, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_it_loads_as_it_did_then(folder, tmp_path):
    expected = json.loads((folder.parent / "expected.json").read_text())[folder.name]
    result = jasgd.TrainResult.load(folder)
    for name in ("params", "opt_state", "initial_params", "aux", "timings"):
        assert digests(getattr(result, name)) == expected[name]
    assert {name: sha[:32] for name, sha in result.execution.hashes().items()} == expected["execution"]
    for name in ("outcome", "message", "counters", "duration_s"):
        assert getattr(result, name) == expected[name]
    assert to_json(result.evaluations) == expected["evaluations"]
    assert bool(result.traceback) == expected["traceback"] == (folder.name == "failed")
    # Put into the structures they have the digests that training noted.
    _, params, tx = KINDS[folder.name]
    likes = {"params_like": params(), "opt_state_like": tx().init(params())}
    result = jasgd.TrainResult.load(folder, **likes)
    metadata = result.execution.metadata
    assert jax.tree.structure(result.params) == jax.tree.structure(params())
    assert digest(result.params) == metadata["final_params"]
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
