"""train(): checks its arguments, puts a run together, and gives its result."""

from __future__ import annotations

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import jax

from jasgd import schemes
from jasgd.callbacks.callback import Callback, RunOptions
from jasgd.callbacks.recent_progress import Progress
from jasgd.core.admission import admit, first_batch
from jasgd.core.arguments import check_functions
from jasgd.core.devices import as_device
from jasgd.core.freed_memory import give_back
from jasgd.core.ledger import Ledger
from jasgd.core.scheme import NativeScheme, SchemeFactory, Setup
from jasgd.data import Batches, as_batches
from jasgd.inputs.asked import asks_for, drawn_for, with_key
from jasgd.inputs.checks import function, switch
from jasgd.jax_settings import warn_if_unconfigured
from jasgd.record.environment import describe_dtypes, describe_environment
from jasgd.record.result import Outcome, TrainingError, TrainResult
from jasgd.record.trees import digest
from jasgd.schemes.selection import make
from jasgd.training.callback_calls import CallbackCalls, check_callbacks
from jasgd.training.conclusion import conclude
from jasgd.training.engines.supervisor import Conditions, Supervisor
from jasgd.training.engines.threads import WorkerThreads
from jasgd.training.interrupts import Interrupts
from jasgd.training.options import check_options
from jasgd.training.run import Run
from jasgd.training.warm_up import warm_up
from jasgd.warning_types import LateErrorWarning


def train(
    loss_fn: Callable[..., Any],
    params: Any,
    tx: Any,
    batches: Batches | Iterable[Any],
    *,
    scheme: str | SchemeFactory = "leashed",
    workers: int,
    steps: int | None = None,
    time_limit_s: float | None = None,
    target_loss: float | None = None,
    evaluate: Callable[[Any], float | Mapping[str, float]] | None = None,
    evaluate_every_s: float = 1.0,
    has_aux: bool = False,
    on_nonfinite: Literal["stop", "pass"] = "stop",
    throw: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    callbacks: Sequence[Callback] = (),
    device: Any = None,
    seed: int = 0,
) -> TrainResult:
    r"""Trains with parallel workers that compute gradients on parameters which others meanwhile change.

    .. math:: w_{k+1} = w_k + \mathrm{tx}\big(\nabla f(w_{k-\tau_k}, b_k);\ \tau_k\big)

    Each worker is a thread: it takes a ticket and its batch, reads the parameters, computes a compiled gradient, and
    commits it; the scheme decides how reads and commits are made atomic. Call :func:`jasgd.configure_cpu` first.

    Args:
      loss_fn: pure function ``loss_fn(params, batch) -> loss``, a floating-point scalar; with ``has_aux`` it returns
        ``(loss, aux)``, aux a pytree of scalars that ``result.aux`` keeps for every applied gradient, under names such
        as ``"accuracy"``, ``"norms/0"``, or ``"aux"`` for one bare scalar. Where it has an argument ``key``, it is
        given ``jax.random.fold_in(jax.random.key(seed), ticket)`` by that name, for dropout and the like: the same
        under every scheme, in a replay and in a simulation.
      params: pytree of floating-point arrays; not changed.
      tx: any Optax transformation. It is given the extra arguments ``staleness`` (int32, in updates) and ``value``
        (the loss), and where it asks for them ``read_params`` and ``worker`` (int32; -1 for the mean of several
        workers' gradients).
      batches: a pure function of a ticket, which workers call concurrently, with ``worker=`` where it has an
        argument of that name, for data that differ between workers; or an iterable, whose item i is ticket i.
        An iterator ends with its items; a list or a data loader is begun anew after each epoch. One that shuffles gives
        other batches each time, so its run cannot be replayed from it. Batches should be of one shape: each new
        one is compiled while the run goes on, of which a BatchShapesWarning tells.
      scheme: a name (sequential, synchronous, locked, hogwild, leashed), with options as in
        ``"leashed:persistence=3"`` or ``jasgd.schemes.leashed(persistence=3)``; or one of your own. Small networks get
        native rounds under all but sequential where they can, as ``execution.metadata["native"]`` tells; see
        ``jasgd.schemes.leashed``.
      workers: number of workers, ≥ 1.
      steps: commits after which the run ends, exactly; ≥ 1.
      time_limit_s: seconds after which it ends, > 0; compilation is not counted.
      target_loss: loss at which it ends as ``converged``: the one that ``evaluate`` gives, or without ``evaluate`` the
        mean over the last 100 applied gradients.
      evaluate: ``evaluate(params)`` on a snapshot, while the workers go on; gives a loss, or a mapping of names to
        numbers with the key ``loss``. Called at the start, every ``evaluate_every_s`` seconds, and at the end.
      evaluate_every_s: seconds between evaluations, > 0.
      has_aux: whether ``loss_fn`` returns aux.
      on_nonfinite: ``"stop"`` ends the run as ``diverged`` at the first loss that is not finite, with the last good
        parameters; ``"pass"`` goes on, for transformations such as ``optax.apply_if_finite``. Parameters that are not
        finite end it either way.
      throw: whether a failed or diverged run raises; else look at ``result.outcome``.
      on_progress: called about ten times a second with a :class:`Progress`, by the thread that called ``train``; the
        short form of a callback.
      callbacks: objects of :class:`jasgd.callbacks.Callback`, called by the same thread when the run starts, goes on,
        was evaluated and ends; they see parameters and recent gradients, and may stop the run for a reason, which
        becomes ``result.message``. One that raises fails the run.
      device: a jax device for parameters and gradients, or its platform and index, as in ``"gpu:0"``; None for JAX's
        default.
      seed: decides the ``key`` of a loss that asks for one, and is recorded in the execution; give the same to what
        draws your batches and initial parameters.

    Returns:
      The result. Ctrl-C ends a run gracefully as ``stopped``; more of them are held until there is a result, but one in
      the last evaluation, or while workers are waited for, cuts that short. ``result.interrupted`` says that one came,
      also of a run that failed or diverged: there a loop over runs ends. What a worker raises after the last step is
      a LateErrorWarning and ``result.error``.

    Raises:
      TypeError, ValueError: for arguments that cannot work, before anything starts; BatchesExhausted, a RuntimeError,
        for an iterator without a first item; CannotCompile, another, for native rounds that cannot be.
      TrainingError: for a run that failed or diverged, if ``throw``; ``.result`` is attached, and the worker's own
        exception is the cause.

    Example:
      >>> import jax.numpy as jnp, optax, jasgd
      >>> def loss_fn(w, batch):
      ...     return jnp.mean((w - batch) ** 2)
      >>> tx = optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.05))
      >>> result = jasgd.train(loss_fn, jnp.zeros(3), tx, lambda ticket: jnp.ones(3), scheme="locked", workers=1,
      ...                      steps=50)
      >>> result.outcome == "finished", result.execution.commits, bool(result.execution.loss[-1] < 0.1)
      (True, 50, True)
    """
    factory = check_options(
        scheme=scheme,
        workers=workers,
        steps=steps,
        time_limit_s=time_limit_s,
        target_loss=target_loss,
        evaluate_every_s=evaluate_every_s,
        on_nonfinite=on_nonfinite,
        seed=seed,
    )
    throw = switch("throw", throw)
    function("evaluate", evaluate, "params", optional=True)
    function("on_progress", on_progress, "a Progress", optional=True)
    options = RunOptions(steps, time_limit_s, target_loss, evaluate is not None)
    callbacks = check_callbacks(callbacks, options)
    check_functions(loss_fn, params, tx, has_aux=has_aux)
    device = as_device(device)
    drawn = as_batches(batches)
    workers, seed = int(workers), int(seed)  # NumPy's integers would not go into JSON
    steps = None if steps is None else int(steps)
    by_worker = asks_for(drawn, "worker")
    draw = drawn_for(loss_fn, drawn, seed)
    first = first_batch(draw)
    compiled, leaves, state = admit(with_key(loss_fn), params, tx, first, has_aux=has_aux, device=device)
    ledger = Ledger(workers, limit=steps)
    setup = Setup(leaves, state, compiled, ledger, workers, batch=first)
    running = make(factory, setup)
    running.reuse_memory()  # only workers and this module see what it gives out
    warn_if_unconfigured(workers)
    metadata = {
        "scheme": schemes.describe(factory),
        "native": isinstance(running, NativeScheme),
        "why_not_native": setup.why_not_native,
        "seed": seed,
        "initial_params": digest(leaves),
        "initial_opt_state": digest(state),
        "environment": describe_environment(device),
        "has_aux": bool(has_aux),
        "dtypes": describe_dtypes(params=leaves, opt_state=state, batch=first),
    }
    with contextlib.nullcontext() if device is None else jax.default_device(device):
        gradient_s = warm_up(compiled, running, ledger, leaves, first)

    def batch_of(ticket: int, worker: int) -> Any:
        return first if ticket == 0 and not by_worker else draw(ticket, worker)

    finite, name = on_nonfinite == "stop", schemes.describe(factory)
    run = Run(running, compiled, ledger, batch_of, check_finite=finite, name=name)
    run.longest_s = [gradient_s * max(1.0, workers / (os.cpu_count() or 1))] * workers
    if has_aux:
        run.aux.warm_up(jax.eval_shape(compiled.gradient, leaves, first)[1])
    conditions = Conditions(time_limit_s, target_loss, evaluate, evaluate_every_s)
    calls = CallbackCalls(callbacks, on_progress, run, options)
    with Interrupts() as interrupts:
        supervisor = Supervisor(run, conditions, calls, interrupts)
        stuck, ending = supervisor.supervise(WorkerThreads(run, device), leaves)
        result = conclude(run, leaves, metadata, supervisor.evaluations, stuck, ending)
        interrupted = run.interrupted or interrupts.held
        result = calls.end(result.after_ctrl_c() if interrupted else result, interrupts)
        # The copies of parameters that the scheme has, before memory is given back.
        del run, running, supervisor, setup, ending, calls
        give_back((*leaves, *state))
    if interrupts.held and not result.interrupted:
        result = result.after_ctrl_c()
    if throw and result.outcome in (Outcome.FAILED, Outcome.DIVERGED):
        raise TrainingError(result) from result.error
    if throw and result.error is not None:  # the run had ended by itself before
        try:
            warnings.warn(result.message, LateErrorWarning, stacklevel=2)
        except LateErrorWarning as warning:  # where warnings are errors
            raise TrainingError(result) from warning
    return result
