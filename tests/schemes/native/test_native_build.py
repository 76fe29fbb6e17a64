"""The native library: compiled once and kept, and compiled again where the file is damaged or cannot be written."""

import ctypes

import pytest
from support.every_scheme import needs_compiler
from support.python_process import run_python

from jasgd.schemes.native import build as native_build

pytestmark = needs_compiler


def test_the_library_is_compiled_once_and_kept(tmp_path, monkeypatch):
    file = native_build.compiled(tmp_path / "made")
    assert file.parent == tmp_path / "made"
    assert ctypes.CDLL(str(file)).JasgdNow
    monkeypatch.setenv("CXX", "false")  # a compiler that fails
    assert native_build.compiled(tmp_path / "made") == file  # is not asked again
    with pytest.raises(RuntimeError, match="native must be False, as false could not compile"):
        native_build.compiled(tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(RuntimeError, match="no-such-compiler could not compile"):
        native_build.compiled(tmp_path / "other")
    monkeypatch.delenv("CXX")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        RuntimeError, match=r"there is no C\+\+ compiler: none of c\+\+, g\+\+, clang\+\+ is on the path"
    ):
        native_build.compiled(tmp_path / "other")


def test_a_library_that_is_not_whole_is_compiled_again(tmp_path):
    script = """
import jasgd; jasgd.configure_cpu()
import jax.numpy as jnp, optax
from jasgd.schemes.native import build
file = build.compiled(build.cache_folder())
file.write_bytes(b"cut off")
result = jasgd.train(lambda w, b: (w ** 2).sum(), jnp.ones(3), optax.sgd(0.1), lambda t: 0.0, workers=2, steps=9)
print(result.execution.metadata["native"], result.execution.metadata["why_not_native"], len(file.read_bytes()) > 10_000)
"""
    process = run_python("-c", script, env={"XDG_CACHE_HOME": str(tmp_path)})
    assert process.stdout.split() == ["True", "True"], process.stderr


def test_a_folder_that_cannot_be_written_to_is_no_obstacle(tmp_path):
    (tmp_path / "file").write_text("")
    file = native_build.compiled(tmp_path / "file" / "native")  # no folder can be made in a file
    try:
        assert ctypes.CDLL(str(file)).JasgdNow
    finally:
        file.unlink()
