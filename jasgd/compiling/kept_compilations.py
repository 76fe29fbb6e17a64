"""Compiled functions that are kept on disk for later processes, by JAX's own cache."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import time
import zlib
from pathlib import Path
from typing import Any

import jax
import jaxlib

from jasgd.jax_settings import processors

MOST_BYTES = 512 << 20  # of one machine's files; the oldest are removed when a process begins with more
_CHECKED = "checked"  # a file whose time says up to when others were looked at
_AT_ONCE = 1 << 20  # bytes
_ZLIB = b"x"  # the first byte of what JAX has compressed, but where it has Zstandard
# What JAX keeps is chosen by these, which a user may have set; small functions are most of what a run compiles.
_SETTINGS = {"jax_persistent_cache_min_compile_time_secs": 0.0, "jax_persistent_cache_min_entry_size_bytes": -1}


def keep_compiled(folder: str | os.PathLike[str] | None = None) -> Path | None:
    """Has JAX keep what it compiles from now on, and take what an earlier process compiled, by its persistent cache.

    One call at the start of a program is enough; the commands of ``jasgd`` do it by themselves. What the user has set,
    as by ``JAX_COMPILATION_CACHE_DIR``, stays as it is. Files are code: keep them where only you can write.

    Args:
      folder: where it is kept, and never tidied up; None for ``jasgd/compiled`` in ``$XDG_CACHE_HOME``, or in
        ``~/.cache``, where each kind of processor, version of jaxlib and number of processors has a folder of its own,
        and the oldest files are removed above 512 MiB.

    Returns:
      The folder that JAX uses; None where JAX's settings forbid a cache, or the folder cannot be written to.

    Example:
      >>> keep_compiled()  # doctest: +SKIP
      PosixPath('/home/me/.cache/jasgd/compiled/0f3c9ad2b8e1')
    """
    config: Any = jax.config
    if not config.jax_enable_compilation_cache:
        return None
    if folder is None and (chosen := config.jax_compilation_cache_dir):
        return Path(chosen)
    try:
        path = Path(folder) if folder is not None else _cache_folder() / _machine()
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not os.access(path, os.W_OK | os.X_OK):
            return None
    except (OSError, RuntimeError):  # no home, or one that cannot be written to
        return None
    if folder is None:
        _make_room(path)
        _remove_damaged(path)
    for name, value in _SETTINGS.items():
        if name.upper() not in os.environ:
            jax.config.update(name, value)
    jax.config.update("jax_compilation_cache_dir", str(path))
    from jax.experimental.compilation_cache import compilation_cache

    compilation_cache.reset_cache()  # else a process that has compiled before would go on without one
    return path


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "jasgd" / "compiled"


def _machine() -> str:
    """What code is compiled for, as a checksum: JAX does not look at the processor before it runs what it finds."""
    lines: list[str] = []
    with contextlib.suppress(OSError):
        text = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
        lines = [line for line in text.splitlines() if line.startswith(("model name", "flags", "Features", "CPU "))]
    inputs = (jaxlib.__version__, platform.machine(), platform.processor(), processors(), lines)
    return hashlib.sha256(repr(inputs).encode()).hexdigest()[:12]


def _make_room(folder: Path) -> None:
    """Removes the oldest files where there are too many; other processes may do the same."""
    with contextlib.suppress(OSError):
        files = sorted(((file.stat(), file) for file in folder.iterdir()), key=lambda pair: -pair[0].st_mtime)
        total = 0
        for about, file in files:
            total += about.st_size
            if total > MOST_BYTES:
                with contextlib.suppress(OSError):
                    file.unlink()


def _remove_damaged(folder: Path) -> None:
    """Removes files that are not whole, as a process left them that was killed or had no room on the disk.

    JAX never writes again what is there, and would warn of it in every later process. Each file is read once.
    """
    with contextlib.suppress(OSError):
        mark, began_s = folder / _CHECKED, time.time()
        checked_s = mark.stat().st_mtime if mark.exists() else 0.0
        for file in folder.glob("*-cache"):
            with contextlib.suppress(OSError):
                if file.stat().st_mtime >= checked_s and not _is_whole(file.read_bytes()):
                    file.unlink()
        mark.touch(mode=0o600)
        os.utime(mark, (began_s, began_s))


def _is_whole(content: bytes) -> bool:
    if not content.startswith(_ZLIB):
        return bool(content)
    stream = zlib.decompressobj()
    try:
        while content and not stream.eof:
            stream.decompress(content, _AT_ONCE)
            content = stream.unconsumed_tail
    except zlib.error:
        return False
    return stream.eof
