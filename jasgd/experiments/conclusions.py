"""Conclusions from a table, in words: which rule is ahead of which, and whether that may be chance alone."""

from __future__ import annotations

import math
from typing import Any

from jasgd.experiments.measures import SHARES, Spread


def held_against(row: dict[str, Any], other: dict[str, Any]) -> tuple[str, int | None]:
    """How one arm did against another, in words.

    Args:
      row: the arm's row of a comparison or a spectrum.
      other: the row of the arm that it is compared with.

    Returns:
      A clause; and where that is a claim, in how many comparisons chance alone makes it once, else None.

    Example:
      >>> from jasgd.experiments.measures import spread
      >>> def row(arm, losses):
      ...     reached = {f"updates_to_{share:.0%}": spread([math.nan]) for share in SHARES}
      ...     law = {"staleness_mean": spread([3.0]), "staleness_gini": spread([0.5])}
      ...     return {"arm": arm, "final_loss": spread(losses)} | reached | law
      >>> one, two = row("tail", [0.1, 0.2]), row("constant", [0.3, 0.4])
      >>> held_against(one, two)
      ('tail is ahead of constant, 0.15 (0.1–0.2) against 0.35 (0.3–0.4) as the final training loss', 3)
    """
    key, what = "final_loss", "as the final training loss"
    for share in SHARES:
        name = f"updates_to_{share:.0%}"
        if all(r[name].count == r[name].runs for r in (row, other)):
            key, what = name, f"updates to {share:.0%} of the initial loss"
    one, two, a, b = row["arm"], other["arm"], row[key], other[key]
    if min(a.count, b.count) == 0 or a.count < a.runs or b.count < b.runs:
        return f"{one} and {two} cannot be compared, as not all of their runs ended", None
    figures = f"{_figure(a)} against {_figure(b)} {what}"
    if not _apart(a, b):
        return f"{one} shows no clear difference from {two}, {figures}", None
    verdict = f"{one} is {'ahead of' if a.median < b.median else 'behind'} {two}, {figures}"
    # A rule changes what a commit costs, hence which workers meet: then it is not the step size alone that differs.
    shifted = [
        f"{what} {row[name].median:.2f} against {other[name].median:.2f}"
        for name, what in (("staleness_mean", "mean τ"), ("staleness_gini", "Gini"))
        if _apart(row[name], other[name])
    ]
    # Of all ways to deal the values to two arms, those that put all of one below all of the other.
    ways = math.comb(a.count + b.count, a.count) // 2
    return verdict + (f", though their staleness differed too ({', '.join(shifted)})" if shifted else ""), ways


def _apart(a: Spread, b: Spread) -> bool:
    return min(a.count, b.count) > 1 and (a.low > b.high or b.low > a.high)


def _figure(s: Spread) -> str:
    return f"{s.median:.4g} ({s.low:.4g}–{s.high:.4g})"
