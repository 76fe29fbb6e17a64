"""What a thread computes under, JAX's settings and context variables, for another thread to compute under as well.

JAX has some 120 settings that ``with`` sets for one thread, each new version others, and it keeps most of them, such as
the mesh, where no public name leads. So they are looked for where they are: among the objects of JAX's type for such a
setting. Private names of JAX are in this module alone.
"""

from __future__ import annotations

import contextlib
import contextvars
import enum
import gc
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import jax

from jasgd.warning_types import UnknownSettingsWarning

#: What JAX keeps for a thread and is no setting of its caller: what the thread traces, and which thread may compute.
OF_THE_THREAD = {"trace_state", "trace_state_strong_ref", "axis_env_state", "jax_thread_guard"}
#: A setting that JAX keys its compiled functions by, though not its traces: the mesh of ``jax.set_mesh``.
KEYS_COMPILED = {"device_context"}
#: What JAX keys its traces by, or reads where it compiles, without a change of a finished computation's bits: checks
#: that raise or warn, names of source files, and what an environment has beside its settings.
HARMLESS = {
    "jax_check_static_indices",
    "jax_debug_key_reuse",
    "jax_default_device",
    "jax_default_matmul_precision",
    "jax_enable_x64",
    "jax_hlo_source_file_canonicalization_regex",
    "jax_mutable_array_checks",
    "jax_numpy_rank_promotion",
    "jax_raise_on_ppermute_sort_diff",
}
#: What decides how a trace is compiled and is no part of JAX's key.
COMPILES = (
    "jax_bcoo_cusparse_lowering",
    "jax_compiler_enable_remat_pass",
    "jax_disable_most_optimizations",
    "jax_enable_custom_prng",
    "jax_exec_time_optimization_effort",
    "jax_memory_fitting_effort",
    "jax_memory_fitting_level",
    "jax_optimization_level",
    "jax_ragged_dot_use_ragged_dot_instruction",
)


def inherited() -> Callable[..., Any]:
    """Copies what the calling thread computes under: its settings of JAX, meshes among them, and context variables.

    Returns:
      A function that any number of threads call, at once or not, as ``run(function, *arguments)``: it calls the
      function under a copy of that, and gives its result.

    Example:
      >>> import threading
      >>> def work():
      ...     seen.append(jax.config.jax_default_matmul_precision)
      >>> seen = []
      >>> with jax.default_matmul_precision("highest"):
      ...     run = inherited()
      >>> thread = threading.Thread(target=run, args=(work,))
      >>> thread.start(), thread.join()
      (None, None)
      >>> seen
      ['highest']
    """
    context = contextvars.copy_context()
    own = [(setting.kept, setting.kept.get_local()) for setting in _settings()]
    managers = [_manager(kept, value) for kept, value in own if not _is_unset(value)]
    meshes = _meshes_entered()

    def run(function: Callable[..., Any], *arguments: Any) -> Any:
        with contextlib.ExitStack() as stack:
            for manager in managers:
                stack.enter_context(manager())
            stack.enter_context(_meshes(meshes))
            return context.copy().run(function, *arguments)  # a copy, as only one thread at a time may be in a context

    return run


def deciding_settings() -> dict[str, str]:
    """The settings of JAX that decide the bits of what this thread computes, global ones included.

    They are those that JAX keys its traces by, so that a new version's are among them, and some that it compiles by.

    Returns:
      By name, the values as texts, which are the same in each process; without those that are None or empty.

    Example:
      >>> deciding_settings()["jax_threefry_partitionable"]
      'True'
    """
    found: dict[str, list[str]] = {}
    for setting in _settings():
        value = setting.kept.value
        if not setting.is_everywhere and _is_unset(setting.kept.get_local()):
            continue  # at its default, which a process that has imported less does not even have
        if setting.is_keyed and setting.name not in HARMLESS and not _is_nothing(value):
            found.setdefault(setting.name, []).append(_text(value))  # users' own contexts share a name
    values: dict[str, Any] = jax.config.values
    found |= {name: [_text(values[name])] for name in COMPILES if values.get(name) is not None}
    return {name: "; ".join(sorted(texts)) for name, texts in sorted(found.items())}


def _is_nothing(value: Any) -> bool:
    return value is None or value in ((), frozenset()) or getattr(value, "empty", False) is True  # a mesh of no devices


def _text(value: Any) -> str:
    text = str(value.value if isinstance(value, enum.Enum) else value)
    return re.sub(r" at 0x[0-9a-f]+", "", text)  # where an object lies is another place in each process


class _Setting(NamedTuple):
    name: str
    kept: Any  # JAX's object, which has a value for each thread
    is_keyed: bool  # whether JAX keys its traces by it
    is_everywhere: bool  # whether each process has it, and not only those that import Pallas, say, or a user's module


_mutex = threading.Lock()
_found: tuple[tuple[int, int], tuple[_Setting, ...]] = (0, 0), ()


def _settings() -> tuple[_Setting, ...]:
    """The settings that a caller may have made."""
    global _found
    try:
        from jax._src import config

        kinds = config.config_ext.Config, config.State
        size = len(config.trace_context()), len(config.config_states)  # which grow with each setting that is made
        with _mutex:
            if _found[0] != size:
                # The collector knows those as well that a library or a user made, with jax.make_user_context.
                objects = [thing for thing in gc.get_referrers(*kinds) if issubclass(type(thing), kinds)]
                unique = {id(kept): kept for kept in (*config.config_states.values(), *objects)}
                core = {id(kept) for kept in vars(config).values()}
                every = [_Setting(_name(kept), kept, _is_keyed(kept), id(kept) in core) for kept in unique.values()]
                _found = size, tuple(setting for setting in every if _is_of_callers(setting))
            return _found[1]
    except (ImportError, AttributeError, TypeError) as error:
        warnings.warn(
            f"JAX {jax.__version__} does not say which settings a thread has ({error}): workers compute under the "
            "global ones, and executions do not record them",
            UnknownSettingsWarning,
            stacklevel=2,
        )
        return ()


def _is_of_callers(setting: _Setting) -> bool:
    from jax._src import config

    is_one = setting.is_keyed or setting.name in KEYS_COMPILED or isinstance(setting.kept, config.State)
    return is_one and setting.name not in OF_THE_THREAD


def _is_keyed(kept: Any) -> bool:
    """Whether JAX traces anew where this changes, which shows where it is changed, for this thread and a moment."""
    from jax._src import config

    before = config.trace_context()
    local = kept.swap_local(object())
    try:
        after = config.trace_context()
    finally:
        kept.set_local(local)
    return any(one is not other for one, other in zip(before, after, strict=True))


def _name(kept: Any) -> str:
    if name := getattr(kept, "_name", None) or getattr(kept, "name", None):
        return name
    from jax._src import config  # in earlier versions of JAX only the variable has a name

    return next((name for name, value in vars(config).items() if value is kept), "")


def _is_unset(value: Any) -> bool:
    """Whether a thread has no value of its own; then the global one holds, in every thread."""
    from jax._src import config

    return value is config.config_ext.unset


def _manager(kept: Any, value: Any) -> Callable[[], AbstractContextManager[Any]]:
    return (lambda: kept(value)) if callable(kept) else (lambda: _swapped(kept, value))


@contextlib.contextmanager
def _swapped(kept: Any, value: Any) -> Iterator[None]:
    before = kept.swap_local(value)
    try:
        yield
    finally:
        kept.set_local(before)


def _meshes_entered() -> dict[str, Any]:
    """What ``with mesh`` leaves with a thread beside its settings."""
    try:
        from jax._src.mesh import thread_resources
    except ImportError:  # such a mesh has been deprecated since JAX 0.8
        return {}
    return dict(vars(thread_resources))


@contextlib.contextmanager
def _meshes(entered: dict[str, Any]) -> Iterator[None]:
    if not entered:
        yield
        return
    from jax._src.mesh import thread_resources

    own = vars(thread_resources)  # of this thread
    before = dict(own)
    own.update({name: list(value) if isinstance(value, list) else value for name, value in entered.items()})
    try:
        yield
    finally:
        own.clear()
        own.update(before)
