"""``simulate``: training under a model of a cluster, in one compiled scan for each seed and learning rate."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from jasgd.cluster import Cluster, generate, measured_from
from jasgd.cluster.generation.scheme_names import of_recorded
from jasgd.core.arguments import check_loss_fn, check_params, check_tx
from jasgd.core.devices import as_device
from jasgd.inputs.asked import check_draw
from jasgd.inputs.checks import chosen, described, function, integer, is_integer, several, switch
from jasgd.inputs.defaults import WORKERS
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
      learning_rates: the learning rates that were run; (None,) where the transformation takes none.
      results: the runs, by seed and learning rate.
      scan_s: seconds that the scans took, compilation included.
    """

    seeds: tuple[int, ...]
    learning_rates: tuple[float | None, ...]
    results: dict[tuple[int, float | None], TrainResult]
    scan_s: float

    def __getitem__(self, key: int | tuple[int, float]) -> TrainResult:
        """The run of a seed, or of a seed and a learning rate."""
        chosen = key if isinstance(key, tuple) else (key, self.learning_rates[0])
        if not isinstance(key, tuple) and len(self.learning_rates) > 1:
            raise KeyError(f"{len(self.learning_rates)} learning rates were simulated: ask for [seed, learning_rate]")
        if chosen not in self.results:
            raise KeyError(f"seed and learning rate must be of {self.seeds} and {self.learning_rates}, got {chosen}")
        return self.results[chosen]

    def __iter__(self) -> Iterator[TrainResult]:
        return iter(self.results.values())

    def __len__(self) -> int:
        return len(self.results)

    def runs_by_label(self) -> dict[str, list[TrainResult]]:
        """The results by learning rate in words, for pictures of runs; "" where there is one."""
        rates = list(dict.fromkeys(rate for _, rate in self.results))
        labels = {rate: "" if len(rates) == 1 else f"learning rate {rate:g}" for rate in rates}
        return {label: [run for (_, one), run in self.results.items() if one == rate] for rate, label in labels.items()}

    def _facts(self) -> dict[str, Any]:
        execution = next(iter(self)).execution if self.results else None
        return {
            "runs": len(self),
            "outcomes": tally(run.outcome for run in self),
            "seeds": self.seeds,
            "learning_rates": None if self.learning_rates == (None,) else self.learning_rates,
            "updates": None if execution is None else execution.commits,
            "workers": None if execution is None else execution.metadata.get("workers"),
            "scheme": None if execution is None else execution.metadata.get("scheme"),
            "scan_s": self.scan_s,
        }

    def _rows(self) -> list[dict[str, Any]]:
        return [{"seed": seed, "learning_rate": rate} | run._facts() for (seed, rate), run in self.results.items()]


def simulate(
    loss_fn: Callable[..., Any],
    params: Any,
    tx: Any,
    batches: Any,
    *,
    cluster: Cluster | TrainResult | None = None,
    scheme: Any = None,
    workers: int | None = None,
    steps: int | None = None,
    accumulate: int = 1,
    execution: Execution | BySeed | None = None,
    seeds: Sequence[int] = (0,),
    learning_rates: Sequence[float] | None = None,
    evaluate: Callable[..., float | Mapping[str, float]] | None = None,
    evaluate_every_steps: int | None = None,
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
      tx: any Optax transformation, see :func:`jasgd.train`; with ``learning_rates`` a function of a learning rate,
        which is traced: ``lambda rate: optax.chain(jasgd.staleness_adaptive(rule), optax.sgd(rate))``.
      batches: a pure function of a ticket; or :func:`by_seed`. The rows of :func:`jasgd.minibatches` are gathered by
        the scan; other functions are called ahead of it.
      cluster: the model of the times; or a recorded run, whose measured times are drawn from, for as many workers
        as one likes: what they would do to the same model. See :func:`jasgd.cluster.measured_from`, ``order="drawn"``.
      scheme: a name (sequential, synchronous, locked, hogwild, leashed), with options as in
        ``"leashed:persistence=3"`` or ``jasgd.schemes.leashed(persistence=3)``, or one of
        :mod:`jasgd.cluster`. None: leashed, or that of the recorded run. Torn reads and lost updates of Hogwild are not
        simulated.
      workers: number of workers, ≥ 1. None: 8, or as many as the recorded run had.
      steps: commits, ≥ 1; None: as many as the recorded run took.
      accumulate: mini-batches of one gradient, see :func:`jasgd.train`; the cluster's times are those of all of them.
      execution: in place of cluster, scheme, workers and steps, an execution to follow: a recorded one, one that
        :func:`jasgd.cluster.independent` drew, or one :func:`by_seed`.
      seeds: of the cluster's times, and of every argument that is :func:`by_seed`; integers ≥ 0, each once.
      learning_rates: simulated each with each seed; each once. None where ``tx`` is a transformation.
      evaluate: ``evaluate(params)``, a loss or a mapping with the key ``loss``; called at the start and at the end, by
        several threads at once. It may ask for ``model_state`` and ``opt_state``, see :func:`jasgd.train`.
      evaluate_every_steps: commits between further evaluations, ≥ 1; None for none.
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
    seeds, rates = _check(seeds, learning_rates, tx, evaluate_every_steps, on_nonfinite, lanes)
    source = _source(cluster, scheme, workers, steps, execution)
    accumulate = integer("accumulate", accumulate, 1)
    check_evaluate(evaluate, model_state)
    function("on_progress", on_progress, optional=True)
    switch("has_aux", has_aux)
    check_loss_fn(loss_fn)
    if rates == (None,):
        check_tx(tx)
    if not isinstance(params, BySeed):
        check_params(params)
    check_model_state(loss_fn, model_state.of(seeds[0]) if isinstance(model_state, BySeed) else model_state, merge)
    if not isinstance(batches, BySeed):
        _function(batches)
    device = as_device(device)

    def execution_of(seed: int) -> Execution:
        if source is None:
            return _followed(execution.of(seed) if isinstance(execution, BySeed) else execution)
        return generate(**source, seed=seed)

    executions = {seed: execution_of(seed) for seed in seeds}
    drawn = {seed: _function(batches.of(seed) if isinstance(batches, BySeed) else batches) for seed in seeds}
    initial = {seed: params.of(seed) if isinstance(params, BySeed) else params for seed in seeds}
    states = {seed: model_state.of(seed) if isinstance(model_state, BySeed) else model_state for seed in seeds}
    preparation = Preparation(
        drawn, initial, executions, longest=LONGEST, device=device, model_states=states, accumulate=accumulate
    )
    program = preparation.program(loss_fn, tx, rates[0], has_aux=has_aux, merge=merge)
    runs = [preparation.lane(program, seed, seed, rate) for seed in seeds for rate in rates]
    task = preparation.task(
        program, runs, evaluate=evaluate, evaluate_every_steps=evaluate_every_steps, check_finite=on_nonfinite == "stop"
    )
    (platform,) = {one.platform for one in runs[0].params[0].devices()}
    vectorised = lanes == "vmap" or (lanes == "auto" and platform != "cpu")
    run = run_vectorised if vectorised and len(runs) > 1 else run_in_threads
    started = time.perf_counter()
    results = run([(task, lane) for lane in runs], on_progress)
    keys = [(lane.seed, lane.learning_rate) for lane in runs]
    return Simulation(seeds, rates, dict(zip(keys, results, strict=True)), time.perf_counter() - started)


def _followed(execution: Any) -> Execution:
    if not isinstance(execution, Execution):
        raise TypeError(f"execution must be an Execution, or by_seed of such, got {type(execution).__name__}")
    if not len(execution):
        raise ValueError("execution must have one row or more, got none")
    return execution


def _function(batches: Any) -> Any:
    if not callable(batches):
        raise TypeError(f"batches must be a function of a ticket, or by_seed of such, got {described(batches)}")
    check_draw(batches)
    return batches


def _check(
    seeds: Any, learning_rates: Any, tx: Any, evaluate_every_steps: Any, on_nonfinite: Any, lanes: Any
) -> tuple[tuple[int, ...], tuple[float | None, ...]]:
    seeds = several("seeds", seeds)
    if not seeds or not all(map(is_integer, seeds)) or len(set(seeds)) < len(seeds) or min(seeds) < 0:
        raise ValueError(f"seeds must be one or more integers ≥ 0, and each once, got {brief(seeds)}")
    if evaluate_every_steps is not None:
        integer("evaluate_every_steps", evaluate_every_steps, 1)
    chosen("on_nonfinite", on_nonfinite, ("stop", "pass"))
    chosen("lanes", lanes, ("auto", "threads", "vmap"))
    is_transformation = callable(getattr(tx, "update", None))
    if learning_rates is None:
        if callable(tx) and not is_transformation:
            raise ValueError("learning_rates must be given where tx is a function of a learning rate, got None")
        return tuple(int(seed) for seed in seeds), (None,)
    if is_transformation:
        raise TypeError("tx must be a function of a learning rate where learning_rates are given, got a transformation")
    if not callable(tx):
        raise TypeError(
            f"tx must be a function of a learning rate where learning_rates are given, got {type(tx).__name__}"
        )
    values = several("learning_rates", learning_rates)
    rates = tuple(float(rate) for rate in values if isinstance(rate, (int, float, np.number)))
    if not rates or len(set(rates)) < len(values) or not all(map(math.isfinite, rates)):
        raise ValueError(f"learning_rates must be one or more finite numbers, and each once, got {brief(values)}")
    return tuple(int(seed) for seed in seeds), rates


def _source(cluster: Any, scheme: Any, workers: Any, steps: Any, execution: Any) -> dict[str, Any] | None:
    """What the executions are generated of; None where they are given."""
    source = {"cluster": cluster, "scheme": scheme, "workers": workers, "steps": steps}
    if execution is not None:
        if set_too := [name for name, value in source.items() if value is not None]:
            raise ValueError(f"{', '.join(set_too)} must be left out where an execution is given, which has its own")
        return None
    if isinstance(cluster, TrainResult):
        recorded = cluster.execution
        text = str(recorded.metadata.get("scheme"))
        times = measured_from(cluster, workers=workers, order="drawn")
        return {
            "cluster": dataclasses.replace(times, joins_s={}),  # a prediction's workers begin at once
            "scheme": of_recorded(text) if scheme is None else scheme,
            "workers": recorded.workers if workers is None else workers,
            "steps": recorded.commits if steps is None else steps,
        }
    if missing := [name for name in ("cluster", "steps") if source[name] is None]:
        raise ValueError(f"{' and '.join(missing)} must be given, or an execution, or a recorded run as the cluster")
    return source | {
        "scheme": "leashed" if scheme is None else scheme,
        "workers": WORKERS if workers is None else workers,
    }
