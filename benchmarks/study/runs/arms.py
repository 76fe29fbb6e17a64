"""The arms of the study as Optax transformations of a learning rate that may be traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optax

import jasgd
from benchmarks.study import design
from jasgd.adaptive.by_worker import per_worker, worker_rescaled
from jasgd.distances.table import parse_step_rule
from jasgd.experiments.recipe import transformation
from jasgd.rules.damping import constant
from jasgd.staleness import parse_law


def transformation_of(arm: str, *, workers: int, **options: Any) -> Callable[[Any], Any]:
    """An arm as a function of a learning rate.

    Args:
      arm: the text of a rule; behind ``compensated:λ`` and a space, with gradients compensated for the delay; behind
        ``per_worker:``, under a law of each worker; with the text of a law behind a space, with that law of the
        staleness. Or ``worker_rescaled``, equal shares for all workers. Or a control, ``constant@…``.
      workers: number of workers, for rules that take it.
      **options: ``optimizer`` and ``momentum``, as of :func:`jasgd.experiments.recipe.transformation`.

    Returns:
      A function of a learning rate, which may be traced, to the transformation.
    """
    if arm.partition("@")[0] == design.BASELINE:
        return lambda rate: transformation(constant(), learning_rate=rate, **options)
    text, _, law = arm.partition(" ")
    if text.startswith("compensated:"):
        under = transformation_of(law, workers=workers, **options)
        strength = float(text.partition(":")[2])
        return lambda rate: optax.chain(jasgd.delay_compensated(strength), under(rate))
    if text == "worker_rescaled":
        return lambda rate: optax.chain(worker_rescaled(workers), optax.sgd(rate))
    if text.startswith("per_worker:"):
        first = per_worker(text.partition(":")[2], workers)
        return lambda rate: optax.chain(first, optax.sgd(rate))
    if law:
        options["law"] = parse_law(law)
    return lambda rate: transformation(
        parse_step_rule(text, workers=workers, learning_rate=rate), learning_rate=rate, **options
    )


def shares_a_program(arm: str) -> str:
    """The arm whose compiled scan another one runs: a control is a constant step of another learning rate."""
    return arm.partition("@")[0]


def needs_workers(arm: str) -> bool:
    """Whether the arm's scan is another one for each number of workers."""
    return arm.partition(":")[0] in ("tail_published", "koloskova", "mishchenko", "per_worker", "worker_rescaled")
