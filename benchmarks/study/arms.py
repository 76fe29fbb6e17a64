"""The arms of the study as Optax transformations of a learning rate that may be traced."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import optax

import jasgd
from benchmarks.study import design
from jasgd.experiments.recipe import transformation
from jasgd.rules.damping import constant
from jasgd.rules.parsing import parse_rule

#: Name of the arm: text of its rule.
RULES_OF_STALENESS = {
    "constant": "constant",
    "tail": "tail",
    "inverse": "inverse",
    "inverse_normalised": "inverse:normalized=true",
}


def transformation_of(arm: str, *, workers: int, **options: Any) -> Callable[[Any], Any]:
    """An arm as a function of a learning rate.

    Args:
      arm: of ``design.ARMS``, a control ``constant@…``, or the text of a rule, for exploratory arms.
      workers: number of workers, for rules that take it.
      **options: ``optimizer`` and ``momentum``, as of :func:`jasgd.experiments.recipe.transformation`.

    Returns:
      A function of a learning rate, which may be traced, to the transformation.
    """
    if arm.partition("@")[0] == design.BASELINE:
        return lambda rate: transformation(constant(), learning_rate=rate, **options)
    if (by_distance := _by_distance(arm)) is not None:
        if options:
            raise ValueError(f"arms by distance are run with plain SGD alone, got {options}")
        return lambda rate: optax.chain(by_distance(rate), optax.sgd(rate))
    text = RULES_OF_STALENESS.get(arm, arm)
    return lambda rate: transformation(
        parse_rule(text, workers=workers, learning_rate=rate), learning_rate=rate, **options
    )


def _by_distance(arm: str) -> Callable[[Any], Any] | None:
    if arm == "distance":
        return lambda rate: jasgd.distance_adaptive("tail")
    if arm == "parabola":
        return lambda rate: jasgd.distance_adaptive("parabola")
    return None


def shares_a_program(arm: str) -> str:
    """The arm whose compiled scan another one runs: a control is a constant step of another learning rate."""
    return arm.partition("@")[0]


def needs_workers(arm: str) -> bool:
    """Whether the arm's scan is another one for each number of workers."""
    return arm.partition(":")[0] in ("tail_published", "koloskova", "mishchenko")
