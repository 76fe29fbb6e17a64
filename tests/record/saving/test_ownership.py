"""The kind: a save that removes what is not its own: other results, anyone's files that have common names, links."""

import errno
import json
import os
import shutil

import numpy as np
import pytest
from support.pending_saves import files, leave_pending
from support.results import result_of
from support.saved_runs import VERSIONS

import jasgd
from jasgd import report
from jasgd.record.saving import ownership
from jasgd.record.saving.arrays import SavedRunError
from jasgd.record.saving.folder import adding, replacing
from jasgd.record.saving.gathering import gathering
from jasgd.record.saving.manifest import parse_manifest, seal
from jasgd.record.saving.ownership import DRAFT, GATHERING

RUN, OTHER = result_of([1.0, 2.0]), result_of([3.0, 4.0, 5.0])
RUN_1 = VERSIONS / "version-1" / "native"


def collect(folder, names, *, overwrite=False, seal=True):
    with gathering(folder, overwrite=overwrite) as collection:
        for name in names:
            with collection.replacing(name, kind="run") as draft:
                RUN.write(draft)
        if seal:
            with collection.sealing(kind="comparison") as draft:
                draft.json("comparison.json", {"runs": names})


def refused(folder, *whats):
    """Holds that a folder is not overwritten, by a run nor by a collection, for what is named, and all stays."""
    before = files(folder)
    message = f"{folder} has what jasgd did not save there and never removes: {', '.join(whats)}"
    for save in (lambda: OTHER.save(folder, overwrite=True), lambda: collect(folder, ["n/1"], overwrite=True)):
        with pytest.raises(FileExistsError) as caught:
            save()
        assert str(caught.value) == message
        assert files(folder) == before


def test_results_in_folders_within_are_of_their_own(tmp_path):
    for name in ("a", "b"):
        RUN.save(tmp_path / name)
    refused(tmp_path, "a (a run of its own)", "b (a run of its own)")
    leave_pending(RUN, tmp_path / "c")  # as a save leaves it that was killed
    with pytest.raises(FileExistsError, match=r"b \(a run of its own\), c \(a run of its own\)$"):
        OTHER.save(tmp_path, overwrite=True)
    collect(tmp_path / "d", ["x/1"])
    shutil.rmtree(tmp_path / "c")
    collect(tmp_path / "e", ["x/1"], seal=False)
    shutil.copytree(RUN_1, tmp_path / "f" / "1")
    before = files(tmp_path)
    with pytest.raises(FileExistsError, match="and 2 more"):
        OTHER.save(tmp_path, overwrite=True)
    for name in ("a", "b"):
        shutil.rmtree(tmp_path / name)
    refused(
        tmp_path, "d (a comparison of its own)", "e (an unfinished comparison of its own)", "f/1 (a run of its own)"
    )
    assert files(tmp_path).items() <= before.items()


def test_a_run_has_no_part_in_those_that_are_saved_inside_it(tmp_path):
    folder = RUN.save(tmp_path / "run")
    RUN.save(folder / "more")
    report.plot(RUN, folder)  # which adds to the outer one
    assert len(jasgd.TrainResult.load(folder / "more").execution) == 2
    refused(folder, "more (a run of its own)")


def test_a_collection_has_no_part_in_what_comes_into_its_folder_later(tmp_path):
    folder = tmp_path / "all"

    def again(change, *whats):
        shutil.rmtree(folder, ignore_errors=True)
        collect(folder, ["a/1", "b/1"])
        change()
        refused(folder, *whats)

    again(lambda: RUN.save(folder / "mine"), "mine (a run of its own)")
    again(lambda: RUN.save(folder / "a" / "1", overwrite=True), "a/1 (a run of its own)")
    again(lambda: shutil.copytree(folder / "a", folder / "copy"), "copy/1 (a run of its own)")
    again(lambda: os.rename(folder / "a", folder / "the best"), "the best/1 (a run of its own)")
    again(lambda: (folder / "a" / "1" / "notes").write_text("mine"), "a/1/notes")
    # What is added to one of its runs is the run's, and goes with it.
    shutil.rmtree(folder)
    collect(folder, ["a/1", "b/1"])
    assert report.plot(RUN, folder / "a" / "1")
    with adding(folder) as draft:
        draft.json("more.json", 1)
    shutil.rmtree(folder / "b")  # by hand
    collect(folder, ["c/1"], overwrite=True)
    assert {path.name for path in folder.iterdir()} == {"c", "comparison.json", "manifest.json"}


def test_a_collection_that_was_not_sealed_owns_the_runs_that_were_saved_for_it(tmp_path):
    folder = tmp_path / "all"
    collect(folder, ["a/1"], seal=False)
    RUN.save(folder / "mine")
    shutil.copytree(folder / "a", folder / "copy")
    refused(folder, "copy/1 (a run of its own)", "mine (a run of its own)")
    for name in ("mine", "copy"):
        shutil.rmtree(folder / name)
    with pytest.raises(FileExistsError, match="is not empty, it has a:"):
        collect(folder, ["b/1"])
    collect(folder, ["b/1"], overwrite=True)
    assert {path.name for path in folder.iterdir()} == {"b", "comparison.json", "manifest.json"}
    # One that ended before its first run leaves nothing that hinders the next.
    (tmp_path / "none").mkdir()
    collect(tmp_path / "none", [], seal=False)
    assert list((tmp_path / "none").iterdir()) == []
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / GATHERING).write_text(json.dumps({"format": "jasgd", "collection": "0" * 16}))  # as a kill leaves it
    OTHER.save(folder)
    assert not (folder / GATHERING).exists()
    (folder / GATHERING).write_text("mine")
    refused(folder, GATHERING)


#: Text of a file that is called result.json → what it is.
ANOTHERS = {
    "text": "87 of 100 were right",
    "empty object": "{}",
    "list": "[1, 2]",
    "other fields": '{"outcome": "won", "message": "", "metrics": {}, "metadata": {"scheme": "x"}}',
    "no metadata": json.dumps(json.loads((RUN_1 / "result.json").read_text()) | {"metadata": None}),
    "version 2 without its manifest": (VERSIONS / "version-2" / "native" / "result.json").read_text(),
    "nested too deep": "[" * 100_000,
    "no text": b"\xff\xfe",
}


@pytest.mark.parametrize("what", ANOTHERS)
def test_files_of_common_names_are_anyones(tmp_path, what):
    content = ANOTHERS[what] if isinstance(ANOTHERS[what], bytes) else ANOTHERS[what].encode()
    for at in (tmp_path, RUN.save(tmp_path / "run"), tmp_path / "run" / "deep"):
        at.mkdir(exist_ok=True)
        (at / "result.json").write_bytes(content) if at.name != "run" else None
        for name in ("loss.png", "metrics.json", "params.npz"):
            (at / name).write_bytes(b"mine") if at.name != "run" else None
    refused(tmp_path / "run", "deep/loss.png", "deep/metrics.json", "deep/params.npz and 1 more")
    shutil.rmtree(tmp_path / "run")
    refused(tmp_path, "loss.png", "metrics.json", "params.npz and 1 more")


def test_version_1_owns_what_its_tables_name(tmp_path):
    runs = [{"arm": arm, "seed": 0, "outcome": "finished", "message": "", "metrics": {}} for arm in ("a:b=1", "c")]
    table = {"problem": "", "seeds": [0], "settings": {"scheme": "x"}, "table": [], "folder": "", "plots": []}
    rows = [{"cluster": "all equal", "workers": 2, "seed": 0}]
    contents = {
        "comparison.json": table | {"runs": runs},
        "spectrum.json": table | {"runs": [{"cluster": "equal", "workers": 1, "seed": 0, "arm": "c"}]},
        "executions.json": {"executions": rows, "scheme": "x", "folder": "", "plots": []},
    }
    beside = {
        "comparison.json": ["a_b=1/seed-0/aux.npz", "c/seed-0/result.json"],
        "spectrum.json": ["spectrum.png"],
        "executions.json": ["all_equal/workers-2/seed-0.npz"],
    }
    for name, content in contents.items():
        folder = tmp_path / name.removesuffix(".json")
        for at in ("a_b=1", "c") if name == "comparison.json" else ():
            shutil.copytree(RUN_1, folder / at / "seed-0")
        for at in beside[name]:
            (folder / at).parent.mkdir(parents=True, exist_ok=True)
            (folder / at).touch()
        (folder / name).write_text("{}")
        with pytest.raises(FileExistsError, match="never removes"):
            OTHER.save(folder, overwrite=True)
        (folder / name).write_text(json.dumps(content))
        (folder / "d").mkdir()
        shutil.copy(RUN_1 / "params.npz", folder / "d" / "seed-0.npz")
        refused(folder, "d/seed-0.npz")
        shutil.rmtree(folder / "d")
        assert len(jasgd.TrainResult.load(OTHER.save(folder, overwrite=True)).execution) == 3
        assert [path for path in folder.rglob("*") if path.is_dir()] == []


def test_tables_of_version_1_that_name_what_lies_outside_own_nothing_there(tmp_path):
    folder = tmp_path / "all"
    folder.mkdir()
    shutil.copytree(RUN_1, tmp_path / "seed-0")
    (tmp_path / "precious.npz").write_text("mine")
    (folder / "equal" / "workers-1" / "seed-x").mkdir(parents=True)
    run = {"arm": "..", "seed": 0, "outcome": "finished", "message": "", "metrics": {}}
    table = {"problem": "", "seeds": [0], "settings": {"scheme": "x"}, "table": [], "runs": [run]}
    (folder / "comparison.json").write_text(json.dumps(table | {"folder": "", "plots": []}))
    row = {"cluster": "equal", "workers": 1, "seed": "x/../../../../precious"}
    rows = {"executions": [row], "scheme": "x", "folder": "", "plots": []}
    (folder / "executions.json").write_text(json.dumps(rows))
    before = files(tmp_path)
    OTHER.save(folder, overwrite=True)
    assert {name: content for name, content in before.items() if not name.startswith("all/")} == {
        name: content for name, content in files(tmp_path).items() if not name.startswith("all/")
    }


@pytest.mark.parametrize("name", ["../precious", "/precious", "more/../../precious"])
def test_a_manifest_that_names_what_lies_outside_is_refused(tmp_path, name):
    name = f"{tmp_path}{name}" if name.startswith("/") else name
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run" / "more").mkdir(parents=True)
    (tmp_path / "run" / "manifest.json").write_bytes(seal("run", {name: {"sha256": "", "size": 4}}))
    with pytest.raises(SavedRunError, match="was altered since it was written"):
        parse_manifest(tmp_path / "run" / "manifest.json", (tmp_path / "run" / "manifest.json").read_bytes())
    with pytest.raises(SavedRunError, match="was altered since it was written"):
        jasgd.TrainResult.load(tmp_path / "run")
    with pytest.raises(FileExistsError, match=r"never removes: manifest.json"):
        OTHER.save(tmp_path / "run", overwrite=True)
    assert (tmp_path / "precious").read_text() == "mine"


def test_nothing_is_removed_or_written_through_links(tmp_path):
    precious = tmp_path / "precious"
    shutil.copytree(RUN.save(tmp_path / "run"), precious)
    before = files(precious)
    folder = tmp_path / "all"
    collect(folder, ["a/1"])
    shutil.rmtree(folder / "a" / "1")
    (folder / "a" / "1").symlink_to(precious)
    refused(folder, "a/1")

    def add(name):
        with adding(folder) as draft:
            (draft.path / name).parent.mkdir(parents=True)
            (draft.path / name).write_text("new")

    with pytest.raises(NotADirectoryError, match="a/1 is a link, through which nothing is saved"):
        add("a/1/aux.npz")
    with pytest.raises(NotADirectoryError, match=r"comparison.json is a file, and comparison.json/more is to be saved"):
        add("comparison.json/more")
    # A link in the place of a file goes, and not what it leads to.
    os.rename(tmp_path / "run" / "aux.npz", tmp_path / "kept.npz")
    (tmp_path / "run" / "aux.npz").symlink_to(tmp_path / "kept.npz")
    (tmp_path / "run" / "nowhere").symlink_to(tmp_path / "is not")
    refused(tmp_path / "run", "nowhere")
    (tmp_path / "run" / "nowhere").unlink()
    OTHER.save(tmp_path / "run", overwrite=True)
    assert not (tmp_path / "run" / "aux.npz").is_symlink()
    assert (tmp_path / "kept.npz").read_bytes() == before["aux.npz"]
    assert files(precious) == before


def test_what_may_not_be_replaced_is_said_before_anything_is_changed(tmp_path, monkeypatch):
    folder = tmp_path / "all"
    collect(folder, ["a/1"])
    (folder / "a" / "1").chmod(0o555)
    if os.geteuid() == 0:  # who may do all
        access = lambda path, mode, **_: os.stat(path).st_mode & 0o222 != 0  # noqa: E731
        monkeypatch.setattr(ownership.os, "access", access)
        monkeypatch.setattr(ownership.os, "supports_effective_ids", {access})
    before = files(folder)
    with pytest.raises(OSError, match=r"may not replace what it saved there.*nothing was changed.*all"):
        OTHER.save(folder, overwrite=True)
    assert files(folder) == before
    (folder / "a" / "1").chmod(0o755)
    OTHER.save(folder, overwrite=True)


def test_names_that_only_look_like_those_of_unfinished_saves_are_anyones(tmp_path):
    folder = RUN.save(tmp_path / "run")
    for name in (f"{DRAFT}notes", f"{DRAFT}0123456", ".x.npz.part-old"):
        (folder / name).mkdir()
        (folder / name / "mine").touch()
    (tmp_path / ".x.npz.part-of-mine").touch()
    refused(folder, f"{DRAFT}0123456/mine", f"{DRAFT}notes/mine", ".x.npz.part-old/mine")
    RUN.execution.save(folder / "x.npz")
    RUN.execution.save(tmp_path / "x.npz")
    assert (folder / ".x.npz.part-old" / "mine").exists()
    assert (tmp_path / ".x.npz.part-of-mine").exists()


def test_errors_of_the_body_are_its_own_and_those_of_the_draft_name_the_folder(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    theirs = OSError(errno.ECONNRESET, "the data set's server is gone")
    elsewhere = OSError(errno.ENOENT, "is not there", "data/images")
    for error in (theirs, elsewhere):
        with pytest.raises(OSError, match=r"gone|not there") as caught, replacing(folder, kind="run"):
            raise error
        assert caught.value is error
    with pytest.raises(OSError, match=rf"is no folder; nothing was changed: '{folder}'"), replacing(folder, kind="run"):
        raise OSError(errno.ENOTDIR, "is no folder", str(next(folder.glob(f"{DRAFT}*")) / "files" / "x"))

    def full(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")  # which names no file

    monkeypatch.setattr("jasgd.record.saving.draft.write_arrays", full)
    with pytest.raises(OSError, match=rf"No space left on device; nothing was changed: '{folder}'"):
        RUN.save(folder)
    monkeypatch.undo()
    monkeypatch.setattr("pathlib.Path.write_text", full)
    with pytest.raises(OSError, match=rf"No space left on device; nothing was changed: '{folder}'"):
        RUN.save(folder)
    assert not folder.exists()


def test_files_are_added_to_what_was_saved_alone(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"has no manifest.json"), adding(tmp_path) as draft:
        draft.arrays("x.npz", {"x": np.zeros(2)})
    assert list(tmp_path.iterdir()) == []
