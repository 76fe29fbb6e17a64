"""The kind: a save that ends half-way, killed or without room, leaves neither the old files nor the new ones whole."""

import json
import os
import subprocess
from pathlib import Path

import pytest
from support.python_process import run_python
from support.saved_runs import VERSIONS

import jasgd

SCRIPT = Path(__file__).parent.parent.parent / "support" / "killed_saves.py"


@pytest.mark.parametrize("what", ["run", "collection", "first collection", "execution"])
def test_killed_at_any_call_the_old_or_the_new_one_is_there_whole(tmp_path, what):
    there = json.loads(run_python("-W", "ignore", SCRIPT, what, tmp_path / "saves", timeout_s=600).stdout)
    assert min(there["old"], there["new"]) > 0
    assert there["old"] + there["new"] >= (50 if what == "run" else 20)


def test_without_room_the_old_result_stays_and_the_message_names_the_folder(tmp_path):
    # A limit of the size of files is an error of the operating system, as a full disk is, that needs no rights.
    script = (
        "import resource, signal, sys, jasgd\n"
        "from support.saved_runs import VERSIONS\n"
        "result = jasgd.TrainResult.load(VERSIONS / 'version-1' / 'threads')\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "for limit in (3000, 8000):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n"
        "    try:\n"
        "        result.save(sys.argv[1], overwrite=True)\n"
        "    except OSError as error:\n"
        "        print(error)\n"
    )
    old = jasgd.TrainResult.load(VERSIONS / "version-1" / "native")
    folder = old.save(tmp_path / "run")
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    process = run_python("-W", "ignore", "-c", script, folder)
    assert process.stdout.count(f"File too large; nothing was changed: '{folder}'") == 2
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting needs root")
def test_on_a_full_disk_the_old_result_stays(tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting is not allowed here")
    try:
        old = jasgd.TrainResult.load(VERSIONS / "version-1" / "native")
        folder = old.save(disk / "run")
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        while True:  # the disk fills with what others write
            try:
                with (disk / "other").open("ab") as file:
                    file.write(bytes(4096))
            except OSError:
                break
        with pytest.raises(OSError, match=rf"No space left on device.*{folder}"):
            old.save(folder, overwrite=True)
        with pytest.raises(OSError, match=r"No space left on device.*new"):
            old.save(disk / "new")
        assert not (disk / "new").exists()
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        with pytest.raises(OSError, match=r"No space left on device.*execution.npz"):
            old.execution.save(folder / "execution.npz")
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
        (disk / "other").unlink()
        assert jasgd.TrainResult.load(old.save(folder, overwrite=True)).message == old.message
    finally:
        subprocess.run(["umount", disk], check=True)
