"""What pictures of runs are drawn of: one run, an execution, or several runs by the label of their arm."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from jasgd.experiments.comparison import Comparison
from jasgd.inputs.checks import described
from jasgd.record.execution import Execution
from jasgd.record.result import Outcome, TrainResult
from jasgd.report.pictures.canvas import NothingToDraw, printable
from jasgd.simulating.simulator import Simulation

ALLOWED = (
    "a TrainResult, an Execution, a Simulation, a Comparison, or a mapping from labels to such or to sequences of them"
)
#: What pictures of runs take.
Runs = TrainResult | Execution | Simulation | Comparison | Mapping[str, Any]


def runs_of(result: Any) -> dict[str, list[TrainResult]]:
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


def only_run(result: Any) -> TrainResult:
    """The only run of a result, for pictures of one run; of several, the first.

    Args:
      result: as of :func:`runs_of`.

    Returns:
      The run.
    """
    return next(iter(runs_of(result).values()))[0]


def ended(label: str, runs: list[TrainResult]) -> tuple[str, list[TrainResult]]:
    """The runs of an arm that ended well, and its label with the count of the others.

    Runs that did not would cut the arm's curve where they ended; where none ended well, all are drawn.
    """
    good = (Outcome.FINISHED, Outcome.CONVERGED)
    kept = [run for run in runs if run.outcome in good]
    others = Counter(str(run.outcome) for run in runs if run.outcome not in good)
    early = ", ".join(f"{count} {outcome}" for outcome, count in others.items())
    if early:
        label = f"{label} ({early}{', not drawn' if kept else ''})".strip()
    return label, kept or runs


def setting_of(result: Any) -> str:
    """Scheme and workers of a result in words, as far as they are known."""
    if isinstance(result, Comparison):
        metadata: Mapping[str, Any] = result.settings
    else:
        metadata = only_run(result).execution.metadata
    workers = metadata.get("workers")
    count = "" if workers is None else f"{workers} worker" if workers == 1 else f"{workers} workers"
    scheme = metadata.get("scheme")
    return ", ".join(part for part in (f"scheme {scheme}" if scheme else "", count) if part)


def _by_label(result: Any) -> dict[str, list[TrainResult]]:
    if isinstance(result, Comparison):
        return {arm.label: list(result.runs.get(arm.label, {}).values()) for arm in result.arms}
    if isinstance(result, Mapping):
        found = {}
        for label, runs in result.items():
            inner = _by_label(runs) if not isinstance(runs, (Comparison, Mapping)) else None
            if inner is None:
                raise TypeError(f"result must be {ALLOWED}, got {described(runs)} for {label!r}")
            found[printable(str(label))] = [run for some in inner.values() for run in some]
        return found
    if isinstance(result, Simulation):
        rates = list(dict.fromkeys(rate for _, rate in result.results))
        labels = {rate: "" if len(rates) == 1 else f"learning rate {rate:g}" for rate in rates}
        return {
            label: [run for (_, one), run in result.results.items() if one == rate] for rate, label in labels.items()
        }
    if isinstance(result, TrainResult):
        return {"": [result]}
    if isinstance(result, Execution):
        duration_s = float(result.time_s.max()) if len(result) else 0.0
        return {"": [TrainResult({}, (), result, Outcome.FINISHED, "", [], {}, {}, duration_s)]}
    if isinstance(result, Sequence) and not isinstance(result, str) and result:
        return {"": [run for one in result for some in _by_label(one).values() for run in some]}
    raise TypeError(f"result must be {ALLOWED}, got {described(result)}")
