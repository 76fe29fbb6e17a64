"""JAX's settings hold per thread; workers are to compute under those of the thread that called ``train``."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import jax
from jax import experimental

#: What ``with`` can set for one thread, by its name in ``jax.config``.
SETTINGS = (
    "default_device",
    "default_matmul_precision",
    "debug_nans",
    "debug_infs",
    "numpy_dtype_promotion",
    "numpy_rank_promotion",
    "default_prng_impl",
    "enable_x64",
)


def inherited() -> Callable[[], AbstractContextManager[Any]]:
    """Notes the settings of the calling thread.

    Returns:
      A function that another thread calls in a ``with`` statement, to have the same.

    Example:
      >>> import threading
      >>> with jax.default_matmul_precision("highest"):
      ...     settings = inherited()
      >>> def work():
      ...     with settings():
      ...         seen.append(jax.config.jax_default_matmul_precision)
      >>> seen = []
      >>> thread = threading.Thread(target=work)
      >>> thread.start(), thread.join()
      (None, None)
      >>> seen
      ['highest']
    """
    config: Any = jax.config
    managers = [(_manager(name), getattr(config, f"jax_{name}")) for name in SETTINGS]

    @contextlib.contextmanager
    def settings() -> Any:
        with contextlib.ExitStack() as stack:
            for manager, value in managers:
                stack.enter_context(manager(value))
            yield

    return settings


def _manager(name: str) -> Any:
    # Not ``or``: what JAX has here refuses to be taken for true or false.
    return getattr(jax, name) if hasattr(jax, name) else getattr(experimental, name)  # enable_x64, before JAX 0.8
