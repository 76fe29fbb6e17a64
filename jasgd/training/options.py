"""Which options of a run cannot work: refused before a data set is loaded or anything is compiled."""

from __future__ import annotations

import math
from typing import Any

from jasgd.core.scheme import SchemeFactory
from jasgd.inputs.checks import chosen, integer, is_integer, positive, real
from jasgd.schemes.factories import as_factory
from jasgd.schemes.selection import check
from jasgd.showing import brief


def check_options(
    *,
    scheme: Any,
    workers: Any,
    steps: Any,
    epochs: Any = None,
    accumulate: Any = 1,
    time_limit_s: Any,
    target_loss: Any,
    evaluate_every_s: Any = None,
    evaluate_every_steps: Any = None,
    on_nonfinite: Any = "stop",
    seed: Any = 0,
) -> SchemeFactory:
    """Refuses options of a run that cannot work, before a data set is loaded or anything is compiled.

    Args:
      scheme: see :func:`jasgd.train`, as are all others.
      workers: number of workers.
      steps: commits after which the run ends.
      epochs: epochs after which it ends.
      accumulate: mini-batches of one gradient.
      time_limit_s: seconds after which it ends.
      target_loss: loss at which it ends.
      evaluate_every_s: seconds between evaluations.
      evaluate_every_steps: commits between evaluations.
      on_nonfinite: ``"stop"`` or ``"pass"``.
      seed: an integer.

    Returns:
      What makes the scheme.

    Raises:
      TypeError, ValueError: naming the argument, its value and what is allowed.
    """
    workers = integer("workers", workers, 1)
    if steps is None and epochs is None and time_limit_s is None and target_loss is None:
        raise ValueError("a stop condition must be given: steps, epochs, time_limit_s or target_loss; got none")
    if steps is not None:
        integer("steps", steps, 1)
    if epochs is not None:
        integer("epochs", epochs, 1)
    integer("accumulate", accumulate, 1)
    if time_limit_s is not None:
        positive("time_limit_s", time_limit_s)
    if target_loss is not None and not math.isfinite(real("target_loss", target_loss, "a finite number")):
        raise ValueError(f"target_loss must be a finite number, got {target_loss!r}")
    if evaluate_every_s is not None:
        positive("evaluate_every_s", evaluate_every_s, infinite=True)
    if evaluate_every_steps is not None:
        integer("evaluate_every_steps", evaluate_every_steps, 1)
    chosen("on_nonfinite", on_nonfinite, ("stop", "pass"))
    if not is_integer(seed):
        raise ValueError(f"seed must be an integer, got {brief(repr(seed))}")
    factory = as_factory(scheme)
    check(factory, workers)
    return factory
