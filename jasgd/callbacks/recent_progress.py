"""How far a run is, for a caller of ``train`` that passes ``on_progress``."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from jasgd.core.ledger import Ledger
from jasgd.showing import Shown

RECENT = 100  # applied gradients that progress and target_loss average over


@dataclasses.dataclass(frozen=True, repr=False)
class Progress(Shown):
    """The state of a run while it goes on; means are over the last 100 applied gradients."""

    updates: int
    time_s: float
    updates_per_s: float  # since the start
    loss: float
    mean_staleness: float  # in updates
    mean_factor: float
    dropped: int
    evaluation: dict[str, float] | None  # the last one

    def _facts(self) -> dict[str, Any]:
        return vars(self)


def progress_of(ledger: Ledger, evaluations: list[dict[str, float]]) -> Progress:
    """How far a run is.

    Args:
      ledger: its bookkeeping.
      evaluations: what ``evaluate`` has given so far.

    Returns:
      The progress; a mean is NaN while no gradient is applied.
    """
    rows, now = ledger.recent(RECENT), ledger.now()
    updates = int(rows["version"].max()) + 1 if len(rows) else 0

    def mean(column: str) -> float:
        return float(rows[column].mean()) if len(rows) else math.nan

    return Progress(
        updates=updates,
        time_s=now,
        updates_per_s=updates / max(now, 1e-9),
        loss=mean("loss"),
        mean_staleness=mean("staleness"),
        mean_factor=mean("factor"),
        dropped=ledger.counts[1],
        evaluation=evaluations[-1] if evaluations else None,
    )
