"""native.cc as a library in this process: compiled where it runs, once for each version of it and of jaxlib."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import tempfile
import threading
from pathlib import Path

import jax
import jaxlib

SOURCE = Path(__file__).with_name("native.cc")
FLAGS = ("-std=c++17", "-O3", "-shared", "-fPIC", "-w")
COMPILERS = ("c++", "g++", "clang++")
HANDLERS = tuple(f"Jasgd{name}" for name in ("Read", "Recall", "Begin", "End", "Meet", "Gathered", "Publish"))
COMPILING_S = 300.0  # how long a compiler may take

_address, _number, _bytes, _wide = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p, ctypes.c_int64
_FUNCTIONS = {  # what Python calls of native.cc: result, arguments
    "JasgdMake": (_address, (_number, *(_wide,) * 3, *(_number,) * 4, *(_wide, _bytes, _wide) * 2)),
    "JasgdFree": (None, (_address,)),
    "JasgdAnswer": (_address, (_address, _wide)),
    "JasgdNow": (ctypes.c_double, ()),
    "JasgdFinite": (_number, (_wide, *(_address,) * 3)),
    "JasgdClose": (None, (_address,)),
    "JasgdEnter": (None, ()),
    "JasgdWait": (None, (_address, _wide)),
    "JasgdAwait": (None, (_address, _wide)),
    "JasgdGather": (_number, (_address, *(_wide,) * 3, ctypes.POINTER(_wide), _number)),
    "JasgdPublished": (ctypes.c_double, (_address, _wide)),
    "JasgdArrived": (_wide, (_address,)),
    "JasgdAbandon": (None, (_address, _wide)),
    "JasgdView": (_wide, (_address, _wide, _address)),
    "JasgdOffer": (None, (_address, _wide, _wide, ctypes.c_double, _bytes, _wide, _bytes)),
    "JasgdSnapshot": (_wide, (_address, _address, _address)),
    "JasgdGood": (_wide, (_address, _address)),
    "JasgdVersion": (_wide, (_address,)),
    "JasgdFirstNonfinite": (_wide, (_address,)),
    "JasgdCounters": (None, (_address, ctypes.POINTER(_wide), ctypes.POINTER(_wide))),
    "JasgdClaimed": (_wide, (_address, _wide)),
}
_mutex = threading.Lock()


class CannotCompile(RuntimeError):
    """native.cc is not compiled, and there is no compiler, or it fails, or cannot be loaded; the message says which."""


def library() -> ctypes.CDLL:
    """The functions of native.cc, which XLA knows as well once this has returned.

    Returns:
      The library; each call gives the same one.

    Raises:
      CannotCompile: where it has to be compiled, and there is no compiler, or it fails; later calls do not try again.
    """
    with _mutex:
        loaded = _loaded()
    if isinstance(loaded, CannotCompile):
        raise CannotCompile(str(loaded))
    return loaded


@functools.cache
def _loaded() -> ctypes.CDLL | CannotCompile:
    try:
        return _known_to_xla()
    except CannotCompile as error:
        return error
    except (OSError, AttributeError, RuntimeError, ValueError) as error:  # no home, or one that nothing is run from
        return CannotCompile(f"native must be False, as the compiled {SOURCE.name} could not be loaded: {error}")


def _known_to_xla() -> ctypes.CDLL:
    try:
        loaded = ctypes.CDLL(str(compiled(cache_folder())))
    except OSError:  # it was made for another system, or is not whole
        loaded = ctypes.CDLL(str(compiled(cache_folder(), again=True)))
    for name, (result, arguments) in _FUNCTIONS.items():
        getattr(loaded, name).restype, getattr(loaded, name).argtypes = result, arguments
    for name in HANDLERS:
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(loaded, name)), platform="cpu")
    return loaded


def cache_folder() -> Path:
    """Where compiled libraries are kept: ``jasgd/native`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jasgd" / "native"


def is_compiled() -> bool:
    """Whether :func:`library` finds native.cc compiled, and need not call a compiler."""
    return os.path.exists(file_in(cache_folder()))


def file_in(folder: Path) -> Path:
    """Where the compiled library is in a folder, whether or not it is there."""
    sources = [file.read_text() for file in sorted(SOURCE.parent.glob("*.h"))]
    machine = platform.system(), platform.machine(), *platform.libc_ver()
    inputs = (SOURCE.read_text(), *sources, jaxlib.__version__, *machine, *FLAGS)
    return folder / f"{hashlib.sha256(repr(inputs).encode()).hexdigest()[:16]}.so"


def compiled(folder: Path, *, again: bool = False) -> Path:
    """The compiled library in a folder, which is made where it is not there.

    Args:
      folder: where it is looked for and written to; where that cannot be, a temporary one takes its place.
      again: whether it is compiled though it is there.

    Returns:
      The file.

    Raises:
      CannotCompile: where there is no compiler, or it fails; the message says what it said.
    """
    file = file_in(folder)
    if not again and os.path.exists(file):  # False where it may not even be looked for
        return file
    command = [*_compiler(), *FLAGS, "-isystem", jax.ffi.include_dir(), str(SOURCE), "-o"]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        number, written = tempfile.mkstemp(dir=folder, suffix=".so")
    except OSError:  # a home that cannot be written to
        number, written = tempfile.mkstemp(suffix=".so")
        file = Path(written)
    os.close(number)
    try:
        done = subprocess.run([*command, written], capture_output=True, text=True, timeout=COMPILING_S)
        if done.returncode:
            raise CannotCompile(
                f"native must be False, as {command[0]} could not compile {SOURCE}: {done.stderr[-2000:]}"
            )
        os.replace(written, file)  # whole at once, since other processes may be looking for it
    except CannotCompile:
        Path(written).unlink(missing_ok=True)
        raise
    except (OSError, subprocess.TimeoutExpired) as error:
        Path(written).unlink(missing_ok=True)
        raise CannotCompile(f"native must be False, as {command[0]} could not compile {SOURCE}: {error}") from error
    return file


def _compiler() -> list[str]:
    """The command of the C++ compiler: ``$CXX``, or the first that is on the path."""
    if chosen := shlex.split(os.environ.get("CXX", "")):
        return chosen
    for name in COMPILERS:
        if compiler := shutil.which(name):
            return [compiler]
    raise CannotCompile(
        f"native must be False where there is no C++ compiler: none of {', '.join(COMPILERS)} is on the path, and CXX "
        "names none"
    )
