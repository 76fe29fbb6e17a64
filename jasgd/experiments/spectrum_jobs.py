"""The simulated runs of a spectrum; what several of them share is made once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from jasgd import rules
from jasgd.distances.table import options_of, parse_step_rule
from jasgd.experiments.arms import BASELINE, Arm
from jasgd.record.execution import Execution
from jasgd.rules.damping import computed_constant
from jasgd.simulating.preparation import Lane, Preparation, SimulationTask

CHUNK = 256  # steps of one call; the same for all worker counts, so that nothing is compiled twice


class Point(NamedTuple):
    """The place of a run in a spectrum."""

    cluster: str  # label
    workers: int
    seed: int
    arm: str  # label
    learning_rate: float


class Jobs:
    """The simulated runs of arms; what several of them share is made once.

    Args:
      problems: for each seed what has loss_fn, params, batches and evaluate, and model_state and merge where needed.
      executions: by label of the cluster, number of workers and seed.
      make: from a rule and a learning rate to a transformation.
      evaluate: whether the parameters are evaluated at the start and the end of each run.
    """

    def __init__(
        self,
        problems: dict[int, Any],
        executions: dict[tuple[str, int, int], Execution],
        make: Callable[[rules.Rule, Any], Any],
        evaluate: bool,
    ):
        self._problems, self._make, self._evaluate = problems, make, evaluate
        batches = {seed: problem.batches for seed, problem in problems.items()}
        params = {seed: problem.params for seed, problem in problems.items()}
        states = {seed: getattr(problem, "model_state", None) for seed, problem in problems.items()}
        self._preparation = Preparation(batches, params, executions, longest=CHUNK, model_states=states)
        self._tasks: dict[tuple[str, Any, int], SimulationTask] = {}

    def of(
        self, arm: Arm, points: Iterable[Point], runs: Mapping[Point, Mapping[str, Any]]
    ) -> dict[Point, tuple[SimulationTask, Lane]]:
        """The jobs of an arm at these points, by point; ``runs`` has those of the arm that it is a control of."""
        jobs: dict[Point, tuple[SimulationTask, Lane]] = {}
        for point in points:
            factor = 1.0
            if arm.mean_of is not None:
                factor = runs[point._replace(arm=arm.mean_of)]["mean_factor"]
                if not math.isfinite(factor):  # not one gradient was applied
                    continue
            options = {"workers": point.workers, "learning_rate": point.learning_rate}
            shared = tuple(value if name in _needs(arm.rule) else None for name, value in options.items())
            task = self._shared_task(arm, shared, point)
            step = {"factor": factor, "learning_rate": point.learning_rate}
            lane = self._preparation.lane(task.program, point[:3], point.seed, step)
            jobs[point] = task, lane
        return jobs

    def _shared_task(self, arm: Arm, shared: tuple[Any, ...], point: Point) -> SimulationTask:
        tasks = self._tasks
        key = (arm.label, shared, point.seed)
        if key not in tasks:
            same = next((task.program for other, task in tasks.items() if other[:2] == key[:2]), None)
            program = same or self._program(arm, workers=point.workers, learning_rate=point.learning_rate)
            tasks[key] = self._task(program, point.seed)
        return tasks[key]

    def _task(self, program: Any, seed: int) -> SimulationTask:
        return self._preparation.task(program, evaluate=self._problems[seed].evaluate if self._evaluate else None)

    def _program(self, arm: Arm, workers: int, learning_rate: float) -> Any:
        rule = parse_step_rule(arm.rule, workers=workers, learning_rate=learning_rate)

        def tx(step: Mapping[str, Any]) -> Any:
            return self._make(
                computed_constant(step["factor"]) if arm.rule == BASELINE else rule, step["learning_rate"]
            )

        problem, step = next(iter(self._problems.values())), {"factor": 1.0, "learning_rate": learning_rate}
        return self._preparation.program(problem.loss_fn, tx, step, merge=getattr(problem, "merge", None))


def _needs(rule: str) -> set[str]:
    """The settings of a run that a rule takes as options."""
    parameters = options_of(rule)
    return ({"workers"} if parameters & {"workers", "concurrency"} else set()) | (parameters & {"learning_rate"})
