"""native.cc as a file: prebuilt, or compiled where it runs and kept for later processes with its checksum in its name.

A library that is not whole must not be opened: the process would end with SIGBUS when it reads what is missing.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import jax
import jaxlib

SOURCE = Path(__file__).with_name("native.cc")
PREBUILT = Path(__file__).with_name("prebuilt.so")  # which wheels for one platform have, see CMakeLists.txt
FLAGS = ("-std=c++17", "-O3", "-shared", "-fPIC", "-w")
COMPILERS = ("c++", "g++", "clang++")
COMPILING_S = 300.0  # how long a compiler may take
LEFT_S = 2 * COMPILING_S  # after which no process can still be writing what is not whole
ROOM = 1 << 22  # bytes that a compilation may need
_MAKING = "jasgd-making-"  # folders of compilations under way


class CannotCompile(RuntimeError):
    """native.cc is not compiled, and there is no compiler, or it fails, or cannot be loaded; the message says which."""


def cache_folder() -> Path | None:
    """Where libraries are kept: ``jasgd/native`` in ``$XDG_CACHE_HOME``, or in ``~/.cache``; None without a home."""
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jasgd" / "native"
    except RuntimeError:
        return None


def sources_checksum() -> str:
    """The checksum of the sources, as a prebuilt library says of those that it was made of."""
    checksums = [hashlib.sha256(file.read_bytes()).hexdigest() for file in _sources()]
    return hashlib.sha256("".join(checksums).encode()).hexdigest()


def _sources() -> list[Path]:
    return sorted([SOURCE, *SOURCE.parent.glob("*.h")])


def kept(folder: Path) -> Path | None:
    """The library of these sources, this jaxlib and this machine that a folder has.

    Args:
      folder: where it is looked for.

    Returns:
      A file that is whole, or None.
    """
    try:
        return next((file for file in sorted(folder.glob(f"{_version()}-*.so")) if _is_whole(file)), None)
    except OSError:  # it may not be looked into
        return None


@contextlib.contextmanager
def compiled(folder: Path | None) -> Iterator[list[Path]]:
    """Compiles the library; it is kept in a folder where that can be, and else there until the end of the block.

    Args:
      folder: where it is kept, and made where it is not there; None for none.

    Yields:
      Copies of the library; the second one for where the first cannot be opened.

    Raises:
      CannotCompile: where there is no compiler, or it fails, or nowhere is room; the message says what it said.
    """
    compiler = _compiler()
    with contextlib.ExitStack() as stack:
        place, is_in_folder = _room(folder, stack)
        made = place / "native.so"
        _compile([*compiler, *FLAGS, "-isystem", jax.ffi.include_dir(), str(SOURCE), "-o", str(made)], place)
        files = [made]
        if folder is not None and is_in_folder:
            with contextlib.suppress(OSError):
                file = folder / f"{_version()}-{_checksum(made)}.so"
                os.replace(made, file)  # whole at once, since other processes may be looking for it
                files = [file]
            with contextlib.suppress(OSError):  # for a folder from which nothing may be run
                elsewhere = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=_MAKING))) / made.name
                shutil.copyfile(files[0], elsewhere)
                files.append(elsewhere)
        yield files


def _room(folder: Path | None, stack: contextlib.ExitStack) -> tuple[Path, bool]:
    """A new folder with room for a compilation, and whether it is in the one that is given."""
    reasons = []
    for parent in ([] if folder is None else [folder]) + [None]:
        try:
            if parent is not None:
                parent.mkdir(parents=True, exist_ok=True)
            _clear(parent or Path(tempfile.gettempdir()))
            place = Path(tempfile.mkdtemp(prefix=_MAKING, dir=parent))
            stack.callback(shutil.rmtree, place, ignore_errors=True)
            (place / "room").write_bytes(bytes(ROOM))
            (place / "room").unlink()
            return place, parent is not None
        except OSError as error:  # a home that cannot be written to, or a full disk
            reasons.append(str(error))
    raise CannotCompile(f"native must be False, as there is no room to compile {SOURCE.name}: {'; '.join(reasons)}")


def _compile(command: list[str], place: Path) -> None:
    failed = f"native must be False, as {command[0]} could not compile {SOURCE}"
    try:
        process = subprocess.Popen(
            command,
            env=os.environ | {"TMPDIR": str(place)},  # what it writes meanwhile goes with the place
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # so that the processes which it starts can be ended with it
        )
    except OSError as error:
        raise CannotCompile(f"{failed}: {error}") from error
    try:
        _, said = process.communicate(timeout=COMPILING_S)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        if isinstance(error, subprocess.TimeoutExpired):
            raise CannotCompile(f"{failed}: it took more than {COMPILING_S:g} s") from None
        raise
    if process.returncode:
        raise CannotCompile(f"{failed}: {said[-2000:]}")
    if not Path(command[-1]).is_file():
        raise CannotCompile(f"{failed}: it wrote no library")


def _version() -> str:
    """What the library is made from: sources, jaxlib, machine and flags, as a checksum."""
    sources = [file.read_text() for file in _sources()]
    machine = platform.system(), platform.machine(), *platform.libc_ver()
    inputs = (*sources, jaxlib.__version__, *machine, *FLAGS)
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:16]


def _checksum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:16]


def _is_whole(file: Path) -> bool:
    try:
        return file.suffix == ".so" and file.stem.partition("-")[2] == _checksum(file)
    except OSError:
        return False


def _clear(folder: Path) -> None:
    """Removes what compilations that were killed have left, and libraries that are not whole, once they are old."""
    for left in [*folder.glob(f"{_MAKING}*"), *folder.glob(f"{_version()}-*.so")]:
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime < LEFT_S or _is_whole(left):
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()


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
