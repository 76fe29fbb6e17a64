"""The library that a wheel carries: built by CMake as wheels are, and loaded only where it is of these sources."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.every_scheme import needs_compiler
from support.python_process import run_python

from jasgd.schemes.native import build

ROOT = Path(__file__).parents[3]
pytestmark = [
    needs_compiler,
    pytest.mark.skipif(not (shutil.which("cmake") and (ROOT / "CMakeLists.txt").exists()), reason="needs CMake"),
]


@pytest.fixture(scope="module")
def prebuilt(tmp_path_factory):
    """The library as a wheel has it."""
    folder = tmp_path_factory.mktemp("built")
    options = [f"-DPython_EXECUTABLE={sys.executable}", "-DSKBUILD_PROJECT_NAME=jasgd"]
    for command in (["-S", str(ROOT), "-B", str(folder), *options], ["--build", str(folder)]):
        subprocess.run(["cmake", *command], check=True, capture_output=True)
    return folder / "prebuilt.so"


def test_a_library_of_these_sources_is_loaded(prebuilt):
    loaded = build.prebuilt(prebuilt)
    assert loaded is not None
    assert loaded.JasgdNow() > 0


def test_what_is_no_library_of_these_sources_is_not(prebuilt, tmp_path, monkeypatch):
    assert build.prebuilt(tmp_path / "prebuilt.so") is None
    (tmp_path / "text.so").write_text("no library")
    assert build.prebuilt(tmp_path / "text.so") is None
    monkeypatch.setattr(build, "sources_checksum", lambda: "of others")
    assert build.prebuilt(prebuilt) is None


PROCESS = """
import jax
from pathlib import Path
from jasgd.schemes.native import build
build.PREBUILT = Path({prebuilt!r})
{before}
print(build.library()._name)
"""
REFUSED = """
register = jax.ffi.register_ffi_target
def refuse(name, target, **options):
    jax.ffi.register_ffi_target = register
    raise RuntimeError("XLA FFI API version mismatch")
jax.ffi.register_ffi_target = refuse
"""


def test_it_is_what_a_process_uses_and_one_that_jaxlib_refuses_is_compiled_anew(prebuilt):
    used = run_python("-c", PROCESS.format(prebuilt=str(prebuilt), before=""))
    assert used.stdout.strip() == str(prebuilt)
    instead = run_python("-c", PROCESS.format(prebuilt=str(prebuilt), before=REFUSED))
    assert instead.stdout.strip() not in ("", str(prebuilt))
