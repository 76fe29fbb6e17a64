"""The simulated runs of a spectrum, with what they have in common made once."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jasgd import rules
from jasgd.aligned_memory import aligned
from jasgd.core.admission import admit
from jasgd.experiments.arms import BASELINE, Arm
from jasgd.record.execution import Execution
from jasgd.rules.damping import computed_constant
from jasgd.rules.parsing import parse_rule
from jasgd.simulating.preparation import Lane, Task
from jasgd.simulating.scan import Program
from jasgd.simulating.scan_batches import feed
from jasgd.simulating.schedule import schedule
from jasgd.specs import parse_spec

CHUNK = 256  # steps of one call; the same for all worker counts, so that nothing is compiled twice


class Point(NamedTuple):
    """Where in a spectrum a run is."""

    cluster: str  # label
    workers: int
    seed: int
    arm: str  # label
    learning_rate: float


class Jobs:
    """The runs of some arms, with what they have in common made once."""

    def __init__(
        self,
        problems: dict[int, Any],
        executions: dict[tuple[str, int, int], Execution],
        make: Callable[[rules.Rule, Any], Any],
        learning_rates: tuple[float, ...],
        evaluate: bool,
    ):
        self._problems, self._executions, self._make = problems, executions, make
        self._learning_rates, self._evaluate = learning_rates, evaluate
        self._places = {seed: place for place, seed in enumerate(problems)}
        self._feed = feed([one.batches for one in problems.values()], CHUNK)
        self._first = aligned(next(iter(problems.values())).batches(0))
        self._plans = {place: schedule(execution) for place, execution in executions.items()}
        self._slots = max(plan.slots for plan in self._plans.values())
        self._params = {seed: tuple(map(jnp.asarray, jax.tree.leaves(p.params))) for seed, p in problems.items()}

    def of(self, arms: Sequence[Arm], runs: Mapping[Point, Mapping[str, Any]]) -> dict[Point, tuple[Task, Lane]]:
        """The runs of these arms; those that they are controls of have been run."""
        jobs: dict[Point, tuple[Task, Lane]] = {}
        for arm in arms:
            tasks: dict[Any, Task] = {}
            for (place, execution), rate in itertools.product(self._executions.items(), self._learning_rates):
                label, count, seed = place
                factor = 1.0
                if arm.mean_of is not None:
                    factor = runs[Point(label, count, seed, arm.mean_of, rate)]["mean_factor"]
                    if not math.isfinite(factor):  # not one gradient was applied
                        continue
                key = tuple(value if name in _needs(arm.rule) else None
                            for name, value in (("workers", count), ("learning_rate", rate))), seed  # fmt: skip
                if key not in tasks:
                    same = next((task.program for other, task in tasks.items() if other[0] == key[0]), None)
                    tasks[key] = self._task(same or self._program(arm, count, rate), seed)
                step = {"factor": factor, "learning_rate": rate}
                state = tasks[key].program.init(self._params[seed], step)
                lane = Lane(seed, step, self._places[seed], execution, self._plans[place], self._params[seed], state)
                jobs[Point(label, count, seed, arm.label, rate)] = tasks[key], lane
        return jobs

    def _task(self, program: Program, seed: int) -> Task:
        return Task(
            program,
            self._feed,
            self._problems[seed].evaluate if self._evaluate else None,
            evaluate_every=None,
            check_finite=True,
            device=None,
            batch=self._first,
            slots=self._slots,
            chunk=CHUNK,
        )

    def _program(self, arm: Arm, workers: int, learning_rate: float) -> Program:
        rule = parse_rule(arm.rule, workers=workers, learning_rate=learning_rate)

        def tx(step: Mapping[str, Any]) -> Any:
            return self._make(
                computed_constant(step["factor"]) if arm.rule == BASELINE else rule, step["learning_rate"]
            )

        one = next(iter(self._problems.values()))
        concrete = tx({"factor": 1.0, "learning_rate": learning_rate})  # which is checked
        compiled, _, _ = admit(one.loss_fn, one.params, concrete, self._first)
        return Program(compiled, tx, self._feed.take)


def _needs(rule: str) -> set[str]:
    """What a rule's options take from the run."""
    wanted = set(inspect.signature(rules.RULES[parse_spec(rule)[0]]).parameters)
    return ({"workers"} if wanted & {"workers", "concurrency"} else set()) | (wanted & {"learning_rate"})
