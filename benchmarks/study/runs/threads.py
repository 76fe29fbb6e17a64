"""Real threads: the times of their phases, runs of the study's arms on them, and how far the simulator is from them."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import optax

import jasgd
from benchmarks.study import design
from benchmarks.study.plan import STAGES, wanted
from benchmarks.study.runs import clusters
from benchmarks.study.runs.arms import transformation_of
from benchmarks.study.runs.cache import CellRuns, Key
from benchmarks.study.runs.outcomes import Numbers, numbers_of
from jasgd import minibatches, problems
from jasgd.problems.models import functional

SPEEDS = "threads"  # of a cell that is run on threads
KEPT = 400  # durations of each phase
PHASES = ("batch", "read", "compute", "commit")
PROBLEM = "mnist-mlp"


class ThreadsEngine:
    """Runs of one training problem with threads; it has the method of :class:`benchmarks.study.runs.engine.Engine`."""

    def __init__(self, problem: design.Problem):
        self._problem = problem
        self._loaded = problems.load(problem.dataset, problem.model, batch_size=problem.batch, download=False)

    def train(self, tx: Any, workers: int, seed: int, updates: int) -> jasgd.TrainResult:
        """One run with threads."""
        loaded = self._loaded
        shape, classes = loaded.dataset.shape, loaded.dataset.classes
        return jasgd.train(
            loaded.loss_fn,
            functional(self._problem.model, shape, classes, seed)[0],
            tx,
            minibatches(loaded.batches.arrays, self._problem.batch, seed=seed),
            scheme=design.SCHEME,
            workers=workers,
            steps=updates,
            seed=seed,
            throw=False,
        )

    def run(self, cell: design.Cell, one: Key, *, target: float, judged: bool) -> Numbers:
        """The numbers of one run, and its test accuracy where it is judged."""
        tx = transformation_of(one.arm, workers=cell.workers)(one.rate)
        result = self.train(tx, cell.workers, one.seed, self._problem.updates)
        diverged = result.outcome == "diverged"
        accuracy = self._loaded.evaluate(result.params)["accuracy"] if judged and not diverged else float("nan")
        return numbers_of(result.execution, diverged=diverged, target=target, accuracy=accuracy, curve=judged)


def run_threads(
    folder: Path, workers: Sequence[int] | None, *, minutes: float, arms: Sequence[str] = design.ARMS
) -> None:
    """Runs the study's arms on threads, one run at a time, so that it has the machine's cores to itself.

    Args:
      folder: of the cache; cells have the speeds ``"threads"``.
      workers: numbers of threads; None for those of the design that are at most eight times the cores.
      minutes: after which no further run is begun.
      arms: which, the constant step first.
    """
    jasgd.configure_cpu()
    deadline, cores = time.monotonic() + 60 * minutes, os.cpu_count() or 1
    counts = workers or [count for count in design.WORKERS if count <= 8 * cores]
    engine = ThreadsEngine(design.PROBLEMS[PROBLEM])
    for stage, count in itertools.product(STAGES, counts):
        cell = design.Cell(PROBLEM, SPEEDS, count)
        done = CellRuns(folder, cell)
        while (next_runs := wanted(cell, stage, arms, done.runs)).keys:
            for one in next_runs.keys:
                if time.monotonic() > deadline:
                    done.write()
                    return
                done.add(one, engine.run(cell, one, target=next_runs.target, judged=next_runs.judged))
                done.write(20)
        done.write()
        print(f"{cell.name}: {stage} done", flush=True)
    write_distances(folder, counts)


def write_distances(folder: Path, counts: Sequence[int]) -> None:
    """Writes ``simulator.json``: how far the simulator is from threads, for each number of them."""
    jasgd.configure_cpu()
    distances = [distance_to_simulation(count) for count in counts]
    (folder / "simulator.json").write_text(json.dumps(distances, indent=1) + "\n")


def measure(workers: int | None = None, updates: int = 3000) -> str:
    """Records how long the phases of threads take here, as many as there are cores, and keeps them in a file.

    Args:
      workers: threads; None for the number of cores.
      updates: of the run that is recorded.

    Returns:
      What was recorded, in a sentence.
    """
    jasgd.configure_cpu()
    count = workers or os.cpu_count() or 1
    result = ThreadsEngine(design.PROBLEMS[PROBLEM]).train(optax.sgd(0.02), count, design.TUNING_SEEDS[0], updates)
    model = jasgd.cluster.measured_from(result, workers=count, order="drawn")
    rng = np.random.default_rng(0)
    drawn = {phase: getattr(model, f"{phase}_s").sample(rng, KEPT) for phase in PHASES}
    unit_s = float(np.mean(drawn["compute"]))
    kept = {phase: [float(f"{x / unit_s:.3g}") for x in np.sort(times)] for phase, times in drawn.items()}
    about = {"threads": count, "cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "problem": PROBLEM,
             "scheme": design.SCHEME, "gradient_s": float(f"{unit_s:.3g}")}  # fmt: skip
    clusters.MEASURED.write_text(json.dumps({"about": about, "phases": kept}) + "\n")
    means = ", ".join(f"{phase} {np.mean(times):.3f}" for phase, times in kept.items())
    return f"{count} threads, a gradient of {1000 * unit_s:.2f} ms; in units of that: {means}"


def distance_to_simulation(workers: int, updates: int = 3000, seed: int = design.TUNING_SEEDS[0]) -> dict[str, float]:
    """How far the simulator is from threads: laws of the staleness, and losses, of a run and of its simulation.

    Args:
      workers: threads.
      updates: of the run.
      seed: of both.

    Returns:
      ``mean_staleness`` of both and ``total_variation`` between their laws; ``log_loss``, the log of the simulated
      final loss over that of the threads, at the same learning rate.
    """
    engine = ThreadsEngine(design.PROBLEMS[PROBLEM])
    recorded = engine.train(optax.sgd(0.02), workers, seed, updates)
    model = jasgd.cluster.measured_from(recorded)
    generated = jasgd.cluster.generate(model, scheme=design.SCHEME, workers=workers, steps=updates, seed=seed)
    loaded = engine._loaded
    params = functional(loaded.model, loaded.dataset.shape, loaded.dataset.classes, seed)[0]
    batches = minibatches(loaded.batches.arrays, loaded.batch_size, seed=seed)
    simulated = jasgd.simulate(loaded.loss_fn, params, optax.sgd(0.02), batches, execution=generated, seeds=[seed])
    one, other = recorded.execution, next(iter(simulated)).execution
    longest = int(max(one.staleness.max(), other.staleness.max())) + 1
    laws = [np.bincount(ex.staleness, minlength=longest) / len(ex) for ex in (one, other)]
    losses = [float(ex.loss[-design.WINDOW :].mean()) for ex in (one, other)]
    return {
        "workers": workers,
        "mean_staleness": float(one.staleness.mean()),
        "simulated_staleness": float(other.staleness.mean()),
        "total_variation": float(np.abs(laws[0] - laws[1]).sum() / 2),
        "log_loss": float(np.log(losses[1] / losses[0])),
    }
