"""What pictures of runs are drawn of: one run, an execution, or several runs by the label of their arm.

Results and what holds several of them lie above this room, so they are known by what they have, and not by their class.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from jasgd.inputs.checks import described
from jasgd.presenting.pictures.canvas import NothingToDraw, printable
from jasgd.record.execution import Execution

ALLOWED = (
    "a TrainResult, an Execution, a Simulation, a Comparison, or a mapping from labels to such or to sequences of them"
)
ENDED_WELL = ("finished", "converged")


class Run(Protocol):
    """What is drawn of a run; :class:`jasgd.TrainResult` has it."""

    @property
    def execution(self) -> Execution:
        """The record of its gradients."""
        ...

    @property
    def outcome(self) -> str:
        """How it ended, in a word."""
        ...

    @property
    def evaluations(self) -> list[dict[str, float]]:
        """What ``evaluate`` gave."""
        ...

    @property
    def timings(self) -> dict[str, np.ndarray]:
        """Phases of its gradients, in seconds."""
        ...


class SeveralRuns(Protocol):
    """What holds several runs, such as a :class:`jasgd.Comparison` or a :class:`jasgd.Simulation`."""

    def runs_by_label(self) -> Mapping[str, Sequence[Run]]:
        """The runs by the label of their arm."""
        ...


@dataclasses.dataclass(frozen=True, repr=False)
class _Bare:
    """An execution as a run of which nothing else is known."""

    execution: Execution
    outcome: str = "finished"
    evaluations: list[dict[str, float]] = dataclasses.field(default_factory=list)
    timings: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)


#: What pictures of runs take.
Runs = Run | Execution | SeveralRuns | Mapping[str, Any]


def runs_of(result: Any) -> dict[str, list[Run]]:
    """The runs of a result, by the label of their arm; what applied no gradient is left out.

    Args:
      result: a run, an execution, a simulation, a comparison, or a mapping from labels to such.

    Returns:
      The runs; of what has no arms, with the label "".

    Raises:
      TypeError: for anything else.
      NothingToDraw: where no run applied a gradient.
    """
    found = _by_label(result)
    kept = {label: [run for run in runs if len(run.execution)] for label, runs in found.items()}
    kept = {label: runs for label, runs in kept.items() if runs}
    if not kept:
        raise NothingToDraw("result must have applied a gradient, and none of its runs has")
    return kept


def only_run(result: Any) -> Run:
    """The only run of a result, for pictures of one run; of several, the first.

    Args:
      result: as of :func:`runs_of`.

    Returns:
      The run.
    """
    return next(iter(runs_of(result).values()))[0]


def ended(label: str, runs: list[Run]) -> tuple[str, list[Run]]:
    """The runs of an arm that ended well, and its label with the count of the others.

    Runs that did not would cut the arm's curve where they ended; where none ended well, all are drawn.
    """
    kept = [run for run in runs if run.outcome in ENDED_WELL]
    others = Counter(str(run.outcome) for run in runs if run.outcome not in ENDED_WELL)
    early = ", ".join(f"{count} {outcome}" for outcome, count in others.items())
    if early:
        label = f"{label} ({early}{', not drawn' if kept else ''})".strip()
    return label, kept or runs


def setting_of(result: Any) -> str:
    """Scheme and workers of a result in words, as far as they are known."""
    metadata = only_run(result).execution.metadata
    workers = metadata.get("workers")
    count = "" if workers is None else f"{workers} worker" if workers == 1 else f"{workers} workers"
    scheme = metadata.get("scheme")
    return ", ".join(part for part in (f"scheme {scheme}" if scheme else "", count) if part)


def _by_label(result: Any) -> dict[str, list[Run]]:
    if isinstance(result, Execution):
        return {"": [_Bare(result)]}
    if hasattr(result, "runs_by_label"):
        return {label: list(runs) for label, runs in result.runs_by_label().items()}
    if isinstance(result, Mapping):
        found = {}
        for label, runs in result.items():
            if isinstance(runs, Mapping) or (hasattr(runs, "runs_by_label") and len(runs.runs_by_label()) > 1):
                raise TypeError(f"result must be {ALLOWED}, got {described(runs)} for {label!r}")
            found[printable(str(label))] = [run for some in _by_label(runs).values() for run in some]
        return found
    if hasattr(result, "execution"):
        return {"": [result]}
    if isinstance(result, Sequence) and not isinstance(result, str) and result:
        return {"": [run for one in result for some in _by_label(one).values() for run in some]}
    raise TypeError(f"result must be {ALLOWED}, got {described(result)}")
