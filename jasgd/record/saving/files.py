"""Files that are replaced whole, and temporary ones that a process which was killed leaves."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

RANDOM_BYTES = 4  # in the names of temporary files
WAIT_S = 60.0  # for another process, which holds a folder for some milliseconds


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file such that at any moment there is the old one or the new one, also after a crash.

    Args:
      path: the file; its folder must exist.
      content: of the new file.

    Raises:
      OSError: where it cannot be written; the old file is then as it was.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write_whole(Path(folder) / "a", b"1")
      ...     (Path(folder) / "a").read_bytes(), os.listdir(folder)
      (b'1', ['a'])
    """
    path = Path(os.path.realpath(path))  # else a link would be replaced, and not what it leads to
    if path.exists() and not path.is_file():
        path.write_bytes(content)  # a device or a pipe, which is not to be replaced
        return
    prefix = f".{path.name[:100]}.part-"
    part = path.with_name(temporary_name(prefix))
    try:
        with contextlib.ExitStack() as stack:
            with held(path.parent):
                remove_abandoned(path.parent, prefix)
                file = stack.enter_context(part.open("wb"))
                stack.enter_context(claimed(part))
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Has the operating system put a folder's names on the disk, where it offers that."""
    with contextlib.suppress(OSError):  # Windows opens no folders, and some network file systems cannot
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Holds a lock on a temporary file or folder, by which others see that its process lives; it ends with it."""
    descriptor = _lock(path)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """Holds a folder, so that no other process or thread changes meanwhile which files it has.

    Args:
      folder: must exist.

    Raises:
      TimeoutError: where another one holds it for a minute.
    """
    until = time.monotonic() + WAIT_S
    while True:
        try:
            descriptor = _lock(folder)
            break
        except BlockingIOError:
            if time.monotonic() > until:
                raise TimeoutError(f"{folder} was held by another process for {WAIT_S:g} s") from None
            time.sleep(0.005)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def abandoned(path: Path) -> bool:
    """Whether the process that claimed a temporary file or folder has ended; False where the system does not say."""
    try:
        descriptor = _lock(path)
    except BlockingIOError:
        return False
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is not None


def temporary_name(prefix: str) -> str:
    """A new name for a temporary file or folder."""
    return prefix + os.urandom(RANDOM_BYTES).hex()


def is_temporary(name: str, prefix: str) -> bool:
    """Whether :func:`temporary_name` made a name; others that only begin so may be anyone's."""
    return re.fullmatch(rf"{re.escape(prefix)}[0-9a-f]{{{2 * RANDOM_BYTES}}}", name) is not None


def remove_abandoned(folder: Path, prefix: str) -> bool:
    """Removes temporary files and folders that processes left which were killed.

    Args:
      folder: where they are; it is held.
      prefix: with which their names begin.

    Returns:
      Whether there were any.
    """
    found = False
    for name in os.listdir(folder):
        path = folder / name
        if is_temporary(name, prefix) and not path.is_symlink() and abandoned(path):
            found = True
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
    return found


def _lock(path: Path) -> int | None:
    """A descriptor that holds a lock, None where the system has none; BlockingIOError where another one holds it."""
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise
    except OSError:  # some network file systems have no locks
        os.close(descriptor)
        return None
    return descriptor
