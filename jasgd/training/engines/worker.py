"""One worker's loop: ticket, batch, read, gradient, commit, until the run is over."""

from __future__ import annotations

import functools
import math
import time

import numpy as np

from jasgd.core.messages import Closed, Gradient, HandedIn
from jasgd.core.scheme import NativeScheme
from jasgd.inputs.iterables import BatchesExhausted, EpochsTaken
from jasgd.training.run import Run


def work(worker: int, run: Run) -> None:
    """Computes and commits gradients until the run is over, or its batches are; raises what any of that raises."""
    try:
        began = time.perf_counter()
        scheme = run.scheme
        advance = functools.partial(native_step, scheme) if isinstance(scheme, NativeScheme) else step
        while not run.over.is_set():
            began = advance(worker, run, began)
    except Closed:
        pass  # the run is over, and the thread that ended it has said why
    except (BatchesExhausted, EpochsTaken) as end:
        run.leave(end)
    finally:
        run.note_handed_in(worker, 0.0)


def step(worker: int, run: Run, began: float) -> float:
    """One gradient. Ticket and batch come first, so that only compute lies between the read and the commit.

    Args:
      worker: which worker it is; int.
      run: the run.
      began: where this worker's gradient before was done, in seconds of ``time.perf_counter``.

    Returns:
      Where this one was, so that no time lies between the phases.
    """
    ticket = next(run.tickets)
    batch = run.batches(ticket, worker)
    drawn = time.perf_counter()
    view = run.scheme.read(worker)
    viewed = time.perf_counter()
    if not run.scheme.checks_commits and not run.admits(view):
        return viewed
    if run.placement is None:
        loss, aux, grads = run.compiled.gradient(view.params, batch)
    else:
        loss, aux, grads = run.placement.gradient(run.compiled.gradient, worker, view.params, batch)
    loss_value = float(np.asarray(loss))  # waits for the computation; float(loss) costs several times as much
    computed = time.perf_counter()
    run.longest_s[worker] = max(run.longest_s[worker], computed - viewed)
    run.new_shapes.note(worker, batch, viewed, computed)
    if run.check_finite:
        if not math.isfinite(loss_value):
            run.diverge(view.version, ticket, worker, loss_value)
            return computed
        run.note_good(view)
    if aux is not None:
        run.aux.note(worker, ticket, aux)
    gradient = Gradient(worker, ticket, view, grads, loss, loss_value)
    del view, grads  # so that a scheme can let go of them
    done = run.scheme.commit(gradient)
    committed = time.perf_counter()
    run.phases.note(worker, ticket, began, drawn, viewed, computed, committed)
    run.conclude(done, worker)
    return committed


def native_step(scheme: NativeScheme, worker: int, run: Run, began: float) -> float:
    """Like :func:`step`, where the scheme reads, computes and commits in one call."""
    ticket = next(run.tickets)
    try:
        batch = run.batches(ticket, worker)
    except BaseException:
        scheme.settle(worker)  # so that whatever ends the run here does not undo what was computed before
        raise
    drawn = time.perf_counter()
    result = scheme.round(worker, ticket, batch, run.check_finite)
    committed = time.perf_counter()
    if run.gathered_s is not None:
        drawn = run.gathered_s(worker)
    waited_s = run.note_handed_in(worker, result.waited_s)
    # A worker that had to wait outside of its round gathered the rows after that.
    began, drawn = began + waited_s, min(drawn + waited_s, result.read_s)
    run.longest_s[worker] = max(run.longest_s[worker], result.computed_s - result.read_s)
    run.new_shapes.note(worker, batch, drawn, result.read_s)  # a round is compiled before it reads
    if result.done is None:
        run.diverge(result.version_read, ticket, worker, result.loss_value)
        return committed
    if result.aux is not None:
        run.aux.note(worker, ticket, result.aux)
    times = ticket, began, drawn, result.read_s, result.computed_s, committed
    if isinstance(result.done, HandedIn):
        run.handed_in[worker] = times
    else:
        run.phases.note(worker, *times)
        run.conclude(result.done, worker)
    return committed
