"""What a callback sees of a run: cheap numbers at once, parameters and recent rows where it asks for them."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from jasgd.callbacks.recent_progress import RECENT, Progress
from jasgd.record.result import Outcome, TrainResult
from jasgd.showing import Shown

WIDE = 1000  # applied gradients whose staleness is kept, for percentiles and histograms
PERCENTILES = (50, 90, 99)  # of the staleness, among the numbers that are logged


class Published(NamedTuple):
    """What a run had published at a version."""

    version: int
    params: Any
    opt_state: Any
    model_state: Any = None


@dataclasses.dataclass(frozen=True, repr=False)
class Source:
    """What a state asks the run for, on demand.

    Attributes:
      rows: about the last so many rows of applied gradients.
      published: the newest parameters and optimizer state.
      aux: columns of aux of about the last so many gradients, by name.
      timings: the same of the phases, in seconds.
      stop: ends the run for a reason.
    """

    rows: Callable[[int], np.ndarray]
    published: Callable[[], Published]
    aux: Callable[[int], dict[str, np.ndarray]]
    timings: Callable[[int], dict[str, np.ndarray]]
    stop: Callable[[str], None]


class RunState(Shown):
    """What a run is at the moment that a callback is called; for use during that call.

    Parameters, optimizer state and what is computed of recent gradients are fetched when they are asked for, once a
    call. After the call they are no longer to be had, so that a state that is kept does not keep the run.

    Attributes:
      version: commits so far; at an evaluation, of the parameters that were evaluated.
      time_s: seconds since the workers started.
      progress: the numbers that ``on_progress=`` of :func:`jasgd.train` is given.
      evaluation: the last evaluation, with ``time_s`` and ``version``; None before there is one.
      evaluations: all so far, the oldest first; of a run that was resumed, also those from before.
      steps: commits after which the run ends, or None.
      time_limit_s: seconds after which it ends, or None.
      checkpoint: folder of the newest checkpoint, or None.
      result: the result, for ``on_end``; None before.
    """

    def __init__(
        self,
        source: Source,
        progress: Progress,
        *,
        version: int | None = None,
        steps: int | None = None,
        time_limit_s: float | None = None,
        evaluations: Sequence[dict[str, float]] = (),
        checkpoint: Path | None = None,
        result: TrainResult | None = None,
    ):
        self._source: Source | None = source
        self.progress = progress
        self.version = progress.updates if version is None else version
        self.time_s = progress.time_s
        self.evaluation, self.evaluations = progress.evaluation, evaluations
        self.steps, self.time_limit_s = steps, time_limit_s
        self.checkpoint, self.result = checkpoint, result

    def _facts(self) -> dict[str, Any]:
        return {"version": self.version} | vars(self.progress) | {"outcome": self.outcome}

    # --- the run

    def stop(self, reason: str) -> None:
        """Ends the run as ``stopped``, with the reason as its message; one that is over already stays as it is.

        Args:
          reason: a sentence that tells why.

        Raises:
          TypeError: for what is no text.
          ValueError: for an empty one.
        """
        if not isinstance(reason, str):
            raise TypeError(f"reason must be a text, got {type(reason).__name__} {reason!r}")
        if not reason.strip():
            raise ValueError(f"reason must say why the run is stopped, got {reason!r}")
        self._asked("stop").stop(reason)

    @property
    def params(self) -> Any:
        """The newest parameters, in the structure that they came in; at an evaluation, those that were evaluated."""
        return self._published.params

    @property
    def opt_state(self) -> Any:
        """The optimizer state of the same version as ``params``."""
        return self._published.opt_state

    @property
    def model_state(self) -> Any:
        """The model state of the same version; None where the run has none."""
        return self._published.model_state

    @property
    def params_version(self) -> int:
        """Version of ``params`` and ``opt_state``: at least ``version``, as the workers go on."""
        return self._published.version

    @property
    def outcome(self) -> Outcome | None:
        """How the run ended; None before the end."""
        return None if self.result is None else self.result.outcome

    @property
    def message(self) -> str:
        """The same in a sentence; empty before the end."""
        return "" if self.result is None else self.result.message

    @property
    def eta_s(self) -> float | None:
        """Seconds until the last step or the time limit, whichever comes first; None where neither is known."""
        left = [] if self.time_limit_s is None else [self.time_limit_s - self.time_s]
        if self.steps is not None and self.progress.updates_per_s > 0:
            left.append((self.steps - self.version) / self.progress.updates_per_s)
        return max(0.0, min(left)) if left else None

    # --- recent gradients

    @property
    def loss(self) -> float:
        """Mean training loss of the last 100 applied gradients; NaN before there is one, as all means are."""
        return self.progress.loss

    @property
    def mean_factor(self) -> float:
        """E[C] over the last 100 applied gradients."""
        return self.progress.mean_factor

    @property
    def mean_staleness(self) -> float:
        """Mean τ of the last 100 applied gradients, in updates."""
        return self.progress.mean_staleness

    @property
    def dropped(self) -> int:
        """Gradients dropped so far."""
        return self.progress.dropped

    @property
    def updates_per_s(self) -> float:
        """Commits a second, since the start."""
        return self.progress.updates_per_s

    @property
    def staleness(self) -> np.ndarray:
        """τ of the last 1,000 applied gradients or so, in updates: integers of shape (n,), oldest first."""
        return self._recent["staleness"]

    @property
    def max_staleness(self) -> int:
        """Largest τ of the last 1,000 applied gradients, in updates; 0 before there is one."""
        return int(self.staleness.max(initial=0))

    def staleness_percentile(self, q: float) -> float:
        """Percentile of τ over the last 1,000 applied gradients.

        Args:
          q: in 0…100.

        Returns:
          The smallest τ in updates that so many per cent of them do not exceed; NaN before there is one.
        """
        taus = self.staleness
        return float(np.percentile(taus, q, method="inverted_cdf")) if len(taus) else math.nan

    @property
    def aux(self) -> dict[str, float]:
        """Means of the aux of about the last 100 gradients, by name; empty without ``has_aux``."""
        return _means(self._asked("aux").aux(RECENT))

    @property
    def timings(self) -> dict[str, float]:
        """Mean seconds of about the last 100 gradients in each phase: batch_s, read_s, compute_s, commit_s.

        They are as in ``result.timings``: ``commit_s`` has all waiting and retries.
        """
        return _means(self._asked("timings").timings(RECENT))

    @property
    def metrics(self) -> dict[str, float]:
        """All numbers above under the names that loggers write, such as ``train/loss`` and ``staleness/p90``."""
        numbers: dict[str, float] = {}
        if len(self.staleness):
            numbers = {
                "train/loss": self.loss,
                "train/updates_per_s": self.updates_per_s,
                "train/mean_factor": self.mean_factor,
                "staleness/mean": self.mean_staleness,
                **{f"staleness/p{q}": self.staleness_percentile(q) for q in PERCENTILES},
                "staleness/max": self.max_staleness,
                "train/dropped": self.dropped,
                **{f"aux/{name}": value for name, value in self.aux.items()},
                **{f"timings/{name}": value for name, value in self.timings.items()},
            }
        return numbers

    @property
    def evaluated(self) -> dict[str, float]:
        """The numbers of the last evaluation under the names that loggers write, such as ``evaluation/loss``."""
        last = self.evaluation or {}
        return {f"evaluation/{name}": value for name, value in last.items() if name not in ("time_s", "version")}

    # --- what is fetched once

    def release(self) -> None:
        """Lets go of the run; called when the callbacks have been."""
        self._source = None

    def _asked(self, name: str) -> Source:
        if self._source is None:
            raise RuntimeError(f"{name} of a RunState must be used during the callback's call, and that is over")
        return self._source

    @functools.cached_property
    def _published(self) -> Published:
        return self._asked("params").published()

    @functools.cached_property
    def _recent(self) -> np.ndarray:
        return self._asked("staleness").rows(WIDE)


def _means(columns: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(np.mean(values, dtype=np.float64)) for name, values in columns.items() if len(values)}
