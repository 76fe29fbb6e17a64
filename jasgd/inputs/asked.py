"""What the functions of a run may ask for by name: a loss for its ``key``, mini-batches for the ``worker``, and more.

They ask by having an argument of that name. A key travels with the mini-batch, so that every scheme, the replay and the
simulator hand it on without knowing of it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from jasgd.aligned_memory import aligned_copy

Draw = Callable[[int, int], Any]  # mini-batches by ticket and worker


class Keyed(NamedTuple):
    """A mini-batch, and what its key is made of."""

    batch: Any
    seed: Any  # words of the seed's key, uint32
    ticket: Any  # uint32


def asks_for(function: Any, name: str) -> bool:
    """Whether a function has an argument of this name that it is still to be given.

    Example:
      >>> asks_for(lambda ticket, worker: ticket, "worker"), asks_for(lambda ticket: ticket, "worker")
      (True, False)
    """
    if isinstance(function, functools.partial) and name in function.keywords:
        return False
    try:
        parameters = inspect.signature(function).parameters
    except (TypeError, ValueError):  # some built-ins have no signature
        return False
    by_name = (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return name in parameters and parameters[name].kind in by_name


def check_draw(batches: Callable[..., Any]) -> None:
    """Refuses a function that cannot be called with a ticket, and with ``worker=`` where it asks for that.

    Args:
      batches: a function of a ticket, as :func:`jasgd.train` takes.

    Raises:
      TypeError: naming its arguments, and the way out.

    Example:
      >>> check_draw(lambda ticket, worker: ticket)
    """
    try:
        signature = inspect.signature(batches)
    except (TypeError, ValueError):  # some built-ins have no signature
        return
    try:
        signature.bind(0, **({"worker": 0} if asks_for(batches, "worker") else {}))
    except TypeError:
        name = getattr(batches, "__name__", type(batches).__name__)
        raise TypeError(
            f"batches must be a function of a ticket, or of (ticket, worker), got {name}{signature}: give it all else "
            f"beforehand, as with functools.partial"
        ) from None


def called_with_asked(function: Callable[..., Any], *arguments: Any, **offered: Callable[[], Any]) -> Any:
    """Calls a function with what it asks for by name.

    Args:
      function: the function.
      *arguments: what it is given in any case.
      **offered: by name, what makes what it is given where it has an argument of that name.

    Returns:
      What the function returns.

    Example:
      >>> called_with_asked(lambda x, b: x + b, 1, a=lambda: 10, b=lambda: 20)
      21
    """
    return function(*arguments, **{name: make() for name, make in offered.items() if asks_for(function, name)})


def seed_words(seed: int) -> np.ndarray:
    """The data of the key of a seed; those of ``jax.random.key(seed)`` for 0 ≤ seed < 2³².

    Args:
      seed: any integer; its lowest 64 bits count.

    Returns:
      Words of JAX's default kind of key, uint32.
    """
    low, high = seed % 2**32, seed // 2**32 % 2**32
    key = jax.random.key(low)
    return aligned_copy(np.asarray(jax.random.key_data(jax.random.fold_in(key, high) if high else key)))


class WithKey:
    """A loss that asks for a key, as a function of parameters and a :class:`Keyed` batch.

    Args:
      loss_fn: the loss.

    Attributes:
      loss_fn: the same.
    """

    def __init__(self, loss_fn: Callable[..., Any]):
        self.loss_fn = loss_fn
        self.__name__ = getattr(loss_fn, "__name__", type(loss_fn).__name__)

    def __call__(self, params: Any, both: Keyed, **more: Any) -> Any:
        """What the loss gives."""
        key = jax.random.fold_in(jax.random.wrap_key_data(both.seed), both.ticket)
        return self.loss_fn(params, both.batch, key=key, **more)

    @property
    def __signature__(self) -> inspect.Signature:
        signature = inspect.signature(self.loss_fn)
        rest = [parameter for name, parameter in signature.parameters.items() if name != "key"]
        return signature.replace(parameters=rest)  # so that it asks for what else the loss asks for


def with_key(loss_fn: Callable[..., Any]) -> Callable[..., Any]:
    """The loss as a function of parameters and a :class:`Keyed` batch, where it asks for a key; else itself."""
    return WithKey(loss_fn) if asks_for(loss_fn, "key") else loss_fn


def keyed_for(
    loss_fn: Callable[..., Any], seed: int
) -> Callable[[Callable[[int, int], Any]], Callable[[int, int], Any]]:
    """Adds to mini-batches what a key is made of, where the loss asks for one.

    Args:
      loss_fn: the loss, as the user gave it.
      seed: of the run.

    Returns:
      A function that makes of mini-batches by ticket and worker those that the loss takes.
    """
    if not asks_for(loss_fn, "key"):
        return lambda draw: draw
    words = seed_words(seed)
    return lambda draw: lambda ticket, worker: Keyed(draw(ticket, worker), words, np.uint32(ticket))


def drawn_for(loss_fn: Callable[..., Any], draw: Callable[..., Any], seed: int) -> Callable[[int, int], Any]:
    """The mini-batches of a run by ticket and worker, each with what a key is made of where the loss asks for one.

    Args:
      loss_fn: the loss, as the user gave it.
      draw: of :func:`jasgd.data.as_batches`.
      seed: of the run.

    Returns:
      A function of a ticket and a worker.
    """
    by_worker = draw if asks_for(draw, "worker") else lambda ticket, worker: draw(ticket)
    return keyed_for(loss_fn, seed)(by_worker)
