"""JAX's settings for the CPU, under which one worker is one thread."""

from __future__ import annotations

import os
import warnings

import jax

from jasgd.inputs.checks import integer
from jasgd.warning_types import UnconfiguredCPUWarning

_configured: tuple[int | None] | None = None  # the threads per worker that configure_cpu started JAX with, if it did


def configure_cpu(*, threads_per_worker: int | None = 1) -> None:
    """Makes JAX compute in the thread that calls it; call it before anything else of JAX.

    Two settings, both read once, when JAX creates its CPU client, which this call therefore does. Asynchronous dispatch
    is switched off: with it on, all computations queue for a pool of JAX's own, and workers only hand work over. And
    that pool, from which a computation takes helpers, is limited to ``threads_per_worker``; with several CPU devices
    it has a thread for each of them all the same, and one computation uses them all. Where JAX has started with
    the same two settings, as in a cell of a notebook that is run again, this call does nothing.

    Args:
      threads_per_worker: threads that one computation may use, an integer ≥ 1; None leaves JAX's default, all
        processors.

    Returns:
      None.

    Raises:
      RuntimeError: where JAX has already started with others, since the settings would do nothing.
      ValueError: for ``threads_per_worker`` that is no integer ≥ 1.

    Example:
      >>> configure_cpu()  # doctest: +SKIP
    """
    if threads_per_worker is not None:
        threads_per_worker = integer("threads_per_worker", threads_per_worker, 1, optional=True)
    global _configured
    if started():
        found = _configured or _settings_of_environment()
        if found != (threads_per_worker,):
            raise RuntimeError(
                f"configure_cpu(threads_per_worker={threads_per_worker}) must come before the first computation with "
                f"JAX, which has already started with {_named(found)}: restart the process, or the notebook's kernel, "
                "and call it right after the imports"
            )
        return
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
    _configured = (threads_per_worker,)


def configure_unless_started(workers: int) -> None:
    """Configures the CPU for several workers where JAX has not started yet, and nothing says that a user has.

    A user's own settings, by ``NPROC``, ``JAX_CPU_ENABLE_ASYNC_DISPATCH`` or a flag of the CPU in ``XLA_FLAGS``, stay.

    Args:
      workers: number of workers; for one, JAX's own settings are as good.
    """
    if workers > 1 and not started() and not _is_set_by_user():
        configure_cpu()


def _is_set_by_user() -> bool:
    names = ("NPROC", "JAX_CPU_ENABLE_ASYNC_DISPATCH")
    return any(name in os.environ for name in names) or "--xla_cpu" in os.environ.get("XLA_FLAGS", "")


def _settings_of_environment() -> tuple[int | None] | None:
    """The threads per worker of a JAX that something else started; None with asynchronous dispatch."""
    if jax.config.read("jax_cpu_enable_async_dispatch"):
        return None
    return (int(os.environ["NPROC"]) if os.environ.get("NPROC", "").isdigit() else None,)


def _named(found: tuple[int | None] | None) -> str:
    return "asynchronous dispatch" if found is None else f"threads_per_worker={found[0]}"


def started() -> bool:
    """Whether JAX has created its clients, after which CPU settings do nothing."""
    from jax._src import xla_bridge  # no public name says this

    return xla_bridge.backends_are_initialized()


def threads_per_computation() -> int | None:
    """Threads among which JAX's CPU client may split one computation; None where that is not known.

    The split decides in which order a sum is taken, and so its bits. The client has at least a thread for each of its
    devices, and one pool of them for all.
    """
    if _configured is not None and _configured[0] is not None:
        limit = _configured[0]
    elif os.environ.get("NPROC", "").isdigit():
        limit = int(os.environ["NPROC"])
    else:
        limit = processors()
    return max(limit, _cpu_devices())


def _cpu_devices() -> int:
    try:
        return len(jax.local_devices(backend="cpu"))
    except RuntimeError:  # as where JAX was told to start for GPUs alone
        return 1


def processors() -> int:
    """Processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def warn_if_unconfigured(workers: int) -> None:
    """Warns where several workers would share JAX's pool instead of being threads of their own."""
    if workers > 1 and jax.default_backend() == "cpu" and jax.config.read("jax_cpu_enable_async_dispatch"):
        warnings.warn(
            f"JAX's asynchronous CPU dispatch is on, so {workers} workers share one pool of threads, which costs about "
            "a fifth of the updates: call jasgd.configure_cpu() before the first computation",
            UnconfiguredCPUWarning,
            stacklevel=3,
        )
