"""What of a run goes to other processes: whether it can, and what is refused by name before anything starts."""

from __future__ import annotations

import dataclasses
import os
import traceback
from typing import Any

import jax

from jasgd.core.scheme import NativeScheme
from jasgd.inputs.iterables import Pulled
from jasgd.schemes.factories import describe, unwrap
from jasgd.training.engines.carrying_out import Request


def required_ray() -> Any:
    """The module ``ray``; ImportError, naming the extra, where it is not installed."""
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise ImportError('engine="ray" needs its extra: pip install "jasgd[ray]"') from error
    return ray


def check_request(request: Request) -> None:
    """Refuses what cannot be done where workers are in other processes, before Ray is started.

    Args:
      request: the run.

    Raises:
      TypeError, ValueError: naming the argument.
    """
    task = request.task
    if task.home is not None or task.placement is not None:
        raise ValueError(
            "device and devices must be None with the engine 'ray': its server computes on the CPU, and "
            "gpus_per_worker says how many GPUs each worker has"
        )
    if isinstance(task.drawn, Pulled):
        raise TypeError(
            "batches must be a function of a ticket with the engine 'ray', such as jasgd.minibatches(...): what is "
            "iterated over is in one process alone"
        )
    kind, options = unwrap(request.factory)
    if options.get("native") or (isinstance(kind, type) and issubclass(kind, NativeScheme)):
        raise ValueError(
            f"scheme must not be native with the engine 'ray', whose workers are in other processes, got "
            f"{describe(request.factory)}: leave native out"
        )
    for name in ("params", "model_state", "opt_state"):
        for path, leaf in jax.tree_util.tree_leaves_with_path(getattr(task, name)):
            if isinstance(leaf, jax.Array) and jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                where = f"{name}{jax.tree_util.keystr(path)}"
                raise TypeError(f"{where} must be no typed key with the engine 'ray': give jax.random.key_data of it")
    _check_portable(request)


def _check_portable(request: Request) -> None:
    """Finds what cannot be pickled; large arrays are not copied for that."""
    if _why_not(request) is None:
        return
    parts = {field.name: getattr(request.task, field.name) for field in dataclasses.fields(request.task)}
    parts |= {"scheme": request.factory, "evaluate": request.conditions.evaluate, "resume": request.resume}
    parts["batches"] = parts.pop("drawn")
    for name, value in parts.items():
        if (why := _why_not(value)) is not None:
            raise TypeError(
                f"{name} must be something that can be pickled with the engine 'ray', which has its workers in other "
                f"processes: {why}"
            )
    raise TypeError(f"the engine 'ray' cannot pickle this run: {_why_not(request)}")


def _why_not(value: Any) -> str | None:
    """Why something cannot be pickled, or None."""
    try:
        required_ray().cloudpickle.dumps(value, protocol=5, buffer_callback=lambda buffer: None)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return None


def received(boxed: list[Any]) -> Request:
    """The request in the process of an actor.

    Args:
      boxed: its reference, in a list.

    Returns:
      The request; large arrays of NumPy in it lie in Ray's store, and cannot be written to.

    Raises:
      ImportError: where a module of the user's is not there.
    """
    try:
        return required_ray().get(boxed[0])
    except Exception as error:
        raise ImportError(
            f"the functions of the run cannot be read in another process: {last_line(error)}. What they are defined in "
            f"must be importable there, on each machine, as with jasgd.engines.ray(runtime_env={{'working_dir': '.'}})"
        ) from None


def last_line(error: BaseException) -> str:
    """The last line of what an error says, which in Ray's has the cause; at most 300 characters of it."""
    text = str(error).strip().rpartition("\n")[2].strip() or type(error).__name__
    return text if len(text) <= LINE else f"{text[:LINE]}…"


def with_absolute_folders(request: Request) -> Request:
    """The same run, whose folders mean the same in processes that have another working directory.

    Args:
      request: the run.

    Returns:
      It, with absolute paths for checkpoints and for what it goes on with.
    """
    checkpoint, resume = request.checkpoint, request.resume
    if checkpoint is not None:
        checkpoint = dataclasses.replace(checkpoint, folder=os.path.abspath(checkpoint.folder))
    if isinstance(resume, str | os.PathLike):
        resume = os.path.abspath(resume)
    return dataclasses.replace(request, checkpoint=checkpoint, resume=resume)


def portable(error: BaseException) -> Exception:
    """An exception as another process can have it: itself where it can be pickled, with its traceback as a note."""
    text = "".join(traceback.format_exception(error))
    pickle = required_ray().cloudpickle
    try:
        carried = pickle.loads(pickle.dumps(error))
    except Exception:
        carried = None
    if not isinstance(carried, Exception):
        carried = RuntimeError(f"{type(error).__name__}: {error}")
    if not any(note.startswith(ELSEWHERE) for note in getattr(carried, "__notes__", ())):
        carried.add_note(f"{ELSEWHERE}{text}")
    return carried


LINE = 300
ELSEWHERE = "raised in another process:\n"
