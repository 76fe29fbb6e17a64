"""The kind: bytes that are not those that were written are believed, or end in an error that names no file."""

import functools
import shutil

import numpy as np
import pytest
from support.saved_runs import VERSIONS

import jasgd
from jasgd.record.trees import digest

FILES = ["execution.npz", "params.npz", "opt_state.npz", "initial_params.npz", "aux.npz", "timings.npz"]


@functools.cache
def original():
    return jasgd.TrainResult.load(VERSIONS / "version-1" / "threads")


def digests(result):
    trees = (result.params, result.opt_state, result.initial_params, result.aux, result.timings)
    return [digest(tree) for tree in trees], result.execution.hashes(), result.execution.metadata


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    return original().save(tmp_path_factory.mktemp("saved") / "run")


def refused(folder, name):
    """Loads a folder in which a file is damaged, and asserts that the error names it."""
    message = None
    try:
        jasgd.TrainResult.load(folder)
    except (jasgd.SavedRunError, jasgd.ExecutionError) as error:
        message = str(error)
    assert message is None or str(folder / name) in message
    return message is not None


@pytest.mark.parametrize("name", [*FILES, "result.json", "manifest.json"])
def test_a_flipped_or_missing_byte_anywhere_is_found_and_the_file_named(saved, tmp_path, name):
    folder = shutil.copytree(saved, tmp_path / "run")
    content = (folder / name).read_bytes()
    # All of the headers and the directory at the end; a sample of what lies between.
    places = {*range(0, 40, 5), *range(len(content) - 40, len(content), 5), *range(0, len(content), len(content) // 16)}
    for place in sorted(places):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        (folder / name).write_bytes(flipped)
        # A manifest is read as JSON, in which some bytes mean nothing.
        assert refused(folder, name) or (name == "manifest.json" and chr(content[place]).isspace()), place
    for length in (0, 1, 30, len(content) // 2, len(content) - 1):
        (folder / name).write_bytes(content[:length])
        assert refused(folder, name) or (name == "manifest.json" and length == len(content) - 1), length
    (folder / name).unlink()
    assert refused(folder, name)
    (folder / name).write_bytes(content)
    assert digests(jasgd.TrainResult.load(folder)) == digests(original())


@pytest.mark.parametrize("name", [*FILES, "result.json"])
def test_the_first_version_is_no_worse_off_where_it_has_digests(tmp_path, name):
    folder = shutil.copytree(VERSIONS / "version-1" / "threads", tmp_path / "run")
    content = (folder / name).read_bytes()
    expected = digests(original())
    for place in range(0, len(content), len(content) // 16):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        (folder / name).write_bytes(flipped)
        # Its zip files have bytes that say nothing, such as dates; result.json had no digest.
        assert refused(folder, name) or digests(jasgd.TrainResult.load(folder)) == expected, place
    for length in (0, 1, 30, len(content) // 2, len(content) - 2):
        (folder / name).write_bytes(content[:length])
        assert refused(folder, name), length


def test_files_of_two_runs_are_told_apart(saved, tmp_path):
    other = jasgd.TrainResult.load(VERSIONS / "version-1" / "failed").save(tmp_path / "other")
    for name in [file for file in [*FILES, "result.json"] if file != "initial_params.npz"]:  # which are the same
        folder = shutil.copytree(saved, tmp_path / name)
        shutil.copy(other / name, folder / name)
        assert refused(folder, name)
    mixed = shutil.copytree(VERSIONS / "version-1" / "threads", tmp_path / "mixed")
    shutil.copy(VERSIONS / "version-1" / "failed" / "params.npz", mixed)
    with pytest.raises(jasgd.SavedRunError, match=r"params.npz was altered since the run, or belongs to another one"):
        jasgd.TrainResult.load(mixed)


def test_an_altered_leaf_is_named(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "run")
    with np.load(folder / "params.npz") as file:
        arrays = dict(file)
    arrays["['dense'].bias"] = arrays["['dense'].bias"] + 1
    np.savez(folder / "params.npz", **arrays)
    with pytest.raises(jasgd.SavedRunError, match=r"params.npz was altered .*\['dense'\].bias has sha256"):
        jasgd.TrainResult.load(folder)


def test_an_execution_of_its_own_names_its_file(tmp_path):
    path = tmp_path / "x.npz"
    original().execution.save(path)
    content = path.read_bytes()
    for length in (0, 10, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:length])
        with pytest.raises(jasgd.SavedRunError, match=str(path)):
            jasgd.Execution.load(path)


def test_a_later_version_and_another_kind_are_refused(saved, tmp_path):
    from jasgd.record.saving.folder import replacing

    folder = shutil.copytree(saved, tmp_path / "run")
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text.replace('"version": 2', '"version": 3'))
    with pytest.raises(jasgd.SavedRunError, match="is of version 3, this jasgd reads versions up to 2"):
        jasgd.TrainResult.load(folder)
    with replacing(tmp_path / "other", kind="comparison") as draft:
        draft.json("comparison.json", {})
    with pytest.raises(jasgd.SavedRunError, match="other is no run, a comparison was saved there"):
        jasgd.TrainResult.load(tmp_path / "other")
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*nowhere"):
        jasgd.TrainResult.load(tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(jasgd.SavedRunError, match=r"result.json is missing"):
        jasgd.TrainResult.load(tmp_path / "empty")
