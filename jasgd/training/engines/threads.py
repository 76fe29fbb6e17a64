"""A run's workers as threads of this process: how they start, end, and what is known of one that does not end."""

from __future__ import annotations

import sys
import threading
import time
import traceback
from typing import Any

from jasgd.core.devices import computing_on
from jasgd.record.result import Outcome, StuckWorker
from jasgd.thread_context import inherited
from jasgd.training.engines.supervisor import Workers
from jasgd.training.engines.worker import work
from jasgd.training.run import Run

GONE_S = 1.0  # until a thread whose work has ended is gone


class WorkerThreads(Workers):
    """One thread for each worker, which computes under what the thread that makes this computes under.

    That is its settings of JAX and its context variables; see :func:`jasgd.thread_context.inherited`.

    Args:
      run: the run that the workers share.
      device: the jax device of the parameters; None for JAX's default.
    """

    def __init__(self, run: Run, device: Any):
        self._run, self._device, self._under_settings = run, device, inherited()
        self._begun = 0
        self._ended = [threading.Event() for _ in range(run.workers)]
        self._threads = [
            threading.Thread(target=self._begin, args=(worker,), name=f"jasgd-worker-{worker}", daemon=True)
            for worker in range(run.workers)
        ]

    def _begin(self, worker: int) -> None:
        try:
            self._under_settings(self._work, worker)
        except BaseException as error:  # whatever it is: it must not vanish, nor keep the run waiting
            self._run.finish(Outcome.FAILED, f"worker {worker} raised {type(error).__name__}: {error}", error)
        finally:
            self._ended[worker].set()

    def _work(self, worker: int) -> None:
        with computing_on(self._device):
            work(worker, self._run)

    def start(self) -> None:
        """Starts all workers."""
        for thread in self._threads:
            self._begun += 1  # before: Ctrl-C may come while the thread has begun, and Python waits for that
            thread.start()

    def all_ended(self) -> bool:
        """Whether no worker computes any more."""
        return all(event.is_set() for event in self._ended)

    def join(self, limit_s: float) -> None:
        """Waits until the workers have ended, for so many seconds at most."""
        deadline = time.perf_counter() + limit_s
        for thread, ended in list(zip(self._threads, self._ended, strict=True))[: self._begun]:
            if ended.wait(max(0.0, deadline - time.perf_counter())):
                thread.join(GONE_S)

    def stuck(self) -> tuple[StuckWorker, ...]:
        """Workers that have not ended, each with the place in the code where it is now."""
        return tuple(_stuck(worker, t) for worker, t in enumerate(self._threads) if t.is_alive())


def _stuck(worker: int, thread: threading.Thread) -> StuckWorker:
    frame = sys._current_frames().get(thread.ident or -1)
    return StuckWorker(worker, "".join(traceback.format_stack(frame)) if frame is not None else "")
