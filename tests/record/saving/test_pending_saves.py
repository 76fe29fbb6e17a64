"""The kind: what a save that was killed has left hides what is saved later, or hinders it for good."""

import errno
import os
import shutil
import time
from pathlib import Path

import pytest
from support.pending_saves import files, leave_pending
from support.results import result_of

import jasgd
from jasgd.record.saving import folder as writing
from jasgd.record.saving import gathering as collecting
from jasgd.record.saving.files import held
from jasgd.record.saving.folder import adding, check_free, replacing
from jasgd.record.saving.gathering import gathering
from jasgd.record.saving.manifest import NEXT, SavedFolder
from jasgd.record.saving.ownership import DRAFT, GATHERING

FIRST, SECOND, THIRD = (result_of([float(k)] * k) for k in (1, 2, 3))


def rows(folder):
    return len(jasgd.TrainResult.load(folder).execution)


def collect(folder, runs, *, overwrite=False, then=lambda: None):
    with gathering(folder, overwrite=overwrite) as collection:
        for name, result in runs.items():
            with collection.replacing(name, kind="run") as draft:
                result.write(draft)
        then()
        with collection.sealing(kind="comparison") as draft:
            draft.json("comparison.json", sorted(runs))


def collect_pending(folder, runs):
    """A collection that was committed to a folder, and is nowhere in its place."""
    collect(folder.with_name("committed"), runs)
    os.rename(folder.with_name("committed"), folder / NEXT)


class Killed(BaseException):
    pass


def killed(*arguments):
    raise Killed


def test_a_commit_in_a_folder_within_does_not_hide_what_is_saved_above_it_later(tmp_path, monkeypatch):
    folder = tmp_path / "all"
    with monkeypatch.context() as patch:
        patch.setattr(writing, "finish", killed)
        with pytest.raises(Killed):
            collect(folder, {"a/1": SECOND})
    assert (folder / "a" / "1" / NEXT).exists()
    assert rows(folder / "a" / "1") == 2
    collect(folder, {"a/1": THIRD}, overwrite=True)
    assert rows(folder / "a" / "1") == 3
    assert not list(folder.rglob(NEXT))


def test_a_commit_in_a_folder_above_does_not_hide_what_is_saved_within_it_later(tmp_path):
    folder = tmp_path / "all"
    collect(folder, {"a/1": FIRST, "b/1": FIRST})
    for save in (
        lambda: THIRD.save(folder / "a" / "1", overwrite=True),
        lambda: THIRD.save(f"{folder}/a/../a/1/", overwrite=True),
        lambda: THIRD.save(tmp_path / "link", overwrite=True),
    ):
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(folder / "a" / "1")
        collect_pending(folder, {"a/1": SECOND})
        for at in (folder / "a" / "1", tmp_path / "link"):
            assert rows(at) == 2
        check_free(folder / "a" / "1", overwrite=True)  # as a command does first
        collect_pending(folder, {"a/1": SECOND})
        save()
        for at in (folder / "a" / "1", tmp_path / "link"):
            assert rows(at) == 3
        assert not list(folder.rglob(NEXT))
    # What was committed is read where it was committed to, though a folder was moved and linked meanwhile.
    collect_pending(folder, {"a/1": SECOND})
    os.rename(folder / "a", tmp_path / "moved")
    (folder / "a").symlink_to(tmp_path / "moved")
    assert (rows(folder / "a" / "1"), rows(tmp_path / "moved" / "1")) == (2, 3)
    (folder / "a").unlink()
    os.rename(tmp_path / "moved", folder / "a")
    check_free(folder / "a" / "1", overwrite=True)
    # Where what was committed above has a run in a folder that is still empty, that is not free.
    collect_pending(folder, {"c/1": SECOND})
    with pytest.raises(FileExistsError, match=r"1 is not empty, it has aux.npz"):
        THIRD.save(folder / "c" / "1")
    assert rows(folder / "c" / "1") == 2


@pytest.mark.parametrize("where", [".", "run/", "../all/run"])
def test_a_save_finishes_what_was_left_however_the_folder_is_written(tmp_path, monkeypatch, where):
    folder = FIRST.save(tmp_path / "all" / "run")
    leave_pending(SECOND, folder)
    monkeypatch.chdir(folder if where == "." else tmp_path / "all")
    assert rows(where) == 2
    with pytest.raises(FileExistsError, match="is not empty"):
        check_free(where)
    with adding(where) as draft:  # what is added is added to what was committed
        draft.json("metrics.json", 1)
    assert rows(where) == 2
    THIRD.save(where, overwrite=True)
    assert rows(folder) == 3
    assert not list(tmp_path.rglob(NEXT))
    assert not (folder / "metrics.json").exists()


def test_a_command_does_not_refuse_what_the_next_save_would_finish(tmp_path, monkeypatch):
    """After the commit old files go, also of folders within, whose manifests name what is left."""
    folder = tmp_path / "all"
    left = [0]

    def counted(call):
        def wrapped(*arguments, **options):
            left[0] -= (folder / NEXT).exists()
            if left[0] == 0 and (folder / NEXT).exists():
                raise Killed
            return call(*arguments, **options)

        return wrapped

    for number in range(1, 40):
        shutil.rmtree(folder, ignore_errors=True)
        collect(folder, {"a/1": FIRST, "b/1": FIRST})
        left[0] = number
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", lambda descriptor: None)  # which takes its time
            patch.setattr(type(folder), "unlink", counted(type(folder).unlink))
            patch.setattr(os, "replace", counted(os.replace))
            try:
                collect(folder, {"a/1": SECOND}, overwrite=True)
            except Killed:
                pass
            else:
                break
        assert rows(folder / "a" / "1") == 2
        check_free(folder, overwrite=True)
        assert rows(folder / "a" / "1") == 2
        assert {path.name for path in folder.iterdir()} == {"a", "comparison.json", "manifest.json"}
    assert number > 15


def test_what_comes_into_a_folder_after_the_commit_does_not_go_with_the_old_files(tmp_path, monkeypatch):
    folder = tmp_path / "all"
    collect(folder, {"a/1": FIRST, "b/1": FIRST, "c/1": FIRST})
    finish = writing.finish
    with monkeypatch.context() as patch:
        patch.setattr(writing, "finish", lambda at: killed() if at == folder else finish(at))
        with pytest.raises(Killed):
            collect(folder, {"a/1": SECOND}, overwrite=True)
    shutil.copytree(folder / "b" / "1", folder / "mine" / "1")
    (folder / "b" / "1" / "notes").write_text("mine")
    os.rename(folder / "c", tmp_path / "moved")
    (folder / "c").symlink_to(tmp_path / "moved")
    check_free(folder / "mine" / "1", overwrite=True)
    assert sorted(path.name for path in folder.iterdir()) == ["a", "b", "c", "comparison.json", "manifest.json", "mine"]
    assert rows(tmp_path / "moved" / "1") == 1
    assert list(files(folder / "b")) == ["1/notes"]
    assert rows(folder / "mine" / "1") == 1


def test_an_error_after_the_commit_says_that_the_new_result_is_saved(tmp_path, monkeypatch):
    folder = FIRST.save(tmp_path / "run")

    def no(folder):
        raise OSError(errno.EIO, "Input/output error", str(folder / "params.npz"))

    monkeypatch.setattr(writing, "finish", no)
    with pytest.raises(OSError, match=r"Input/output error; the new files are saved, and the next save moves all") as e:
        SECOND.save(folder, overwrite=True)
    assert "nothing was changed" not in str(e.value)
    monkeypatch.undo()
    assert rows(folder) == 2
    assert rows(THIRD.save(folder, overwrite=True)) == 3


def test_two_saves_one_above_the_other_do_not_wait_for_each_other(tmp_path, monkeypatch):
    """The outermost folder is held first, by both."""
    folder = tmp_path / "all"
    collect(folder, {"a/1": FIRST})
    order = []

    def noted(path):
        order.append(os.path.relpath(path, tmp_path))
        return held(path)

    monkeypatch.setattr("jasgd.record.saving.pending.held", noted)
    check_free(folder / "a" / "1", overwrite=True)
    assert order == ["all", "all/a/1"]
    leave_pending(SECOND, folder / "a" / "1")
    order.clear()
    with pytest.raises(FileExistsError, match=r"a/1 \(a run of its own\)"):
        check_free(folder, overwrite=True)
    assert order == ["all", "all/a/1"]


def test_what_was_collected_is_kept_where_it_cannot_come_to_its_place(tmp_path, monkeypatch):
    folder = tmp_path / "all"
    collect(folder, {"a/1": FIRST})
    monkeypatch.setattr(time, "strftime", lambda form: form.replace("%Y%m%d-%H%M%S", "20260101-000000"))
    with pytest.raises(FileExistsError, match=r"never removes: notes; what .* is in .*all/unfinished-20260101-000000$"):
        collect(folder, {"b/1": SECOND}, overwrite=True, then=lambda: (folder / "notes").write_text("mine"))
    aside = folder / "unfinished-20260101-000000"
    assert rows(aside / "b" / "1") == 2
    assert SavedFolder(aside).json("comparison.json") == ["b/1"]
    (folder / "notes").unlink()
    with pytest.raises(FileExistsError, match=r"unfinished-20260101-000000 \(a comparison of its own\)$"):
        collect(folder, {"c/1": THIRD}, overwrite=True)
    shutil.rmtree(aside)

    def fails():
        raise OSError(errno.ENOSPC, "No space left on device", str(next(folder.glob(f"{DRAFT}*")) / "files" / "d"))

    # Two in one second; the second on a disk that is too full for a mark, which is then a result of its own.
    mark = collecting._mark
    unmarked = lambda *a, set_aside=None, **o: fails() if set_aside else mark(*a, **o)  # noqa: E731
    for each in (mark, unmarked):
        monkeypatch.setattr(collecting, "_mark", each)
        with pytest.raises(OSError, match="No space left") as caught:
            collect(folder, {"c/1": THIRD}, overwrite=True, then=fails)
        (note,) = caught.value.__notes__
        assert rows(Path(note.removeprefix("what was collected until then is in ")) / "c" / "1") == 3
    monkeypatch.undo()
    assert rows(folder / "a" / "1") == 1
    assert [rows(folder / f"unfinished-20260101-000000{end}" / "c" / "1") for end in ("", "-2")] == [3, 3]
    with pytest.raises(FileExistsError, match=r"never removes: unfinished-20260101-000000-2 \(an unfinished comp"):
        collect(folder, {"d/1": THIRD}, overwrite=True)
    shutil.rmtree(folder / "unfinished-20260101-000000-2")
    collect(folder, {"d/1": THIRD}, overwrite=True)
    assert {path.name for path in folder.iterdir()} == {"d", "comparison.json", "manifest.json"}


def test_a_run_of_a_command_is_kept_where_it_cannot_come_to_its_place(tmp_path):
    folder = tmp_path / "run"

    def save(**options):
        with replacing(folder, kind="run", **options) as draft:
            SECOND.write(draft)
            (folder / "notes").write_text("mine")

    with pytest.raises(FileExistsError, match="is not empty, it has notes"):
        save()
    assert list(files(folder)) == ["notes"]
    (folder / "notes").unlink()
    with pytest.raises(FileExistsError, match=r"is not empty, it has notes.*; what was to be saved there is in ") as e:
        save(keep=True)
    assert rows(str(e.value).rpartition(" is in ")[2]) == 2


def test_a_save_that_is_refused_clears_nothing_away(tmp_path):
    folder = FIRST.save(tmp_path / "run")
    killed = folder / f"{DRAFT}00000000" / "files" / "a"
    killed.mkdir(parents=True)
    (folder / "notes").write_text("mine")
    for options in ({}, {"overwrite": True}):
        with pytest.raises(FileExistsError):
            SECOND.save(folder, **options)
    assert killed.exists()
    (folder / "notes").unlink()
    SECOND.save(folder, overwrite=True)
    assert not killed.exists()


def test_of_two_collections_in_one_folder_the_later_stands(tmp_path):
    folder = tmp_path / "all"

    def other():
        with pytest.raises(FileExistsError, match=r"is (being written|not empty)"):
            collect(folder, {"c/1": THIRD})
        collect(folder, {"b/1": SECOND}, overwrite=True)

    with pytest.raises(OSError, match="was replaced by another process while results were collected"):
        collect(folder, {"a/1": FIRST}, then=other)
    assert SavedFolder(folder).json("comparison.json") == ["b/1"]
    assert rows(folder / "b" / "1") == 2
    assert not (folder / GATHERING).exists()
