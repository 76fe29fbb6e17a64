"""Checks of arguments that several modules make: numbers in a range, switches, functions, sequences."""

from __future__ import annotations

import math
import operator
from collections.abc import Collection
from typing import Any, TypeGuard

import numpy as np

from jasgd.showing import brief


def is_integer(value: Any) -> TypeGuard[int]:
    """Whether a value is a whole number, Python's, NumPy's or JAX's; a bool is none."""
    if isinstance(value, (bool, np.bool_)) or getattr(value, "dtype", int) == np.dtype(bool):
        return False
    try:
        operator.index(value)
    except TypeError:  # a float, a text, an array of several numbers, a traced value
        return False
    return True


def integer(name: str, value: Any, least: int, *, unit: str = "", optional: bool = False) -> int:
    """A whole number that an argument must be.

    Args:
      name: of the argument, for the message.
      value: what the caller passed.
      least: the smallest value that is allowed.
      unit: such as ``"in updates"``, for the message.
      optional: whether the message says that None is allowed as well; the caller handles None.

    Returns:
      The value as Python's int, which JSON takes.

    Raises:
      ValueError: for anything else, a bool among it.

    Example:
      >>> integer("workers", np.int64(3), 1)
      3
    """
    if is_integer(value) and value >= least:
        return int(value)
    allowed = f"an integer ≥ {least}" + (f" {unit}" if unit else "") + (", or None" if optional else "")
    raise ValueError(f"{name} must be {allowed}, got {brief(repr(value))}")


def key_seed(value: Any) -> int:
    """A seed that an argument must be, from which JAX makes a key: it takes 32 bits, and is silent of others.

    Args:
      value: what the caller passed.

    Returns:
      The value as Python's int.

    Raises:
      ValueError: for what is no integer in 0…2³² − 1.

    Example:
      >>> key_seed(np.int64(3))
      3
    """
    if integer("seed", value, 0) >= 1 << 32:
        raise ValueError(f"seed must be an integer in 0…2³² − 1, got {brief(repr(value))}")
    return int(value)


def positive(name: str, value: Any, *, unit: str = "seconds", infinite: bool = False) -> float:
    """A number above zero that an argument must be.

    Args:
      name: of the argument, for the message.
      value: what the caller passed; a number of Python, NumPy or JAX.
      unit: what it counts, for the message.
      infinite: whether infinity is allowed.

    Returns:
      The value as Python's float.

    Raises:
      TypeError: for what is no real number, a bool or a text among it.
      ValueError: for a number that is not above zero, NaN among it.

    Example:
      >>> positive("time_limit_s", np.float32(2.5))
      2.5
    """
    number = real(name, value, f"a number of {unit} > 0")
    if not number > 0:
        raise ValueError(f"{name} must be > 0 {unit}, got {value!r}")
    if number == math.inf and not infinite:
        raise ValueError(f"{name} must be finite, or None for no limit, got inf")
    return number


def real(name: str, value: Any, allowed: str = "a number") -> float:
    """A real number that an argument must be.

    Args:
      name: of the argument, for the message.
      value: what the caller passed; a number of Python, NumPy or JAX.
      allowed: what is, for the message.

    Returns:
      The value as Python's float, NaN and infinity among it.

    Raises:
      TypeError: for anything else, a bool or a text among it.

    Example:
      >>> real("target_loss", 1)
      1.0
    """
    kind = np.dtype(getattr(value, "dtype", type(value) if isinstance(value, (int, float)) else object)).kind
    if kind not in "iuf" or np.ndim(value):
        raise TypeError(f"{name} must be {allowed}, got {described(value)}")
    return float(value)


def switch(name: str, value: Any) -> bool:
    """True or False, which an argument must be; a text such as "no" would count as true.

    Args:
      name: of the argument, for the message.
      value: what the caller passed.

    Returns:
      The value as Python's bool.

    Raises:
      TypeError: for anything else.

    Example:
      >>> switch("throw", False)
      False
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be True or False, got {described(value)}")
    return bool(value)


def function(name: str, value: Any, of: str = "", *, optional: bool = False) -> None:
    """Refuses an argument that is no function.

    Args:
      name: of the argument, for the message.
      value: what the caller passed.
      of: what it is called with, such as ``"params"``.
      optional: whether None is allowed.

    Returns:
      None.

    Raises:
      TypeError: for what cannot be called.

    Example:
      >>> function("evaluate", None, "params", optional=True)
    """
    if callable(value) or (optional and value is None):
        return
    arguments = f" of ({of})" if "," in of else f" of {of}" if of else ""
    raise TypeError(f"{name} must be a function{arguments}{' or None' if optional else ''}, got {described(value)}")


def instance(name: str, value: Any, kind: type, hint: str = "") -> None:
    """Refuses an argument of another class.

    Args:
      name: of the argument, for the message.
      value: what the caller passed.
      kind: the class that it must be of.
      hint: what to do about it, for the message.

    Returns:
      None.

    Raises:
      TypeError: for anything else.

    Example:
      >>> instance("folder", "runs", str)
    """
    if not isinstance(value, kind):
        raise TypeError(f"{name} must be a {kind.__name__}, got {described(value)}{hint and f': {hint}'}")


def chosen(name: str, value: Any, allowed: Collection[str]) -> None:
    """Refuses an argument that is none of a few texts.

    Args:
      name: of the argument, for the message.
      value: what the caller passed.
      allowed: the texts.

    Returns:
      None.

    Raises:
      ValueError: for anything else.

    Example:
      >>> chosen("on_nonfinite", "stop", ("stop", "pass"))
    """
    if not isinstance(value, str) or value not in allowed:
        *first, last = (repr(one) for one in allowed)
        raise ValueError(f"{name} must be {', '.join(first)} or {last}, got {brief(repr(value))}")


def several(name: str, values: Any, what: str = "numbers") -> tuple[Any, ...]:
    """The items of an argument that must be a sequence; a text is none, though Python takes it for one of letters.

    Args:
      name: of the argument, for the message.
      values: what the caller passed.
      what: its items are, for the message.

    Returns:
      The items.

    Raises:
      TypeError: for what is no sequence.

    Example:
      >>> several("seeds", range(3))
      (0, 1, 2)
    """
    try:
        if not isinstance(values, (str, bytes)):
            return tuple(values)
    except TypeError:
        pass
    raise TypeError(f"{name} must be a sequence of {what}, got {brief(repr(values))}")


def described(value: Any) -> str:
    """A value with its type, as messages show what an argument was; never long.

    Example:
      >>> described(0.5), described(None), described("no")
      ('float 0.5', 'None', "str 'no'")
    """
    if value is None:
        return "None"
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        return brief(value)
    shown = brief(value if hasattr(value, "__name__") else repr(value))
    return f"{type(value).__name__} {shown}"
