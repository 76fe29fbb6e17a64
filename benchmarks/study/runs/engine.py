"""The study's runs: one compiled scan an arm, which learning rate, seed and execution are inputs of.

It is what :func:`jasgd.simulate` does, but nothing is compiled twice, the data set is read once for all seeds, and a
run that has exploded ends at once, without the search for the commit at which it did.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import jax
import numpy as np

from benchmarks.study import design, exploratory
from benchmarks.study.runs import arms, clusters
from benchmarks.study.runs.outcomes import Numbers, numbers_of
from benchmarks.study.runs.own_data import OwnRows
from jasgd import minibatches, problems
from jasgd.core.finiteness import first_nonfinite_leaf
from jasgd.problems.models import functional
from jasgd.simulating.lane_results import with_rows
from jasgd.simulating.preparation import Preparation
from jasgd.simulating.scan import Program, steps_of
from jasgd.simulating.scan_batches import ScanBatches
from jasgd.simulating.schedule import NOTHING

CHUNK = 512  # steps of one call of a scan, the same for all runs


class Engine:
    """Runs of one training problem.

    Args:
      problem: of the design.
      seeds: that runs may have.
      options: of an exploratory change; empty for primary cells.
    """

    def __init__(self, problem: design.Problem, seeds: tuple[int, ...], options: dict[str, Any] | None = None):
        options = dict(options or {})
        self._problem = problem
        self._batch = int(options.get("batch", problem.batch))
        self._own_data = bool(options.get("own_data"))
        self._options = {name: options[name] for name in ("optimizer", "momentum") if name in options}
        loaded = problems.load(problem.dataset, problem.model, batch_size=self._batch, download=False)
        self._loss_fn, self._evaluate = loaded.loss_fn, loaded.evaluate
        self._arrays = loaded.batches.arrays
        self._seeds = {seed: index for index, seed in enumerate(seeds)}
        drawn = {seed: minibatches(self._arrays, self._batch, seed=seed) for seed in seeds}
        shape, classes = loaded.dataset.shape, loaded.dataset.classes
        self._params = {seed: functional(problem.model, shape, classes, seed)[0] for seed in seeds}
        some, _ = clusters.planned(design.Cell(problem.name, "equal", 2), seeds[0])  # any; each run has its own
        self._preparation = Preparation(drawn, self._params, {None: some}, longest=CHUNK)
        self._programs: dict[tuple[str, int], Program] = {}

    def _program(self, arm: str, workers: int) -> Program:
        key = arms.shares_a_program(arm), workers if arms.needs_workers(arm) else 0
        if key not in self._programs:
            tx = arms.transformation_of(key[0], workers=workers, **self._options)
            self._programs[key] = self._preparation.program(self._loss_fn, tx, 0.01)
        return self._programs[key]

    def _batches_of(self, cell: design.Cell, program: Program) -> ScanBatches:
        batches = self._preparation.task(program).batches
        if not self._own_data:
            return batches
        return OwnRows(batches, self._arrays[1], list(self._seeds), cell.workers, self._batch)

    def run(
        self, cell: design.Cell, arm: str, rate: float, seed: int, *, target: float = math.nan, judged: bool = False
    ) -> Numbers:
        """One run.

        Args:
          cell: where.
          arm: of ``design.ARMS``, or the control of one.
          rate: the learning rate, > 0; of a control times the mean factor that it takes.
          seed: of the mini-batches, the initial parameters and the execution.
          target: the cell's target loss, NaN for none.
          judged: whether test accuracy and curve are kept.

        Returns:
          Its numbers.
        """
        execution, plan = clusters.planned(cell, seed)
        program = self._program(arm, cell.workers)
        batches, grouped = self._batches_of(cell, program), bool((plan.gradients > 1).any())
        prepared = self._preparation.lane(program, None, seed, rate)
        lane = dataclasses.replace(prepared, execution=execution, plan=plan)
        carry = program.begin(lane.params, lane.state, plan.slots)
        outputs, initial, diverged = [], math.nan, False
        for start in range(0, len(plan), CHUNK):
            stop = min(start + CHUNK, len(plan))
            idle = np.full(CHUNK - (stop - start), NOTHING)
            tickets, workers = (np.concatenate([column[start:stop], idle]) for column in (plan.ticket, plan.worker))
            steps = steps_of(plan, start, stop, CHUNK, batches.draw(self._seeds[seed], tickets, workers))
            carry, some = program.run(carry, batches.shared, steps, rate, grouped=grouped)
            some = jax.tree.map(lambda leaf, count=stop - start: np.asarray(leaf)[:count], some)
            outputs.append(some)
            losses = some.loss[plan.row[start:stop] != NOTHING]
            initial = float(losses[0]) if start == 0 else initial
            if len(losses) and not losses.mean(dtype=np.float64) <= design.EXPLODED * initial:  # nor where it is NaN
                diverged = True
                break
        else:
            diverged = first_nonfinite_leaf(carry.params) is not None
        computed = sum(len(some.loss) for some in outputs)
        missing = len(plan) - computed
        if missing:
            outputs.append(jax.tree.map(lambda leaf: np.full(missing, np.nan, leaf.dtype), outputs[0]))
        joined = jax.tree.map(lambda *parts: np.concatenate(parts), *outputs)
        accuracy = math.nan
        if judged and not diverged:
            params = jax.tree.unflatten(jax.tree.structure(self._params[seed]), carry.params)
            accuracy = self._evaluate(params)["accuracy"]
        rows, _ = with_rows(lane, joined)
        return numbers_of(rows, diverged=diverged, target=target, accuracy=accuracy, curve=judged)


def engine_for(cell: design.Cell, seeds: tuple[int, ...]) -> Engine:
    """The engine that a cell's runs need, with all seeds that they may have."""
    options = exploratory.CHANGES[cell.change].options if cell.change else {}
    return Engine(design.PROBLEMS[cell.problem], seeds, options)
