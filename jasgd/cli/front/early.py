"""Bad rules, refused before JAX is imported, which takes a second."""

from __future__ import annotations

import math
from typing import Any


def check_rules(command: Any) -> None:
    """Refuses a rule that there is not, or one with options that it does not have or take.

    Args:
      command: the options of one; has ``rule`` or ``arms`` where there is something to check.

    Raises:
      ValueError: which names the rule.
    """
    texts = [command.rule] if hasattr(command, "rule") else getattr(command, "arms", ())
    rates = getattr(command, "learning_rates", None) or [getattr(command, "learning_rate", 0.0)]
    counts = [command.workers] if isinstance(getattr(command, "workers", ()), int) else getattr(command, "workers", ())
    # What else is wrong is said by what checks it, later.
    if not texts or not counts or min(counts) < 1 or not all(0 < rate < math.inf for rate in rates):
        return
    from jasgd.distances.table import parse_step_rule

    for text in texts:
        rule, _, base = text.partition("@")
        parse_step_rule(base or rule, workers=max(counts), learning_rate=rates[0])
