"""``simulate``: training under a model of a cluster, in one compiled scan for each seed and step size."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from jasgd.cluster import Cluster, generate
from jasgd.core.arguments import check_loss_fn, check_params, check_tx
from jasgd.core.devices import as_device
from jasgd.inputs.checks import chosen, described, function, integer, is_integer, several, switch
from jasgd.model_state.arguments import check_evaluate, check_model_state
from jasgd.record.execution import Execution
from jasgd.record.result import TrainResult
from jasgd.showing import Shown, brief, tally
from jasgd.simulating.lanes import run_in_threads, run_vectorised
from jasgd.simulating.preparation import Preparation

LONGEST = 1024  # steps of one call of a scan


@dataclasses.dataclass(frozen=True, repr=False)
class BySeed(Shown):
    """Marks an argument of :func:`simulate` that differs from seed to seed, see :func:`by_seed`."""

    of: Callable[[int], Any]

    def _facts(self) -> dict[str, Any]:
        return {"of": self.of}


def by_seed(of: Callable[[int], Any]) -> BySeed:
    """Parameters, model state, mini-batches or an execution of their own for every seed of :func:`simulate`.

    Args:
      of: a function from a seed to the argument's value for it.

    Returns:
      A mark that ``simulate`` takes in place of the argument.

    Raises:
      TypeError: where ``of`` is no function.

    Example:
      >>> by_seed(lambda seed: 10 * seed).of(3)
      30
    """
    if not callable(of):
        raise TypeError(f"of must be a function of a seed, got {described(of)}")
    return BySeed(of)


@dataclasses.dataclass(frozen=True, repr=False)
class Simulation(Shown):
    """The runs of a simulation, a :class:`jasgd.TrainResult` each: ``simulation[seed]``, in the order of the seeds.

    Times are those of the cluster's model, and ``execution.metadata["generated"]`` says of which.

    Attributes:
      seeds: the seeds that were run.
      step_sizes: the step sizes that were run; (None,) where the transformation takes none.
      results: the runs, by seed and step size.
      scan_s: seconds that the scans took, compilation included.
    """

    seeds: tuple[int, ...]
    step_sizes: tuple[float | None, ...]
    results: dict[tuple[int, float | None], TrainResult]
    scan_s: float

    def __getitem__(self, key: int | tuple[int, float]) -> TrainResult:
        """The run of a seed, or of a seed and a step size."""
        chosen = key if isinstance(key, tuple) else (key, self.step_sizes[0])
        if not isinstance(key, tuple) and len(self.step_sizes) > 1:
            raise KeyError(f"{len(self.step_sizes)} step sizes were simulated: ask for [seed, step_size]")
        if chosen not in self.results:
            raise KeyError(f"seed and step size must be of {self.seeds} and {self.step_sizes}, got {chosen}")
        return self.results[chosen]

    def __iter__(self) -> Iterator[TrainResult]:
        return iter(self.results.values())

    def __len__(self) -> int:
        return len(self.results)

    def _facts(self) -> dict[str, Any]:
        execution = next(iter(self)).execution if self.results else None
        return {
            "runs": len(self),
            "outcomes": tally(run.outcome for run in self),
            "seeds": self.seeds,
            "step_sizes": None if self.step_sizes == (None,) else self.step_sizes,
            "updates": None if execution is None else execution.commits,
            "workers": None if execution is None else execution.metadata.get("workers"),
            "scheme": None if execution is None else execution.metadata.get("scheme"),
            "scan_s": self.scan_s,
        }

    def _rows(self) -> list[dict[str, Any]]:
        return [{"seed": seed, "step_size": size} | run._facts() for (seed, size), run in self.results.items()]


def simulate(
    loss_fn: Callable[..., Any],
    params: Any,
    tx: Any,
    batches: Any,
    *,
    cluster: Cluster | None = None,
    scheme: Any = "leashed",
    workers: int | None = None,
    steps: int | None = None,
    execution: Execution | BySeed | None = None,
    seeds: Sequence[int] = (0,),
    step_sizes: Sequence[float] | None = None,
    evaluate: Callable[..., float | Mapping[str, float]] | None = None,
    evaluate_every: int | None = None,
    has_aux: bool = False,
    model_state: Any = None,
    merge: Callable[..., Any] | None = None,
    on_nonfinite: Literal["stop", "pass"] = "stop",
    on_progress: Callable[[int, int], None] | None = None,
    lanes: Literal["auto", "threads", "vmap"] = "auto",
    device: Any = None,
) -> Simulation:
    r"""Trains as a cluster would, with as many workers as one likes on however few processors.

    .. math:: w_{k+1} = w_k + \mathrm{tx}\big(\nabla f(w_{k-\tau_k}, b_k);\ \tau_k\big)

    The model of the cluster decides when workers read and commit, hence every τ; that makes an execution, see
    :func:`jasgd.cluster.generate`. The gradients are then computed and applied in its order by one compiled scan. The
    same call gives the same bits; another way of compiling the same updates, such as :func:`jasgd.replay`, does not.

    Args:
      loss_fn: see :func:`jasgd.train`.
      params: likewise; or :func:`by_seed`.
      tx: any Optax transformation, see :func:`jasgd.train`; with ``step_sizes`` a function of a step size, which is
        traced: ``lambda step_size: optax.chain(jasgd.staleness_adaptive(rule), optax.sgd(step_size))``.
      batches: a pure function of a ticket; or :func:`by_seed`. The rows of :func:`jasgd.minibatches` are gathered by
        the scan; other functions are called ahead of it.
      cluster: the model of the times.
      scheme: a name (sequential, synchronous, locked, hogwild, leashed), with options as in
        ``"leashed:persistence=3"`` or ``jasgd.schemes.leashed(persistence=3)``, or one of
        :mod:`jasgd.cluster`. Torn reads and lost updates of Hogwild are not simulated.
      workers: number of workers, ≥ 1.
      steps: commits, ≥ 1.
      execution: in place of the last four, an execution to follow: a recorded one, one that
        :func:`jasgd.cluster.independent` drew, or one :func:`by_seed`.
      seeds: of the cluster's times, and of every argument that is :func:`by_seed`; integers ≥ 0, each once.
      step_sizes: simulated each with each seed; each once. None where ``tx`` is a transformation.
      evaluate: ``evaluate(params)``, a loss or a mapping with the key ``loss``; called at the start and at the end, by
        several threads at once. It may ask for ``model_state`` and ``opt_state``, see :func:`jasgd.train`.
      evaluate_every: updates between further evaluations, ≥ 1.
      has_aux: whether ``loss_fn`` returns ``(loss, aux)``, see :func:`jasgd.train`.
      model_state: see :func:`jasgd.train`; or :func:`by_seed`.
      merge: see :func:`jasgd.train`.
      on_nonfinite: ``"stop"`` ends a run as diverged before the first commit of a gradient whose loss is not finite,
        ``"pass"`` goes on. A run whose parameters are not finite has diverged either way.
      on_progress: called as ``on_progress(done, all)``, in updates of all runs together, by the caller's thread.
      lanes: how several runs share the machine: in a thread each (``"threads"``), or in one vectorised scan
        (``"vmap"``); ``"auto"`` takes threads on CPUs, where vectorised slots are slow, and vmap elsewhere.
      device: a jax device, or its platform and index, as in ``"gpu:0"``; None for JAX's default.

    Returns:
      The runs. One that diverged has the parameters that the newest finite loss was computed on.

    Raises:
      TypeError, ValueError: for arguments that cannot work.
      ExecutionError: for an execution that contradicts itself or was altered; it names the first such row.

    Example:
      >>> import jax.numpy as jnp, optax, jasgd
      >>> from jasgd.cluster import Cluster, exponential
      >>> runs = jasgd.simulate(lambda w, b: jnp.mean((w - b) ** 2), jnp.zeros(3),
      ...                       optax.chain(jasgd.staleness_adaptive(jasgd.rules.tail()), optax.sgd(0.1)),
      ...                       lambda ticket: jnp.ones(3), cluster=Cluster(compute_s=exponential(1.0)),
      ...                       scheme="leashed", workers=4, steps=200, seeds=range(2))
      >>> [(run.execution.commits, bool(run.execution.loss[-1] < 0.01)) for run in runs]
      [(200, True), (200, True)]
    """
    seeds, sizes = _check(seeds, step_sizes, tx, evaluate_every, on_nonfinite, lanes)
    _check_source(cluster, scheme, workers, steps, execution)
    check_evaluate(evaluate, model_state)
    function("on_progress", on_progress, optional=True)
    switch("has_aux", has_aux)
    check_loss_fn(loss_fn)
    if sizes == (None,):
        check_tx(tx)
    if not isinstance(params, BySeed):
        check_params(params)
    check_model_state(loss_fn, model_state.of(seeds[0]) if isinstance(model_state, BySeed) else model_state, merge)
    if not isinstance(batches, BySeed):
        _function(batches)
    device = as_device(device)

    def execution_of(seed: int) -> Execution:
        if execution is not None:
            return _followed(execution.of(seed) if isinstance(execution, BySeed) else execution)
        assert cluster is not None
        assert workers is not None
        assert steps is not None
        return generate(cluster, scheme=scheme, workers=workers, steps=steps, seed=seed)

    executions = {seed: execution_of(seed) for seed in seeds}
    drawn = {seed: _function(batches.of(seed) if isinstance(batches, BySeed) else batches) for seed in seeds}
    initial = {seed: params.of(seed) if isinstance(params, BySeed) else params for seed in seeds}
    states = {seed: model_state.of(seed) if isinstance(model_state, BySeed) else model_state for seed in seeds}
    preparation = Preparation(drawn, initial, executions, longest=LONGEST, device=device, model_states=states)
    program = preparation.program(loss_fn, tx, sizes[0], has_aux=has_aux, merge=merge)
    runs = [preparation.lane(program, seed, seed, size) for seed in seeds for size in sizes]
    task = preparation.task(
        program, runs, evaluate=evaluate, evaluate_every=evaluate_every, check_finite=on_nonfinite == "stop"
    )
    (platform,) = {one.platform for one in runs[0].params[0].devices()}
    vectorised = lanes == "vmap" or (lanes == "auto" and platform != "cpu")
    run = run_vectorised if vectorised and len(runs) > 1 else run_in_threads
    started = time.perf_counter()
    results = run([(task, lane) for lane in runs], on_progress)
    keys = [(lane.seed, lane.step_size) for lane in runs]
    return Simulation(seeds, sizes, dict(zip(keys, results, strict=True)), time.perf_counter() - started)


def _followed(execution: Any) -> Execution:
    if not isinstance(execution, Execution):
        raise TypeError(f"execution must be an Execution, or by_seed of such, got {type(execution).__name__}")
    if not len(execution):
        raise ValueError("execution must have one row or more, got none")
    return execution


def _function(batches: Any) -> Any:
    if not callable(batches):
        raise TypeError(f"batches must be a function of a ticket, or by_seed of such, got {described(batches)}")
    return batches


def _check(
    seeds: Any, step_sizes: Any, tx: Any, evaluate_every: Any, on_nonfinite: Any, lanes: Any
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    seeds = several("seeds", seeds)
    if not seeds or not all(map(is_integer, seeds)) or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"seeds must be one or more integers ≥ 0, and each once, got {brief(seeds)}")
    if evaluate_every is not None:
        integer("evaluate_every", evaluate_every, 1, unit="in updates", optional=True)
    chosen("on_nonfinite", on_nonfinite, ("stop", "pass"))
    chosen("lanes", lanes, ("auto", "threads", "vmap"))
    is_transformation = callable(getattr(tx, "update", None))
    if step_sizes is None:
        if callable(tx) and not is_transformation:
            raise ValueError("step_sizes must be given where tx is a function of a step size, got None")
        return tuple(int(seed) for seed in seeds), (None,)
    if is_transformation:
        raise TypeError("tx must be a function of a step size where step_sizes are given, got a transformation")
    if not callable(tx):
        raise TypeError(f"tx must be a function of a step size where step_sizes are given, got {type(tx).__name__}")
    values = several("step_sizes", step_sizes)
    sizes = tuple(float(size) for size in values if isinstance(size, (int, float, np.number)))
    if not sizes or len(set(sizes)) < len(values) or not all(map(math.isfinite, sizes)):
        raise ValueError(f"step_sizes must be one or more finite numbers, and each once, got {brief(values)}")
    return tuple(int(seed) for seed in seeds), sizes


def _check_source(cluster: Any, scheme: Any, workers: Any, steps: Any, execution: Any) -> None:
    arguments = {"cluster": cluster, "workers": workers, "steps": steps}
    if execution is not None:
        arguments["scheme"] = (
            None if isinstance(scheme, str) and scheme == "leashed" else scheme
        )  # which is the default
        if set_too := [name for name, value in arguments.items() if value is not None]:
            raise ValueError(f"{', '.join(set_too)} must be left out where an execution is given, which has its own")
    elif missing := [name for name, value in arguments.items() if value is None]:
        raise ValueError(f"{', '.join(missing)} must be given, or an execution")
