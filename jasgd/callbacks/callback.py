"""The protocol of callbacks: what each event of a run calls."""

from __future__ import annotations

from typing import NamedTuple

from jasgd.callbacks.state import RunState


class RunOptions(NamedTuple):
    """What a run was asked for, as :meth:`Callback.check` sees it before anything starts."""

    steps: int | None
    time_limit_s: float | None
    target_loss: float | None
    evaluates: bool  # whether ``evaluate`` was given


class Callback:
    """The base of all callbacks: derive from it, and write the methods that you need; the others do nothing.

    Every method runs in the thread that called ``train``, under its settings, while the workers go on. What it takes
    delays no stop condition, only the next callback and the next evaluation. One that raises fails the run, which keeps
    its result; the callback is then called for the end alone. KeyboardInterrupt stops the run as Ctrl-C does. To end a
    run from a callback, call ``state.stop(reason)``.

    Example:
      >>> import jax.numpy as jnp, optax, jasgd
      >>> class StopBelow(jasgd.callbacks.Callback):
      ...     def on_progress(self, state):
      ...         if state.loss < 0.5:
      ...             state.stop(f"the loss fell below 0.5 at version {state.version}")
      >>> result = jasgd.train(lambda w, batch: jnp.mean((w - batch) ** 2), jnp.zeros(3), optax.sgd(0.01),
      ...                      lambda ticket: jnp.ones(3), workers=1, steps=10**7, callbacks=[StopBelow()])
      >>> result.outcome == "stopped", result.message[:26], result.interrupted
      (True, 'the loss fell below 0.5 at', False)
    """

    def check(self, options: RunOptions) -> None:
        """Called before anything is compiled; raises TypeError or ValueError where it cannot work in such a run.

        Args:
          options: what the run was asked for.
        """

    def on_start(self, state: RunState) -> None:
        """Called once, when all is compiled, before the first evaluation and the first gradient."""

    def on_progress(self, state: RunState) -> None:
        """Called about ten times a second, and once more when the workers have ended."""

    def on_evaluation(self, state: RunState) -> None:
        """Called after each evaluation; version and parameters are those that were evaluated."""

    def on_checkpoint(self, state: RunState) -> None:
        """Called after each checkpoint was written; ``state.checkpoint`` is its folder."""

    def on_end(self, state: RunState) -> None:
        """Called once, with ``state.result``, however the run has ended, and also where another callback raised."""
