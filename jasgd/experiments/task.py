"""What a comparison trains for a seed: a loss, initial parameters and mini-batches."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from jasgd.inputs.checks import described
from jasgd.showing import Shown

NEEDED = ("loss_fn", "params", "batches")


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Task(Shown):
    """A training task of your own: what :func:`jasgd.compare` and :func:`jasgd.sweep` train for a seed.

    Attributes:
      loss_fn: a pure function of parameters and a batch, see :func:`jasgd.train`.
      params: the initial parameters, any pytree of arrays.
      batches: the mini-batches, such as :func:`jasgd.minibatches` gives.
      evaluate: ``evaluate(params)`` gives numbers by name, ``accuracy`` among them where there is one; None without.
      name: of the task, in tables and sentences.
      model_state: the initial one, see :func:`jasgd.train`; None without.
      merge: how the model states of workers are merged, see :func:`jasgd.train`.

    Example:
      >>> import jasgd, numpy as np
      >>> def problem(seed):
      ...     x = np.random.default_rng(seed).normal(size=(64, 3)).astype(np.float32)
      ...     return Task(lambda w, x: ((x @ w - 1) ** 2).mean(), np.zeros(3, np.float32), jasgd.minibatches(x, 8))
      >>> jasgd.compare(problem, ["constant"], [0], workers=1, learning_rate=0.1, steps=5).problem
      'own loss'
    """

    loss_fn: Callable[..., Any]
    params: Any
    batches: Any
    evaluate: Callable[..., Any] | None = None
    name: str = "own loss"
    model_state: Any = None
    merge: Any = None

    def _facts(self) -> dict[str, Any]:
        return {"name": self.name, "params": self.params, "model_state": self.model_state}


def task_of(problem: Callable[[int], Any], seed: int) -> Any:
    """The task that a problem gives for a seed, checked for what training needs.

    Args:
      problem: a function of a seed.
      seed: the seed.

    Returns:
      The task.

    Raises:
      TypeError: for what lacks one of loss_fn, params and batches.

    Example:
      >>> task_of(lambda seed: Task(max, seed, [1]), 7).params
      7
    """
    task = problem(seed)
    if missing := [name for name in NEEDED if not hasattr(task, name)]:
        needed = "an object with loss_fn, params and batches, such as jasgd.Task(loss_fn, params, batches)"
        raise TypeError(f"problem must give {needed}, got {described(task)}, without {' and '.join(missing)}")
    return task


def name_of(task: Any) -> str:
    """The name of a task, in tables and sentences; that of a :class:`Task` by default."""
    return getattr(task, "name", Task.name)
