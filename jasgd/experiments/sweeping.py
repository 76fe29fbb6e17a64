"""``sweep``: what step-size functions do to training over a range of worker counts, on simulated clusters."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from jasgd import rules
from jasgd.cluster import Cluster, generate
from jasgd.distances.table import parse_step_rule
from jasgd.experiments.arms import Arm, arms_of, check_arms, check_problem, with_controls
from jasgd.experiments.measures import measures
from jasgd.experiments.recipe import transformation
from jasgd.experiments.spectrum import Spectrum
from jasgd.experiments.spectrum_jobs import Jobs, Point
from jasgd.experiments.tuning import Cell, best_rates, tuning_seeds_of
from jasgd.inputs.checks import described, function, integer, is_integer, real, several, switch
from jasgd.inputs.defaults import WORKER_COUNTS
from jasgd.record.result import TrainResult
from jasgd.showing import brief
from jasgd.simulating.lanes import run_in_threads
from jasgd.staleness import StalenessHistogram


def sweep(
    problem: Callable[[int], Any],
    arms: Sequence[str | Arm],
    seeds: Sequence[int],
    *,
    workers: Sequence[int] = WORKER_COUNTS,
    clusters: Mapping[str, Cluster],
    learning_rates: Sequence[float],
    steps: int,
    scheme: Any = "leashed",
    momentum: float = 0.0,
    optimizer: Literal["sgd", "adam"] = "sgd",
    law: Any = None,
    evaluate: bool = False,
    tuning_seeds: Sequence[int] | None = None,
    on_progress: Callable[[int, int], None] | None = None,
    on_result: Callable[[Point, TrainResult], None] | None = None,
) -> Spectrum:
    """Simulates every rule with every number of workers, cluster and seed: what parallelism does to training.

    Runs with the same cluster, number of workers and seed follow one execution, so nothing but the rule differs. Where
    there are several learning rates, each rule takes the one whose median final loss is the lowest on the tuning seeds,
    for each cluster and number of workers, and is judged on the other seeds with it; a control takes that of its rule.
    With six judged seeds or more and the constant step among the arms, each rule's control is added, since no claim is
    made without it.

    Args:
      problem: see :func:`jasgd.experiments.comparison.compare`.
      arms: the rules, see :meth:`jasgd.experiments.arms.Arm.parse`; each once.
      seeds: integers ≥ 0; each once; they are judged, and with fewer than six no difference can be claimed.
      workers: numbers of workers, each ≥ 1 and once.
      clusters: the models of the times, by label.
      learning_rates: each > 0 and once; each rule takes its best at each number of workers.
      steps: commits of each run, ≥ 1.
      scheme: see :func:`jasgd.simulate`.
      momentum: see :func:`jasgd.experiments.recipe.transformation`, as is ``optimizer``.
      optimizer: ``"sgd"`` or ``"adam"``.
      law: an empty law or its text, for rules that do not bring their own; by default a window of 1024 updates.
      evaluate: whether parameters are evaluated at the start and the end of each run.
      tuning_seeds: the seeds that the learning rates are chosen on, none of ``seeds``; by default the four that follow
        the largest of those.
      on_progress: called as ``on_progress(done, all)`` in updates of all runs together.
      on_result: called as ``on_result(point, result)`` after every run, those on tuning seeds too, by the thread that
        ran it.

    Returns:
      The numbers of every run, also of those that diverged.

    Raises:
      ValueError, TypeError: for arguments that cannot work, before anything is trained.

    Example:
      >>> from jasgd import problems
      >>> from jasgd.cluster import Cluster, exponential
      >>> spectrum = sweep(lambda seed: problems.load("digits", seed=seed), ["constant", "tail"], [0], workers=[1, 4],
      ...              clusters={"equal": Cluster(compute_s=exponential(1.0))}, learning_rates=[0.05], steps=20)
      >>> [(row["arm"], row["workers"], round(row["staleness_mean"].median, 2)) for row in spectrum.rows]
      [('constant', 1, 0.0), ('tail', 1, 0.0), ('constant', 4, 2.6), ('tail', 4, 2.6)]
    """
    check_problem(problem)
    chosen, seeds = arms_of(arms), several("seeds", seeds)
    check_arms(chosen, seeds)
    seeds, counts, rates = tuple(int(seed) for seed in seeds), *_checked(workers, clusters, learning_rates)
    chosen, tuning = with_controls(chosen, seeds), tuning_seeds_of(tuning_seeds, seeds, rates)
    steps = integer("steps", steps, 1)
    switch("evaluate", evaluate)
    function("on_progress", on_progress, "done, all", optional=True)
    function("on_result", on_result, "point, result", optional=True)
    empty = StalenessHistogram.window() if law is None else law

    def make(rule: rules.Rule, learning_rate: Any) -> Any:
        own = None if getattr(rule, "law", None) is not None else empty
        return transformation(rule, learning_rate=learning_rate, momentum=momentum, optimizer=optimizer, law=own)

    for arm, rate in itertools.product(chosen, rates):
        make(parse_step_rule(arm.rule, workers=max(counts), learning_rate=rate), rate)
    executions = {
        (label, count, seed): generate(one, scheme=scheme, workers=count, steps=steps, seed=seed)
        for label, one in clusters.items()
        for count in counts
        for seed in (*seeds, *tuning)
    }
    problems = {seed: problem(seed) for seed in (*seeds, *tuning)}
    rules_alone, controls = ([arm for arm in chosen if (arm.mean_of is not None) == which] for which in (False, True))
    places = list(itertools.product(clusters, counts))
    planned = len(tuning) * len(rules_alone) * len(rates) + len(seeds) * len(chosen)  # runs of each place
    jobs = Jobs(problems, executions, make, evaluate)
    batches = _Batches(jobs, places, steps, steps * len(places) * planned, on_progress, on_result)
    tuning_runs = batches.run(rules_alone, tuning, lambda cell: rates, {}) if tuning else {}
    best = best_rates(tuning_runs)

    def chosen_rate(cell: Cell) -> Sequence[float]:
        return [best.get(cell, rates[0])]

    runs = batches.run(rules_alone, seeds, chosen_rate, {})
    runs |= batches.run(controls, seeds, chosen_rate, runs)
    settings = {
        "scheme": next(iter(executions.values())).metadata["scheme"],
        "momentum": momentum,
        "optimizer": optimizer,
        "steps": steps,
        "clusters": {label: one.describe() for label, one in clusters.items()},
    }
    order = [(label, count, arm.label) for label, count in places for arm in chosen]
    runs = dict(sorted(runs.items(), key=lambda item: order.index((item[0].cluster, item[0].workers, item[0].arm))))
    name = problems[seeds[0]].name
    return Spectrum(name, chosen, seeds, counts, tuple(clusters), rates, settings, runs, tuning, tuning_runs)


class _Batches:
    """Runs many simulations at a time, and counts their updates together.

    Args:
      jobs: makes them.
      places: labels of clusters, each with a number of workers.
      steps: of each run.
      total: steps of all runs.
      on_progress: see :func:`sweep`, as is ``on_result``.
    """

    def __init__(
        self,
        jobs: Jobs,
        places: Sequence[tuple[str, int]],
        steps: int,
        total: int,
        on_progress: Callable[[int, int], None] | None,
        on_result: Callable[[Point, TrainResult], None] | None,
    ):
        self._jobs, self._places, self._steps, self._total = jobs, places, steps, total
        self._on_progress, self._on_result = on_progress, on_result
        self._done = 0

    def run(
        self,
        arms: Sequence[Arm],
        seeds: Sequence[int],
        rates_of: Callable[[Cell], Sequence[float]],
        runs: Mapping[Point, Mapping[str, Any]],
    ) -> dict[Point, dict[str, Any]]:
        """Runs arms at every place with these seeds, and learning rates by cell; ``runs`` has what controls need."""
        jobs: dict[Point, Any] = {}
        for arm in arms:
            points = [
                Point(label, count, seed, arm.label, rate)
                for (label, count), seed in itertools.product(self._places, seeds)
                for rate in rates_of(Cell(label, count, arm.mean_of or arm.label))
            ]
            jobs |= self._jobs.of(arm, points, runs)
        point_of = {id(lane): point for point, (_, lane) in jobs.items()}
        ended: dict[Point, dict[str, Any]] = {}

        def conclude(lane: Any, result: TrainResult) -> None:
            point = point_of[id(lane)]
            ended[point] = {"outcome": str(result.outcome)} | measures(result)
            if self._on_result is not None:
                self._on_result(point, result)

        before = self._done
        run_in_threads(list(jobs.values()), lambda done, _: self._progress(before + done), conclude)
        self._done += self._steps * len(jobs)
        return {point: ended[point] for point in jobs}  # they end in any order, and the same call returns one

    def _progress(self, done: int) -> None:
        if self._on_progress is not None:
            self._on_progress(done, self._total)


def _checked(
    workers: Sequence[int], clusters: Mapping[str, Cluster], learning_rates: Sequence[float]
) -> tuple[tuple[int, ...], tuple[float, ...]]:
    counts, rates = several("workers", workers, "integers"), several("learning_rates", learning_rates)
    if not counts or not all(map(is_integer, counts)) or len(set(counts)) < len(counts) or min(counts) < 1:
        raise ValueError(f"workers must be one or more integers ≥ 1, and each once, got {brief(list(counts))}")
    rates = tuple(real("learning_rates", rate, "numbers > 0") for rate in rates)
    if not rates or len(set(rates)) < len(rates) or not all(0 < rate < math.inf for rate in rates):
        raise ValueError(f"learning_rates must be one or more finite numbers > 0, and each once, got {brief(rates)}")
    if not isinstance(clusters, Mapping):
        raise TypeError(f"clusters must be a mapping from labels to jasgd.Cluster, got {described(clusters)}")
    if not clusters or not all(isinstance(one, Cluster) for one in clusters.values()):
        raise ValueError(f"clusters must be one or more of jasgd.Cluster, by label, got {brief(dict(clusters))}")
    return tuple(int(count) for count in counts), tuple(float(rate) for rate in rates)
