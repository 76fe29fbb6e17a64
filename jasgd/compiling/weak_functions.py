"""Functions that are called as long as somebody else holds them."""

from __future__ import annotations

import inspect
import types
import weakref
from collections.abc import Callable
from typing import Any


class WeakFunction:
    """A function, or anything callable, that this does not keep alive.

    Of a method, which is a new object each time that it is asked for, the object and the function are what is meant.

    Args:
      function: the function.

    Raises:
      TypeError: for what no weak reference can be made of.
      ReferenceError: where it is called and nobody holds the function any more.

    Example:
      >>> def double(x):
      ...     return 2 * x
      >>> weak = WeakFunction(double)
      >>> weak(3), weak.is_of(double), str(inspect.signature(weak))
      (6, True, '(x)')
      >>> del double
      >>> weak.is_gone
      True
    """

    def __init__(self, function: Callable[..., Any]):
        self._is_method = isinstance(function, types.MethodType)
        self._ref: Callable[[], Any] = weakref.WeakMethod(function) if self._is_method else weakref.ref(function)

    @property
    def is_gone(self) -> bool:
        """Whether nobody holds the function any more."""
        return self._ref() is None

    @property
    def function(self) -> Any:
        """The function itself; ReferenceError where nobody holds it any more."""
        if (function := self._ref()) is None:
            raise ReferenceError("a compiled function was called whose function nobody holds any more")
        return function

    def is_of(self, function: Any) -> bool:
        """Whether this is the very same function, or the same one of the very same object."""
        own = self._ref()
        if not self._is_method or not isinstance(function, types.MethodType):
            return own is not None and own is function
        return own is not None and own.__self__ is function.__self__ and own.__func__ is function.__func__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """What the function gives."""
        return self.function(*args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.function)


def identity_of(function: Any) -> tuple[int, ...]:
    """What tells a function from all others that are there; two methods of equal objects are two functions."""
    if isinstance(function, types.MethodType):
        return id(function.__self__), id(function.__func__)
    return (id(function),)


def when_gone(function: Any, call: Callable[[], None]) -> tuple[weakref.ref[Any], ...]:
    """Calls something as soon as nobody holds a function any more, or the object of a method.

    Args:
      function: the function.
      call: is called by whichever thread lets go of it.

    Returns:
      What must be kept for it to be called.
    """
    parts = (function.__self__, function.__func__) if isinstance(function, types.MethodType) else (function,)
    return tuple(weakref.ref(part, lambda _: call()) for part in parts)
