"""JAX's settings for the CPU, under which one worker is one thread."""

from __future__ import annotations

import os
import warnings

import jax

from jasgd.checks import integer

_configured: int | None = None  # threads per worker that JAX was started with, where configure_cpu said so


def configure_cpu(*, threads_per_worker: int | None = 1) -> None:
    """Makes JAX compute in the thread that calls it; call it before anything else of JAX.

    Two settings, both read once, when JAX creates its CPU client, which this call therefore does. Asynchronous dispatch
    is switched off: with it on, all computations queue for a pool of JAX's own, and workers only hand work over. And
    that pool, from which a computation takes helpers, is limited to ``threads_per_worker``.

    Args:
      threads_per_worker: threads that one computation may use, an integer ≥ 1; None leaves JAX's default, all
        processors.

    Returns:
      None.

    Raises:
      RuntimeError: where JAX has already started, since the settings would do nothing.
      ValueError: for ``threads_per_worker`` that is no integer ≥ 1.

    Example:
      >>> configure_cpu()  # doctest: +SKIP
    """
    if threads_per_worker is not None:
        threads_per_worker = integer("threads_per_worker", threads_per_worker, 1, optional=True)
    if started():
        raise RuntimeError("configure_cpu() must come before the first computation with JAX, which has already started")
    global _configured
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    before = os.environ.get("NPROC")
    if threads_per_worker is not None:
        os.environ["NPROC"] = str(threads_per_worker)  # what XLA's CPU client takes for the number of processors
    try:
        jax.devices("cpu")
    finally:
        if before is None:
            os.environ.pop("NPROC", None)
        else:
            os.environ["NPROC"] = before
    _configured = threads_per_worker


def started() -> bool:
    """Whether JAX has created its clients, after which CPU settings do nothing."""
    from jax._src import xla_bridge  # no public name says this

    return xla_bridge.backends_are_initialized()


def threads_per_computation() -> int | None:
    """Threads among which JAX's CPU client may split one computation; None where that is not known.

    The split decides in which order a sum is taken, and so its bits.
    """
    if _configured is not None:
        return _configured
    if os.environ.get("NPROC", "").isdigit():
        return int(os.environ["NPROC"])
    return processors()


def processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def warn_if_unconfigured(workers: int) -> None:
    """Warns where several workers would share JAX's pool instead of being threads of their own."""
    if workers > 1 and jax.default_backend() == "cpu" and jax.config.read("jax_cpu_enable_async_dispatch"):
        warnings.warn(
            f"JAX's asynchronous CPU dispatch is on, so {workers} workers share one pool of threads: call "
            "jasgd.configure_cpu() before the first computation",
            RuntimeWarning,
            stacklevel=3,
        )
