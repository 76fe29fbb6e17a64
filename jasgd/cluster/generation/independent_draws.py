"""Executions without workers: each staleness is drawn from a law, independently of all others."""

from __future__ import annotations

from typing import Any

import numpy as np

from jasgd.cluster.draws import checked_seed
from jasgd.inputs.checks import integer
from jasgd.record.execution import Execution, row_dtype
from jasgd.showing import brief
from jasgd.staleness import StalenessHistogram


def independent(law: Any, *, steps: int, seed: int = 0) -> Execution:
    r"""An execution whose :math:`\tau_k` are independent draws from one law, as many analyses assume.

    Version k cannot be staler than k, so a draw beyond is cut: :math:`\tau_k = \min(\text{draw}, k)`. There are no
    workers, so ``worker`` is -1 and the number of workers 0; there is no clock, so ``time_s`` is NaN.

    Args:
      law: probabilities of 0…n as a sequence, of sum 1; a :class:`jasgd.StalenessHistogram`, of whose bins the
        middle is drawn; or a function of a ``numpy.random.Generator`` and a size, which gives as many integers ≥ 0.
      steps: number of commits, T, ≥ 1.
      seed: 0 ≤ seed < 2⁶⁴.

    Returns:
      The execution; losses and factors are NaN.

    Raises:
      ValueError: for a law that is none, or an argument out of its range.

    Example:
      >>> independent([0.5, 0.0, 0.5], steps=6, seed=1).staleness.tolist()
      [0, 1, 2, 0, 2, 2]
      >>> independent(lambda rng, size: rng.poisson(3.0, size), steps=4).worker.tolist()
      [-1, -1, -1, -1]
    """
    steps, seed = integer("steps", steps, 1), checked_seed(seed)
    rng = np.random.Generator(np.random.Philox(key=np.array([seed, (1 << 64) - 1], np.uint64)))
    if callable(law):
        drawn = np.asarray(law(rng, steps))
        if drawn.shape != (steps,) or not np.issubdtype(drawn.dtype, np.integer) or drawn.min() < 0:
            raise ValueError(
                f"law must give {steps} integers ≥ 0, got {drawn.dtype} of shape {drawn.shape}: {drawn.ravel()[:5]}"
            )
        description: dict[str, Any] = {"function": getattr(law, "__qualname__", type(law).__name__)}
    else:
        values, probabilities = _table(law)
        cumulative = np.cumsum(probabilities)
        drawn = values[np.searchsorted(cumulative, rng.random(steps) * cumulative[-1], "right")]
        description = {"pmf": probabilities.tolist()}
        if len(values) <= values[-1]:
            description["staleness"] = values.tolist()
    rows = np.zeros(steps, row_dtype(dropped=False))
    rows["worker"], rows["tries"] = -1, 1
    rows["ticket"] = rows["version"] = np.arange(steps)
    rows["staleness"] = np.minimum(drawn, rows["version"])
    rows["version_read"] = rows["version"] - rows["staleness"]
    rows["factor"] = rows["loss"] = rows["time_s"] = np.nan
    metadata = {"scheme": "independent", "workers": 0, "seed": seed, "in_flight": [], "generated": {"law": description}}
    return Execution.from_rows(rows, np.zeros(0, row_dtype(dropped=True)), metadata)


def _table(law: Any) -> tuple[np.ndarray, np.ndarray]:
    """The staleness values of a law, ascending, and their probabilities."""
    if isinstance(law, StalenessHistogram):
        if law.weights.ndim != 1 or not law.total > 0:
            raise ValueError(f"law must be one histogram with values counted, got {brief(repr(law))}")
        first, last, weights = law.distinct()
        return (first + last) // 2, weights / weights.sum()
    try:
        pmf = np.asarray(law, np.float64)
    except (TypeError, ValueError):
        pmf = np.zeros(0)
    if pmf.ndim != 1 or not len(pmf) or not np.all(pmf >= 0) or not abs(pmf.sum() - 1) < 1e-6:
        raise ValueError(f"law must be probabilities ≥ 0 of sum 1, in one dimension, got {brief(repr(law))}")
    return np.arange(len(pmf)), pmf
