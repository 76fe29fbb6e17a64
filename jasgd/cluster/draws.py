"""The random durations of a generated execution, drawn from a stream of its own for every worker and phase.

They are drawn in blocks of one size, whichever engine draws, so both engines see the same durations, and
what one worker draws does not depend on any other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from jasgd.cluster.durations import Constant
from jasgd.cluster.model import Cluster
from jasgd.inputs.checks import integer

BLOCK = 128  # durations drawn at a time
MOST_PAUSES = 10_000_000  # in a block
_STREAMS = ("batch", "read", "compute", "commit", "straggler", "pause", "pause_length", "speed")


def generator(seed: int, worker: int, stream: str) -> np.random.Generator:
    """The counter-based generator of a stream; mini-batches of the same seed have other keys, below 2⁶³."""
    # An array, since NumPy would make floats of a list of such large integers.
    key = np.array([seed, 1 << 63 | worker << 8 | _STREAMS.index(stream)], np.uint64)
    return np.random.Generator(np.random.Philox(key=key))


def checked_seed(seed: Any) -> int:
    """A seed that keys a stream; ValueError for anything but an integer in 0 … 2⁶⁴ − 1."""
    seed = integer("seed", seed, 0)
    if seed >= 1 << 64:
        raise ValueError(f"seed must be < 2**64, got {seed}")
    return seed


class Draws:
    """The durations of all workers' phases, by worker and phase.

    Args:
      cluster: the model.
      workers: number of workers, m.
      seed: 0 ≤ seed < 2⁶⁴.

    Raises:
      ValueError: where speeds are not as many as workers or not > 0, or a worker has no times or only zeros.
    """

    def __init__(self, cluster: Cluster, workers: int, seed: int):
        self.cluster, self.workers, self.seed = cluster, workers, seed
        self.speeds = _speeds(cluster, workers, seed)

    def law(self, phase: str, worker: int) -> Any:
        """The law of a worker's phase, at speed 1 and without stragglers and pauses."""
        law = getattr(self.cluster, f"{phase}_s")
        return law.of_worker(worker) if hasattr(law, "of_worker") else law

    def constant(self, phase: str, worker: int) -> float | None:
        """The duration of a phase where it is always the same, or None."""
        law = getattr(self.cluster, f"{phase}_s")
        varied = phase == "compute" and (self.cluster.stragglers is not None or self.cluster.pauses is not None)
        return law.mean_s / self.speeds[worker] if isinstance(law, Constant) and not varied else None

    def blocks(self, phase: str, worker: int) -> Callable[[], np.ndarray]:
        """A function that gives the next :data:`BLOCK` durations of a phase, in seconds, at each call."""
        known = self.constant(phase, worker)
        if known is not None:
            same = np.full(BLOCK, known)
            return lambda: same
        law, speed = self.law(phase, worker), self.speeds[worker]
        if phase == "compute" and not law.mean_s > 0:
            raise ValueError(f"compute_s must have a mean > 0 for every worker, got {law.mean_s} for worker {worker}")
        rng = generator(self.seed, worker, phase)
        if phase != "compute":
            return lambda: _drawn(law, rng, BLOCK, f"{phase}_s") / speed
        parts = [part for make in (_straggling, _paused) if (part := make(self.cluster, self.seed, worker)) is not None]

        def computing() -> np.ndarray:
            times = _drawn(law, rng, BLOCK, "compute_s") / speed
            for part in parts:
                times = part(times)
            return times

        return computing

    def durations(self, phase: str, worker: int) -> Iterator[float]:
        """The durations of :meth:`blocks` one after another, without end."""
        known = self.constant(phase, worker)
        if known is not None:
            return itertools.repeat(known)
        block = self.blocks(phase, worker)
        return itertools.chain.from_iterable(block().tolist() for _ in itertools.count())

    def rates(self) -> np.ndarray:
        """About how many gradients each worker makes per second; float64 of shape (workers,)."""
        cluster = self.cluster
        lazy = [phase for phase in ("batch", "read", "commit") if not cluster.is_zero(phase)]
        means = np.array(
            [[self.law(phase, worker).mean_s for phase in ("compute", *lazy)] for worker in range(self.workers)]
        )
        means /= self.speeds[:, None]
        if cluster.stragglers is not None:
            means[:, 0] *= cluster.stragglers.mean
        if cluster.pauses is not None:
            means[:, 0] *= 1 + cluster.pauses.duration_s.mean_s / cluster.pauses.every_s
        return 1 / means.sum(axis=1)


def _straggling(cluster: Cluster, seed: int, worker: int) -> Callable[[np.ndarray], np.ndarray] | None:
    stragglers = cluster.stragglers
    if stragglers is None:
        return None
    rng = generator(seed, worker, "straggler")
    return lambda times: np.where(rng.random(len(times)) < stragglers.probability, stragglers.slowdown * times, times)


def _paused(cluster: Cluster, seed: int, worker: int) -> Callable[[np.ndarray], np.ndarray] | None:
    pauses = cluster.pauses
    if pauses is None:
        return None
    rng, lengths = generator(seed, worker, "pause"), generator(seed, worker, "pause_length")
    law = pauses.duration_s.of_worker(worker) if hasattr(pauses.duration_s, "of_worker") else pauses.duration_s

    def paused(times: np.ndarray) -> np.ndarray:
        expected = float(times.sum() / pauses.every_s)
        if expected > MOST_PAUSES:
            raise ValueError(
                f"every_s of pauses must give fewer than {MOST_PAUSES} pauses in {BLOCK} gradients, "
                f"got {pauses.every_s}, which gives {expected:.3g}"
            )
        counts = rng.poisson(times / pauses.every_s)
        drawn = _drawn(law, lengths, int(counts.sum()), "duration_s")
        return times + np.bincount(np.repeat(np.arange(len(times)), counts), drawn, len(times))

    return paused


def _drawn(law: Any, rng: np.random.Generator, size: int, name: str) -> np.ndarray:
    times = np.asarray(law.sample(rng, size), np.float64)
    if times.shape != (size,):
        raise ValueError(f"{name}: sample must give an array of shape ({size},), got {times.shape} from {law!r}")
    if size and not (times.min() >= 0 and times.max() < np.inf):
        raise ValueError(f"{name}: sample must give finite numbers of seconds ≥ 0, got {times.min()} from {law!r}")
    return times


def _speeds(cluster: Cluster, workers: int, seed: int) -> np.ndarray:
    speeds = cluster.speeds
    if speeds is None:
        return np.ones(workers)
    if isinstance(speeds, tuple):
        if len(speeds) != workers:
            raise ValueError(f"speeds must be one for each of the {workers} workers, got {len(speeds)}")
        return np.array(speeds)
    laws = [speeds.of_worker(w) if hasattr(speeds, "of_worker") else speeds for w in range(workers)]
    drawn = [_drawn(law, generator(seed, w, "speed"), 1, "speeds")[0] for w, law in enumerate(laws)]
    if min(drawn) <= 0:
        raise ValueError(f"speeds must be > 0, got {min(drawn)} for worker {int(np.argmin(drawn))} from {speeds!r}")
    return np.array(drawn)
