"""``sweep``: what step-size functions do to training over a range of worker counts, on simulated clusters."""

from __future__ import annotations

import dataclasses
import functools
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from jasgd import rules
from jasgd.cluster import Cluster, generate
from jasgd.experiments.arms import BASELINE, Arm, arms_of, check_arms, check_problem
from jasgd.experiments.conclusions import held_against
from jasgd.experiments.measures import Spread, measures, shown_row, spread
from jasgd.experiments.recipe import transformation
from jasgd.experiments.spectrum_jobs import Jobs, Point
from jasgd.inputs.checks import described, function, integer, is_integer, real, several, switch
from jasgd.inputs.defaults import WORKER_COUNTS
from jasgd.record.result import Outcome, TrainResult
from jasgd.rules.parsing import parse_rule
from jasgd.showing import Shown, brief, counted, tally
from jasgd.simulating.lanes import run_in_threads
from jasgd.staleness import StalenessHistogram


@dataclasses.dataclass(frozen=True, repr=False)
class Spectrum(Shown):
    """The runs of a spectrum, in numbers.

    Attributes:
      problem: name of the training problem.
      arms: the arms that were compared.
      seeds: the seeds that each was run with.
      workers: the numbers of workers.
      clusters: labels of the clusters.
      settings: the options that all runs share.
      learning_rates: the learning rates that each was run with.
      runs: :func:`jasgd.experiments.measures.measures` of each run, and its ``outcome``.
    """

    problem: str
    arms: tuple[Arm, ...]
    seeds: tuple[int, ...]
    workers: tuple[int, ...]
    clusters: tuple[str, ...]
    learning_rates: tuple[float, ...]
    settings: dict[str, Any]
    runs: dict[Point, dict[str, Any]]

    def _facts(self) -> dict[str, Any]:
        return {
            "problem": self.problem,
            "arms": [arm.label for arm in self.arms],
            "workers": self.workers,
            "clusters": self.clusters,
            "seeds": self.seeds,
            "learning_rates": self.learning_rates,
            "scheme": self.settings.get("scheme"),
            "outcomes": tally(run["outcome"] for run in self.runs.values()),
        }

    def _rows(self) -> list[dict[str, Any]]:
        keys = ("cluster", "workers", "learning_rate")
        return [{key: row[key] for key in keys} | shown_row(row) for row in self.best]

    @functools.cached_property
    def rows(self) -> list[dict[str, Any]]:
        """The table: cluster, workers, arm, learning rate, the count of each outcome, a :class:`Spread` per number."""
        table = []
        for label, workers, arm, rate in itertools.product(self.clusters, self.workers, self.arms, self.learning_rates):
            all_seeds = (Point(label, workers, seed, arm.label, rate) for seed in self.seeds)
            runs = [self.runs[point] for point in all_seeds if point in self.runs]
            outcomes = {str(o): n for o in Outcome if (n := sum(one["outcome"] == str(o) for one in runs))}
            names = [name for name in (runs[0] if runs else ()) if name != "outcome"]
            row = {"cluster": label, "workers": workers, "arm": arm.label, "learning_rate": rate, "outcomes": outcomes}
            table.append(row | {name: spread([one[name] for one in runs]) for name in names})
        return table

    @functools.cached_property
    def best(self) -> list[dict[str, Any]]:
        """Of the rows of each cluster, number of workers and arm, that whose median final loss is the lowest.

        A row in which a run has no final loss is behind all in which every run has one.
        """
        lowest: dict[tuple[str, int, str], dict[str, Any]] = {}
        for row in self.rows:
            key = row["cluster"], row["workers"], row["arm"]
            if "final_loss" in row and (key not in lowest or _rank(row) < _rank(lowest[key])):
                lowest[key] = row
        return list(lowest.values())

    def reading(self) -> str:
        """A sentence per cluster on its largest number of workers, every arm at its best learning rate of those tried.

        Differences are claimed as by :meth:`jasgd.experiments.comparison.Comparison.reading`.
        """
        sentences, most = [], max(self.workers)
        for label in self.clusters:
            rows = {row["arm"]: row for row in self.best if (row["cluster"], row["workers"]) == (label, most)}
            held = [held_against(row, rows[BASELINE])[0] for arm, row in rows.items() if arm != BASELINE in rows]
            what = "; ".join(held) or f"nothing to compare, as no rule was run beside {BASELINE}"
            sentences.append(f"{label}, {counted(most, 'worker')}: {what}.")
        return "\n".join(sentences)

    def record(self) -> dict[str, Any]:
        """Everything, as values that :func:`jasgd.record.trees.to_json` takes."""
        summary = {"problem": self.problem, "seeds": self.seeds, "settings": self.settings, "reading": self.reading()}
        table = [{k: v._asdict() if isinstance(v, Spread) else v for k, v in row.items()} for row in self.rows]
        runs = [point._asdict() | numbers for point, numbers in self.runs.items()]
        return summary | {"table": table, "runs": runs}


def _rank(row: dict[str, Any]) -> tuple[int, float]:
    """What is the lower, the better: runs without a final loss, and the median of the others."""
    loss = row["final_loss"]
    return loss.runs - loss.count, math.inf if math.isnan(loss.median) else loss.median


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
    on_progress: Callable[[int, int], None] | None = None,
    on_result: Callable[[Point, TrainResult], None] | None = None,
) -> Spectrum:
    """Simulates every rule with every number of workers, cluster and seed: what parallelism does to training.

    Runs with the same cluster, number of workers and seed follow one execution, so nothing but the rule differs.

    Args:
      problem: see :func:`jasgd.experiments.comparison.compare`.
      arms: the rules, see :meth:`jasgd.experiments.arms.Arm.parse`; each once.
      seeds: integers ≥ 0; each once.
      workers: numbers of workers, each ≥ 1 and once.
      clusters: the models of the times, by label.
      learning_rates: each > 0 and once; a rule may need another at another number of workers.
      steps: commits of each run, ≥ 1.
      scheme: see :func:`jasgd.simulate`.
      momentum: see :func:`jasgd.experiments.recipe.transformation`, as is ``optimizer``.
      optimizer: ``"sgd"`` or ``"adam"``.
      law: an empty law or its text, for rules that do not bring their own; by default a window of 1024 updates.
      evaluate: whether parameters are evaluated at the start and the end of each run.
      on_progress: called as ``on_progress(done, all)`` in updates of all runs together.
      on_result: called as ``on_result(point, result)`` after every run, by the thread that ran it.

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
    steps = integer("steps", steps, 1)
    switch("evaluate", evaluate)
    function("on_progress", on_progress, "done, all", optional=True)
    function("on_result", on_result, "point, result", optional=True)
    empty = StalenessHistogram.window() if law is None else law

    def make(rule: rules.Rule, learning_rate: Any) -> Any:
        own = None if getattr(rule, "law", None) is not None else empty
        return transformation(rule, learning_rate=learning_rate, momentum=momentum, optimizer=optimizer, law=own)

    for arm, rate in itertools.product(chosen, rates):
        make(parse_rule(arm.rule, workers=max(counts), learning_rate=rate), rate)
    executions = {
        (label, count, seed): generate(one, scheme=scheme, workers=count, steps=steps, seed=seed)
        for label, one in clusters.items()
        for count in counts
        for seed in seeds
    }
    problems = {seed: problem(seed) for seed in seeds}
    all_jobs = Jobs(problems, executions, make, rates, evaluate)
    runs: dict[Point, dict[str, Any]] = {}
    order: list[Point] = []  # runs end in any order, and the same call returns them in one
    total, done = steps * len(executions) * len(chosen) * len(rates), 0

    def conclude(point: Point, result: TrainResult) -> None:
        runs[point] = {"outcome": str(result.outcome)} | measures(result)
        if on_result is not None:
            on_result(point, result)

    for controls in (False, True):  # which take the mean steps of the others
        arms_now = [arm for arm in chosen if (arm.mean_of is not None) == controls]
        jobs = all_jobs.of(arms_now, runs)
        order += jobs
        point_of = {id(lane): point for point, (_, lane) in jobs.items()}
        run_in_threads(
            list(jobs.values()),
            None if on_progress is None else functools.partial(_shifted, on_progress, done, total),
            lambda lane, result, point_of=point_of: conclude(point_of[id(lane)], result),
        )
        done += steps * len(jobs)
    settings = {
        "scheme": next(iter(executions.values())).metadata["scheme"],
        "momentum": momentum,
        "optimizer": optimizer,
        "steps": steps,
        "clusters": {label: one.describe() for label, one in clusters.items()},
    }
    ordered = {point: runs[point] for point in order}
    return Spectrum(problems[seeds[0]].name, chosen, seeds, counts, tuple(clusters), rates, settings, ordered)


def _shifted(on_progress: Callable[[int, int], None], before: int, total: int, done: int, _: int) -> None:
    on_progress(before + done, total)


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
