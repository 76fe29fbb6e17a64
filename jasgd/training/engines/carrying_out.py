"""Carries a run out, whoever makes its workers work: puts it together, has them work, saves it meanwhile, concludes."""

from __future__ import annotations

import abc
import contextlib
import dataclasses
import os
from collections.abc import Callable, Sequence
from typing import Any

from jasgd.callbacks.callback import Callback, RunOptions
from jasgd.callbacks.recent_progress import Progress
from jasgd.core.freed_memory import give_back
from jasgd.core.scheme import SchemeFactory
from jasgd.record.checkpoints.options import Checkpoints
from jasgd.record.result import BY_CTRL_C, Outcome, TrainResult
from jasgd.training.assembly import Assembly, Task, admit_task, assemble
from jasgd.training.callback_calls import CallbackCalls
from jasgd.training.checkpointing.beginning import Beginning
from jasgd.training.checkpointing.resuming import trees_of
from jasgd.training.checkpointing.saving import Checkpointing
from jasgd.training.conclusion import conclude
from jasgd.training.engines.supervisor import Conditions, Supervisor, Workers
from jasgd.training.engines.threads import WorkerThreads
from jasgd.training.interrupts import BY_SIGTERM, Interrupts, Terminations
from jasgd.training.run import Run


@dataclasses.dataclass(frozen=True)
class Request:
    """A run as :func:`jasgd.train` was asked for it, all of it checked; other attributes are as its arguments.

    Attributes:
      task: what is trained.
      factory: makes the scheme.
      conditions: when it ends, and how often it is evaluated.
      check_finite: whether a loss that is not finite ends it.
    """

    task: Task
    factory: SchemeFactory
    workers: int
    steps: int | None
    epochs: int | None
    conditions: Conditions
    check_finite: bool
    checkpoint: Checkpoints | None
    resume: str | os.PathLike[str] | TrainResult | None
    first_ticket: int


@dataclasses.dataclass(frozen=True)
class Watching:
    """Who watches a run: callbacks, and who may end it by a signal.

    Attributes:
      options: what the callbacks are told that the run was asked for.
      terminations: the context of SIGTERM, which is entered here.
    """

    callbacks: Sequence[Callback]
    on_progress: Callable[[Progress], None] | None
    options: RunOptions
    terminations: Terminations


class WorkersElsewhere(abc.ABC):
    """Makes the workers of a run work that are not threads of this process.

    Attributes:
      engine: its name, which the record keeps.
    """

    engine: str

    @abc.abstractmethod
    def workers_of(self, run: Run, metadata: dict[str, Any]) -> Workers:
        """The workers of a run that was put together; what the record is to say of them goes into the metadata."""


def carry_out(
    request: Request, watching: Watching, elsewhere: WorkersElsewhere | None = None
) -> tuple[TrainResult, Exception | None]:
    """Carries a run out.

    Args:
      request: the run.
      watching: who watches it.
      elsewhere: what makes its workers work; None for threads of this process.

    Returns:
      Its result, and what kept it from being saved.
    """
    admitted = admit_task(request.task)
    compiled, conditions = admitted.compiled, request.conditions
    anew = Beginning.anew(compiled, admitted.leaves, admitted.state, request.first_ticket)
    begin = anew.or_resumed(request.resume, request.checkpoint, compiled, seed=request.task.seed)
    if begin.is_over(
        steps=request.steps,
        epochs=request.epochs,
        time_limit_s=conditions.time_limit_s,
        target_loss=conditions.target_loss,
    ):
        return begin.result(compiled), None
    assembly = assemble(
        request.task,
        admitted,
        begin,
        request.factory,
        workers=request.workers,
        steps=request.steps,
        check_finite=request.check_finite,
        elsewhere="" if elsewhere is None else elsewhere.engine,
    )
    calls = CallbackCalls(
        watching.callbacks, watching.on_progress, assembly.run, watching.options, begin.earlier_evaluations
    )
    home, terminations = request.task.home, watching.terminations
    if elsewhere is None:
        workers = WorkerThreads(assembly.run, home)
    else:
        workers = elsewhere.workers_of(assembly.run, assembly.metadata)
    with terminations, Interrupts() as interrupts:
        result, failure = _carried_out(request, assembly, calls, workers, terminations, interrupts)
        del assembly, calls, workers  # with the scheme's copies of parameters, before memory is given back
        give_back((*begin.leaves, *begin.state))
    if interrupts.held and not result.interrupted:
        result = result.after_ctrl_c(terminations.stopped_by)
    return result, failure


def _carried_out(
    request: Request,
    assembly: Assembly,
    calls: CallbackCalls,
    workers: Workers,
    terminations: Terminations,
    interrupts: Interrupts,
) -> tuple[TrainResult, Exception | None]:
    """Has the workers of a run work, saves it meanwhile, and gives its result, and what kept it from being saved."""
    run, begin, metadata = assembly.run, assembly.begin, assembly.metadata
    initial = begin.initial.leaves
    supervisor = Supervisor(run, request.conditions, calls, interrupts)
    saving = None
    if request.checkpoint is not None:
        saving = Checkpointing(
            run,
            request.checkpoint,
            metadata=metadata,
            evaluations=supervisor.evaluations,
            state=begin.saved,
            first_ticket=begin.first_ticket,
            device=request.task.home,
            on_saved=calls.note_checkpoint,
        )
    with contextlib.nullcontext() if saving is None else contextlib.closing(saving):
        if saving is not None:
            saving.begin({} if initial is None else trees_of(run.compiled, initial))
            saving.start()
        stuck, ending = supervisor.supervise(workers, begin.leaves)
        metadata["ended_s"] = run.ledger.now()
        if run.epochs is not None:
            metadata["epochs_taken"] = run.epochs.epochs
        if run.outcome is Outcome.CONVERGED:  # later evaluations, or losses, may lie above it again
            metadata["target_loss"] = request.conditions.target_loss
        if terminations.came:
            run.message = run.message.replace(BY_CTRL_C, BY_SIGTERM)
        if saving is not None:
            saving.end(ending.snapshot)
    before, evaluations = begin.before(run, saving, supervisor.evaluations)
    result = conclude(run, initial, metadata, evaluations, stuck, ending, before)
    if run.interrupted or interrupts.held:
        result = result.after_ctrl_c(terminations.stopped_by)
    return calls.end(result, interrupts), None if saving is None else saving.warning
