"""What ``evaluate`` may return, and the numbers that are kept of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def named_numbers(evaluation: Any, reserved: set[str]) -> dict[str, float]:
    """What ``evaluate`` gave, as numbers by name.

    Args:
      evaluation: a number, which is the loss, or a mapping of names to numbers.
      reserved: names that it must not give.

    Returns:
      The numbers.

    Raises:
      TypeError: for what is none of this.
      ValueError: for a reserved name.

    Example:
      >>> named_numbers(0.5, {"version"})
      {'loss': 0.5}
    """
    named = {"loss": evaluation} if not isinstance(evaluation, Mapping) else evaluation
    if taken := reserved & set(named):
        raise ValueError(f"evaluate must give names other than {' and '.join(sorted(reserved))}, got {sorted(taken)}")
    return {str(k): _number(v, f" for {k!r}" if named is evaluation else "") for k, v in named.items()}


def _number(value: Any, where: str) -> float:
    shape = getattr(value, "shape", ())
    try:
        if shape == () and not isinstance(value, str):
            return float(value)
    except TypeError:
        pass  # raised below
    got = f"{value.dtype}{list(shape)}" if shape else type(value).__name__
    raise TypeError(f"evaluate must give a number, or a mapping of names to numbers, got {got}{where}")
