"""The beginning of a run: anew, or at the version where another part of it has stopped."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import jax

from jasgd.core.compiled import Compiled, Leaves
from jasgd.record.checkpoints.layout import OPT_STATE
from jasgd.record.checkpoints.options import Checkpoints
from jasgd.record.checkpoints.state import SavedState, with_part
from jasgd.record.result import TrainResult
from jasgd.record.saving.arrays import SavedRunError
from jasgd.record.trees import digest
from jasgd.training.checkpointing.resuming import (
    check_same_run,
    is_over,
    leaves_of,
    placed,
    result_of,
    saved_state,
    trees_of,
)
from jasgd.training.checkpointing.saving import Checkpointing
from jasgd.training.conclusion import Before
from jasgd.training.run import Run


@dataclasses.dataclass(frozen=True)
class Initial:
    """What a whole run began with.

    Attributes:
      leaves: of the parameters, and of the model state; None where they are not known any more.
      params: digest of the parameters.
      opt_state: digest of the optimizer state.
      model_state: digest of the model state; None without one.
    """

    leaves: Leaves | None
    params: str
    opt_state: str
    model_state: str | None = None


@dataclasses.dataclass(frozen=True)
class Beginning:
    """Where a part of a run begins.

    Attributes:
      leaves: what schemes share.
      state: leaves of the optimizer state.
      initial: what the whole run began with.
      first_ticket: with which the whole run began.
      version: commits before.
      saved: what is gone on with; None for a run that begins anew.
    """

    leaves: Leaves
    state: Leaves
    initial: Initial
    first_ticket: int
    version: int = 0
    saved: SavedState | None = None

    @classmethod
    def anew(cls, compiled: Compiled, leaves: Leaves, state: Leaves, first_ticket: int) -> Beginning:
        """The beginning of a new run.

        Args:
          compiled: the traced functions.
          leaves: of the parameters, and of what else schemes share.
          state: of the optimizer state.
          first_ticket: of its mini-batches.

        Returns:
          The beginning.
        """
        return cls(leaves, state, Initial(leaves, *_digests(compiled, leaves, state)), first_ticket)

    def or_resumed(
        self,
        resume: str | os.PathLike[str] | TrainResult | None,
        checkpoint: Checkpoints | None,
        compiled: Compiled,
        *,
        seed: int,
    ) -> Beginning:
        """The same, or where another run has stopped that is to be gone on with.

        Args:
          resume: as of :func:`jasgd.train`, as are ``checkpoint`` and ``seed``.
          checkpoint: where checkpoints will lie.
          compiled: the traced functions.
          seed: of the run.

        Returns:
          The beginning.
        """
        leaves, state = self.leaves, self.state
        saved = saved_state(resume, trees_of(compiled, leaves, state), checkpoint)
        if saved is None:
            return self
        check_same_run(saved, seed=seed, accumulate=compiled.accumulate)
        initial = Initial(
            None,
            saved.metadata["initial_params"],
            saved.metadata["initial_opt_state"],
            saved.metadata.get("initial_model_state"),
        )
        if _begins_with(initial, compiled, leaves):
            initial = dataclasses.replace(initial, leaves=leaves)
        elif saved.initial and _begins_with(initial, compiled, found := leaves_of(compiled, saved.initial, leaves)):
            initial = dataclasses.replace(initial, leaves=found)
        return Beginning(
            leaves_of(compiled, saved.trees, leaves),
            placed(jax.tree.leaves(saved.trees[OPT_STATE]), state),
            initial,
            saved.metadata.get("first_ticket", 0),
            saved.version,
            saved,
        )

    @property
    def next_ticket(self) -> int:
        """The first ticket that was never given out."""
        return self.first_ticket if self.saved is None else self.saved.history.tickets.next

    @property
    def pending(self) -> list[int]:
        """Tickets below that have no row, and are drawn first."""
        return [] if self.saved is None else list(self.saved.history.tickets.pending)

    @property
    def earlier_evaluations(self) -> list[dict[str, float]]:
        """What ``evaluate`` gave before."""
        return [] if self.saved is None else list(self.saved.history.evaluations)

    def is_over(self, **stops: Any) -> bool:
        """Whether the run has ended already, by these stop conditions of :func:`jasgd.train`."""
        return self.saved is not None and is_over(self.saved, **stops)

    def result(self, compiled: Compiled) -> TrainResult:
        """The result of a run that has ended already."""
        assert self.saved is not None
        initial = {} if self.initial.leaves is None else trees_of(compiled, self.initial.leaves)
        params, opt_state, model_state = _digests(compiled, self.leaves, self.state)
        digests = {"final_params": params, "final_opt_state": opt_state}
        if model_state is not None:
            digests["final_model_state"] = model_state
        return result_of(self.saved, initial, digests)

    def more_metadata(self, metadata: dict[str, Any]) -> dict[str, Any]:
        """What the execution's metadata are to have beside those of this part.

        Args:
          metadata: of this part.

        Returns:
          The parts of the run so far, where there are several, and its first ticket, where that is not 0.
        """
        more: dict[str, Any] = {"first_ticket": self.first_ticket} if self.first_ticket else {}
        if self.saved is not None and self.version:
            more["parts"] = with_part(self.saved.metadata, metadata, self.version)
        return more

    def prepare(self, run: Run) -> None:
        """Has a run go on from here."""
        run.draw_first(self.pending, self.next_ticket)
        if self.saved is not None:
            history = self.saved.history
            run.ledger.go_on(self.saved.time_s, history.recent, history.counts)
            last = history.last_evaluation
            run.evaluates_first = last is None or last["version"] != self.version

    def before(
        self, run: Run, saving: Checkpointing | None, evaluations: list[dict[str, float]]
    ) -> tuple[Before, list[dict[str, float]]]:
        """What is known of the run besides its workers' last rows, and all its evaluations.

        Rows that lie on the disk only and cannot be read any more fail the run, and cost it no more than themselves.

        Args:
          run: the run, whose workers have ended.
          saving: what has saved it meanwhile.
          evaluations: of this part.

        Returns:
          Both.
        """
        history = saving.history if saving is not None else self.saved.history if self.saved is not None else None
        if history is None:
            return Before(), evaluations
        try:
            sealed = history.whole()
        except (SavedRunError, OSError) as error:
            run.fail_at_the_end(f"{error}: the rows that were there are lost", error)
            sealed = None
        new = evaluations if saving is None else evaluations[saving.evaluated :]
        saved = self.saved
        counters, unfinished = ({}, ()) if saved is None else (saved.counters, saved.metadata.get("unfinished", ()))
        return Before(sealed, counters, unfinished), [*history.evaluations, *new]


def _digests(compiled: Compiled, leaves: Leaves, state: Leaves) -> tuple[str, str, str | None]:
    """Of parameters, optimizer state and model state."""
    params, model_state = compiled.parted(leaves)
    return digest(params), digest(state), None if compiled.model_state is None else digest(model_state)


def _begins_with(initial: Initial, compiled: Compiled, leaves: Leaves) -> bool:
    """Whether these are what a run began with."""
    params, _, model_state = _digests(compiled, leaves, ())
    return (params, model_state) == (initial.params, initial.model_state)
