"""The engine for workers that never wait for each other: cumulative sums of their times, and one sort."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from jasgd.cluster.draws import BLOCK, Draws
from jasgd.cluster.generation import asynchronous_schemes, round_schemes
from jasgd.cluster.generation.run import Trace
from jasgd.cluster.generation.simulated_scheme import SimulatedScheme
from jasgd.cluster.model import PHASES

_NO_DROPS = {name: np.zeros(0) for name in ("worker", "ticket", "version_read", "version", "tries", "time_s", "reason")}


def applies(draws: Draws, scheme: SimulatedScheme) -> bool:
    """Whether the times of each worker depend on no other's, but for the barrier of synchronous rounds."""
    cluster, kind = draws.cluster, type(scheme)
    if cluster.cores is not None and cluster.cores < draws.workers:
        return False
    if cluster.tempos:
        return False
    at_once = cluster.is_zero("read") and cluster.is_zero("commit")
    if cluster.nodes is not None and not at_once:
        return False
    if kind is round_schemes.Synchronous:
        return not cluster.joins_s and not cluster.leaves_s
    if kind is asynchronous_schemes.Sequential:
        return True
    alone = kind is asynchronous_schemes.Hogwild or (
        kind in (asynchronous_schemes.Locked, asynchronous_schemes.Leashed) and at_once
    )
    return alone and getattr(scheme, "max_staleness", None) == float("inf")


def play(draws: Draws, scheme: SimulatedScheme) -> Trace:
    """The same trace as the event engine's, without going through the events."""
    if isinstance(scheme, round_schemes.Synchronous):
        return _rounds(draws, scheme.run.steps)
    return _asynchronous(draws, scheme.run.steps, claims_first=isinstance(scheme, asynchronous_schemes.Hogwild))


class _Cycles(NamedTuple):
    """Some cycles of one worker, as times at which phases begin and end; float64 of shape (cycles,) each."""

    begin: np.ndarray
    read: np.ndarray
    claim: np.ndarray
    end: np.ndarray


class _Worker:
    """One worker's cycles, drawn as far as they are needed."""

    def __init__(self, draws: Draws, worker: int, *, claims_first: bool):
        cluster = draws.cluster
        phases = [phase for phase in PHASES if not cluster.is_zero(phase)]
        self._blocks = [draws.blocks(phase, worker) for phase in phases]
        self._read = phases.index("batch") + 1 if "batch" in phases else 0
        self._claim = phases.index("compute") + 1 if claims_first else len(phases)
        self.joins_s = self._now_s = cluster.joins_s.get(worker, 0.0)
        self.leaves_s = cluster.leaves_s.get(worker, float("inf"))
        self._parts: list[_Cycles] = []
        self._drawn = 0

    def until(self, horizon_s: float, most: int) -> _Cycles:
        """All cycles that begin before a time, and some more; but no more than suffice for ``most`` commits."""
        while self._now_s <= min(horizon_s, self.leaves_s) and self._drawn <= most:
            times = np.empty(BLOCK * len(self._blocks) + 1)
            times[0] = self._now_s
            times[1:] = np.stack([block() for block in self._blocks], axis=1).ravel()
            np.cumsum(times, out=times)  # one after the other, as the event engine adds
            begins, ends = times[:-1].reshape(BLOCK, -1), times[1:].reshape(BLOCK, -1)
            boundaries = np.concatenate([begins, ends[:, -1:]], axis=1)
            self._parts.append(
                _Cycles(boundaries[:, 0], boundaries[:, self._read], boundaries[:, self._claim], boundaries[:, -1])
            )
            self._now_s = float(times[-1])
            self._drawn += BLOCK
        if len(self._parts) > 1:
            self._parts = [_Cycles(*map(np.concatenate, zip(*self._parts, strict=True)))]
        return self._parts[0] if self._parts else _Cycles(*[np.zeros(0)] * 4)


def _asynchronous(draws: Draws, steps: int, *, claims_first: bool) -> Trace:
    workers = [_Worker(draws, worker, claims_first=claims_first) for worker in range(draws.workers)]
    last_leaves_s = max(worker.leaves_s for worker in workers)
    horizon_s = _guess(draws, workers, steps + 4 * steps**0.5 + 10)
    while True:
        cycles = [worker.until(horizon_s, steps) for worker in workers]
        # Events beyond the horizon are cut off, since those of others there may not have been drawn; and so are those
        # of the instant at which a worker leaves.
        ends = [horizon_s if worker.leaves_s > horizon_s else np.nextafter(worker.leaves_s, 0.0) for worker in workers]
        claims = sum(int(np.searchsorted(c.claim, end, "right")) for c, end in zip(cycles, ends, strict=True))
        if claims >= steps:
            return _sorted(cycles, ends, steps)
        if horizon_s >= last_leaves_s:
            raise ValueError(f"leaves_s must leave workers for all steps, but all have left after {claims} of {steps} "
                             "commits")  # fmt: skip
        horizon_s *= min(max(1.1, 1.1 * steps / max(claims, 1)), 4.0)


def _guess(draws: Draws, workers: list[_Worker], commits: float) -> float:
    """About when so many commits are made; or when the last worker leaves, if that is before."""
    rates = draws.rates()
    joins_s = np.array([worker.joins_s for worker in workers])
    leaves_s = np.array([worker.leaves_s for worker in workers])

    def commits_by(time_s: float) -> float:
        return float(np.sum(np.maximum(rates * np.maximum(np.minimum(time_s, leaves_s) - joins_s, 0.0) - 0.5, 0.0)))

    low, high, last_s = 0.0, float(joins_s.min() + commits / rates.sum()), float(leaves_s.max())
    while commits_by(high) < commits:
        low, high = high, 2 * high
        if low > last_s:
            return last_s
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if commits_by(middle) >= commits else (middle, high)
    return min(high, last_s)


def _sorted(cycles: list[_Cycles], ends: list[float], steps: int) -> Trace:
    """Orders reads and claims by time, those of one instant by worker and within a worker as it makes them."""
    flat, begins = [], []
    for c, end in zip(cycles, ends, strict=True):
        events = np.stack([c.read, c.claim], axis=1).ravel()
        flat.append(events[: np.searchsorted(events, end, "right")])
        begins.append(c.begin[: np.searchsorted(c.begin, end, "right")])
    counts = np.array([len(events) for events in flat])
    starts = np.cumsum(counts) - counts
    event_worker = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
    order = np.argsort(np.concatenate(flat), kind="stable")
    is_claim = ((np.arange(len(order)) - starts[event_worker]) & 1).astype(bool)[order]
    versions = np.cumsum(is_claim)
    cut = int(np.searchsorted(versions, steps)) + 1
    order, is_claim, versions = order[:cut], is_claim[:cut], (versions - is_claim)[:cut]
    event_version = np.empty(len(event_worker), np.int64)  # commits before each event
    event_version[order] = versions
    claims = order[is_claim]
    worker = event_worker[claims]
    cycle = (claims - starts[worker]) // 2
    firsts = np.cumsum([0, *(len(c.end) for c in cycles)])[:-1]
    begin_firsts = np.cumsum([0, *map(len, begins)])[:-1]
    begin = np.concatenate(begins)
    tickets = np.empty(len(begin), np.int64)
    tickets[np.argsort(begin, kind="stable")] = np.arange(len(begin))
    applied = {
        "worker": worker,
        "ticket": tickets[begin_firsts[worker] + cycle],
        "version_read": event_version[claims - 1],
        "version": np.arange(steps),
        "tries": np.ones(steps, np.int32),
        "time_s": np.concatenate([c.end for c in cycles])[firsts[worker] + cycle],
    }
    happened = np.bincount(event_worker[order], minlength=len(counts))
    reading = np.flatnonzero(happened & 1)
    in_flight = [[int(w), int(event_version[starts[w] + happened[w] - 1])] for w in reading]
    return Trace(applied, _NO_DROPS, in_flight)


def _rounds(draws: Draws, steps: int) -> Trace:
    m = draws.workers
    phases = [phase for phase in ("batch", "read", "compute") if not draws.cluster.is_zero(phase)]
    blocks = [[draws.blocks(phase, worker) for worker in range(m)] for phase in phases]
    commits = [draws.durations("commit", worker) for worker in range(m)]
    now_s, times_s, drawn = 0.0, np.empty(steps), np.empty((BLOCK, len(phases), m))
    for version in range(steps):
        if version % BLOCK == 0:
            drawn[:] = np.array([[block() for block in of_phase] for of_phase in blocks]).transpose(2, 0, 1)
        arrivals_s = np.full(m, now_s)
        for phase in drawn[version % BLOCK]:
            arrivals_s = arrivals_s + phase
        last = m - 1 - int(np.argmax(arrivals_s[::-1]))  # of workers that come at one instant, in their order
        now_s = float(arrivals_s[last]) + next(commits[last])
        times_s[version] = now_s
    version = np.repeat(np.arange(steps), m)
    applied = {
        "worker": np.tile(np.arange(m), steps),
        "ticket": np.arange(steps * m),
        "version_read": version,
        "version": version,
        "tries": np.ones(steps * m, np.int32),
        "time_s": np.repeat(times_s, m),
    }
    return Trace(applied, _NO_DROPS, [])
