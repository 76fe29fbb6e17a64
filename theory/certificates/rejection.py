"""Rejecting a certificate that does not hold."""

from __future__ import annotations

from typing import Any


class Rejected(ValueError):
    """A certificate that does not hold; the message says where and why."""


def require(holds: bool, what: str) -> None:
    """Raises :class:`Rejected` with a message unless something holds."""
    if not holds:
        raise Rejected(what)


def require_only(evidence: dict[str, Any], *names: str) -> None:
    """Rejects evidence that has other fields than these."""
    require(isinstance(evidence, dict) and set(evidence) == set(names), f"the evidence is {sorted(names)}")
