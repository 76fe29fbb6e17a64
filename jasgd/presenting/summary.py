"""A run in a few lines of words, none longer than 80 characters where it can be broken."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping
from typing import Any

from jasgd.record.execution import Execution
from jasgd.showing import counted

WIDTH = 80


def wrapped(lines: Iterable[str]) -> str:
    """Lines of a summary, broken at 80 characters; what is too long by itself, such as a path, stays whole.

    Args:
      lines: the first without an indent; those that follow are indented by two spaces, and what is broken off by four.

    Returns:
      The text.

    Example:
      >>> print(wrapped(["finished", "a line " * 12]))
      finished
        a line a line a line a line a line a line a line a line a line a line a line a
          line
    """
    first, *others = [part for line in lines for part in (line.splitlines() or [""])]
    options = {"width": WIDTH, "subsequent_indent": 4 * " ", "break_long_words": False, "break_on_hyphens": False}
    return "\n".join(
        [textwrap.fill(first, **options), *(textwrap.fill(line, initial_indent="  ", **options) for line in others)]
    )


def staleness_words(execution: Execution, metrics: Mapping[str, Any]) -> str:
    """How stale the gradients were: the share of fresh ones, mean, largest, Gini coefficient.

    Args:
      execution: of the run.
      metrics: of :attr:`jasgd.TrainResult.metrics`.

    Returns:
      A phrase.
    """
    if not len(execution):
        return "staleness: no gradient was applied"
    fresh = (execution.staleness == 0).mean()
    return (
        f"staleness: mean {metrics['staleness_mean']:.2f}, max {metrics['staleness_max']}, "
        f"{_percent(fresh)} fresh (τ = 0), Gini {metrics['staleness_gini']:.3f}"
    )


def _percent(share: float) -> str:
    """A share, such that neither a few are called none, nor nearly all all."""
    rounded = f"{share:.0%}"
    if rounded == "0%" and share > 0:
        return "<1%"
    return ">99%" if rounded == "100%" and share < 1 else rounded


def rounds_words(metadata: Mapping[str, Any]) -> str:
    """How the rounds of the workers were made: natively, in Python and why, or simulated.

    Args:
      metadata: of the execution.

    Returns:
      A phrase; empty where the record does not say.

    Example:
      >>> rounds_words({"native": False, "why_not_native": "the parameters are large"})
      'rounds in Python, not native: the parameters are large'
    """
    if metadata.get("simulated"):
        return "simulated: times are those of the cluster's model"
    if "native" not in metadata:
        return ""
    if metadata["native"]:
        return "rounds native, in one compiled call each"
    why = metadata.get("why_not_native")
    return f"rounds in Python, not native: {why}" if why else "rounds in Python, as the scheme makes them"


def scheme_words(execution: Execution) -> str:
    """The scheme, and the number of workers."""
    return f"{execution.metadata.get('scheme')}, {counted(execution.workers, 'worker')}"
