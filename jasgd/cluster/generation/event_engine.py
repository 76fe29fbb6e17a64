"""The event engine: workers that lock, retry, wait, join, leave and share cores, one event after the other."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Iterator

from jasgd.cluster.draws import Draws
from jasgd.cluster.generation.run import ClusterRun, Trace, WorkerEnds
from jasgd.cluster.generation.simulated_scheme import Activity, SimulatedScheme


def play(draws: Draws, scheme: SimulatedScheme) -> Trace:
    """Plays a scheme's run to its end, event by event; ValueError where it never ends."""
    run, cluster = scheme.run, draws.cluster
    heap, push, pop, push_pop, cores = run.heap, heapq.heappush, heapq.heappop, heapq.heappushpop, cluster.cores
    changes = _changes(draws)
    tempos = [cluster.tempos.get(worker) for worker in range(run.workers)]
    lives: list[Activity | None] = [None] * run.workers
    tickets = itertools.count()
    # All busy workers progress at one rate, so in virtual time, which runs at that rate, each ends when it is known to
    # end from its beginning. Real time is since_s + (virtual - since_virtual) · stretch until the rate changes.
    since_s, since_virtual, stretch = 0.0, 0.0, 1.0
    event: tuple[float, int] | None = None  # the next, out of the heap already
    while run.version < run.steps or run.claimed:
        if event is None and heap:
            event = pop(heap)
        now_s = since_s + (event[0] - since_virtual) * stretch if event is not None else float("inf")
        if changes and changes[-1][0] <= now_s:
            if event is not None:
                push(heap, event)
                event = None
            run.now_s, joins, worker = changes.pop()
            run.virtual_s = since_virtual + (run.now_s - since_s) / stretch
            if joins:
                run.present[worker] = True
                lives[worker] = _life(run, scheme, worker, draws, tickets)
                scheme.joined(worker)
                run.wake(worker)
            else:
                run.present[worker] = False
                if worker not in run.claimed:
                    _part(run, scheme, worker, lives)
        elif event is not None:
            virtual_s, worker = event
            event = None
            life = lives[worker]
            if life is None:  # it has left since
                continue
            run.now_s, run.virtual_s, run.running = now_s, virtual_s, worker
            try:
                time_s = next(life)
                while time_s == 0:  # at once
                    time_s = next(life)
            except WorkerEnds:
                time_s = None
            run.running = -1
            if time_s is None:
                if run.roused == worker and run.present[worker]:
                    run.roused = -1
                    push(heap, (virtual_s, worker))
                else:
                    run.asleep[worker] = True
                    run.busy -= 1
                    if not run.present[worker]:
                        _part(run, scheme, worker, lives)
            elif time_s > 0:
                tempo = tempos[worker]
                done_s = virtual_s + time_s if tempo is None else tempo.after(virtual_s, time_s)
                event = push_pop(heap, (done_s, worker))
            else:
                raise ValueError(f"scheme {scheme.name!r} must yield seconds ≥ 0 or None, got {time_s!r}")
        else:
            raise ValueError(_stalled(run, scheme))
        if cores is not None and stretch != (now := max(1.0, run.busy / cores)):
            since_s, since_virtual, stretch = run.now_s, run.virtual_s, now
    return run.trace()


def _life(run: ClusterRun, scheme: SimulatedScheme, worker: int, draws: Draws, tickets: Iterator[int]) -> Activity:
    batch_s, compute_s = (draws.durations(phase, worker) for phase in ("batch", "compute"))
    version_read, ticket, read, commit = run.version_read, run.ticket, scheme.read, scheme.commit
    while True:
        ticket[worker] = next(tickets)
        yield next(batch_s)
        yield from read(worker)
        if version_read[worker] < 0:
            raise RuntimeError(f"scheme {scheme.name!r}: read must call run.reads, and did not for worker {worker}")
        yield next(compute_s)
        yield from commit(worker)
        if version_read[worker] >= 0:
            raise RuntimeError(f"scheme {scheme.name!r}: commit neither published nor dropped, for worker {worker}")


def _part(run: ClusterRun, scheme: SimulatedScheme, worker: int, lives: list[Activity | None]) -> None:
    life, lives[worker] = lives[worker], None
    if life is not None:
        life.close()
    if not run.asleep[worker]:
        run.asleep[worker] = True
        run.busy -= 1
    scheme.left(worker)


def _changes(draws: Draws) -> list[tuple[float, bool, int]]:
    """Which workers join and leave when, the last first; at one instant leaving precedes joining, and both all else."""
    cluster = draws.cluster
    comes = [(cluster.joins_s.get(worker, 0.0), True, worker) for worker in range(draws.workers)]
    goes = [(time_s, False, worker) for worker, time_s in cluster.leaves_s.items()]
    return sorted(comes + goes, reverse=True)


def _stalled(run: ClusterRun, scheme: SimulatedScheme) -> str:
    done = f"after {run.version} of {run.steps} commits"
    if not any(run.present):
        return f"leaves_s must leave workers for all steps, but all have left {done}"
    return f"scheme {scheme.name!r}: all workers that are there wait for each other {done}"
