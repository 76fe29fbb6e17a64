"""Puts a run together: its functions, where it begins, its scheme, what the record says of it, all of it compiled."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable
from typing import Any

import jax

from jasgd import schemes
from jasgd.core.admission import admit
from jasgd.core.batching.micro_batches import completed, numbers_of, ticket_batches
from jasgd.core.compiled import Compiled, Leaves
from jasgd.core.devices import Placement, computing_on
from jasgd.core.ledger import Ledger
from jasgd.core.scheme import NativeScheme, SchemeFactory, Setup
from jasgd.data import Batches, go_on_from
from jasgd.inputs.asked import with_key
from jasgd.jax_settings import warn_if_unconfigured
from jasgd.model_state.merging import described_merge
from jasgd.record.environment import describe_dtypes, describe_environment
from jasgd.record.trees import put_into
from jasgd.schemes.selection import make
from jasgd.training.checkpointing.beginning import Beginning
from jasgd.training.checkpointing.resuming import placed
from jasgd.training.engines.drawing import drawing
from jasgd.training.run import Run
from jasgd.training.warm_up import warm_up, warm_up_commits


@dataclasses.dataclass(frozen=True)
class Task:
    """What is trained, as :func:`jasgd.train` was given it: functions, initial values and mini-batches.

    Attributes:
      drawn: the mini-batches, of :func:`jasgd.data.as_batches`.
      home: where parameters live and commits are made, a jax device; None for JAX's default.
      placement: on which device each worker computes; None where all do at home.
      accumulate: mini-batches of one gradient, ≥ 1.
    """

    loss_fn: Callable[..., Any]
    params: Any
    tx: Any
    drawn: Batches
    has_aux: bool
    model_state: Any
    merge: Callable[..., Any] | None
    opt_state: Any
    seed: int
    home: Any
    placement: Placement | None
    accumulate: int = 1

    @property
    def used(self) -> tuple[Any, ...]:
        """The devices that something is computed on."""
        return (self.home,) if self.placement is None else self.placement.used

    @property
    def spread(self) -> Placement | None:
        """The placement, where there is more than one device."""
        return self.placement if len(self.used) > 1 else None


@dataclasses.dataclass(frozen=True)
class Admitted:
    """A task whose functions were traced.

    Attributes:
      compiled: the traced functions.
      leaves: of the parameters and the model state.
      state: of the optimizer state.
      first: the mini-batch of ticket 0, or the several that its gradient is of.
      batch_of: those by ticket and worker.
    """

    compiled: Compiled
    leaves: Leaves
    state: Leaves
    first: Any
    batch_of: Callable[[int, int], Any]


def admit_task(task: Task) -> Admitted:
    """Traces the functions of a task, and so finds what cannot work in them.

    Args:
      task: the task.

    Returns:
      The same, traced.
    """
    with computing_on(task.home):
        batches = ticket_batches(task.loss_fn, task.drawn, task.seed, task.accumulate)
    compiled, leaves, state = admit(
        with_key(task.loss_fn),
        task.params,
        task.tx,
        batches.one,
        has_aux=task.has_aux,
        model_state=task.model_state,
        merge=task.merge,
        device=task.home,
    )
    if task.opt_state is not None:
        given = put_into("opt_state", task.opt_state, jax.tree.unflatten(compiled.state_structure, state))
        state = placed(jax.tree.leaves(given), state)
    if task.accumulate > 1:
        compiled = dataclasses.replace(compiled, accumulate=task.accumulate)
        compiled.note_shape(batches.first)
    return Admitted(compiled, leaves, state, batches.first, batches.batch_of)


@dataclasses.dataclass
class Assembly:
    """A run that can start.

    Attributes:
      run: the run.
      begin: where it begins.
      metadata: what its execution is to say of it.
    """

    run: Run
    begin: Beginning
    metadata: dict[str, Any]


def assemble(
    task: Task, admitted: Admitted, begin: Beginning, factory: SchemeFactory, *, workers: int, steps: int | None,
    check_finite: bool, elsewhere: str = "",
) -> Assembly:  # fmt: skip
    """Makes the scheme of a run, and compiles all that its workers call.

    Args:
      task: what is trained.
      admitted: the same, traced.
      begin: where the run begins.
      factory: makes the scheme.
      workers: number of workers, ≥ 1.
      steps: commits after which the run ends, or None.
      check_finite: whether a loss that is not finite ends it.
      elsewhere: the engine whose workers are in other processes, and draw mini-batches and compute gradients by
        themselves; empty for threads of this one.

    Returns:
      The run, which can start.

    Raises:
      ValueError: for a scheme that does not begin where the run goes on.
    """
    compiled, first, name = admitted.compiled, admitted.first, schemes.describe(factory)
    ledger = Ledger(workers, limit=steps, version=begin.version)
    ledger.health.count = compiled.params_structure.num_leaves
    go_on_from(task.drawn, *numbers_of(begin.pending, begin.next_ticket, task.accumulate))
    devices = task.used if task.spread is not None else ()
    setup = Setup(
        begin.leaves, begin.state, compiled, ledger, workers, batch=first, devices=devices, version=begin.version
    )
    if elsewhere:
        setup.why_not_native = f"the workers of the engine {elsewhere!r} are in other processes"
    scheme = make(factory, setup)
    if begin.version and (shown := scheme.snapshot().version) != begin.version:
        raise ValueError(f"scheme {name!r} must begin with setup.version, {begin.version}, and begins with {shown}")
    scheme.reuse_memory()  # only the workers and this package see what it gives out
    warn_if_unconfigured(workers)
    metadata = {"scheme": name, "native": isinstance(scheme, NativeScheme), "why_not_native": setup.why_not_native}
    metadata |= _described(task, admitted, begin)
    metadata |= begin.more_metadata(metadata | {"workers": workers})
    if elsewhere:
        warm_up_commits(compiled, scheme, ledger, begin.leaves, first)
        run = Run(scheme, compiled, ledger, admitted.batch_of, check_finite=check_finite, name=name)
        begin.prepare(run)
        if task.has_aux:
            run.aux.warm_up(jax.eval_shape(compiled.gradient, begin.leaves, first)[1])
        return Assembly(run, begin, metadata | {"engine": elsewhere})
    with computing_on(task.home):
        batches = drawing(
            task.drawn, completed(task.loss_fn, task.seed, task.accumulate), admitted.batch_of, scheme, compiled,
            begin.leaves, first, workers=workers, placement=task.spread,
        )  # fmt: skip
        if batches.gathered_s is not None:
            setup.batch = batches.batch_of(0, 0)  # which the native rounds are compiled for
        first_of = functools.partial(batches.batch_of, 0) if batches.is_gathered else lambda worker: first
        gradient_s = warm_up(compiled, scheme, ledger, begin.leaves, first_of, task.spread)
    run = Run(scheme, compiled, ledger, batches.batch_of, check_finite=check_finite, name=name)
    run.gathered_s = batches.gathered_s
    run.placement = task.spread
    run.new_shapes.expect(first, None if task.spread is None else task.spread.of_worker)
    begin.prepare(run)
    run.longest_s = [gradient_s * max(1.0, workers / (os.cpu_count() or 1))] * workers
    if task.has_aux:
        with computing_on(task.home):
            run.aux.warm_up(jax.eval_shape(compiled.gradient, begin.leaves, first)[1], task.used)
    return Assembly(run, begin, metadata)


def _described(task: Task, admitted: Admitted, begin: Beginning) -> dict[str, Any]:
    compiled, initial = admitted.compiled, begin.initial
    params, model_state = compiled.parted(begin.leaves)
    metadata: dict[str, Any] = {
        "seed": task.seed,
        "initial_params": initial.params,
        "initial_opt_state": initial.opt_state,
        "environment": describe_environment(task.home),
        "has_aux": bool(task.has_aux),
        "dtypes": describe_dtypes(params=params, opt_state=begin.state, batch=admitted.first),
    }
    if task.accumulate > 1:
        metadata["accumulate"] = task.accumulate
    if compiled.model_state is not None:
        metadata |= {"initial_model_state": initial.model_state, "merge": described_merge(task.merge)}
        metadata["dtypes"] |= describe_dtypes(model_state=model_state)
    if task.placement is not None:
        metadata |= {"devices": task.placement.names, "device_kinds": task.placement.kinds}
    return metadata
