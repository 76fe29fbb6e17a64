"""Checks of arguments that several modules make: whole numbers in a range."""

from __future__ import annotations

import operator
from typing import Any, TypeGuard

import numpy as np


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
    raise ValueError(f"{name} must be {allowed}, got {value!r}")
