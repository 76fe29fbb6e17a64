"""The choice of each rule's learning rate, on other seeds than those that it is judged on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jasgd.experiments.measures import spread
from jasgd.experiments.spectrum_jobs import Point
from jasgd.inputs.checks import is_integer, several
from jasgd.showing import brief

TUNING_SEEDS = 4  # where the caller names none


class Cell(NamedTuple):
    """A place for which a learning rate is chosen."""

    cluster: str  # label
    workers: int
    arm: str  # label


def tuning_seeds_of(tuning_seeds: Any, seeds: Sequence[int], learning_rates: Sequence[float]) -> tuple[int, ...]:
    """The seeds that learning rates are chosen on.

    To choose on the seeds that are judged would reward the rule whose losses vary most.

    Args:
      tuning_seeds: those that the caller names, or None for the four that follow the largest judged one.
      seeds: those that are judged.
      learning_rates: to choose from.

    Returns:
      The seeds; none where there is one learning rate and nothing to choose.

    Raises:
      TypeError: for what is no sequence.
      ValueError: for seeds that are none, come twice, are judged as well, or have nothing to choose.

    Example:
      >>> tuning_seeds_of(None, [0, 1, 2], [0.1, 0.2])
      (3, 4, 5, 6)
    """
    if tuning_seeds is None:
        return tuple(range(max(seeds) + 1, max(seeds) + 1 + TUNING_SEEDS)) if len(learning_rates) > 1 else ()
    chosen = several("tuning_seeds", tuning_seeds)
    if len(learning_rates) == 1:
        raise ValueError(f"tuning_seeds need several learning_rates to choose from, got {brief(list(learning_rates))}")
    if not chosen or not all(map(is_integer, chosen)) or len(set(chosen)) < len(chosen) or min(chosen) < 0:
        raise ValueError(f"tuning_seeds must be one or more integers ≥ 0, and each once, got {brief(list(chosen))}")
    if both := sorted(set(chosen) & set(seeds)):
        raise ValueError(f"tuning_seeds must be other seeds than those that are judged, got {brief(both)} in both")
    return tuple(int(seed) for seed in chosen)


def best_rates(runs: Mapping[Point, Mapping[str, Any]]) -> dict[Cell, float]:
    """For each cell the learning rate whose median final loss is the lowest.

    Args:
      runs: the numbers of each run, its ``final_loss`` among them.

    Returns:
      The learning rates. One with which a run has no final loss is chosen only where that is so for all of them.

    Example:
      >>> losses = {0.1: 2.0, 0.2: 1.0, 0.4: float("inf")}
      >>> best_rates({Point("equal", 4, 0, "tail", rate): {"final_loss": loss} for rate, loss in losses.items()})
      {Cell(cluster='equal', workers=4, arm='tail'): 0.2}
    """
    losses: dict[Cell, dict[float, list[float]]] = {}
    for point, numbers in runs.items():
        of_cell = losses.setdefault(Cell(point.cluster, point.workers, point.arm), {})
        of_cell.setdefault(point.learning_rate, []).append(numbers["final_loss"])
    return {cell: min(of_cell, key=lambda rate: _rank(of_cell[rate])) for cell, of_cell in losses.items()}


def _rank(losses: Sequence[float]) -> tuple[int, float]:
    """What is the lower, the better: runs without a final loss, and the median of the others."""
    of_rate = spread(losses)
    return of_rate.runs - of_rate.count, math.inf if math.isnan(of_rate.median) else of_rate.median


def at_the_edge(rates: Mapping[Cell, float], learning_rates: Sequence[float]) -> list[Cell]:
    """The cells whose learning rate is the least or the largest of those tried: a better one may lie beyond.

    Args:
      rates: what was chosen.
      learning_rates: what it was chosen from.

    Returns:
      The cells, in order; none where there was nothing to choose.

    Example:
      >>> at_the_edge({Cell("equal", 4, "tail"): 0.2, Cell("equal", 4, "inverse"): 0.4}, [0.1, 0.2, 0.4])
      [Cell(cluster='equal', workers=4, arm='inverse')]
    """
    if len(learning_rates) == 1:
        return []
    return [cell for cell, rate in rates.items() if rate in (min(learning_rates), max(learning_rates))]
