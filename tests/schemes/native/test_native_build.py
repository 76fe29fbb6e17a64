"""The native library: compiled once and kept, and never opened where it is not whole.

The kind: a file that another process was writing, or left, is taken for what it should be.
"""

import _ctypes
import ctypes
import os
import shutil
import time
from pathlib import Path

import pytest
from support.every_scheme import needs_compiler
from support.python_process import run_python

from jasgd.schemes.native import build, library_files
from jasgd.schemes.native.library_files import LEFT_S, CannotCompile, cache_folder, compiled, kept

pytestmark = needs_compiler


@pytest.fixture(scope="module")
def library():
    """The library, as it is compiled once for all processes of a user."""
    build.library()
    return kept(cache_folder())


@pytest.fixture
def compiler(library, tmp_path, monkeypatch):
    """A compiler that gives that library, and notes each call in a file, which this is."""
    calls = tmp_path / "calls"
    script = tmp_path / "compiler"
    script.write_text(f'#!/bin/sh\nfor last; do :; done\necho "$last" >> {calls}\ncp {library} "$last"\n')
    script.chmod(0o755)
    calls.touch()
    monkeypatch.setenv("CXX", str(script))
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    return calls


def made(calls):
    return len(calls.read_text().splitlines())


def is_empty(folder):
    return list(folder.iterdir()) == []


def test_the_library_is_compiled_once_and_kept(tmp_path, monkeypatch, compiler):
    folder = tmp_path / "made"
    assert build.opened(folder).JasgdNow
    (file,) = folder.iterdir()
    assert kept(folder) == file
    monkeypatch.setenv("CXX", "false")  # a compiler that fails
    assert build.opened(folder).JasgdNow  # is not asked again
    assert (made(compiler), is_empty(tmp_path / "temporary")) == (1, True)


def test_a_compiler_that_fails_or_is_not_there_is_said_so_and_leaves_nothing(tmp_path, monkeypatch):
    other = tmp_path / "other"
    for command, said in (("false", "native must be False, as false could not compile"),
                          ("no-such-compiler", "no-such-compiler could not compile"),
                          ("true", "true could not compile .*: it wrote no library")):  # fmt: skip
        monkeypatch.setenv("CXX", command)
        with pytest.raises(CannotCompile, match=said):
            build.opened(other)
        assert is_empty(other)
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        RuntimeError, match=r"there is no C\+\+ compiler: none of c\+\+, g\+\+, clang\+\+ is on the path"
    ):
        build.opened(other)


def test_a_run_that_finds_a_library_which_is_not_whole_compiles_it_again(tmp_path, library, compiler):
    file = tmp_path / "jasgd" / "native" / library.name
    file.parent.mkdir(parents=True)
    file.write_bytes(b"cut off")
    script = """
import jasgd; jasgd.configure_cpu()
import jax.numpy as jnp, optax
result = jasgd.train(lambda w, b: (w ** 2).sum(), jnp.ones(3), optax.sgd(0.1), lambda t: 0.0, workers=2, steps=9)
print(result.execution.metadata["native"], result.execution.metadata["why_not_native"])
"""
    process = run_python("-c", script, env={"XDG_CACHE_HOME": str(tmp_path)})
    assert process.stdout.split() == ["True"], process.stderr
    assert (made(compiler), file.read_bytes() == library.read_bytes()) == (1, True)


def test_a_library_cut_off_anywhere_is_compiled_again_and_does_not_end_the_process(tmp_path, library, compiler):
    """Opened as they are, most of these end the process with SIGBUS, so that it is one of its own."""
    size = library.stat().st_size
    for length in (0, 64, 4096, size // 4, size // 2, size - 4096, size - 1):
        (tmp_path / str(length)).mkdir()
        (tmp_path / str(length) / library.name).write_bytes(library.read_bytes()[:length])
    damaged = bytearray(library.read_bytes())
    damaged[size // 2] ^= 1
    (tmp_path / "1").mkdir()
    (tmp_path / "1" / library.name).write_bytes(damaged)
    script = """
import sys
from pathlib import Path
from jasgd.schemes.native import build
for folder in sorted(Path(sys.argv[1]).glob("[0-9]*")):
    print(folder.name, build.opened(folder).JasgdNow() > 0, flush=True)
"""
    process = run_python("-c", script, tmp_path)
    assert process.stdout.split()[1::2] == ["True"] * 8
    assert made(compiler) == 8
    for folder in tmp_path.glob("[0-9]*"):
        assert [file.read_bytes() == library.read_bytes() for file in folder.iterdir()] == [True]


def test_a_library_that_lacks_functions_is_compiled_again(tmp_path, library, compiler):
    folder = tmp_path / "made"
    folder.mkdir()
    version = library.name.partition("-")[0]
    other = folder / f"{version}-{library_files._checksum(Path(_ctypes.__file__))}.so"
    shutil.copyfile(_ctypes.__file__, other)
    assert kept(folder) == other  # as whole as can be
    assert build.opened(folder).JasgdNow
    assert build.opened(folder).JasgdNow
    assert made(compiler) == 1
    assert [file.name for file in folder.iterdir()] == [library.name]


def test_a_folder_that_cannot_be_written_to_is_no_obstacle_and_nothing_is_left_of_it(tmp_path, compiler):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file" / "native", None):  # no folder can be made in a file; and without a home
        assert build.opened(folder).JasgdNow() > 0  # though its file is gone
    assert (made(compiler), is_empty(tmp_path / "temporary")) == (2, True)


def test_a_folder_from_which_nothing_may_be_run_is_no_obstacle(tmp_path, compiler, monkeypatch):
    folder, library_of = tmp_path / "made", ctypes.CDLL

    def refusing(file):
        if file.startswith(str(folder)):
            raise OSError("failed to map segment from shared object")
        return library_of(file)

    monkeypatch.setattr(ctypes, "CDLL", refusing)
    assert build.opened(folder).JasgdNow
    assert (made(compiler), is_empty(tmp_path / "temporary")) == (1, True)


def test_a_disk_that_is_full_is_said_so(tmp_path):
    script = """
import resource, sys
from pathlib import Path
from jasgd.schemes.native import build
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))  # as a full disk: files of no more than that
try:
    build.opened(Path(sys.argv[1]) / "made")
except build.CannotCompile as error:
    print(error)
"""
    process = run_python("-c", script, tmp_path, env={"TMPDIR": str(tmp_path)})
    assert "there is no room to compile native.cc" in process.stdout, process.stderr
    assert is_empty(tmp_path / "made")


def test_what_killed_compilations_left_is_removed_once_no_process_can_be_at_it(tmp_path, library, compiler):
    folder = tmp_path / "made"
    version = library.name.partition("-")[0]
    for name in ("old", "young"):
        (folder / f"jasgd-making-{name}").mkdir(parents=True)
        (folder / f"jasgd-making-{name}" / "native.so").write_bytes(b"half")
        (folder / f"{version}-{name}.so").write_bytes(b"half")
    (folder / "another.so").write_bytes(b"")
    long_ago = time.time() - 2 * LEFT_S
    for name in ("jasgd-making-old", f"{version}-old.so", "another.so"):
        os.utime(folder / name, (long_ago, long_ago))
    assert build.opened(folder).JasgdNow
    left = {file.name for file in folder.iterdir()}
    assert left == {"jasgd-making-young", f"{version}-young.so", "another.so", library.name}


def test_two_that_compile_at_once_are_not_in_each_other_s_way(tmp_path, compiler):
    folder = tmp_path / "made"
    with compiled(folder) as one, compiled(folder) as other:
        assert build._functions(one[0]).JasgdNow
        assert build._functions(other[0]).JasgdNow
    assert len(list(folder.iterdir())) == 1
    assert made(compiler) == 2


def test_a_compiler_that_takes_too_long_is_ended_with_what_it_started(tmp_path, monkeypatch):
    script = tmp_path / "compiler"
    script.write_text(f"#!/bin/sh\nsleep 600 &\necho $! > {tmp_path}/pid\nwait\n")
    script.chmod(0o755)
    monkeypatch.setenv("CXX", str(script))
    monkeypatch.setattr(library_files, "COMPILING_S", 0.5)
    with pytest.raises(CannotCompile, match=r"it took more than 0\.5 s"):
        build.opened(tmp_path / "made")
    assert is_empty(tmp_path / "made")
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 30
    while is_running(pid):
        assert time.monotonic() < deadline


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
