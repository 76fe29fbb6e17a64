"""``jasgd --version``."""

from __future__ import annotations

import importlib.metadata
import platform

OPTIONS = ("--version", "-V")


def versions() -> str:
    """The versions of jasgd, JAX and Python, in one line; nothing of JAX is imported.

    Example:
      >>> versions().startswith("jasgd ")
      True
    """
    import jasgd

    return f"jasgd {jasgd.__version__}, JAX {importlib.metadata.version('jax')}, Python {platform.python_version()}"
