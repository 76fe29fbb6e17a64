"""Rejecting a certificate that does not hold."""

from __future__ import annotations

from typing import Any


class Rejected(ValueError):
    """A certificate that does not hold; the message says where and why."""


def require(holds: bool, what: str) -> None:
    """Raises :class:`Rejected` with a message unless something holds."""
    if not holds:
        raise Rejected(what)


def require_only(data: Any, *names: str, what: str = "the evidence") -> None:
    """Rejects data that is no object with exactly these fields."""
    good = isinstance(data, dict) and set(data) == set(names)
    require(good, f"{what} is an object with the fields {', '.join(sorted(names))}")
