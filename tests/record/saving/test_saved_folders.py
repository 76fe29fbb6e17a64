"""The kind: a save that destroys or mixes with what was in the folder before, or what is written meanwhile."""

import dataclasses
import json
import os
import shutil
import threading

import numpy as np
import pytest
from support.python_process import start_python
from support.results import result_of
from support.saved_runs import VERSIONS

import jasgd
from jasgd import report
from jasgd.record.saving import folder as writing
from jasgd.record.saving.folder import adding, replacing
from jasgd.record.saving.gathering import gathering
from jasgd.record.saving.manifest import NEXT, SavedFolder, read_whole
from jasgd.record.saving.ownership import DRAFT

FIRST, SECOND = result_of([1.0, 2.0]), dataclasses.replace(result_of([3.0, 4.0, 5.0]), message="the second")


def names(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))


def test_a_folder_that_has_files_is_refused_and_left_as_it_was(tmp_path):
    folder = FIRST.save(tmp_path / "run")
    before = {name: (folder / name).read_bytes() for name in names(folder)}
    with pytest.raises(FileExistsError, match=r"run is not empty, it has aux.npz.*overwrite=True, or --overwrite"):
        SECOND.save(folder)
    assert {name: (folder / name).read_bytes() for name in names(folder)} == before
    SECOND.save(folder, overwrite=True)
    assert jasgd.TrainResult.load(folder).message == "the second"


def test_what_jasgd_did_not_save_is_never_removed(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"is not empty, it has notes.txt"):
        FIRST.save(tmp_path)
    with pytest.raises(FileExistsError, match=r"has what jasgd did not save there and never removes: notes.txt"):
        FIRST.save(tmp_path, overwrite=True)
    assert names(tmp_path) == ["notes.txt"]
    folder = FIRST.save(tmp_path / "run")
    (folder / "more").mkdir()
    (folder / "more" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"never removes: more/notes.txt"):
        SECOND.save(folder, overwrite=True)
    assert jasgd.TrainResult.load(folder).message == "by hand"


def test_nothing_of_the_old_run_stays_beside_the_new_one(tmp_path):
    folder = dataclasses.replace(FIRST, initial_params={"w": np.zeros(2)}).save(tmp_path / "run")
    pictures = report.plot(FIRST, folder)  # into the folder of a run they become part of it
    with adding(folder) as draft:
        draft.json("metrics.json", {"of": "the first"})
    assert {path.name for path in pictures} | {"metrics.json", "initial_params.npz"} <= set(names(folder))
    assert jasgd.TrainResult.load(folder).message == "by hand"
    SECOND.save(folder, overwrite=True)
    assert names(folder) == names(SECOND.save(tmp_path / "fresh"))


@pytest.mark.parametrize("make", [lambda path: path.symlink_to(path.parent / "elsewhere"), lambda path: path.mkdir()])
def test_links_and_empty_folders_are_saved_into(tmp_path, make, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    make(tmp_path / "run")
    monkeypatch.chdir(tmp_path / "run")
    assert jasgd.TrainResult.load(FIRST.save(".")).message == "by hand"
    SECOND.save(tmp_path / "run", overwrite=True)
    assert jasgd.TrainResult.load(".").message == "the second"


def test_a_save_that_raises_changes_nothing_and_leaves_nothing(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        dataclasses.replace(FIRST, aux={"a": np.array([{}])}).save(tmp_path / "new" / "run")
    assert names(tmp_path) == []
    folder = FIRST.save(tmp_path / "run")
    before = names(folder)

    def interrupted():
        with replacing(folder, kind="run", overwrite=True) as draft:
            SECOND.write(draft)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(folder) == before
    assert jasgd.TrainResult.load(folder).message == "by hand"


def test_what_killed_saves_left_is_cleared_away_and_that_of_living_ones_not(tmp_path):
    folder = FIRST.save(tmp_path / "run")
    (folder / f"{DRAFT}00000000").mkdir()
    (folder / f"{DRAFT}00000000" / "params.npz").write_bytes(b"half")
    with replacing(folder, kind="run", overwrite=True) as slow:
        SECOND.write(slow)
        FIRST.save(folder, overwrite=True)  # meanwhile
        assert not (folder / f"{DRAFT}00000000").exists()
        assert slow.path.exists()
    assert jasgd.TrainResult.load(folder).message == "the second"
    with replacing(tmp_path / "new", kind="run"), pytest.raises(FileExistsError, match="by another process"):
        FIRST.save(tmp_path / "new")
    part = tmp_path / ".x.npz.part-00000000"
    part.write_bytes(b"half")
    FIRST.execution.save(tmp_path / "x.npz")
    assert not part.exists()


def test_a_run_between_its_commit_and_its_place_is_read_by_all(tmp_path, monkeypatch):
    """As a save leaves it that is killed right after the renaming."""
    folder = dataclasses.replace(FIRST, params={"w": np.zeros(2)}).save(tmp_path / "run")

    class Killed(BaseException):
        pass

    def killed(folder):
        raise Killed

    monkeypatch.setattr(writing, "finish", killed)
    with pytest.raises(Killed):
        SECOND.save(folder, overwrite=True)
    with pytest.raises(Killed):
        SECOND.save(tmp_path / "new")
    monkeypatch.undo()
    for each in (folder, tmp_path / "new"):
        assert jasgd.TrainResult.load(each).message == "the second"
        assert jasgd.Execution.load(each / "execution.npz").hashes() == SECOND.execution.hashes()
        from theory.auditing.recorded_run import load

        assert load(each).execution.hashes() == SECOND.execution.hashes()
        with pytest.raises(FileExistsError):
            FIRST.save(each)
        FIRST.save(each, overwrite=True)
        assert jasgd.TrainResult.load(each).message == "by hand"
        assert not (each / NEXT).exists()


def test_readers_see_one_run_or_the_other_while_it_is_replaced(tmp_path):
    """Whatever the reader has read already when another thread replaces the folder."""
    folder = FIRST.save(tmp_path / "run")
    replaced = []

    def read(saved: SavedFolder):
        first = saved.json("result.json")["message"]
        if not replaced:
            replaced.append(True)
            SECOND.save(folder, overwrite=True)
        with saved.open("execution.npz", verify=False) as file:
            execution = jasgd.Execution.read(file, "execution.npz")
            saved.verify("execution.npz", file)
        return first, len(execution)

    assert read_whole(folder, read) == ("the second", 3)


def test_threads_and_processes_that_save_at_once_leave_one_whole_run(tmp_path):
    folder = FIRST.save(tmp_path / "run")
    script = (
        "import sys, jasgd\n"
        "from support.results import result_of\n"
        "for k in range(4):\n"
        "    result_of([9.0] * 4).save(sys.argv[1], overwrite=True)\n"
    )
    process = start_python("-W", "ignore", "-c", script, folder)
    raised = []

    def work(result):
        try:
            for _ in range(4):
                result.save(folder, overwrite=True)
                assert len(jasgd.TrainResult.load(folder).execution) in (2, 3, 4)
        except BaseException as error:
            raised.append(error)

    threads = [threading.Thread(target=work, args=[result]) for result in (FIRST, SECOND)]
    for thread in threads:
        thread.start()
    _, errors = process.communicate()
    for thread in threads:
        thread.join()
    assert (process.returncode, raised) == (0, []), errors
    assert {name for name in os.listdir(folder) if name.startswith(".")} == set()
    assert len(jasgd.TrainResult.load(folder).execution) in (2, 3, 4)


def test_what_is_added_to_a_folder_that_was_replaced_meanwhile_is_refused(tmp_path):
    folder = FIRST.save(tmp_path / "run")

    def add():
        with adding(folder) as draft:
            draft.json("metrics.json", {"of": "the first"})
            SECOND.save(folder, overwrite=True)

    with pytest.raises(OSError, match="was replaced by another process while"):
        add()
    assert not (folder / "metrics.json").exists()
    assert jasgd.TrainResult.load(folder).message == "the second"


def collection(folder, result, labels, *, overwrite=False, fails=False):
    with gathering(folder, overwrite=overwrite) as work:
        for label in labels:
            with work.replacing(f"{label}/seed-0", kind="run") as draft:
                result.write(draft)
        if fails:
            raise OSError("the next run cannot be")
        with work.sealing(kind="comparison") as draft:
            draft.json("comparison.json", {"runs": labels})


def test_a_collection_is_replaced_as_a_whole_once_the_new_one_is_there(tmp_path):
    folder = tmp_path / "all"
    collection(folder, FIRST, ["a", "b"])
    before = names(folder)
    with pytest.raises(FileExistsError, match="all is not empty"):
        collection(folder, SECOND, ["a"])
    assert names(folder) == before
    # One that does not come to its end keeps what it has, beside the old one.
    with pytest.raises(OSError, match="the next run cannot be"):
        collection(folder, SECOND, ["c"], overwrite=True, fails=True)
    (aside,) = folder.glob("unfinished-*")
    assert jasgd.TrainResult.load(aside / "c" / "seed-0").message == "the second"
    assert jasgd.TrainResult.load(folder / "a" / "seed-0").message == "by hand"
    (folder / "b" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"never removes: b/notes.txt"):
        collection(folder, SECOND, ["a"], overwrite=True)
    (folder / "b" / "notes.txt").unlink()
    collection(folder, SECOND, ["a"], overwrite=True)
    assert {path.name for path in folder.iterdir()} == {"a", "comparison.json", "manifest.json"}
    assert jasgd.TrainResult.load(folder / "a" / "seed-0").message == "the second"


def test_a_collection_that_was_killed_is_there_as_far_as_it_came(tmp_path):
    folder = tmp_path / "all"
    with pytest.raises(OSError, match="the next run cannot be"):
        collection(folder, FIRST, ["a"], fails=True)
    assert jasgd.TrainResult.load(folder / "a" / "seed-0").message == "by hand"
    collection(folder, SECOND, ["b"], overwrite=True)
    assert {path.name for path in folder.iterdir()} == {"b", "comparison.json", "manifest.json"}


#: What version 1 wrote of a comparison with the rules a and b and one seed, but for its numbers.
COMPARISON_1 = {
    "problem": "digits-mlp", "seeds": [0], "settings": {"scheme": "leashed", "workers": 2}, "reading": "", "table": [],
    "runs": [{"arm": arm, "seed": 0, "outcome": "finished", "message": "", "metrics": {}} for arm in ("a", "b")],
    "folder": "all", "plots": [],
}  # fmt: skip


def test_the_folders_of_the_first_version_are_known_as_jasgds(tmp_path):
    folder = tmp_path / "all"
    for label in ("a", "b"):
        shutil.copytree(VERSIONS / "version-1" / "native", folder / label / "seed-0")
    (folder / "comparison.json").write_text(json.dumps(COMPARISON_1))
    (folder / "loss.png").write_bytes(b"a picture")
    collection(folder, SECOND, ["c"], overwrite=True)
    assert {path.name for path in folder.iterdir()} == {"c", "comparison.json", "manifest.json"}


def test_files_that_never_change_may_be_linked(tmp_path):
    with replacing(tmp_path / "1", kind="checkpoint") as draft:
        draft.arrays("rows-0.npz", {"x": np.arange(3)})
    with replacing(tmp_path / "2", kind="checkpoint") as draft:
        os.link(tmp_path / "1" / "rows-0.npz", draft.path / "rows-0.npz")
        draft.arrays("rows-1.npz", {"x": np.arange(2)})
    shutil.rmtree(tmp_path / "1")
    assert SavedFolder(tmp_path / "2").arrays("rows-0.npz")["x"].tolist() == [0, 1, 2]
