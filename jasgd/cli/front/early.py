"""Bad rules and schemes, refused before JAX is imported, which takes a second."""

from __future__ import annotations

import math
from typing import Any

from jasgd.inputs import specs
from jasgd.inputs.scheme_options import SIMULATED, THREADED


def check_scheme(command: Any) -> None:
    """Refuses a scheme that there is not, or an option that it does not have; values are checked later.

    Args:
      command: the options of one; has ``scheme`` where there is something to check.

    Raises:
      ValueError: which names what there is.
    """
    if isinstance(scheme := getattr(command, "scheme", None), str):
        table = THREADED if hasattr(command, "stops") else SIMULATED
        name, options = specs.parse_spec(scheme)
        specs.check_names(f"scheme {name!r}", options, specs.entry("scheme", table, name))


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
