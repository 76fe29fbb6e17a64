"""native.cc as a library in this process: its functions, for Python and for XLA; prebuilt, or compiled at its place."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import threading
import time
from pathlib import Path

import jax

from jasgd.schemes.native.library_files import (
    PREBUILT,
    SOURCE,
    CannotCompile,
    cache_folder,
    compiled,
    kept,
    sources_checksum,
)

HANDLERS = tuple(f"Jasgd{name}" for name in ("Read", "Recall", "Begin", "End", "Rows", "Meet", "Gathered", "Publish"))

_address, _number, _bytes, _wide = ctypes.c_void_p, ctypes.c_int32, ctypes.c_char_p, ctypes.c_int64
_FUNCTIONS = {  # what Python calls of native.cc: result, arguments
    "JasgdMake": (_address, (_number, *(_wide,) * 4, *(_number,) * 4, *(_wide, _bytes, _wide) * 2)),
    "JasgdFree": (None, (_address,)),
    "JasgdAnswer": (_address, (_address, _wide)),
    "JasgdNow": (ctypes.c_double, ()),
    "JasgdClock": (_bytes, ()),
    "JasgdSources": (_bytes, ()),
    "JasgdFinite": (_number, (_wide, *(_address,) * 3)),
    "JasgdClose": (None, (_address,)),
    "JasgdEnter": (None, ()),
    "JasgdPause": (None, (_address, _number)),
    "JasgdAdding": (_wide, (_address,)),
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
        with contextlib.suppress(RuntimeError, ValueError):  # it was built for a jaxlib that this one does not follow
            if (loaded := prebuilt(PREBUILT)) is not None:
                return _registered(loaded)
        return _registered(opened(cache_folder()))
    except CannotCompile as error:
        return error
    except (OSError, AttributeError, RuntimeError, ValueError) as error:
        return CannotCompile(f"native must be False, as the compiled {SOURCE.name} could not be loaded: {error}")


def _registered(loaded: ctypes.CDLL) -> ctypes.CDLL:
    _require_same_clock(loaded)
    for name in HANDLERS:
        jax.ffi.register_ffi_target(name, jax.ffi.pycapsule(getattr(loaded, name)), platform="cpu")
    return loaded


def prebuilt(file: Path) -> ctypes.CDLL | None:
    """The functions of a library that came with the package.

    Args:
      file: where it would be.

    Returns:
      The library, with the types of its functions; None where there is none, it cannot be opened here, or it was made
      of other sources.
    """
    if not file.is_file():
        return None
    try:
        loaded = _functions(file)
    except (OSError, AttributeError):
        return None
    return loaded if loaded.JasgdSources().decode() == sources_checksum() else None


def opened(folder: Path | None) -> ctypes.CDLL:
    """The functions of native.cc, by the library that a folder has, or by one that is compiled into it.

    Args:
      folder: where libraries are kept; None for nowhere. Where it cannot be used, a temporary one takes its place.

    Returns:
      The library, with the types of its functions.

    Raises:
      CannotCompile: where it has to be compiled, and there is no compiler, or it fails.
      OSError, AttributeError: where what was compiled cannot be opened, or has not all functions.
    """
    if folder is not None and (file := kept(folder)) is not None:
        try:
            return _functions(file)
        except (OSError, AttributeError):  # it was made for another system, or from other sources
            with contextlib.suppress(OSError):
                file.unlink()
    with compiled(folder) as files:
        for file in files[:-1]:
            with contextlib.suppress(OSError):  # a folder from which nothing may be run
                return _functions(file)
        return _functions(files[-1])  # which stays in memory when the file is removed


def _functions(file: Path) -> ctypes.CDLL:
    loaded = ctypes.CDLL(str(file))
    for name, (result, arguments) in _FUNCTIONS.items():
        getattr(loaded, name).restype, getattr(loaded, name).argtypes = result, arguments
    for name in HANDLERS:
        getattr(loaded, name)
    return loaded


def is_compiled() -> bool:
    """Whether :func:`library` finds native.cc compiled, and need not call a compiler."""
    folder = cache_folder()
    return PREBUILT.is_file() or (folder is not None and kept(folder) is not None)


def _require_same_clock(loaded: ctypes.CDLL) -> None:
    """Two clocks are never read at once, so that times of one are not times of the other; there must be one."""
    ours, its = time.get_clock_info("perf_counter").implementation, loaded.JasgdClock().decode()
    if ours != its:
        raise CannotCompile(f"native must be False where time.perf_counter reads {ours}, as {SOURCE.name} reads {its}")
