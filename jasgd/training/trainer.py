"""train(): checks its arguments, puts a run together, and gives its result."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

from jasgd.callbacks.callback import Callback, RunOptions
from jasgd.callbacks.recent_progress import Progress
from jasgd.core.arguments import check_functions
from jasgd.core.devices import as_placement
from jasgd.core.scheme import SchemeFactory
from jasgd.data import Batches, as_batches
from jasgd.inputs.checks import function, integer, switch
from jasgd.inputs.defaults import WORKERS
from jasgd.jax_settings import configure_unless_started
from jasgd.model_state.arguments import check_evaluate
from jasgd.record.checkpoints.options import Checkpoints
from jasgd.record.result import Outcome, TrainingError, TrainResult
from jasgd.training.assembly import Task
from jasgd.training.callback_calls import check_callbacks
from jasgd.training.checkpointing.resuming import check_resume
from jasgd.training.engines.carrying_out import Request, Watching, carry_out
from jasgd.training.engines.choice import Engine, RayEngine, as_engine
from jasgd.training.engines.supervisor import Conditions
from jasgd.training.interrupts import Terminations
from jasgd.training.options import check_options
from jasgd.warning_types import LateErrorWarning


def train(
    loss_fn: Callable[..., Any],
    params: Any,
    tx: Any,
    batches: Batches | Iterable[Any],
    *,
    scheme: str | SchemeFactory = "leashed",
    workers: int = WORKERS,
    steps: int | None = None,
    epochs: int | None = None,
    accumulate: int = 1,
    time_limit_s: float | None = None,
    target_loss: float | None = None,
    evaluate: Callable[..., float | Mapping[str, float]] | None = None,
    evaluate_every_s: float | None = None,
    evaluate_every_steps: int | None = None,
    has_aux: bool = False,
    model_state: Any = None,
    merge: Callable[..., Any] | None = None,
    on_nonfinite: Literal["stop", "pass"] = "stop",
    throw: bool = True,
    on_progress: Callable[[Progress], None] | None = None,
    callbacks: Sequence[Callback] = (),
    checkpoint: Checkpoints | None = None,
    resume: str | os.PathLike[str] | TrainResult | None = None,
    opt_state: Any = None,
    first_ticket: int = 0,
    sigterm: bool = False,
    device: Any = None,
    devices: Sequence[Any] | None = None,
    engine: str | Engine = "threads",
    seed: int = 0,
) -> TrainResult:
    r"""Trains with parallel workers that compute gradients on parameters which others meanwhile change.

    .. math:: w_{k+1} = w_k + \mathrm{tx}\big(\nabla f(w_{k-\tau_k}, b_k);\ \tau_k\big)

    Each worker is a thread, or with ``engine="ray"`` a process: it takes a ticket and its batch, reads the parameters,
    computes a compiled gradient, and commits it; the scheme decides how reads and commits are made atomic. Where JAX
    has not started yet, the CPU is configured for workers; else call :func:`jasgd.configure_cpu` first.

    Args:
      loss_fn: pure function ``loss_fn(params, batch) -> loss``, a floating-point scalar; with ``has_aux`` it returns
        ``(loss, aux)``, aux a pytree of scalars that ``result.aux`` keeps for every applied gradient, under names such
        as ``"accuracy"``, ``"norms/0"``, or ``"aux"`` for one bare scalar. Where it has an argument ``key``, it is
        given ``jax.random.fold_in(jax.random.key(seed), ticket)`` by that name, for dropout and the like: the same
        under every scheme, in a replay and in a simulation. For one with an argument ``model_state`` see there.
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
      workers: number of workers, ≥ 1, whatever the number of processors.
      steps: commits after which the run ends, exactly; ≥ 1. Of a run that is gone on with, all count.
      epochs: passes over the batches after which it ends, ≥ 1: it takes each of their mini-batches once, whatever
        becomes of the gradient, and waits for all. An epoch of :func:`jasgd.minibatches` has ``batches_per_epoch`` of
        them, as one of your own function has where you give it such an attribute; of a list or a data loader it is one
        iteration, and an iterator has one. Where the last round of synchronous workers would have fewer gradients than
        workers, they are not applied, and the message says so. Of several stop conditions the first to be met counts.
      accumulate: mini-batches of one gradient, ≥ 1: a worker computes the mean loss and gradient of so many, one after
        another on the parameters that it has read, with the activations of one in memory, and commits it once. This
        helps where commits cost more than gradients, and where a large mini-batch does not fit into memory. With
        k = ``accumulate``, steps, staleness and tickets count gradients: ticket t takes the mini-batches with the
        numbers kt, …, kt + k − 1. Aux is the mean of floating-point scalars, the sum of integers, the last of others;
        a model state goes through all k, and each has a ``key`` of its own number. Fewer than k mini-batches that are
        left at the end of all ``epochs`` are not taken.
      time_limit_s: seconds after which it ends, > 0; compilation is not counted. Of a run that is
        gone on with, all count.
      target_loss: loss at which it ends as ``converged``: the one that ``evaluate`` gives, or without ``evaluate`` the
        mean over the last 100 applied gradients.
      evaluate: ``evaluate(params)`` on a snapshot, while the workers go on; gives a loss, or a mapping of names to
        numbers with the key ``loss``. Called at the start, at the end, and between them as the next two say. Where it
        has arguments ``model_state`` or ``opt_state``, it is given those of the snapshot: some transformations keep
        the parameters that are to be evaluated in their state, such as averages of them.
      evaluate_every_s: seconds between evaluations, > 0; where both are None, 1.
      evaluate_every_steps: commits between evaluations, ≥ 1: the newest parameters are evaluated soon after each
        multiple of it, so their ``version``, which the evaluation has, may be a little higher. With both, whichever
        comes first.
      has_aux: whether ``loss_fn`` returns aux.
      model_state: pytree of arrays that the loss makes anew, such as BatchNorm's statistics; not changed. The loss is
        given the one that was read with the parameters, as ``model_state``, and returns ``(loss, new_state)``, or with
        ``has_aux`` ``(loss, (new_state, aux))``. The state is published with the parameters, under their version: in
        floating leaves the worker's new state replaces the published one, to integer leaves its change is added, and
        others (truth values, keys) are replaced; synchronous workers' floating leaves are averaged and their changes
        added. So a counter counts every gradient (under ``hogwild`` additions may be lost), but what others did to a
        floating leaf since the read is forgotten: of a moving average with decay β the initial value fades as
        :math:`\beta^{n/(\tau+1)}`. Only parameters are looked at for numbers that are not finite.
      merge: pure function ``merge(published, new)`` that gives the next model state instead, a pytree like both; where
        it has an argument ``read``, it is given the state that the worker read. :func:`jasgd.moving_averages` forgets
        nothing. Where several gradients share a commit, it is called once, with what they are together.
      on_nonfinite: ``"stop"`` ends the run as ``diverged`` at the first loss that is not finite, with the last good
        parameters; ``"pass"`` goes on, for transformations such as ``optax.apply_if_finite``. Parameters that are not
        finite end it either way.
      throw: whether a failed or diverged run raises; else look at ``result.outcome``.
      on_progress: called about ten times a second with a :class:`Progress`, by the thread that called ``train``; the
        short form of a callback.
      callbacks: objects of :class:`jasgd.callbacks.Callback`, called by the same thread when the run starts, goes on,
        was evaluated and ends; they see parameters and recent gradients, and may stop the run for a reason, which
        becomes ``result.message``. One that raises fails the run.
      checkpoint: where and how often the run is saved while it goes on, a :class:`Checkpoints`.
      resume: goes on with another run: the folder of its checkpoints, one that ``result.save`` wrote, or the result.
        Parameters, optimizer state, rows, tickets and times are those of that run; ``params`` gives the structure.
        Other workers and another scheme may go on with it. A run that has ended already returns at once with its
        result; a folder that is missing, or has no complete checkpoint, begins anew, which the logger ``jasgd`` tells.
        So one line serves the first start and every later one.
      opt_state: the optimizer state to begin with, of the structure of ``tx.init(params)``; None for that itself.
      first_ticket: ticket of the first mini-batch, ≥ 0, for who goes on by hand, with ``params`` and ``opt_state``.
      sigterm: whether SIGTERM ends the run as Ctrl-C does; only in the main thread.
      device: a jax device for parameters and gradients, or its platform and index, as in ``"gpu:0"``; None for JAX's
        default.
      devices: jax devices, or what ``device`` takes, in its place: worker k computes on device k mod n. Parameters and
        optimizer state live on the first, where commits are made; what a worker reads and its mini-batch are put on its
        device, and its gradient comes back. See docs/devices.md.
      engine: who makes the workers work: ``"threads"`` of this process, or ``"ray"``, where they and the parameters are
        processes of their own, on one machine or many; :func:`jasgd.engines.ray` has its options, docs/ray.md says what
        it is for and which of these arguments it takes.
      seed: decides the ``key`` of a loss that asks for one, and is recorded in the execution; give the same to what
        draws your batches and initial parameters.

    Returns:
      The result. Ctrl-C ends a run gracefully as ``stopped``; more of them are held until there is a result, but one in
      the last evaluation, or while workers are waited for, cuts that short. ``result.interrupted`` says that one came,
      also of a run that failed or diverged: there a loop over runs ends. What a worker raises after the last step is
      a LateErrorWarning and ``result.error``.

    Raises:
      TypeError, ValueError: for arguments that cannot work, before anything starts; SavedRunError, a ValueError, where
        each checkpoint to go on with is damaged; OSError where the folder of checkpoints cannot be written, and
        FileExistsError where it has those of another run; BatchesExhausted, a RuntimeError,
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
        epochs=epochs,
        accumulate=accumulate,
        time_limit_s=time_limit_s,
        target_loss=target_loss,
        evaluate_every_s=evaluate_every_s,
        evaluate_every_steps=evaluate_every_steps,
        on_nonfinite=on_nonfinite,
        seed=seed,
    )
    throw, made_by = switch("throw", throw), as_engine(engine)
    configure_unless_started(int(workers))
    check_evaluate(evaluate, model_state)
    function("on_progress", on_progress, "a Progress", optional=True)
    options = RunOptions(steps, time_limit_s, target_loss, evaluate is not None)
    callbacks = check_callbacks(callbacks, options)
    check_functions(loss_fn, params, tx, has_aux=has_aux, model_state=model_state, merge=merge)
    check_resume(resume, checkpoint)
    first_ticket, sigterm = integer("first_ticket", first_ticket, 0), switch("sigterm", sigterm)
    terminations = Terminations(sigterm)  # raises in a thread that no signal comes to
    if resume is not None and (opt_state is not None or first_ticket):
        raise ValueError("opt_state and first_ticket must be left out with resume, which has them")
    home, placement = as_placement(device, devices, int(workers))
    drawn = as_batches(batches, epochs=None if epochs is None else int(epochs))
    workers, seed = int(workers), int(seed)  # NumPy's integers would not go into JSON
    steps = None if steps is None else int(steps)
    request = Request(
        Task(
            loss_fn, params, tx, drawn, has_aux, model_state, merge, opt_state, seed, home, placement, int(accumulate)
        ),
        factory,
        workers,
        steps,
        epochs,
        Conditions(time_limit_s, target_loss, evaluate, evaluate_every_s, evaluate_every_steps),
        check_finite=on_nonfinite == "stop",
        checkpoint=checkpoint,
        resume=resume,
        first_ticket=first_ticket,
    )
    watching = Watching(callbacks, on_progress, options, terminations)
    if isinstance(made_by, RayEngine):
        from jasgd.training.engines.ray_actors.driver import carry_out_on_ray  # imported only where it is needed

        result, failure = carry_out_on_ray(request, watching, made_by)
    else:
        result, failure = carry_out(request, watching)
    if throw and result.outcome in (Outcome.FAILED, Outcome.DIVERGED):
        raise TrainingError(result) from result.error
    if throw and failure is not None:  # where warnings are errors
        raise TrainingError(result) from failure
    if throw and result.error is not None:  # the run had ended by itself before
        try:
            warnings.warn(result.message, LateErrorWarning, stacklevel=2)
        except LateErrorWarning as warning:  # where warnings are errors
            raise TrainingError(result) from warning
    return result
